//! What readers ask of the orders: whose they are, how many came before, and their receipts.
//!
//! Derived from the events, so it is in no state hash and no snapshot; restore builds it anew.
//! 16 bytes an order, and 32 for each [`MARK_EVENTS`] events: a reader goes on from the mark
//! before, through that many events at most. Never decides anything. Called by the machine.

use crate::hash;
use crate::receipt::Chain;
use crate::{Event, Seq, UserId};
use std::collections::BTreeSet;

/// Events from one mark of the chain of orders to the next.
pub const MARK_EVENTS: u64 = 64;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct OrderIndex {
    /// By a fingerprint of the user, of whom there may be another with the same: whoever reads
    /// the order finds out.
    by_user: BTreeSet<(u64, Seq)>,
    /// What restore has yet to sort: once is faster than one by one.
    unsorted: Vec<(u64, Seq)>,
    /// The chain after each [`MARK_EVENTS`] events.
    marks: Vec<Chain>,
    newest: Chain,
}

impl OrderIndex {
    /// Takes in the next event.
    pub(crate) fn note(&mut self, event: &Event) {
        let entry = self.follow(event);
        self.by_user.extend(entry);
    }

    /// The same for one of many, which are found after [`OrderIndex::sort`].
    pub(crate) fn note_past(&mut self, event: &Event) {
        let entry = self.follow(event);
        self.unsorted.extend(entry);
    }

    /// Makes the past ones found.
    pub(crate) fn sort(&mut self) {
        self.by_user
            .extend(std::mem::take(&mut self.unsorted).into_iter().collect::<BTreeSet<_>>());
    }

    fn follow(&mut self, event: &Event) -> Option<(u64, Seq)> {
        self.newest.follow(event);
        if event.seq.0.is_multiple_of(MARK_EVENTS) {
            self.marks.push(self.newest);
        }
        let order = event.change.order()?;
        Some((hash::user_fingerprint(order.user), event.seq))
    }

    /// Orders after `after` that are the user's, or, rarely, another's.
    pub(crate) fn of_user(&self, user: &UserId, after: Seq) -> impl Iterator<Item = Seq> {
        let user = hash::user_fingerprint(user);
        let first = (user, Seq(after.0.saturating_add(1)));
        let range =
            (after < Seq(u64::MAX)).then(|| self.by_user.range(first..=(user, Seq(u64::MAX))));
        range.into_iter().flatten().map(|(_, order)| *order)
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
