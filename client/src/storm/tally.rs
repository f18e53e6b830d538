//! Every answer of a storm, as its buyers were told.
//!
//! Owns: the record that the audit judges and the report is drawn from. Never does: judge.
//! Written by the workers, a part each, and added up.

use std::collections::BTreeMap;
use std::time::Duration;
use uuid::Uuid;

/// One order, as its buyer was told: of a buy, or of a confirmed hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Won {
    /// The buyer's number.
    pub buyer: u64,
    /// The request id that won it: of a hold, its confirm's.
    pub request: Uuid,
    /// The order's id.
    pub order: u64,
    /// The hold that it was made from.
    pub hold: Option<u64>,
    /// Units bought.
    pub quantity: u32,
    /// Units that were left right after it.
    pub remaining: u64,
}

/// A buyer whose outcome no attempt could find out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unsettled {
    /// The buyer's number.
    pub buyer: u64,
    /// The request id.
    pub request: Uuid,
}

/// One hold, as its buyer was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// The buyer's number.
    pub buyer: u64,
    /// The hold's id.
    pub hold: u64,
    /// How it went on.
    pub fate: Fate,
}

/// How a hold went on, as far as its buyer knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// It became an order.
    Confirmed,
    /// It was given up.
    Released,
    /// Its buyer walked away: it runs out.
    Abandoned,
    /// Its buyer wanted to confirm it and was told that it had run out.
    TooLate,
    /// Its buyer was refused, or no node could serve them in time: it is no order, and runs out.
    Unserved,
    /// A confirm's outcome is unknown: it is an order, or runs out.
    InDoubt,
}

/// What became of the holds of a storm.
#[derive(Debug, Clone, Default)]
pub struct Holds {
    /// Every hold that a buyer was told of.
    pub made: Vec<Held>,
    /// Buyers who do not know whether they hold: if so, it runs out.
    pub in_doubt: u64,
    /// Microseconds from when a buyer came to having a hold.
    pub hold_us: Vec<u32>,
    /// Microseconds of each confirm that became an order.
    pub confirm_us: Vec<u32>,
    /// From the first buyer to the last confirmed hold.
    pub confirming: Duration,
}

impl Holds {
    /// Whether any was made, or may have been.
    pub fn is_empty(&self) -> bool {
        self.made.is_empty() && self.in_doubt == 0
    }

    /// How many went on like this.
    pub fn count(&self, fate: Fate) -> u64 {
        self.made.iter().filter(|held| held.fate == fate).count() as u64
    }

    fn add(&mut self, part: Self) {
        self.made.extend(part.made);
        self.in_doubt += part.in_doubt;
        self.hold_us.extend(part.hold_us);
        self.confirm_us.extend(part.confirm_us);
        self.confirming = self.confirming.max(part.confirming);
    }
}

/// Every answer of a storm.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// The orders that buyers were told they have.
    pub won: Vec<Won>,
    /// Buyers who were told that nothing is left.
    pub sold_out: u64,
    /// Buyers who were refused otherwise, by kind; `unavailable` are those whom no node could
    /// serve in time, and who surely bought nothing.
    pub refused: BTreeMap<&'static str, u64>,
    /// Buyers who still do not know.
    pub unsettled: Vec<Unsettled>,
    /// Buyers who held, and then released or abandoned as was their part.
    pub gave_up: u64,
    /// What became of the holds.
    pub holds: Holds,
    /// Accepted answers that speak of another buyer, product or quantity than was asked.
    pub misdirected: Vec<String>,
    /// Attempts beyond each buyer's first, or each call's.
    pub retried: u64,
    /// Decided buyers by the position of the node that answered last.
    pub answers_by_node: Vec<u64>,
    /// Microseconds to each decision: of a buyer who buys at once, or of a call of a batch.
    pub latencies_us: Vec<u32>,
    /// From the first buyer to the last answer.
    pub elapsed: Duration,
    /// From the first buyer to the last accepted answer.
    pub selling: Duration,
}

impl Tally {
    /// Buyers who were told yes or no, or did what they came for.
    pub fn decided(&self) -> u64 {
        self.won.len() as u64 + self.sold_out + self.gave_up + self.refused.values().sum::<u64>()
    }

    pub(super) fn refuse(&mut self, kind: &'static str) {
        *self.refused.entry(kind).or_default() += 1;
    }

    pub(super) fn add(&mut self, part: Self) {
        self.won.extend(part.won);
        self.sold_out += part.sold_out;
        for (kind, count) in part.refused {
            *self.refused.entry(kind).or_default() += count;
        }
        self.unsettled.extend(part.unsettled);
        self.gave_up += part.gave_up;
        self.holds.add(part.holds);
        self.misdirected.extend(part.misdirected);
        self.retried += part.retried;
        self.answers_by_node.resize(part.answers_by_node.len().max(self.answers_by_node.len()), 0);
        for (sum, count) in self.answers_by_node.iter_mut().zip(part.answers_by_node) {
            *sum += count;
        }
        self.latencies_us.extend(part.latencies_us);
        self.selling = self.selling.max(part.selling);
    }
}
