//! Bodies of the cursor routes.

use crate::{CursorName, Seq};
use serde::{Deserialize, Serialize};

/// Body of `PUT /v1/cursors/{name}`: a compare-and-set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PutCursor {
    /// Where the cursor must stand; `null` when it must not be there yet.
    #[cfg_attr(feature = "openapi", schema(required = true, maximum = 9_007_199_254_740_991_u64))]
    pub expected: Option<u64>,
    /// Where it is to stand: what that means is its owner's, mostly the `seq` of a change.
    #[cfg_attr(feature = "openapi", schema(maximum = 9_007_199_254_740_991_u64))]
    pub position: u64,
}

/// A cursor: `GET` and `PUT /v1/cursors/{name}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CursorView {
    /// Its name.
    pub name: CursorName,
    /// Where it stands.
    pub position: u64,
    /// The state that this is of. A cursor's move is no change of the sale and has no `seq` of its
    /// own.
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
