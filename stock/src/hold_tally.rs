//! How many holds there ever were, and how they ended: what a shop watches during a drop.
//!
//! Derived from the changes: in no snapshot and no state hash, built anew by a restart, and equal
//! on every replica that has applied as much. Never decides anything. Called by the table of holds.

use crate::Settlement;

/// All holds up to a change, also those whose end is forgotten.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HoldTally {
    /// Made, ended or not.
    pub made: u64,
    /// Ended as orders.
    pub confirmed: u64,
    /// Given up.
    pub released: u64,
    /// Ended by their deadline.
    pub expired: u64,
}

impl HoldTally {
    /// Counts the end of a hold.
    pub(crate) fn end(&mut self, settlement: Settlement) {
        match settlement {
            Settlement::Confirmed { .. } => self.confirmed += 1,
            Settlement::Released { .. } => self.released += 1,
            Settlement::Expired { .. } => self.expired += 1,
        }
    }

    /// Whether so many are left that have not ended.
    pub(crate) fn leaves(&self, open: usize) -> bool {
        let ended = self.confirmed + self.released + self.expired;
        self.made.checked_sub(ended) == Some(open as u64)
    }
}
