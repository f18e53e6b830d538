//! Bodies of holds: units set aside for a user until an instant of log time.

use super::orders::{ItemView, LineView};
use crate::timestamp::Timestamp;
use crate::{HoldTtl, NodeId, Quantity, Seq, Sku, UserId};
use serde::{Deserialize, Serialize};

/// Body of `POST /v1/holds`: one product, or `items`, all or none of which are held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PostHold {
    /// The one product; not beside `items`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    pub product_id: Option<Sku>,
    /// Units of the one product; 1 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    pub quantity: Option<Quantity>,
    /// Several products, each once; at most 20.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false, min_items = 1, max_items = 20))]
    pub items: Option<Vec<ItemView>>,
    /// For whom.
    pub user_id: UserId,
    /// For how long, in milliseconds; by default the shortest of the products' `hold_ttl_ms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<HoldTtl>,
}

impl PostHold {
    /// A hold of one product, for as long as the product says.
    pub fn one(product_id: Sku, quantity: Quantity, user_id: UserId) -> Self {
        let (product_id, quantity) = (Some(product_id), Some(quantity));
        Self { product_id, quantity, items: None, user_id, ttl_ms: None }
    }

    /// A hold of several products, for the shortest of the times that they say.
    pub fn several(items: Vec<ItemView>, user_id: UserId) -> Self {
        Self { product_id: None, quantity: None, items: Some(items), user_id, ttl_ms: None }
    }
}

/// Answer of an accepted `POST /v1/holds`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HoldAccepted {
    /// The hold; also in `Location`.
    pub hold_id: Seq,
    /// For whom.
    pub user_id: UserId,
    /// What is held, by product id.
    pub items: Vec<LineView>,
    /// Units of the product still available right after; absent when several are held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remaining: Option<u64>,
    /// The deadline, in log time.
    pub expires_at: Timestamp,
    /// The change that this hold is.
    pub seq: Seq,
    /// The node that answered.
    pub node: NodeId,
    /// The leader, as that node knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<NodeId>,
}

/// Body of `POST /v1/holds/{id}/confirm`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PostConfirm {
    /// Whose hold it is; another user's is unknown.
    pub user_id: UserId,
}

/// Answer of `DELETE /v1/holds/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HoldReleased {
    /// The hold.
    pub hold_id: Seq,
    /// What is available again, by product id.
    pub items: Vec<LineView>,
    /// The change that ended it.
    pub seq: Seq,
}

/// A hold, as the hold routes answer it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HoldView {
    /// Its id.
    pub hold_id: Seq,
    /// For whom.
    pub user_id: UserId,
    /// What it holds, or held, by product id.
    pub items: Vec<ItemView>,
    /// The deadline, in log time.
    pub expires_at: Timestamp,
    /// Whether it is open, and if not, how it ended.
    pub state: HoldStatus,
    /// The change that ended it: of a confirmed one the order's id. Absent while it is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_by: Option<Seq>,
    /// The state that this answer is of.
    pub seq: Seq,
}

/// Whether a hold is open, and if not, how it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum HoldStatus {
    /// Its units are set aside.
    Open,
    /// It became an order.
    Confirmed,
    /// It was given up.
    Released,
    /// Its deadline passed.
    Expired,
}

/// The open holds of a user: `GET /v1/holds?user_id=`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HoldList {
    /// By id; at most 100.
    pub holds: Vec<HoldView>,
    /// The state that this answer is of.
    pub seq: Seq,
}
