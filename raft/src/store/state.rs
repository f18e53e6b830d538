//! What the log contains, as readers see it: its bounds, and its newest entries in memory.
//!
//! A change is visible here as soon as it is accepted, before it is durable: openraft replicates
//! and applies entries that the IO thread is still writing. So the tail keeps every entry that is
//! not yet in sled, and beyond that as many as fit into [`TAIL_BYTES_MAX`]; the appender, the
//! replication streams and apply all read from it, and sled only serves who lags.
//!
//! Invariants, asserted at each change: indexes are contiguous from `first` to `last`; the tail is
//! a suffix of the log; `purged < first`.

use super::Identity;
use super::disk::Found;
use super::record::payload_bytes;
use crate::types::{Entry, LogId, Vote};
use std::collections::VecDeque;
use std::io;

/// How many bytes of payload the tail may keep once sled has them.
pub(super) const TAIL_BYTES_MAX: usize = 64 * 1024 * 1024;
/// What an entry in the tail costs besides its payload, roughly.
const ENTRY_BYTES: usize = 128;

/// Numbers the appends in the order in which the IO thread gets them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct AppendNo(u64);

/// What readers see.
pub(super) struct State {
    /// For reads below the tail; `None` once the store is closed.
    pub(super) log: Option<sled::Tree>,
    pub(super) identity: Identity,
    /// The last durable vote.
    pub(super) vote: Option<Vote>,
    pub(super) committed: Option<LogId>,
    pub(super) purged: Option<LogId>,
    /// The index of the first entry that the log contains, or will contain.
    first: u64,
    /// The last log id; the purged one when there is no entry.
    pub(super) last: Option<LogId>,
    tail: VecDeque<Cached>,
    tail_bytes: usize,
    appends: AppendNo,
    /// Counts truncations and purges, so that a reader of sled notices one that it overlapped.
    pub(super) epoch: u64,
}

struct Cached {
    entry: Entry,
    append: AppendNo,
}

/// How to read a range of the log.
pub(super) struct Plan {
    /// What must be read from sled, `start..end`; empty when `start == end`.
    pub(super) cold: (u64, u64),
    /// What follows it, from memory.
    pub(super) hot: Vec<Entry>,
    /// The epoch in which this holds.
    pub(super) epoch: u64,
}

impl State {
    pub(super) fn new(found: &Found, log: sled::Tree) -> Self {
        Self {
            log: Some(log),
            identity: found.identity,
            vote: found.vote,
            committed: found.committed,
            purged: found.purged,
            first: found.first,
            last: found.last,
            tail: VecDeque::new(),
            tail_bytes: 0,
            appends: AppendNo::default(),
            epoch: 0,
        }
    }

    /// One past the last index; `first` when there is no entry.
    pub(super) fn end(&self) -> u64 {
        self.last.map_or(self.first, |last| (last.index + 1).max(self.first))
    }

    /// Makes entries readable.
    ///
    /// # Errors
    /// `InvalidInput` when they would leave a hole or overlap: the caller broke openraft's
    /// contract, and nothing is changed.
    pub(super) fn append(&mut self, entries: &[Entry]) -> io::Result<AppendNo> {
        let is_empty = self.end() == self.first;
        // openraft's log begins at 0 or after what was purged, but its storage suite also begins
        // elsewhere; a hole is only possible behind something.
        if is_empty
            && self.purged.is_none()
            && let Some(entry) = entries.first()
        {
            self.first = entry.log_id.index;
        }
        for (entry, next) in entries.iter().zip(self.end()..) {
            if entry.log_id.index != next {
                let what = format!("append of {} where {next} must follow", entry.log_id);
                return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
            }
        }
        self.appends.0 += 1;
        for entry in entries {
            self.tail_bytes += cost(entry);
            self.last = Some(entry.log_id);
            self.tail.push_back(Cached { entry: entry.clone(), append: self.appends });
        }
        self.check();
        Ok(self.appends)
    }

    /// Gives up everything after `kept`, which is the log's last id from now on.
    pub(super) fn truncate(&mut self, kept: Option<LogId>) {
        self.epoch += 1;
        let end = kept.map_or(0, |kept| kept.index + 1).max(self.first);
        while self.tail.back().is_some_and(|cached| cached.entry.log_id.index >= end) {
            let cached = self.tail.pop_back();
            self.tail_bytes -= cached.map_or(0, |cached| cost(&cached.entry));
        }
        self.last = kept.max(self.purged);
        self.check();
    }

    /// Gives up everything up to `upto`, which may lie beyond the last entry (a snapshot).
    pub(super) fn purge(&mut self, upto: LogId) {
        if self.purged.is_some_and(|purged| purged.index >= upto.index) {
            return;
        }
        self.epoch += 1;
        self.purged = Some(upto);
        self.first = upto.index + 1;
        if self.last.is_none_or(|last| last.index <= upto.index) {
            self.last = Some(upto);
        }
        while self.tail.front().is_some_and(|cached| cached.entry.log_id.index <= upto.index) {
            self.pop_front();
        }
        self.check();
    }

    /// Lets go of the oldest entries that sled has, until the tail is small enough.
    pub(super) fn evict(&mut self, filed: AppendNo, bytes_max: usize) {
        while self.tail_bytes > bytes_max
            && self.tail.front().is_some_and(|cached| cached.append <= filed)
        {
            self.pop_front();
        }
    }

    /// How to read what the log contains of `start..end`, up to about `bytes_max` of payload.
    pub(super) fn plan(&self, start: u64, end: u64, bytes_max: usize) -> Plan {
        let start = start.max(self.first);
        let end = end.min(self.end()).max(start);
        let tail_first = self.tail.front().map_or(self.end(), |cached| cached.entry.log_id.index);
        let hot_start = tail_first.clamp(start, end);
        let mut bytes = 0;
        let skip = (hot_start - tail_first.min(hot_start)) as usize;
        let hot = self
            .tail
            .iter()
            .skip(skip)
            .take((end - hot_start) as usize)
            .take_while(|cached| {
                let goes_on = bytes < bytes_max;
                bytes += payload_bytes(&cached.entry);
                goes_on
            })
            .map(|cached| cached.entry.clone())
            .collect();
        Plan { cold: (start, hot_start), hot, epoch: self.epoch }
    }

    fn pop_front(&mut self) {
        if let Some(cached) = self.tail.pop_front() {
            self.tail_bytes -= cost(&cached.entry);
        }
    }

    fn check(&self) {
        let (first, end) = (self.first, self.end());
        assert!(
            self.purged.is_none_or(|purged| purged.index < first),
            "purged {:?} but the log begins at {first}",
            self.purged
        );
        if let (Some(front), Some(back)) = (self.tail.front(), self.tail.back()) {
            let (low, high) = (front.entry.log_id.index, back.entry.log_id.index);
            assert!(
                first <= low && high + 1 == end && high - low + 1 == self.tail.len() as u64,
                "the tail {low}..={high} of {} entries is no suffix of the log {first}..{end}",
                self.tail.len()
            );
        }
    }
}

fn cost(entry: &Entry) -> usize {
    payload_bytes(entry) + ENTRY_BYTES
}
