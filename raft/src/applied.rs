//! The applied state: the stock machine after the last applied entry, and the newest events.
//!
//! Written by openraft's state machine worker alone (through [`crate::apply`]); read by anyone
//! under a short lock that is never held across an await.

use crate::check::{HashAt, HashTrail};
#[cfg(feature = "mutants")]
use crate::mutant::{self, Mutant};
use crate::segment::SegmentStore;
use crate::tail::{Chunk, EventTail, TailSlice};
use crate::types::{LogId, SnapshotMeta, StoredMembership};
use std::io;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use stock::{Batch, Event, HotCopy, Machine, Reply, Rules, Seq};
use tokio::sync::watch;

/// How far apply has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Index of the last applied log entry; 0 when none is.
    pub(crate) index: u64,
    /// The machine's version after it.
    pub(crate) seq: Seq,
}

/// Handle to the applied state; clones share it.
#[derive(Clone)]
pub(crate) struct Applied {
    state: Arc<RwLock<State>>,
    progress: Arc<watch::Sender<Progress>>,
    /// The last event of the newest chunk that became full.
    filled: Arc<watch::Sender<Seq>>,
    segments: Arc<SegmentStore>,
}

struct State {
    machine: Machine,
    tail: EventTail,
    hashes: HashTrail,
    last_applied: Option<LogId>,
    membership: StoredMembership,
}

/// A consistent copy of the applied state, as a snapshot needs it. The events that belong to it
/// do not change any more, and are read later.
pub(crate) struct StateCopy {
    pub(crate) meta: SnapshotMeta,
    pub(crate) hot: HotCopy,
}

/// The state that replaces the applied one when a snapshot is installed.
pub(crate) struct Replacement {
    pub(crate) meta: SnapshotMeta,
    pub(crate) machine: Machine,
    pub(crate) partial: Vec<Event>,
    /// The events that it took to rebuild it.
    pub(crate) folded: u64,
}

/// The numbers of one moment, for status and metrics.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    pub(crate) index: u64,
    pub(crate) seq: Seq,
    pub(crate) state_hash: u128,
}

/// Where the events after a place are.
pub(crate) enum Found {
    /// In memory; empty when the place is the newest event.
    Here(TailSlice),
    /// In segment files; log time tells how old they are.
    Sealed { log_time_ms: u64 },
    /// Nowhere yet.
    Ahead { newest: Seq },
}

impl Applied {
    /// An empty machine.
    pub(crate) fn new(segments: Arc<SegmentStore>) -> Self {
        let state = State {
            machine: Machine::new(),
            tail: EventTail::default(),
            hashes: HashTrail::default(),
            last_applied: None,
            membership: StoredMembership::default(),
        };
        Self {
            state: Arc::new(RwLock::new(state)),
            progress: Arc::new(watch::Sender::new(Progress::default())),
            filled: Arc::new(watch::Sender::new(Seq::default())),
            segments,
        }
    }

    // A poisoned lock means that apply panicked on a broken invariant. A node aborts
    // there; in a test build the next reader sees the state as apply left it.
    fn lock(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_mut(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the machine. Applies wait meanwhile, so `look` must be short.
    pub(crate) fn read<R>(&self, look: impl FnOnce(&Machine) -> R) -> R {
        look(&self.lock().machine)
    }

    /// The applied index with the version and the hash of exactly that state.
    pub(crate) fn mark(&self) -> Mark {
        let state = self.lock();
        Mark {
            index: state.last_applied.map_or(0, |log_id| log_id.index),
            seq: state.machine.seq(),
            state_hash: state.machine.state_hash(),
        }
    }

    /// The state hash after the entry of this index.
    pub(crate) fn hash_at(&self, index: u64) -> HashAt {
        self.lock().hashes.at(index)
    }

    /// The last applied log id, and the last applied membership.
    pub(crate) fn position(&self) -> (Option<LogId>, StoredMembership) {
        let state = self.lock();
        (state.last_applied, state.membership.clone())
    }

    /// Follows [`Progress`] as it moves.
    pub(crate) fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Any applied change, from memory or from its segment file.
    ///
    /// # Errors
    /// When the segment file cannot be read, or is not what was sealed.
    pub(crate) fn event(&self, seq: Seq) -> io::Result<Option<Event>> {
        {
            let state = self.lock();
            if seq > state.machine.seq() {
                return Ok(None);
            }
            if let Some(event) = state.tail.get(seq) {
                return Ok(Some(event.clone()));
            }
        }
        self.segments.event(seq)
    }

    /// Where the events after `after` are, and at most `max` of them if in memory.
    pub(crate) fn events_after(&self, after: Seq, max: usize) -> Found {
        let state = self.lock();
        let newest = state.machine.seq();
        if after > newest {
            return Found::Ahead { newest };
        }
        match state.tail.slice(after, max) {
            Some(slice) => Found::Here(slice),
            None if after == newest => Found::Here(TailSlice::default()),
            None => Found::Sealed { log_time_ms: state.machine.log_time_ms() },
        }
    }

    /// Applies one batch by the rules of its entry. The caller announces progress.
    pub(crate) fn apply_batch(&self, log_id: LogId, rules: Rules, batch: &Batch) -> Vec<Reply> {
        let mut state = self.lock_mut();
        state.advance(log_id);
        #[cfg(feature = "mutants")]
        if mutant::is(Mutant::FlippedBit) {
            mutant::flipped_bit::flip(&mut state.machine);
        }
        state.machine.adopt(rules);
        let applied = state.machine.apply(batch);
        state.note_hash(log_id);
        let filled = state.tail.extend(applied.events, applied.traces);
        drop(state);
        if let Some(seq) = filled {
            self.filled.send_replace(seq);
        }
        applied.replies
    }

    /// Notes an entry that changes no stock: blank, or a membership.
    pub(crate) fn apply_other(&self, log_id: LogId, membership: Option<StoredMembership>) {
        let mut state = self.lock_mut();
        state.advance(log_id);
        state.note_hash(log_id);
        if let Some(membership) = membership {
            state.membership = membership;
        }
    }

    /// Wakes whoever waits for an index or a version.
    pub(crate) fn announce(&self) {
        let mark = self.mark();
        self.progress.send_replace(Progress { index: mark.index, seq: mark.seq });
    }

    /// Copies what a snapshot needs, at one applied index.
    pub(crate) fn copy(&self) -> StateCopy {
        let state = self.lock();
        StateCopy {
            meta: SnapshotMeta {
                last_log_id: state.last_applied,
                last_membership: state.membership.clone(),
            },
            hot: state.machine.hot_copy(),
        }
    }

    /// Follows the chunks of events that become full.
    pub(crate) fn filled(&self) -> watch::Receiver<Seq> {
        self.filled.subscribe()
    }

    /// The full chunks with events after `sealed_up_to` that are in memory, oldest first.
    pub(crate) fn full_after(&self, sealed_up_to: Seq) -> Vec<Chunk> {
        self.lock().tail.full_after(sealed_up_to)
    }

    /// Copies the events after `after` and up to `last`, a few under each lock. Blocks.
    ///
    /// # Errors
    /// When a segment file cannot be read, or an event is nowhere.
    pub(crate) fn events_between(&self, after: Seq, last: Seq) -> io::Result<Vec<Event>> {
        /// Some tens of microseconds.
        const EVENTS_A_LOCK: usize = 512;
        let mut events = Vec::with_capacity((last.0 - after.0) as usize);
        let mut at = after;
        while at < last {
            let max = EVENTS_A_LOCK.min((last.0 - at.0) as usize);
            let next = match self.events_after(at, max) {
                Found::Here(slice) => slice.into_events(),
                Found::Sealed { .. } => self.segments.events(Seq(at.0 + 1), max)?,
                Found::Ahead { .. } => Vec::new(),
            };
            at = next.last().map(|event| event.seq).ok_or_else(|| {
                io::Error::other(format!("the event after {at} is neither in memory nor sealed"))
            })?;
            events.extend(next);
        }
        Ok(events)
    }

    /// Replaces everything by an installed snapshot.
    pub(crate) fn replace(&self, replacement: Replacement) {
        let index = replacement.meta.last_log_id.map_or(0, |log_id| log_id.index);
        let installed = State {
            hashes: HashTrail::from(index, replacement.machine.state_hash()),
            machine: replacement.machine,
            tail: EventTail::from_partial(replacement.partial),
            last_applied: replacement.meta.last_log_id,
            membership: replacement.meta.last_membership,
        };
        // Freeing the old state takes a while if it was large, so it is done without the lock.
        let replaced = std::mem::replace(&mut *self.lock_mut(), installed);
        self.announce();
        drop(replaced);
    }

    /// Frees events that segment files hold now. Takes milliseconds, but the lock for a moment.
    pub(crate) fn forget_sealed(&self, sealed_up_to: Seq) {
        let taken = self.lock_mut().tail.take_sealed(sealed_up_to);
        drop(taken);
    }
}

impl State {
    fn note_hash(&mut self, log_id: LogId) {
        self.hashes.push(log_id.index, self.machine.state_hash());
    }

    fn advance(&mut self, log_id: LogId) {
        let next = self.last_applied.map_or(0, |last| last.index + 1);
        assert_eq!(log_id.index, next, "entries are applied in order and without a gap");
        self.last_applied = Some(log_id);
    }
}
