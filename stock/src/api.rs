//! The HTTP contract's bodies: JSON in and out of a node's public listener, shared by the node
//! that serves them and the clients that call it.
//!
//! Field names are the contract; every type here is `snake_case` JSON.

mod cursors;
mod events;
mod holds;
mod orders;

pub use crate::timestamp::Timestamp;
pub use cursors::{CursorList, CursorRemoved, CursorView, PutCursor};
pub use events::{ChangeView, EventView, ExportLine};
pub use holds::{
    HoldAccepted, HoldList, HoldReleased, HoldStatus, HoldView, PostConfirm, PostHold,
};
pub use orders::{
    BuyAccepted, Explanation, ItemView, LineView, OrderAccepted, OrderCancelled, OrderList,
    OrderView, PostBasket, PostBuy, PostCancel, SoldOut, Verdict,
};

use crate::{
    Currency, Edit, HoldTtl, InvalidId, NodeId, Price, Product, Quantity, Seq, Sku, Terms,
};
use serde::{Deserialize, Deserializer, Serialize};

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
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PutProduct {
    /// Its name, for people.
    #[cfg_attr(
        feature = "openapi",
        schema(max_length = 256, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$")
    )]
    pub name: String,
    /// Units on sale at first.
    #[cfg_attr(feature = "openapi", schema(maximum = 1_000_000_000_000_u64))]
    pub stock: u64,
    /// What one unit costs, in minor units of `currency`, such as cents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(maximum = 1_000_000_000_000_000_u64))]
    pub price: Option<u64>,
    /// The currency of `price`; both or neither.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<Currency>,
    /// The most units that one user may have, bought and held together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_user_limit: Option<Quantity>,
    /// When the sale opens; at once when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts_at: Option<Timestamp>,
    /// When it is over: nothing is sold at this instant any more. Never when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<Timestamp>,
    /// How long a hold lasts that does not say, in milliseconds; ten minutes when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_ttl_ms: Option<HoldTtl>,
}

impl PutProduct {
    /// The terms that it asks for: what a node takes, whether or not it has such a product.
    ///
    /// # Errors
    /// [`InvalidId`], of the field that no node takes.
    pub fn terms(self, sku: Sku) -> Result<Terms, InvalidId> {
        let wrong = |kind, problem, rule| Err(InvalidId { kind, problem, rule });
        Terms::check_name(&self.name)?;
        if self.stock > Terms::STOCK_MAX {
            return wrong("stock", "is too large", "use 0 to 1000000000000");
        }
        let price = match (self.price, self.currency) {
            (Some(minor_units), _) if minor_units > Price::MINOR_UNITS_MAX => {
                return wrong("price", "is too large", "use 0 to 1000000000000000");
            }
            (Some(minor_units), Some(currency)) => Some(Price { minor_units, currency }),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => {
                return wrong("price and currency", "come together", "give both or neither");
            }
        };
        let terms = Terms {
            sku,
            name: self.name,
            stock: self.stock,
            per_user_limit: self.per_user_limit,
            price,
            starts_at_ms: self.starts_at.map(Timestamp::ms),
            ends_at_ms: self.ends_at.map(Timestamp::ms),
            hold_ttl: self.hold_ttl_ms.unwrap_or_default(),
        };
        if terms.check_window().is_err() {
            return wrong("ends_at", "is not after starts_at", "end the sale after it begins");
        }
        Ok(terms)
    }
}

/// Body of `PATCH /v1/products/{id}`, a JSON merge patch (RFC 7396): a field that is absent stays,
/// `null` takes it away. The rules for a running sale are those of `ProductUpdate`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct PatchProduct {
    /// Another name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "openapi",
        schema(nullable = false, max_length = 256, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$")
    )]
    pub name: Option<String>,
    /// Another price, in minor units; its currency comes with it, and `null` goes with it.
    #[serde(skip_serializing_if = "is_kept", with = "edit")]
    #[cfg_attr(
        feature = "openapi",
        schema(value_type = Option<u64>, maximum = 1_000_000_000_000_000_u64)
    )]
    pub price: Edit<u64>,
    /// The currency of that price.
    #[serde(skip_serializing_if = "is_kept", with = "edit")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Currency>))]
    pub currency: Edit<Currency>,
    /// Another limit for each user.
    #[serde(skip_serializing_if = "is_kept", with = "edit")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Quantity>))]
    pub per_user_limit: Edit<Quantity>,
    /// Another opening.
    #[serde(skip_serializing_if = "is_kept", with = "edit")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Timestamp>))]
    pub starts_at: Edit<Timestamp>,
    /// Another end.
    #[serde(skip_serializing_if = "is_kept", with = "edit")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Timestamp>))]
    pub ends_at: Edit<Timestamp>,
    /// Another time for holds to come, in milliseconds; `null` is ten minutes again.
    #[serde(skip_serializing_if = "is_kept", with = "edit")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<HoldTtl>))]
    pub hold_ttl_ms: Edit<HoldTtl>,
}

fn is_kept<T>(edit: &Edit<T>) -> bool {
    matches!(edit, Edit::Keep)
}

/// An edit as a field of a merge patch: a value, or `null`; [`Edit::Keep`] is left out.
mod edit {
    use super::{Deserialize, Deserializer, Edit, Serialize};
    use serde::Serializer;

    pub(super) fn serialize<T: Serialize, S: Serializer>(
        edit: &Edit<T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match edit {
            Edit::Keep | Edit::Clear => serializer.serialize_none(),
            Edit::Set(value) => serializer.serialize_some(value),
        }
    }

    pub(super) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Edit<T>, D::Error> {
        Ok(Option::deserialize(deserializer)?.map_or(Edit::Clear, Edit::Set))
    }
}

/// A product, as every product route answers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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
    /// What one unit costs, in minor units of `currency`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<u64>,
    /// The currency of `price`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<Currency>,
    /// The most units that one user may have, bought and held together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_user_limit: Option<Quantity>,
    /// When the sale opens; absent when it is open from the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts_at: Option<Timestamp>,
    /// When it is over; absent when never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<Timestamp>,
    /// How long a hold lasts that does not say, in milliseconds.
    #[serde(default)]
    pub hold_ttl_ms: HoldTtl,
    /// The state that these numbers are of.
    pub seq: Seq,
}

impl ProductView {
    /// A product, as it stands in the state after `seq`.
    pub fn new(product: Product, seq: Seq) -> Self {
        let Product { terms, stocked, available, held, sold, seq: _ } = product;
        // Later than the year 9999 is no instant that a front lets in.
        let instant = |at_ms: u64| Timestamp::from_ms(at_ms).ok();
        Self {
            id: terms.sku,
            name: terms.name,
            stocked,
            available,
            held,
            sold,
            price: terms.price.map(|price| price.minor_units),
            currency: terms.price.map(|price| price.currency),
            per_user_limit: terms.per_user_limit,
            starts_at: terms.starts_at_ms.and_then(instant),
            ends_at: terms.ends_at_ms.and_then(instant),
            hold_ttl_ms: terms.hold_ttl,
            seq,
        }
    }
}

/// A page of products: `GET /v1/products`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ProductList {
    /// The products of this page, by id.
    pub products: Vec<ProductView>,
    /// Pass as `?after=` to get the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_after: Option<Sku>,
    /// The state that these numbers are of.
    pub seq: Seq,
}

/// Body of `POST /v1/products/{id}/restock`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PostRestock {
    /// Units to add; negative takes back what is still available.
    #[cfg_attr(
        feature = "openapi",
        schema(minimum = -1_000_000_000_000_i64, maximum = 1_000_000_000_000_i64)
    )]
    pub quantity: i64,
}

/// Answer of `GET /v1/cluster`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ClusterView {
    /// The cluster's id in hex; absent while it has not formed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_id: Option<String>,
    /// The node that answered.
    pub node: NodeId,
    /// The leader, as that node knows it.
    #[cfg_attr(feature = "openapi", schema(required = true))]
    pub leader: Option<NodeId>,
    /// Every configured node, by id.
    pub nodes: Vec<NodeView>,
}

/// One node in `GET /v1/cluster`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NodeView {
    /// Its id.
    pub id: NodeId,
    /// The address of its public listener, as it advertises it; absent when it was never reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<String>,
    /// Whether it answered now.
    pub reachable: bool,
    /// `leader`, `follower`, `learner`, `candidate`, `forming`, `rejoining`, `fenced`, or
    /// `unreachable`.
    pub role: String,
    /// Its Raft term.
    pub term: u64,
    /// Index of its last log entry.
    pub last_log: u64,
    /// Index up to which its log is purged, behind a snapshot; absent while nothing is, and of any
    /// node but the one that answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purged: Option<u64>,
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
    /// By how many milliseconds its wall clock is ahead of the median of the nodes' clocks
    /// (negative: behind); absent while the answering node knows too few of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_off_ms: Option<i64>,
}

/// An RFC 9457 problem: the body of every error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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
    /// Where the cursor stands, where it is about one; absent when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<u64>,
}
