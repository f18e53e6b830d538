//! Bodies of the change feed and of the export.

use super::holds::HoldView;
use super::orders::{LineView, OrderView};
use super::{ProductView, PutProduct};
use crate::timestamp::Timestamp;
use crate::{Change, CursorName, CursorTarget, Event, Line, RequestId, Seq, Sku, Terms, UserId};
use serde::{Deserialize, Serialize};

/// One committed change, as `GET /v1/events` tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EventView {
    /// Its number; the numbers have no gap.
    pub seq: Seq,
    /// Log time of the change, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// What changed.
    #[serde(flatten)]
    pub change: ChangeView,
}

/// What an event changed. `items` say what was left of each product right after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum ChangeView {
    /// A product was put on sale.
    ProductCreated {
        /// The product.
        product_id: Sku,
        /// On which terms.
        terms: PutProduct,
    },
    /// A product's terms changed.
    ProductUpdated {
        /// The product.
        product_id: Sku,
        /// The terms from now on; `stock` is what it began with.
        terms: PutProduct,
    },
    /// Units were added or taken back.
    Restocked {
        /// The product.
        product_id: Sku,
        /// Units added; negative when taken back.
        quantity: i64,
        /// Units available right after.
        remaining: u64,
    },
    /// An order was made: of a buy, a basket, or a confirmed hold.
    Ordered {
        /// The order.
        order_id: Seq,
        /// The buyer.
        user_id: UserId,
        /// The request that won it.
        request_id: RequestId,
        /// The hold that it was made from.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hold_id: Option<Seq>,
        /// What was sold.
        items: Vec<LineView>,
    },
    /// Units were set aside.
    Held {
        /// The hold.
        hold_id: Seq,
        /// For whom.
        user_id: UserId,
        /// The request that won it.
        request_id: RequestId,
        /// The deadline, in log time.
        expires_at: Timestamp,
        /// What is held.
        items: Vec<LineView>,
    },
    /// A hold was given up.
    Released {
        /// The hold.
        hold_id: Seq,
        /// Whose it was.
        user_id: UserId,
        /// What is available again.
        items: Vec<LineView>,
    },
    /// A hold's deadline passed.
    Expired {
        /// The hold.
        hold_id: Seq,
        /// Whose it was.
        user_id: UserId,
        /// What is available again.
        items: Vec<LineView>,
    },
    /// An order was taken back. It stays an order.
    Cancelled {
        /// The order.
        order_id: Seq,
        /// Whose it is.
        user_id: UserId,
        /// What is available again.
        items: Vec<LineView>,
    },
}

impl ChangeView {
    /// Its name in `change`, and the type of the server-sent event.
    pub fn name(&self) -> &'static str {
        match self {
            Self::ProductCreated { .. } => "product_created",
            Self::ProductUpdated { .. } => "product_updated",
            Self::Restocked { .. } => "restocked",
            Self::Ordered { .. } => "ordered",
            Self::Held { .. } => "held",
            Self::Released { .. } => "released",
            Self::Expired { .. } => "expired",
            Self::Cancelled { .. } => "cancelled",
        }
    }
}

impl From<Event> for EventView {
    fn from(event: Event) -> Self {
        let Event { seq, at_ms, change } = event;
        Self { seq, at_ms, change: view(seq, change) }
    }
}

fn view(seq: Seq, change: Change) -> ChangeView {
    let items = |lines: &[Line]| lines.iter().map(LineView::from).collect();
    if let Some(order) = change.order() {
        return ChangeView::Ordered {
            order_id: seq,
            user_id: order.user.clone(),
            request_id: order.request_id.clone(),
            hold_id: order.hold,
            items: items(&order.lines),
        };
    }
    match change {
        Change::ProductCreated(terms) => {
            let (product_id, terms) = on_terms(*terms);
            ChangeView::ProductCreated { product_id, terms }
        }
        Change::ProductUpdated(terms) => {
            let (product_id, terms) = on_terms(*terms);
            ChangeView::ProductUpdated { product_id, terms }
        }
        Change::Restocked { sku, quantity, available } => {
            ChangeView::Restocked { product_id: sku, quantity, remaining: available }
        }
        Change::Held { user, request_id, expires_at_ms, lines }
        | Change::HeldFor { user, request_id, expires_at_ms, lines, .. } => ChangeView::Held {
            hold_id: seq,
            user_id: user,
            request_id,
            expires_at: Timestamp::at_most(expires_at_ms),
            items: items(&lines),
        },
        Change::Released { hold, user, lines } | Change::ReleasedFor { hold, user, lines, .. } => {
            ChangeView::Released { hold_id: hold, user_id: user, items: items(&lines) }
        }
        Change::Expired { hold, user, lines } => {
            ChangeView::Expired { hold_id: hold, user_id: user, items: items(&lines) }
        }
        Change::Cancelled { order, user, lines, .. }
        | Change::CancelledFor { order, user, lines, .. } => {
            ChangeView::Cancelled { order_id: order, user_id: user, items: items(&lines) }
        }
        Change::Ordered(_)
        | Change::Counted { .. }
        | Change::BasketOrdered { .. }
        | Change::Confirmed { .. } => unreachable!("orders are told above"),
    }
}

fn on_terms(terms: Terms) -> (Sku, PutProduct) {
    let instant = |at_ms: Option<u64>| at_ms.map(Timestamp::at_most);
    let put = PutProduct {
        name: terms.name,
        stock: terms.stock,
        price: terms.price.map(|price| price.minor_units),
        currency: terms.price.map(|price| price.currency),
        per_user_limit: terms.per_user_limit,
        starts_at: instant(terms.starts_at_ms),
        ends_at: instant(terms.ends_at_ms),
        hold_ttl_ms: Some(terms.hold_ttl),
    };
    (terms.sku, put)
}

/// One line of `GET /v1/export`: the whole state at one `seq`, from its head to its end. An export
/// without its end was cut off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "line", rename_all = "snake_case")]
pub enum ExportLine {
    /// The first line.
    Head {
        /// What all of the export is of; the feed goes on after it.
        seq: Seq,
        /// Log time there, in milliseconds since the Unix epoch.
        log_time_ms: u64,
        /// The hash of the whole state there, in hex.
        state_hash: String,
    },
    /// A product, by id.
    Product(ProductView),
    /// What a product owes as a counter of the Redis protocol, by product; none that owes nothing.
    Debt {
        /// The product.
        product_id: Sku,
        /// Units by which its count is less than what is available of it.
        owed: u64,
    },
    /// A cursor, by name.
    Cursor {
        /// Its name.
        name: CursorName,
        /// Where it stands.
        position: u64,
        /// What it is for, where that was said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        target: Option<CursorTarget>,
    },
    /// An open hold, by id.
    Hold(HoldView),
    /// An order, by id; a cancelled one too.
    Order(OrderView),
    /// The last line.
    End {
        /// Lines before this one.
        lines: u64,
    },
}
