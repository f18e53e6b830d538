//! openraft's type parameters, and short names for its types. Nothing outside this crate sees them.

// `declare_raft_types!` makes a public type, and what it names must be as public.
#![allow(unreachable_pub)]

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::fmt;
use stock::{NodeId, Reply};

openraft::declare_raft_types!(
    /// The types that flashnode's Raft is made of.
    pub TypeConfig:
        D = Proposal,
        R = Vec<Reply>,
        NodeId = NodeId,
        Node = Member,
);

/// The body of a normal log entry: one encoded [`stock::Batch`] behind a format version byte.
///
/// Encoded once, by the proposer. The same bytes are appended, sent to followers and decoded by
/// apply; a clone shares them.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal(pub Bytes);

impl fmt::Debug for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proposal({} bytes)", self.0.len())
    }
}

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

/// What the replicated membership says of a node: which directory it is, not where it runs.
///
/// Addresses come from each node's own `--peers` (a proxy may stand between), so they are no part
/// of it. A node whose directory was wiped has another incarnation, and is a stranger until the
/// leader has replaced this entry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The incarnation id of the member's data directory.
    pub incarnation: Incarnation,
}

/// The random id that a data directory gets when it is created.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Incarnation(pub u128);

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// The random id of a cluster, made when it forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ClusterId(pub u128);

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

pub(crate) type LogId = openraft::type_config::alias::LogIdOf<TypeConfig>;
pub(crate) type Vote = openraft::type_config::alias::VoteOf<TypeConfig>;
pub(crate) type Entry = openraft::type_config::alias::EntryOf<TypeConfig>;
pub(crate) type StoredMembership = openraft::type_config::alias::StoredMembershipOf<TypeConfig>;
pub(crate) type SnapshotMeta = openraft::type_config::alias::SnapshotMetaOf<TypeConfig>;
