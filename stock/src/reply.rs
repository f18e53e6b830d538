//! What the machine answers to one command. Refusals are replies, not errors.
//!
//! Replies cross the wire between nodes (a follower forwards, the leader answers) and are stored
//! for later attempts, so variants and fields are appended, never reordered.

use crate::{Line, Product, Quantity, Seq, Settlement, Sku};
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
    ProductCreated(Box<Product>),
    /// The product existed already with exactly these terms; nothing changed.
    ProductUnchanged(Box<Product>),
    /// Units were added or taken back.
    Restocked(Box<Product>),
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
    /// The product's terms changed.
    ProductUpdated(Box<Product>),
    /// Units are set aside; the hold's id is the reply's `seq`.
    Held {
        /// When the hold expires, in milliseconds of log time.
        expires_at_ms: u64,
        /// What, with what is still available right after.
        lines: Vec<Line>,
    },
    /// The hold is an order; its id is the reply's `seq`.
    Confirmed {
        /// What was sold.
        lines: Vec<Line>,
    },
    /// The hold is given up.
    Released {
        /// What is available again.
        lines: Vec<Line>,
    },
    /// The buy of several products is an order; its id is the reply's `seq`.
    BasketBought {
        /// What was sold, with what is still available right after.
        lines: Vec<Line>,
    },
    /// The order is taken back.
    Cancelled {
        /// What is available again.
        lines: Vec<Line>,
    },
    /// The same request became this hold, release or cancel before; its event says the rest
    /// ([`crate::Change::done`]).
    DoneBefore {
        /// The change.
        change: Seq,
    },
    /// The cursor stands here now.
    CursorMoved {
        /// Its position.
        position: u64,
    },
    /// A product as a counter was set or counted, or only looked at.
    Counted {
        /// What is available less what is owed.
        count: i64,
    },
    /// The product's available units were taken back, and its key is gone.
    Withdrawn,
    /// The cursor is gone.
    CursorRemoved {
        /// Where it stood.
        position: u64,
    },
}

impl Outcome {
    /// What was decided, in a word or two for logs.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::ProductCreated(_) => "product created",
            Self::ProductUnchanged(_) => "product unchanged",
            Self::Restocked(_) => "restocked",
            Self::Bought { .. } => "bought",
            Self::BoughtBefore { .. } => "bought before",
            Self::Refused(_) => "refused",
            Self::ProductUpdated(_) => "product updated",
            Self::Held { .. } => "held",
            Self::Confirmed { .. } => "confirmed",
            Self::Released { .. } => "released",
            Self::BasketBought { .. } => "basket bought",
            Self::Cancelled { .. } => "cancelled",
            Self::DoneBefore { .. } => "done before",
            Self::CursorMoved { .. } => "cursor moved",
            Self::Counted { .. } => "counted",
            Self::Withdrawn => "withdrawn",
            Self::CursorRemoved { .. } => "cursor removed",
        }
    }

    /// Why nothing changed, when nothing did.
    pub const fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }
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
    /// The user has the most that the product allows, or would pass it.
    LimitReached {
        /// The product's limit for one user.
        limit: Quantity,
        /// What the user has of it so far, bought or held.
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
    /// The product is not sold yet.
    NotOpen {
        /// Log time from which it is, in milliseconds since the Unix epoch.
        starts_at_ms: u64,
    },
    /// The product is no longer sold.
    SaleOver {
        /// Log time since which it is not, in milliseconds since the Unix epoch.
        ends_at_ms: u64,
    },
    /// The product has changed since the version that the update is for.
    VersionDiffers {
        /// The product's last change.
        seq: Seq,
    },
    /// The terms would end the sale before it begins, or as it does.
    EmptyWindow {
        /// When it would begin, in milliseconds since the Unix epoch.
        starts_at_ms: u64,
        /// When it would end.
        ends_at_ms: u64,
    },
    /// No hold has this id, or it is another user's, or it ended long ago ([`crate::SETTLED_MAX`]).
    UnknownHold,
    /// The hold has become an order or was given up.
    HoldSettled {
        /// How it ended; never by expiry.
        settlement: Settlement,
    },
    /// The hold's deadline has passed.
    HoldExpired {
        /// The change that ended it.
        seq: Seq,
    },
    /// The user has as many open holds as one can: [`crate::USER_HOLDS_MAX`].
    TooManyUserHolds,
    /// As many holds are open as can be: [`crate::OPEN_HOLDS_MAX`].
    TooManyHolds,
    /// One of several products is refused, and so is everything.
    OfItem {
        /// The first such product.
        sku: Sku,
        /// Why.
        refusal: Box<Refusal>,
    },
    /// No order has this id, or it is another user's, or another than the command says.
    UnknownOrder,
    /// The order was taken back before.
    AlreadyCancelled,
    /// The cursor stands elsewhere than the move expects.
    CursorMoved {
        /// Where it stands; nowhere if there is none.
        position: Option<u64>,
    },
    /// The machine holds as many cursors as it can: [`crate::CURSORS_MAX`].
    TooManyCursors,
    /// The cursor is for something else than the move says.
    CursorOfAnother,
    /// There is no cursor of this name.
    UnknownCursor,
}
