//! Writes down what clients saw, as Jepsen does.
//!
//! Owns: the one order of all invocations and completions, the numbering of requests, and the
//! records themselves, packed. Never does: IO, or judge. Called by the workers of `run`.
//!
//! # Real time is never overstated
//! Each invocation and completion takes its place from one counter. The place of an invocation is
//! taken *before* the first byte is sent and that of a completion *after* the whole answer is
//! read. So when the order says that one operation ended before another began, the first answer
//! had been read before the second request was sent; a checker that respects this order asks no
//! more of the server than it promised.

mod asked;
mod log;
mod row;

pub use asked::{Asked, Function, ProductNo, RequestNo, UserNo};
pub use log::{Brief, Log, Place};
pub use row::{Lane, Open, Said, SaidNo, Sent};

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// A place in the order of all invocations and completions, with the time at which it was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// From 0, without a gap.
    pub position: u64,
    /// Nanoseconds since the run began.
    pub ns: u64,
}

/// What all workers of a run share.
#[derive(Debug)]
pub struct Recorder {
    began: Instant,
    position: AtomicU64,
    request: AtomicU64,
}

impl Recorder {
    /// A recorder whose time zero is `began`.
    pub fn new(began: Instant) -> Self {
        Self { began, position: AtomicU64::new(0), request: AtomicU64::new(0) }
    }

    /// Nanoseconds since the run began.
    pub fn now_ns(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// The next place, which is left free. Every operation that was opened before lies before it,
    /// and every later one there or behind.
    pub fn position(&self) -> u64 {
        self.position.load(Ordering::Acquire)
    }

    /// Opens an operation. Nothing of it may have been sent yet.
    pub fn invoke(&self, process: u32, asked: Asked) -> Open {
        let request = asked.function().has_request().then(|| {
            // 0 is no request.
            RequestNo(self.request.fetch_add(1, Ordering::Relaxed) + 1)
        });
        Open::new(process, asked, request, self.moment())
    }

    /// The next place. Acquire keeps what follows (sending) behind it, release keeps what came
    /// before (reading the answer) before it.
    pub(super) fn moment(&self) -> Moment {
        let position = self.position.fetch_add(1, Ordering::AcqRel);
        Moment { position, ns: self.now_ns() }
    }
}

#[cfg(test)]
mod tests;
