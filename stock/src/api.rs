//! The HTTP contract's bodies: JSON in and out of a node's public listener, shared by the node
//! that serves them and the clients that call it.
//!
//! Field names are the contract; every type here is `snake_case` JSON.

use crate::{NodeId, Quantity, RequestId, Seq, Sku, UserId};
use serde::{Deserialize, Serialize};

/// Header with the id of the node that answered.
pub const HEADER_NODE: &str = "flashnode-node";
/// Header with the id of the leader as the answering node knows it, or `none`.
pub const HEADER_LEADER: &str = "flashnode-leader";
/// Header with the `seq` of the state that the answer speaks of.
pub const HEADER_SEQ: &str = "flashnode-seq";
/// Request header: the number of this attempt under its idempotency key, from 1.
pub const HEADER_ATTEMPT: &str = "flashnode-attempt";
/// Request header: the client's request id.
pub const HEADER_IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Response header: this is the outcome of an earlier attempt.
pub const HEADER_REPLAYED: &str = "idempotent-replayed";

/// Body of `PUT /v1/products/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PutProduct {
    /// Its name, for people.
    pub name: String,
    /// Units on sale at first.
    pub stock: u64,
    /// The most units that one user may buy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_user_limit: Option<Quantity>,
}

/// A product, as every product route answers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProductView {
    /// Its id.
    pub id: Sku,
    /// Its name, for people.
    pub name: String,
    /// Units ever stocked, less those taken back.
    pub stocked: u64,
    /// Units that can be bought now.
    pub available: u64,
    /// Units reserved by holds.
    pub held: u64,
    /// Units sold.
    pub sold: u64,
    /// The most units that one user may buy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_user_limit: Option<Quantity>,
    /// The state that these numbers are of.
    pub seq: Seq,
}

/// Answer of `GET /v1/products`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProductList {
    /// All products, by id.
    pub products: Vec<ProductView>,
    /// The state that these numbers are of.
    pub seq: Seq,
}

/// Body of `POST /v1/products/{id}/restock`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PostRestock {
    /// Units to add; negative takes back what is still available.
    pub quantity: i64,
}

/// Body of `POST /v1/buys`.
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

/// Answer of an accepted `POST /v1/buys`.
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

/// An order, as the order routes answer it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderView {
    /// Its id.
    pub order_id: Seq,
    /// The product.
    pub product_id: Sku,
    /// The buyer.
    pub user_id: UserId,
    /// The request that won it.
    pub request_id: RequestId,
    /// Units bought.
    pub quantity: Quantity,
    /// Units still available right after it.
    pub remaining: u64,
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

/// Answer of `GET /v1/cluster`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterView {
    /// The cluster's id in hex; absent while it has not formed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_id: Option<String>,
    /// The node that answered.
    pub node: NodeId,
    /// The leader, as that node knows it.
    pub leader: Option<NodeId>,
    /// Every configured node, by id.
    pub nodes: Vec<NodeView>,
}

/// One node in `GET /v1/cluster`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeView {
    /// Its id.
    pub id: NodeId,
    /// The address of its public listener, as it advertises it; absent when it was never reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<String>,
    /// Whether it answered now.
    pub reachable: bool,
    /// `leader`, `follower`, `learner`, `candidate`, `forming`, `rejoining`, or `unreachable`.
    pub role: String,
    /// Its Raft term.
    pub term: u64,
    /// Index of its last log entry.
    pub last_log: u64,
    /// Index up to which it knows entries to be committed.
    pub committed: u64,
    /// Index up to which it has applied.
    pub applied: u64,
    /// Entries it has yet to apply of what the most advanced reachable node has committed.
    pub lag: u64,
    /// The machine's version after `applied`.
    pub seq: Seq,
    /// Hash of the machine's whole state after `applied`, in hex.
    pub state_hash: String,
}

/// An RFC 9457 problem: the body of every error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// A path that the node itself serves, such as `/problems/sold-out`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The problem in a few words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened here, and what to do.
    pub detail: String,
    /// When to try again, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// Units available.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remaining: Option<u64>,
    /// The state that decided this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<Seq>,
}
