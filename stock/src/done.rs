//! Requests that became a hold, a release or a cancel: which change each was.
//!
//! Owns, for a day of log time and for at most [`DONE_MAX`] of them, the fingerprint of a request
//! id and the change that it became: 32 bytes in the map and 16 in the queue. The rest of the
//! answer is in the change's event, which whoever answers reads. Rebuilt from the events by
//! restore, so nothing of it is in a snapshot but where it begins. Never decides a command. Called
//! by the request table.

use crate::hash::{Element, StateSum};
use crate::paged::PagedMap;
use crate::requests::{Identity, OUTCOME_RETENTION_MS};
use crate::{Outcome, Refusal, Reply, Seq};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// The most requests that became a hold, a release or a cancel and are still known; the oldest is
/// forgotten first. About half a gigabyte of memory: a day of 92 a second.
pub const DONE_MAX: usize = 8_000_000;

/// The change that a request became.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Done {
    pub(crate) change: Seq,
    pub(crate) body: u32,
}

/// A change on its way back into the table. Its encoding is part of digests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PastDone {
    pub(crate) request: u128,
    pub(crate) at_ms: u64,
    pub(crate) done: Done,
}

/// See the module. Invariants, asserted at each change: the queue holds exactly the map's
/// requests, oldest first, and the times count them.
#[derive(Debug, Clone, Default)]
pub(crate) struct DoneTable {
    done: PagedMap<Done>,
    queue: VecDeque<u128>,
    /// How many of the queue are of one log time, oldest first.
    times: VecDeque<(u64, usize)>,
    /// The last change that was forgotten; 0 when none was.
    forgotten: Seq,
}

impl DoneTable {
    /// The answer to a request that is known here; `seq` is that of the state that asks.
    pub(crate) fn find(&self, identity: Identity, seq: Seq) -> Option<Reply> {
        let Done { change, body } = *self.done.get(identity.request)?;
        Some(if body == identity.body {
            Reply { seq, replayed: true, outcome: Outcome::DoneBefore { change } }
        } else {
            Reply { seq, replayed: false, outcome: Outcome::Refused(Refusal::KeyReused) }
        })
    }

    /// The change that a request became.
    pub(crate) fn change_of(&self, request: u128) -> Option<Seq> {
        self.done.get(request).map(|done| done.change)
    }

    /// The last change that was forgotten; 0 when none was.
    pub(crate) fn forgotten(&self) -> Seq {
        self.forgotten
    }

    pub(crate) fn contains(&self, request: u128) -> bool {
        !self.done.is_empty() && self.done.contains_key(request)
    }

    /// Records what a request became.
    ///
    /// # Panics
    /// When it is known already, or time goes back.
    pub(crate) fn add(&mut self, identity: Identity, at_ms: u64, change: Seq, sum: &mut StateSum) {
        let Identity { request, body, .. } = identity;
        let earlier = self.done.insert(request, Done { change, body });
        assert!(
            earlier.is_none(),
            "change {change} has the request id {request:032x} of the change {earlier:?}"
        );
        self.enqueue(request, at_ms);
        sum.add(Element::done(request, change, body));
    }

    fn enqueue(&mut self, request: u128, at_ms: u64) {
        self.queue.push_back(request);
        match self.times.back_mut() {
            Some((newest_ms, count)) if *newest_ms == at_ms => *count += 1,
            newest => {
                assert!(
                    newest.is_none_or(|(newest_ms, _)| *newest_ms < at_ms),
                    "what was done at {at_ms} ms comes after {:?}",
                    self.times.back()
                );
                self.times.push_back((at_ms, 1));
            }
        }
    }

    /// Forgets the oldest if it is a day old, or one too many. False when there was nothing to.
    pub(crate) fn forget_one(&mut self, now_ms: u64, keep_max: usize, sum: &mut StateSum) -> bool {
        let Some((at_ms, count)) = self.times.front_mut() else {
            return false;
        };
        let is_old = now_ms.saturating_sub(*at_ms) >= OUTCOME_RETENTION_MS;
        if !is_old && self.queue.len() <= keep_max {
            return false;
        }
        *count -= 1;
        if *count == 0 {
            self.times.pop_front();
        }
        let oldest = self.queue.pop_front();
        let Some((request, done)) =
            oldest.and_then(|request| Some((request, self.done.remove(request)?)))
        else {
            panic!("{oldest:?} is the oldest request that was done, but is not known");
        };
        sum.remove(Element::done(request, done.change, done.body));
        self.forgotten = done.change;
        true
    }

    /// Forgets what was done up to a change.
    pub(crate) fn forget_up_to(&mut self, last: Seq, sum: &mut StateSum) {
        let oldest = |table: &Self| table.done.get(*table.queue.front()?).map(|done| done.change);
        while oldest(self).is_some_and(|change| change <= last) {
            self.forget_one(u64::MAX, 0, sum);
        }
    }

    /// Adds what was done since, oldest first. Before it, up to the change `forgotten`, nothing is
    /// known any more; 0 when that is not so.
    ///
    /// # Errors
    /// The later change of two that have one request id.
    pub(crate) fn add_past(
        &mut self,
        past: &[PastDone],
        forgotten: Seq,
        sum: &mut StateSum,
    ) -> Result<(), Seq> {
        self.forgotten = self.forgotten.max(forgotten);
        for PastDone { request, at_ms, done: Done { change, body } } in past {
            self.enqueue(*request, *at_ms);
            sum.add(Element::done(*request, *change, *body));
        }
        if !self.done.is_empty() {
            let twice = |past: &&PastDone| self.done.insert(past.request, past.done).is_some();
            return past.iter().find(twice).map_or(Ok(()), |past| Err(past.done.change));
        }
        // Sorted once, they make the map sooner than as many insertions.
        let mut sorted: Vec<_> = past.iter().map(|past| (past.request, past.done)).collect();
        sorted.sort_unstable_by_key(|(request, done)| (*request, done.change));
        if let Some(pair) = sorted.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(pair[1].1.change);
        }
        self.done = PagedMap::from_iter(sorted);
        Ok(())
    }

    /// Adds the hash of every request.
    pub(crate) fn hash_into(&self, sum: &mut StateSum) {
        for (request, done) in self.done.iter() {
            sum.add(Element::done(request, done.change, done.body));
        }
    }
}
