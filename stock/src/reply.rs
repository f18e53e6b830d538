//! What the machine answers to one command. Refusals are replies, not errors.
//!
//! Replies cross the wire between nodes (a follower forwards, the leader answers) and are stored
//! for later attempts, so variants and fields are appended, never reordered.

use crate::{CreateProduct, Quantity, Seq};
use serde::{Deserialize, Serialize};

/// The answer to one command, and the version of the state that it speaks of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// For a change its own number; for a refusal or a replay that of the state which decided it.
    pub seq: Seq,
    /// True when this is the stored outcome of an earlier attempt under the same request id.
    pub replayed: bool,
    /// What was decided.
    pub outcome: Outcome,
}

/// What was decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The product is on sale.
    ProductCreated(Product),
    /// The product existed already with exactly these terms; nothing changed.
    ProductUnchanged(Product),
    /// Units were added or taken back.
    Restocked(Product),
    /// The buy is an order; its id is the reply's `seq`.
    Bought {
        /// Units still available right after this order.
        remaining: u64,
    },
    /// The same request was accepted before, as this order.
    BoughtBefore {
        /// The order's id.
        order: Seq,
    },
    /// Nothing changed.
    Refused(Refusal),
}

/// Why nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// No product has this id.
    UnknownProduct,
    /// A product with this id exists on other terms.
    ProductDiffers,
    /// Nothing is left.
    SoldOut,
    /// Some units are left, fewer than asked for.
    Insufficient {
        /// Units available.
        remaining: u64,
    },
    /// The user has bought the most that the product allows, or would pass it.
    LimitReached {
        /// The product's limit for one user.
        limit: Quantity,
        /// What the user has bought of it so far.
        bought: u64,
    },
    /// The restock would take back more than is available, or pass the largest stock.
    RestockOutOfRange {
        /// Units available.
        available: u64,
    },
    /// The request id was used before with another body.
    KeyReused,
    /// The machine holds as many products as it can.
    TooManyProducts,
}

/// A product's terms and its counts at one `seq`.
///
/// Invariant: `available + held + sold == stocked`, asserted at each change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Product {
    /// The terms it was created on; `terms.stock` is the first stock, not the current one.
    pub terms: CreateProduct,
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
