//! What a log entry holds: one batch of commands, stamped by the leader.
//!
//! These types are the log format. Variants and fields are appended, never reordered; the
//! golden-bytes test in `tests/golden` guards logs that were written by older builds.

use crate::{
    CursorMove, CursorMoveFor, CursorRemoval, Debt, HoldTtl, Items, ProductUpdate, Quantity,
    RequestId, Seq, SetIf, Sku, Terms, UserId,
};
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
    CreateProduct(Box<Terms>),
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
    /// Change the terms of a product.
    UpdateProduct(Box<ProductUpdate>),
    /// Set units aside for the requester, who must be a user.
    Hold {
        /// What; all of it or nothing.
        items: Items,
        /// For how long; by default the shortest of its products' times.
        ttl: Option<HoldTtl>,
    },
    /// Make an open hold an order of the requester, for whom it must be.
    Confirm {
        /// The hold.
        hold: Seq,
    },
    /// Give up an open hold: its user, or an operator.
    Release {
        /// The hold.
        hold: Seq,
    },
    /// Buy units of several products for the requester, who must be a user.
    BuyBasket {
        /// What; all of it or nothing.
        items: Items,
    },
    /// Take back an order: its user, or an operator.
    Cancel(Box<Cancel>),
    /// Move a cursor.
    MoveCursor(CursorMove),
    /// Add to a product's count for the requester, who must be a user; creates the product if
    /// need be. What the count allows to take is a buy, and known as one.
    Count {
        /// The product.
        sku: Sku,
        /// Units to add; negative takes, zero only looks or creates.
        by: i64,
        /// What becomes of a decrement below zero.
        debt: Debt,
    },
    /// Make so many units of a product available, and forget its debt; creates the product if
    /// need be.
    SetAvailable {
        /// The product.
        sku: Sku,
        /// Units; at most [`Terms::STOCK_MAX`], with all that was ever stocked.
        available: u64,
        /// Whether it must be there, or must not.
        only: SetIf,
    },
    /// Take back what is available of a product, and have its key gone until it has units again or
    /// is set. Its orders and holds stay.
    Withdraw {
        /// The product.
        sku: Sku,
    },
    /// Move a cursor, and say what it is for. Came with [`crate::Rules::Four`].
    MoveCursorFor(Box<CursorMoveFor>),
    /// Remove a cursor. Came with [`crate::Rules::Four`].
    RemoveCursor(CursorRemoval),
}

impl Command {
    /// What it asks for, in a word or two for logs.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::CreateProduct(_) => "create product",
            Self::Restock { .. } => "restock",
            Self::Buy { .. } => "buy",
            Self::UpdateProduct(_) => "update product",
            Self::Hold { .. } => "hold",
            Self::Confirm { .. } => "confirm",
            Self::Release { .. } => "release",
            Self::BuyBasket { .. } => "buy basket",
            Self::Cancel(_) => "cancel",
            Self::MoveCursor(_) | Self::MoveCursorFor(_) => "move cursor",
            Self::Count { .. } => "count",
            Self::SetAvailable { .. } => "set available",
            Self::Withdraw { .. } => "withdraw",
            Self::RemoveCursor(_) => "remove cursor",
        }
    }
}

/// An order to take back, by its id and by what its event says.
///
/// The machine keeps of an order only that there is one for a request id, so whoever proposes this
/// reads the event ([`crate::Change::order`]) and names the rest. What does not fit the order is
/// refused as unknown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancel {
    /// The order's id.
    pub order: Seq,
    /// Whose it is.
    pub user: UserId,
    /// The request that became it.
    pub request_id: RequestId,
    /// What it is for.
    pub items: Items,
    /// The hold that it was made from, if it was.
    pub hold: Option<Seq>,
}
