//! What a machine worked out of its orders as it made them, so that their digest need not hash
//! them a second time.
//!
//! Never kept with the state: [`crate::Machine::apply`] hands them out with the events, and whoever
//! has them no more digests the events alone, to the same bytes.

use crate::Seq;
use crate::receipt::Chain;
use crate::requests::Accepted;

/// See the module. Of consecutive events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Traces {
    /// One for each order, as they came.
    orders: Vec<Trace>,
    /// The chain of orders after each event whose number is a multiple of [`crate::MARK_EVENTS`].
    marks: Vec<Chain>,
}

/// What an order is in the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Trace {
    pub(crate) request: u128,
    pub(crate) accepted: Accepted,
    pub(crate) user: u64,
}

/// The rest of some traces, taken one by one.
#[derive(Debug)]
pub(crate) struct Rest<'a> {
    orders: &'a [Trace],
    marks: &'a [Chain],
}

impl Traces {
    pub(crate) fn note_order(&mut self, trace: Trace) {
        self.orders.push(trace);
    }

    pub(crate) fn note_mark(&mut self, mark: Chain) {
        self.marks.push(mark);
    }

    /// Adds those of the events that follow.
    pub fn append(&mut self, mut next: Self) {
        self.orders.append(&mut next.orders);
        self.marks.append(&mut next.marks);
    }

    /// Takes off those of the events after this one.
    #[must_use]
    pub fn split_off_after(&mut self, last: Seq) -> Self {
        let orders = self.orders.partition_point(|trace| trace.accepted.order <= last);
        let marks = self.marks.partition_point(|mark| mark.seq <= last);
        Self { orders: self.orders.split_off(orders), marks: self.marks.split_off(marks) }
    }

    pub(crate) fn rest(&self) -> Rest<'_> {
        Rest { orders: &self.orders, marks: &self.marks }
    }
}

impl Rest<'_> {
    /// That of this change; none of one that is no order.
    pub(crate) fn order(&mut self, change: Seq) -> Option<Trace> {
        let (next, orders) = self.orders.split_first()?;
        if next.accepted.order != change {
            return None;
        }
        self.orders = orders;
        Some(*next)
    }

    /// The mark after this change, if it is the next one.
    pub(crate) fn mark(&mut self, seq: Seq) -> Option<Chain> {
        let (next, marks) = self.marks.split_first()?;
        self.marks = marks;
        (next.seq == seq).then_some(*next)
    }
}
