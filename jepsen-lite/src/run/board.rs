//! What a run shows of itself while it goes on.
//!
//! Owns: live counts, written by the workers, read by whoever watches. Never does: judge.

use crate::nemesis::Fault;
use checker::flashnode::{Ended, Outcome};
use serde::Serialize;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// How many operations ended how, in Jepsen's words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Accepted, or read.
    pub ok: u64,
    /// Refused, or surely not done.
    pub fail: u64,
    /// Unknown.
    pub info: u64,
    /// Holds that ran out: nobody asked for that, and it is known when all is over.
    pub expired: u64,
}

impl Tally {
    /// What clients asked.
    pub fn asked(self) -> u64 {
        self.ok + self.fail + self.info
    }

    /// All of them.
    pub fn total(self) -> u64 {
        self.asked() + self.expired
    }
}

/// What happens in a run, for whoever watches.
#[derive(Debug, Clone, Copy)]
pub enum Progress<'a> {
    /// Another part of the run began.
    Stage(&'a str),
    /// A fault was injected, skipped or healed.
    Fault(&'a Fault),
    /// Some time passed; told several times a second while clients ask.
    Tick(Tally),
}

/// Called with what happens; from one task at a time.
pub type Watch<'a> = &'a (dyn Fn(Progress<'_>) + Send + Sync);

/// What the workers share besides the recorder.
#[derive(Debug, Default)]
pub(super) struct Board {
    ok: AtomicU64,
    fail: AtomicU64,
    info: AtomicU64,
    left_open: AtomicUsize,
    unexpected: Mutex<Vec<String>>,
}

/// The most unexpected answers that are kept in words.
const UNEXPECTED_MAX: usize = 20;

impl Board {
    pub(super) fn ended(&self, ended: &Ended) {
        let count = match ended {
            Ended::Decided { answer, .. } => match answer.outcome {
                Outcome::Refused { .. } => &self.fail,
                _ => &self.ok,
            },
            Ended::NotDone => &self.fail,
            Ended::Unknown => &self.info,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn tally(&self) -> Tally {
        Tally {
            ok: self.ok.load(Ordering::Relaxed),
            fail: self.fail.load(Ordering::Relaxed),
            info: self.info.load(Ordering::Relaxed),
            expired: 0,
        }
    }

    /// Whether one more operation may be left open, of so many at most.
    pub(super) fn may_leave_open(&self, most: usize) -> bool {
        let more = |open: usize| (open < most).then_some(open + 1);
        self.left_open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    pub(super) fn unexpected(&self, said: &str) {
        let mut kept = self.unexpected.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if kept.len() < UNEXPECTED_MAX {
            kept.push(said.to_owned());
        }
    }

    pub(super) fn take_unexpected(&self) -> Vec<String> {
        let mut kept = self.unexpected.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        std::mem::take(&mut *kept)
    }
}
