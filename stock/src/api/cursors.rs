//! Bodies of the cursor routes.

use crate::{CursorName, CursorTarget, Seq};
use serde::{Deserialize, Serialize};

/// Body of `PUT /v1/cursors/{name}`: a compare-and-set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PutCursor {
    /// Where the cursor must stand; `null` when it must not be there yet.
    #[cfg_attr(feature = "openapi", schema(required = true, maximum = 9_007_199_254_740_991_u64))]
    pub expected: Option<u64>,
    /// Where it is to stand: what that means is its owner's, mostly the `seq` of a change.
    #[cfg_attr(feature = "openapi", schema(maximum = 9_007_199_254_740_991_u64))]
    pub position: u64,
    /// What the cursor is for: it then moves for nothing else. One that is for nothing yet is for
    /// this from now on; without it the cursor moves whatever it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    pub target: Option<CursorTarget>,
}

/// A cursor: `GET` and `PUT /v1/cursors/{name}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CursorView {
    /// Its name.
    pub name: CursorName,
    /// Where it stands.
    pub position: u64,
    /// What it is for; absent where that was never said, and in the answer to a move that does not
    /// say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    pub target: Option<CursorTarget>,
    /// The state that this is of. A cursor's move is no change of the sale and has no `seq` of its
    /// own.
    pub seq: Seq,
}

/// A cursor that is gone: `DELETE /v1/cursors/{name}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CursorRemoved {
    /// Its name.
    pub name: CursorName,
    /// Where it stood.
    pub position: u64,
    /// The state that this is of; a removal has no `seq` of its own.
    pub seq: Seq,
}

/// All cursors: `GET /v1/cursors`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CursorList {
    /// By name.
    pub cursors: Vec<CursorView>,
    /// The state that they are of.
    pub seq: Seq,
}
