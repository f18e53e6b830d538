//! Bodies of buys and orders.
//!
//! A buy of one product is asked and answered flat, for it is what a flash sale is made of. What
//! may be about several products (a basket, a confirmed hold, a stored order) lists its items.

use super::Problem;
use crate::{Line, NodeId, OrderContent, Quantity, Receipt, RequestId, Seq, Sku, UserId};
use serde::{Deserialize, Serialize};

/// Body of `POST /v1/buys` for one product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PostBuy {
    /// The product.
    pub product_id: Sku,
    /// The buyer.
    pub user_id: UserId,
    /// Units; all or none.
    #[serde(default = "one")]
    pub quantity: Quantity,
}

fn one() -> Quantity {
    Quantity::ONE
}

/// Body of `POST /v1/buys` for several products: all of them or none, as one order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PostBasket {
    /// The products, each once; at most 20.
    #[cfg_attr(feature = "openapi", schema(min_items = 1, max_items = 20))]
    pub items: Vec<ItemView>,
    /// The buyer.
    pub user_id: UserId,
}

/// Units of one product in a list of items.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ItemView {
    /// The product.
    pub product_id: Sku,
    /// Units.
    #[serde(default = "one")]
    pub quantity: Quantity,
}

impl From<&crate::Item> for ItemView {
    fn from(item: &crate::Item) -> Self {
        Self { product_id: item.sku.clone(), quantity: item.quantity }
    }
}

/// Units of one product that moved, and what was left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LineView {
    /// The product.
    pub product_id: Sku,
    /// Units.
    pub quantity: Quantity,
    /// Units still available right after.
    pub remaining: u64,
}

impl From<&Line> for LineView {
    fn from(line: &Line) -> Self {
        let Line { sku, quantity, available } = line;
        Self { product_id: sku.clone(), quantity: *quantity, remaining: *available }
    }
}

/// Answer of an accepted `POST /v1/buys` for one product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BuyAccepted {
    /// The order; also in `Location`.
    pub order_id: Seq,
    /// The product.
    pub product_id: Sku,
    /// The buyer.
    pub user_id: UserId,
    /// Units bought.
    pub quantity: Quantity,
    /// Units still available right after this order.
    pub remaining: u64,
    /// The change that this order is.
    pub seq: Seq,
    /// The node that answered.
    pub node: NodeId,
    /// The leader, as that node knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<NodeId>,
}

/// Answer of an accepted `POST /v1/holds/{id}/confirm`, or of a basket: an order that may be of
/// several products.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OrderAccepted {
    /// The order; also in `Location`.
    pub order_id: Seq,
    /// The buyer.
    pub user_id: UserId,
    /// What was sold, by product id.
    pub items: Vec<LineView>,
    /// The hold that it was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_id: Option<Seq>,
    /// The change that this order is.
    pub seq: Seq,
    /// The node that answered.
    pub node: NodeId,
    /// The leader, as that node knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<NodeId>,
}

/// An order, as the order routes answer it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OrderView {
    /// Its id.
    pub order_id: Seq,
    /// The buyer.
    pub user_id: UserId,
    /// The request that won it.
    pub request_id: RequestId,
    /// What was sold, by product id.
    pub items: Vec<LineView>,
    /// The hold that it was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_id: Option<Seq>,
    /// Whether it was taken back, in the state that the answer is of.
    pub cancelled: bool,
    /// It is the so-manieth order of this cluster, from 1.
    pub place: u64,
    /// What commits to it and to all orders before it.
    pub receipt: Receipt,
    /// Log time of the order, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// The change that this order is.
    pub seq: Seq,
}

impl OrderView {
    /// The receipt that this order must have after the one before it.
    pub fn receipt_after(&self, before: Receipt) -> Receipt {
        let line = |line: &LineView| Line {
            sku: line.product_id.clone(),
            quantity: line.quantity,
            available: line.remaining,
        };
        let content = OrderContent {
            user: &self.user_id,
            request_id: &self.request_id,
            hold: self.hold_id,
            lines: self.items.iter().map(line).collect(),
        };
        before.next(self.order_id, self.at_ms, &content)
    }
}

/// Body of `POST /v1/orders/{id}/cancel`; without a body the operator cancels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PostCancel {
    /// Whose order it is; another user's is unknown.
    pub user_id: UserId,
}

/// Answer of `POST /v1/orders/{id}/cancel`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OrderCancelled {
    /// The order, which stays, marked.
    pub order_id: Seq,
    /// What is available again, by product id.
    pub items: Vec<LineView>,
    /// The change that took it back.
    pub seq: Seq,
}

/// A page of orders: `GET /v1/orders`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OrderList {
    /// The orders of this page, by id.
    pub orders: Vec<OrderView>,
    /// Pass as `?after=` to get the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_after: Option<Seq>,
    /// The state that this answer is of.
    pub seq: Seq,
}

/// What became of a request: `GET /v1/explain`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Explanation {
    /// The user.
    pub user_id: UserId,
    /// The request.
    pub request_id: RequestId,
    /// What became of it, for a program.
    pub verdict: Verdict,
    /// The same in a sentence, for people.
    pub text: String,
    /// The order that it won.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<OrderView>,
    /// How many orders there are by now.
    pub orders: u64,
    /// The change or the state that decided it, if something did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_at: Option<Seq>,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
    /// When nothing is known of it: the products that are sold out; the one that was asked about,
    /// or the first of all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sold_out: Vec<SoldOut>,
    /// The state that this answer is of.
    pub seq: Seq,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is an order.
    Won,
    /// It was refused for good; kept for a day of log time.
    Refused,
    /// It is a change of another kind, such as a hold; kept for a day of log time.
    Done,
    /// Nothing is kept of it: it was never asked, or refused on a first attempt, or long ago.
    NoOrder,
}

/// A product of which nothing is left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SoldOut {
    /// The product.
    pub product_id: Sku,
    /// The change since which nothing has been available.
    pub since: Seq,
}
