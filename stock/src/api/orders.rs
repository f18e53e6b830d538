//! Bodies of buys and orders.
//!
//! A buy of one product is asked and answered flat, for it is what a flash sale is made of. What
//! may be about several products (a basket, a confirmed hold, a stored order) lists its items.

use crate::{Line, NodeId, Quantity, RequestId, Seq, Sku, UserId};
use serde::{Deserialize, Serialize};

/// Body of `POST /v1/buys` for one product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
#[serde(deny_unknown_fields)]
pub struct PostBasket {
    /// The products, each once; at most [`crate::Items::MAX`].
    pub items: Vec<ItemView>,
    /// The buyer.
    pub user_id: UserId,
}

/// Units of one product in a list of items.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Log time of the order, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// The change that this order is.
    pub seq: Seq,
}

/// A page of orders: `GET /v1/orders`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderList {
    /// The orders of this page, by id.
    pub orders: Vec<OrderView>,
    /// Pass as `?after=` to get the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_after: Option<Seq>,
    /// The state that this answer is of.
    pub seq: Seq,
}
