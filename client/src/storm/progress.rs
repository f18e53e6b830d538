//! A storm's counts while it goes on, for whoever watches it.
//!
//! Owns: the next buyer's number, live counts, and the first accepted buy after a mark (the time
//! to recover from a kill). Never does: keep the answers themselves; those are the tally's.
//! Written by the workers, read by progress bars and the demo.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use stock::NodeId;
use stock::api::{BuyAccepted, LineView};

/// No mark, or nothing accepted since.
const NONE: u64 = u64::MAX;

/// Live counts. All are exact once the storm is over, and a moment old before.
#[derive(Debug)]
pub struct Progress {
    born: Instant,
    next_buyer: AtomicU64,
    stopped: AtomicBool,
    accepted: AtomicU64,
    accepted_units: AtomicU64,
    remaining_min: AtomicU64,
    sold_out: AtomicU64,
    refused: AtomicU64,
    unserved: AtomicU64,
    gave_up: AtomicU64,
    retried: AtomicU64,
    leader: AtomicU64,
    mark_us: AtomicU64,
    after_mark_us: AtomicU64,
    after_mark_node: AtomicU64,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            born: Instant::now(),
            next_buyer: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
            accepted: AtomicU64::new(0),
            accepted_units: AtomicU64::new(0),
            remaining_min: AtomicU64::new(NONE),
            sold_out: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            unserved: AtomicU64::new(0),
            gave_up: AtomicU64::new(0),
            retried: AtomicU64::new(0),
            leader: AtomicU64::new(0),
            mark_us: AtomicU64::new(NONE),
            after_mark_us: AtomicU64::new(NONE),
            after_mark_node: AtomicU64::new(0),
        }
    }
}

impl Progress {
    /// No more buyers begin; those under way go on until they are settled.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Buyers accepted so far.
    pub fn accepted_count(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Units accepted so far.
    pub fn accepted_units(&self) -> u64 {
        self.accepted_units.load(Ordering::Relaxed)
    }

    /// The fewest units left that any accepted answer told of.
    pub fn remaining_min(&self) -> Option<u64> {
        some(self.remaining_min.load(Ordering::Relaxed))
    }

    /// Buyers who were told that nothing is left.
    pub fn sold_out_count(&self) -> u64 {
        self.sold_out.load(Ordering::Relaxed)
    }

    /// Buyers who were told yes or no, or did what they came for.
    pub fn decided_count(&self) -> u64 {
        self.accepted_count()
            + self.sold_out_count()
            + self.refused.load(Ordering::Relaxed)
            + self.gave_up.load(Ordering::Relaxed)
    }

    /// Buyers with any answer, or none to be had.
    pub fn finished_count(&self) -> u64 {
        self.decided_count() + self.unserved.load(Ordering::Relaxed)
    }

    /// Attempts beyond each buyer's first.
    pub fn retried_count(&self) -> u64 {
        self.retried.load(Ordering::Relaxed)
    }

    /// The leader that the latest accepted answer named.
    pub fn leader(&self) -> Option<NodeId> {
        let id = self.leader.load(Ordering::Relaxed);
        (id != 0).then_some(NodeId(id))
    }

    /// From now on looks for the first accepted buy whose attempt is *sent* after this moment, so
    /// that an answer already on its way does not pass for a recovery.
    pub fn mark(&self) {
        self.after_mark_us.store(NONE, Ordering::Relaxed);
        self.mark_us.store(self.us(Instant::now()), Ordering::SeqCst);
    }

    /// When the first accepted buy sent after the mark was answered, and by which node.
    pub fn accepted_after_mark(&self) -> Option<(Instant, NodeId)> {
        let at_us = some(self.after_mark_us.load(Ordering::SeqCst))?;
        let node = NodeId(self.after_mark_node.load(Ordering::SeqCst));
        Some((self.born + Duration::from_micros(at_us), node))
    }

    pub(crate) fn next_buyer(&self, buyers: u64) -> Option<u64> {
        if self.stopped.load(Ordering::Relaxed) {
            return None;
        }
        let buyer = self.next_buyer.fetch_add(1, Ordering::Relaxed);
        (buyer < buyers).then_some(buyer)
    }

    /// As [`Progress::next_buyer`], up to so many at once.
    pub(crate) fn next_buyers(&self, count: u64, buyers: u64) -> Option<Range<u64>> {
        if self.stopped.load(Ordering::Relaxed) {
            return None;
        }
        let first = self.next_buyer.fetch_add(count, Ordering::Relaxed);
        (first < buyers).then(|| first..buyers.min(first + count))
    }

    pub(crate) fn accepted(&self, order: &BuyAccepted, sent_at: Instant, answered_at: Instant) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
        self.accepted_units.fetch_add(order.quantity.get().into(), Ordering::Relaxed);
        self.remaining_min.fetch_min(order.remaining, Ordering::Relaxed);
        if let Some(leader) = order.leader {
            self.leader.store(leader.0, Ordering::Relaxed);
        }
        // Without a mark this is `sent < u64::MAX`, and nothing happens.
        if self.us(sent_at) < self.mark_us.load(Ordering::SeqCst) {
            return;
        }
        let answered_us = self.us(answered_at);
        // The node goes in first: a reader that sees the time finds a node that did answer.
        if self.after_mark_us.load(Ordering::SeqCst) == NONE {
            self.after_mark_node.store(order.node.0, Ordering::SeqCst);
        }
        self.after_mark_us.fetch_min(answered_us, Ordering::SeqCst);
    }

    /// Counts an order made from a hold. It does not count as a recovery: its hold came before.
    pub(crate) fn confirmed(&self, line: &LineView, leader: Option<NodeId>) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
        self.accepted_units.fetch_add(line.quantity.get().into(), Ordering::Relaxed);
        self.remaining_min.fetch_min(line.remaining, Ordering::Relaxed);
        if let Some(leader) = leader {
            self.leader.store(leader.0, Ordering::Relaxed);
        }
    }

    pub(crate) fn gave_up(&self) {
        self.gave_up.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn sold_out(&self) {
        self.sold_out.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a buyer whom no node could serve, or who does not know.
    pub(crate) fn unserved(&self) {
        self.unserved.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn retried(&self, attempts: u64) {
        if attempts > 0 {
            self.retried.fetch_add(attempts, Ordering::Relaxed);
        }
    }

    fn us(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.born).as_micros() as u64
    }
}

fn some(value: u64) -> Option<u64> {
    (value != NONE).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use stock::{Quantity, Seq, Sku, UserId};

    fn order(node: u64) -> BuyAccepted {
        BuyAccepted {
            order_id: Seq(1),
            product_id: Sku::new("p").unwrap(),
            user_id: UserId::new("u").unwrap(),
            quantity: Quantity::ONE,
            remaining: 5,
            seq: Seq(1),
            node: NodeId(node),
            leader: Some(NodeId(2)),
        }
    }

    #[test]
    fn only_what_was_sent_after_the_mark_counts_as_recovery() {
        let progress = Progress::default();
        let before = Instant::now();
        progress.accepted(&order(1), before, Instant::now());
        assert_eq!(progress.accepted_after_mark(), None);
        std::thread::sleep(Duration::from_millis(2));
        progress.mark();
        progress.accepted(&order(1), before, Instant::now());
        assert_eq!(progress.accepted_after_mark(), None, "its attempt was sent before the mark");
        let sent = Instant::now() + Duration::from_millis(1);
        progress.accepted(&order(3), sent, sent + Duration::from_millis(4));
        let (at, node) = progress.accepted_after_mark().unwrap();
        assert_eq!(node, NodeId(3));
        assert!(at > sent);
        assert_eq!(progress.leader(), Some(NodeId(2)));
        assert_eq!(progress.remaining_min(), Some(5));
    }

    #[test]
    fn a_stopped_storm_hands_out_no_more_buyers() {
        let progress = Progress::default();
        assert_eq!(progress.next_buyer(2), Some(0));
        assert_eq!(progress.next_buyers(5, 8), Some(1..6));
        assert_eq!(progress.next_buyers(5, 8), Some(6..8));
        assert_eq!(progress.next_buyers(5, 8), None);
        progress.stop();
        assert_eq!(progress.next_buyer(100), None);
    }
}
