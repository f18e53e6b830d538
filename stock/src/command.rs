//! What a log entry holds: one batch of commands, stamped by the leader.
//!
//! These types are the log format. Variants and fields are appended, never reordered; the
//! golden-bytes test in `tests/golden.rs` guards logs that were written by older builds.

use crate::{Quantity, RequestId, Sku, UserId};
use serde::{Deserialize, Serialize};

/// One log entry: the commands of one batch, and the leader's clock when it was proposed.
///
/// A batch without commands is a *tick*: it only moves log time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// The leader's clock, in milliseconds since the Unix epoch. The machine clamps it to be no
    /// less than the last one that it saw.
    pub stamp_ms: u64,
    /// The commands, applied in this order, each with a reply of its own.
    pub commands: Vec<Envelope>,
}

/// A command with the identity that makes it exactly-once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// Whose request ids these are: ids of two requesters never collide.
    pub requester: Requester,
    /// The id under which every attempt of this request is sent.
    pub request_id: RequestId,
    /// Whether an earlier attempt may have been proposed.
    pub attempt: Attempt,
    /// What to do.
    pub command: Command,
}

/// The scope of a request id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Requester {
    /// Whoever runs the sale: creates products, restocks.
    Operator,
    /// A buyer.
    User(UserId),
}

/// Whether an attempt is the first under its request id.
///
/// A first attempt's refusal is answered and forgotten, so the same key may win later. A later
/// attempt's outcome is stored whatever it is: a late copy of an earlier attempt then finds it,
/// and cannot win behind the buyer's back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Attempt {
    /// No copy of this request was sent before.
    First,
    /// A copy may be in the log, or on its way into it.
    Later,
}

/// What a requester can ask of the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Put a product on sale.
    CreateProduct(CreateProduct),
    /// Add units, or (negative) take back units that are still available.
    Restock {
        /// The product.
        sku: Sku,
        /// Units to add; negative takes back. Never zero.
        quantity: i64,
    },
    /// Buy units for the requester, who must be a user.
    Buy {
        /// The product.
        sku: Sku,
        /// Units; all of them or none.
        quantity: Quantity,
    },
}

/// A product as it is put on sale.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateProduct {
    /// Its id.
    pub sku: Sku,
    /// Its name, for people; at most [`CreateProduct::NAME_BYTES_MAX`].
    pub name: String,
    /// Units on sale at first; at most [`CreateProduct::STOCK_MAX`].
    pub stock: u64,
    /// The most units that one user may buy of it over all orders.
    pub per_user_limit: Option<Quantity>,
}

impl CreateProduct {
    /// The longest product name, in bytes of UTF-8.
    pub const NAME_BYTES_MAX: usize = 256;
    /// The most units a product may ever have been stocked with. Exact in a JSON number.
    pub const STOCK_MAX: u64 = 1_000_000_000_000;
}
