//! A product: its terms, its counts, and the moves of units between them.
//!
//! Owns the balance of the counts, asserted at each move. Never decides whether a move is allowed.
//! Called by the machine.

use crate::{Quantity, Seq, Terms};
use serde::{Deserialize, Serialize};

/// A product's terms and its counts at one `seq`.
///
/// Invariant: `available + held + sold == stocked`, asserted at each change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Product {
    /// The terms it is sold on; `terms.stock` is the first stock, not the current one.
    pub terms: Terms,
    /// Units ever stocked, less those taken back.
    pub stocked: u64,
    /// Units that can be bought now.
    pub available: u64,
    /// Units reserved by holds.
    pub held: u64,
    /// Units sold.
    pub sold: u64,
    /// The last change of this product.
    pub seq: Seq,
}

/// How units move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shift {
    /// From available to sold.
    Buy,
    /// From available to held.
    Hold,
    /// From held to sold.
    Confirm,
    /// From held to available.
    Free,
    /// From sold to available.
    Cancel,
}

impl Product {
    /// Adds units, or takes back as many as are available.
    pub(crate) fn restock(&mut self, quantity: i64) {
        let after = (
            self.stocked.checked_add_signed(quantity),
            self.available.checked_add_signed(quantity),
        );
        let (Some(stocked), Some(available)) = after else {
            panic!("a restock by {quantity} was allowed on {self:?}");
        };
        (self.stocked, self.available) = (stocked, available);
    }

    /// Moves units from one count to another.
    pub(crate) fn shift(&mut self, shift: Shift, quantity: Quantity) {
        let units = u64::from(quantity.get());
        let (from, to) = match shift {
            Shift::Buy => (&mut self.available, &mut self.sold),
            Shift::Hold => (&mut self.available, &mut self.held),
            Shift::Confirm => (&mut self.held, &mut self.sold),
            Shift::Free => (&mut self.held, &mut self.available),
            Shift::Cancel => (&mut self.sold, &mut self.available),
        };
        let (Some(less), Some(more)) = (from.checked_sub(units), to.checked_add(units)) else {
            panic!("{shift:?} was allowed for {quantity} of {self:?}");
        };
        (*from, *to) = (less, more);
    }

    pub(crate) fn assert_balanced(&self) {
        let accounted =
            self.available.checked_add(self.held).and_then(|units| units.checked_add(self.sold));
        assert!(
            accounted == Some(self.stocked) && self.stocked <= Terms::STOCK_MAX,
            "available {} + held {} + sold {} must be stocked {} <= {}: {self:?}",
            self.available,
            self.held,
            self.sold,
            self.stocked,
            Terms::STOCK_MAX,
        );
    }
}
