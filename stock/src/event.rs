//! What happened: one immutable event per change, numbered densely by `seq`.
//!
//! Events are the replicated history. The machine emits them from apply, `raft` seals them into
//! segment files, and a restart folds them back into the request table. Their encoding is a disk
//! format: variants and fields are appended, never reordered.

use crate::{CreateProduct, Quantity, RequestId, Seq, Sku, UserId};
use serde::{Deserialize, Serialize};

/// One accepted change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Its number; an order's id is the `seq` of its event.
    pub seq: Seq,
    /// Log time of the change, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// What changed.
    pub change: Change,
}

/// What an event changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// A product was put on sale.
    ProductCreated(CreateProduct),
    /// Units were added or taken back.
    Restocked {
        /// The product.
        sku: Sku,
        /// Units added; negative when taken back.
        quantity: i64,
        /// Units available right after.
        available: u64,
    },
    /// A buy was accepted.
    Ordered(Order),
}

/// An accepted buy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The product.
    pub sku: Sku,
    /// Who bought.
    pub user: UserId,
    /// The request that won; one order a request id.
    pub request_id: RequestId,
    /// Units sold by this order.
    pub quantity: Quantity,
    /// Units still available right after it.
    pub remaining: u64,
}
