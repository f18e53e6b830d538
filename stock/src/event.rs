//! What happened: one immutable event per change, numbered densely by `seq`.
//!
//! Events are the replicated history. The machine emits them from apply, `raft` seals them into
//! segment files, and a restart folds them back into the request table. Their encoding is a disk
//! format: variants and fields are appended, never reordered.

use crate::items::items_of;
use crate::{
    Attempt, Cancel, Command, Envelope, HoldTtl, Item, Line, Outcome, Quantity, RequestId,
    Requester, Seq, Sku, Terms, UserId,
};
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
    ProductCreated(Box<Terms>),
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
    /// A product's terms changed, to these.
    ProductUpdated(Box<Terms>),
    /// Units were set aside; the hold's id is the event's `seq`.
    Held {
        /// For whom.
        user: UserId,
        /// The request that won them.
        request_id: RequestId,
        /// When the hold expires, in milliseconds of log time.
        expires_at_ms: u64,
        /// What.
        lines: Vec<Line>,
    },
    /// A hold became an order.
    Confirmed {
        /// The hold.
        hold: Seq,
        /// Whose it was.
        user: UserId,
        /// The request that confirmed it; one order a request id.
        request_id: RequestId,
        /// What was sold.
        lines: Vec<Line>,
    },
    /// A hold was given up.
    Released {
        /// The hold.
        hold: Seq,
        /// Whose it was.
        user: UserId,
        /// What is available again.
        lines: Vec<Line>,
    },
    /// A hold's deadline passed.
    Expired {
        /// The hold.
        hold: Seq,
        /// Whose it was.
        user: UserId,
        /// What is available again.
        lines: Vec<Line>,
    },
    /// A buy of several products was accepted.
    BasketOrdered {
        /// Who bought.
        user: UserId,
        /// The request that won; one order a request id.
        request_id: RequestId,
        /// What was sold.
        lines: Vec<Line>,
    },
    /// An order was taken back. It stays an order.
    Cancelled {
        /// The order.
        order: Seq,
        /// Whose it is.
        user: UserId,
        /// The hold that it was made from, if it was.
        hold: Option<Seq>,
        /// What is available again.
        lines: Vec<Line>,
    },
    /// [`Change::Held`] under [`crate::Rules::Two`]: with all that was asked.
    HeldFor {
        /// For whom.
        user: UserId,
        /// The request that won them.
        request_id: RequestId,
        /// For how long the request asked, if it did.
        ttl: Option<HoldTtl>,
        /// When the hold expires, in milliseconds of log time.
        expires_at_ms: u64,
        /// What.
        lines: Vec<Line>,
    },
    /// [`Change::Released`] under [`crate::Rules::Two`]: with all that was asked.
    ReleasedFor {
        /// The hold.
        hold: Seq,
        /// Whose it was.
        user: UserId,
        /// Who gave it up.
        by: By,
        /// The request that gave it up.
        request_id: RequestId,
        /// What is available again.
        lines: Vec<Line>,
    },
    /// [`Change::Cancelled`] under [`crate::Rules::Two`]: with all that was asked.
    CancelledFor {
        /// The order.
        order: Seq,
        /// Whose it is.
        user: UserId,
        /// The hold that it was made from, if it was.
        hold: Option<Seq>,
        /// The request that had become the order.
        ordered_as: RequestId,
        /// Who took it back.
        by: By,
        /// The request that took it back.
        request_id: RequestId,
        /// What is available again.
        lines: Vec<Line>,
    },
    /// [`Change::Ordered`] by a counter while its product owed units, under [`crate::Rules::Four`]:
    /// with what its request was answered by.
    Counted {
        /// The order, an order like any other.
        order: Order,
        /// Units that the product owed; the count that this left is so much less than what was
        /// available.
        owed: u64,
    },
}

/// In whose name a hold was given up or an order taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum By {
    /// The user's, whose it was.
    Owner,
    /// An operator's.
    Operator,
}

/// An order, whatever kind of change made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderContent<'a> {
    /// Who bought.
    pub user: &'a UserId,
    /// The request that won; one order a request id.
    pub request_id: &'a RequestId,
    /// The hold that it was made from, if it was.
    pub hold: Option<Seq>,
    /// What was sold, by product id, with what that left.
    pub lines: Vec<Line>,
}

impl OrderContent<'_> {
    /// What was sold, by product id.
    pub fn items(&self) -> Vec<Item> {
        let item = |line: &Line| Item { sku: line.sku.clone(), quantity: line.quantity };
        self.lines.iter().map(item).collect()
    }
}

impl Change {
    /// The order that this change made, if it made one.
    pub fn order(&self) -> Option<OrderContent<'_>> {
        match self {
            Self::Ordered(order) | Self::Counted { order, .. } => {
                let Order { sku, user, request_id, quantity, remaining } = order;
                let (sku, quantity, available) = (sku.clone(), *quantity, *remaining);
                let lines = vec![Line { sku, quantity, available }];
                Some(OrderContent { user, request_id, hold: None, lines })
            }
            Self::BasketOrdered { user, request_id, lines } => {
                Some(OrderContent { user, request_id, hold: None, lines: lines.clone() })
            }
            Self::Confirmed { hold, user, request_id, lines } => {
                Some(OrderContent { user, request_id, hold: Some(*hold), lines: lines.clone() })
            }
            Self::ProductCreated(_)
            | Self::ProductUpdated(_)
            | Self::Restocked { .. }
            | Self::Held { .. }
            | Self::Released { .. }
            | Self::Expired { .. }
            | Self::Cancelled { .. }
            | Self::HeldFor { .. }
            | Self::ReleasedFor { .. }
            | Self::CancelledFor { .. } => None,
        }
    }

    /// The request that became this hold, release or cancel, as a first attempt; none where the
    /// event does not say, and none of an order.
    pub fn asked(&self) -> Option<Envelope> {
        let (user, by, request_id, command) = match self {
            Self::HeldFor { user, request_id, ttl, lines, .. } => {
                let command = Command::Hold { items: items_of(lines).ok()?, ttl: *ttl };
                (user, By::Owner, request_id, command)
            }
            Self::ReleasedFor { hold, user, by, request_id, .. } => {
                (user, *by, request_id, Command::Release { hold: *hold })
            }
            Self::CancelledFor { order, user, hold, ordered_as, by, request_id, lines } => {
                let cancel = Cancel {
                    order: *order,
                    user: user.clone(),
                    request_id: ordered_as.clone(),
                    items: items_of(lines).ok()?,
                    hold: *hold,
                };
                (user, *by, request_id, Command::Cancel(Box::new(cancel)))
            }
            _ => return None,
        };
        let requester = match by {
            By::Owner => Requester::User(user.clone()),
            By::Operator => Requester::Operator,
        };
        let request_id = request_id.clone();
        Some(Envelope { requester, request_id, attempt: Attempt::First, command })
    }

    /// What its request was answered when it became this hold, release or cancel: for
    /// [`Outcome::DoneBefore`], which names the change only.
    pub fn done(&self) -> Option<Outcome> {
        match self {
            Self::HeldFor { expires_at_ms, lines, .. } => {
                Some(Outcome::Held { expires_at_ms: *expires_at_ms, lines: lines.clone() })
            }
            Self::ReleasedFor { lines, .. } => Some(Outcome::Released { lines: lines.clone() }),
            Self::CancelledFor { lines, .. } => Some(Outcome::Cancelled { lines: lines.clone() }),
            _ => None,
        }
    }

    /// What a decrement was answered when it became this order: for [`Outcome::BoughtBefore`]. Of
    /// an order from before [`crate::Rules::Four`] what was available, whatever was owed.
    pub fn counted(&self) -> Option<u64> {
        match self {
            Self::Ordered(order) => Some(order.remaining),
            Self::Counted { order, owed } => Some(order.remaining.saturating_sub(*owed)),
            _ => None,
        }
    }

    /// The products whose units or terms it changed.
    pub fn products(&self) -> Vec<&Sku> {
        match self {
            Self::ProductCreated(terms) | Self::ProductUpdated(terms) => vec![&terms.sku],
            Self::Restocked { sku, .. }
            | Self::Ordered(Order { sku, .. })
            | Self::Counted { order: Order { sku, .. }, .. } => vec![sku],
            Self::Held { lines, .. }
            | Self::Confirmed { lines, .. }
            | Self::Released { lines, .. }
            | Self::Expired { lines, .. }
            | Self::BasketOrdered { lines, .. }
            | Self::Cancelled { lines, .. }
            | Self::HeldFor { lines, .. }
            | Self::ReleasedFor { lines, .. }
            | Self::CancelledFor { lines, .. } => lines.iter().map(|line| &line.sku).collect(),
        }
    }
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
