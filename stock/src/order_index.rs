//! What readers ask of the orders: whose they are, how many came before, and their receipts.
//!
//! Derived from the events, so it is in no state hash and no snapshot; restore builds it anew.
//! 16 bytes an order, and 32 for each [`MARK_EVENTS`] events: a reader goes on from the mark
//! before, through that many events at most. Never decides anything. Called by the machine.

use crate::digest::Digest;
use crate::hash;
use crate::receipt::Chain;
use crate::{Event, Seq, UserId};
use std::sync::Arc;

/// Events from one mark of the chain of orders to the next.
pub const MARK_EVENTS: u64 = 64;
/// Orders that are looked through one by one; then they become a run.
const RECENT_MAX: usize = 4_096;
/// So many runs of a length are merged into one: an order is moved once for each power of it.
const RUNS_MERGED: usize = 4;
/// The longest run: merging the parts of it takes a few milliseconds.
const RUN_MAX: usize = RECENT_MAX * RUNS_MERGED.pow(4);

/// An order by a fingerprint of its user, of whom there may be another with the same: whoever
/// reads the order finds out.
type Entry = (u64, Seq);

/// See the module.
#[derive(Debug, Clone, Default)]
pub(crate) struct OrderIndex {
    /// Sorted by user and order. Each is of later orders than the one before; those of one length
    /// are merged, so there are few. A tree would take twice the room, and as long for an
    /// insertion as all the rest of a buy. Shared by copies of the index.
    runs: Vec<Arc<Vec<Entry>>>,
    /// The newest orders, as they came.
    recent: Vec<Entry>,
    /// The chain after each [`MARK_EVENTS`] events.
    marks: Vec<Chain>,
    newest: Chain,
}

impl OrderIndex {
    /// Takes in the next event; returns the fingerprint of its user, if it is an order.
    pub(crate) fn note(&mut self, event: &Event) -> Option<u64> {
        let order = self.newest.follow_order(event);
        if event.seq.0.is_multiple_of(MARK_EVENTS) {
            self.marks.push(self.newest);
        }
        let user = hash::user_fingerprint(order?.user);
        self.recent.push((user, event.seq));
        if self.recent.len() == RECENT_MAX {
            self.end_run();
        }
        Some(user)
    }

    /// Takes in the next events by their digest; the first of all, and
    /// [`OrderIndex::end_digests`] after the last.
    pub(crate) fn add_digest(&mut self, digest: &Digest) {
        self.recent.extend(digest.users());
        self.marks.extend(&digest.marks);
        self.newest = digest.after;
        if self.recent.len() >= RUN_MAX {
            self.end_digests();
        }
    }

    /// Makes a run of the orders that digests brought.
    pub(crate) fn end_digests(&mut self) {
        let mut run = std::mem::take(&mut self.recent);
        // The stable sort finds the sorted parts, and merges them.
        run.sort();
        run.shrink_to_fit();
        if !run.is_empty() {
            self.runs.push(Arc::new(run));
        }
    }

    /// Makes a run of the newest orders, and one of each [`RUNS_MERGED`] of a length.
    fn end_run(&mut self) {
        let mut newest = std::mem::replace(&mut self.recent, Vec::with_capacity(RECENT_MAX));
        newest.sort_unstable();
        self.runs.push(Arc::new(newest));
        while let Some(parts) = self.mergeable() {
            let mut merged = Vec::with_capacity(RUNS_MERGED * self.runs[parts].len());
            for run in self.runs.drain(parts..) {
                merged.extend_from_slice(&run);
            }
            // The stable sort finds the sorted parts, and merges them.
            merged.sort();
            self.runs.push(Arc::new(merged));
        }
    }

    /// From where on all runs are of one length, if they are to be merged.
    fn mergeable(&self) -> Option<usize> {
        let first = self.runs.len().checked_sub(RUNS_MERGED)?;
        let len = self.runs[first].len();
        let is_alike = self.runs[first..].iter().all(|run| run.len() == len);
        (is_alike && len * RUNS_MERGED <= RUN_MAX).then_some(first)
    }

    /// Orders after `after` that are the user's, or, rarely, another's; by id.
    pub(crate) fn of_user(&self, user: &UserId, after: Seq) -> impl Iterator<Item = Seq> {
        let user = hash::user_fingerprint(user);
        let sorted = self.runs.iter().flat_map(move |run| {
            let first = run.partition_point(|entry| *entry <= (user, after));
            run[first..].iter().take_while(move |(of, _)| *of == user)
        });
        let recent = self.recent.iter().filter(move |(of, order)| *of == user && *order > after);
        sorted.chain(recent).map(|(_, order)| *order)
    }

    /// The newest mark before a change.
    pub(crate) fn mark_before(&self, seq: Seq) -> Chain {
        let marks = usize::try_from(seq.0.saturating_sub(1) / MARK_EVENTS).unwrap_or(usize::MAX);
        match marks.min(self.marks.len()) {
            0 => Chain::default(),
            mark => self.marks[mark - 1],
        }
    }

    /// The chain after all orders.
    pub(crate) fn newest(&self) -> Chain {
        self.newest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Change, Order, Quantity};

    fn order(seq: u64, user: u64) -> Event {
        let order = Order {
            sku: "tee".parse().unwrap(),
            user: format!("user-{user}").parse().unwrap(),
            request_id: format!("key-{seq}").parse().unwrap(),
            quantity: Quantity::ONE,
            remaining: 0,
        };
        Event { seq: Seq(seq), at_ms: seq, change: Change::Ordered(order) }
    }

    /// Through many ends of runs: each user's orders are all there, once and in order.
    #[test]
    fn runs_are_merged_and_lose_nothing() {
        const USERS: u64 = 97;
        let last = 23 * RECENT_MAX as u64 + 11;
        let mut index = OrderIndex::default();
        let mut runs_max = 0;
        for seq in 1..=last {
            index.note(&order(seq, seq % USERS));
            runs_max = runs_max.max(index.runs.len());
        }
        assert_eq!(runs_max, 6, "15 ends make three runs of four and three of one");
        let lengths: Vec<usize> = index.runs.iter().map(|run| run.len() / RECENT_MAX).collect();
        assert_eq!(lengths, [16, 4, 1, 1, 1]);
        for user in 0..USERS {
            let id = format!("user-{user}").parse().unwrap();
            let first = if user == 0 { USERS } else { user };
            let all: Vec<Seq> = (first..=last).step_by(USERS as usize).map(Seq).collect();
            assert_eq!(index.of_user(&id, Seq(0)).collect::<Vec<_>>(), all);
            for at in [0, 1, all.len() / 2, all.len() - 1] {
                let rest: Vec<Seq> = index.of_user(&id, all[at]).collect();
                assert_eq!(rest, all[at + 1..], "after {}", all[at]);
            }
            assert_eq!(index.of_user(&id, Seq(u64::MAX)).next(), None);
        }
        assert_eq!(index.of_user(&"nobody".parse().unwrap(), Seq(0)).next(), None);
    }
}
