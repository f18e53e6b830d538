//! The frames between nodes. A change that an older node cannot read needs a new [`FORMAT`].

use crate::types::{ClusterId, Incarnation};
use serde::{Deserialize, Serialize};
use stock::{NodeId, Reply, Seq};

/// The version of the frames. Nodes of other formats are refused with a message, not misread.
pub(crate) const FORMAT: u16 = 1;

/// The largest frame, but for a snapshot manifest, in bytes: some log entries and their envelope.
pub(crate) const FRAME_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Stands before every request, behind two bytes of [`FORMAT`] that any build can read.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Envelope {
    /// The sender's cluster; none while it has not formed.
    pub(crate) cluster: Option<ClusterId>,
    pub(crate) from: NodeId,
    pub(crate) from_incarnation: Incarnation,
    pub(crate) to: NodeId,
    /// The directory that the sender means; none where any will do.
    pub(crate) to_incarnation: Option<Incarnation>,
    /// The sender's wall clock, in milliseconds since the Unix epoch.
    pub(crate) clock_ms: u64,
}

/// Why a node did not take a request. It did nothing with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub(crate) enum PeerRefusal {
    #[error("it speaks format {theirs}, this node speaks {FORMAT}")]
    Format { theirs: u16 },
    #[error("it belongs to cluster {theirs}")]
    OtherCluster { theirs: ClusterId },
    #[error("at that address answers node {theirs}: check --peers")]
    OtherNode { theirs: NodeId },
    #[error("its directory was replaced (it is {theirs} now)")]
    OtherIncarnation { theirs: Incarnation },
    #[error("it cannot serve this now: {0}")]
    Unable(String),
}

/// What a node says of itself to whoever asks.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Hello {
    pub(crate) id: NodeId,
    pub(crate) incarnation: Incarnation,
    pub(crate) cluster: Option<ClusterId>,
    /// Its directory holds no log, no vote and no snapshot.
    pub(crate) fresh: bool,
    /// The nodes that it is configured with.
    pub(crate) peers: Vec<NodeId>,
    /// The address of its public listener.
    pub(crate) http: String,
    pub(crate) role: String,
    pub(crate) term: u64,
    pub(crate) leader: Option<NodeId>,
    pub(crate) last_log: u64,
    pub(crate) committed: u64,
    pub(crate) applied: u64,
    pub(crate) seq: Seq,
    pub(crate) state_hash: u128,
}

/// What a node's wall clock shows. Asked on a route of its own, which older nodes do not have.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct ClockAnswer {
    /// Milliseconds since the Unix epoch.
    pub(crate) wall_ms: u64,
}

/// The newest format of a log entry that a node can apply. Asked on a route of its own, which older
/// nodes do not have.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct FormatAnswer {
    pub(crate) newest: u8,
}

/// After the entry of this index a majority's state has this hash: fence yourself if yours has
/// not.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct FenceRequest {
    pub(crate) index: u64,
    pub(crate) right: u128,
}

/// A node with an empty directory asks the leader to be let in again.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct JoinRequest {
    pub(crate) id: NodeId,
    pub(crate) incarnation: Incarnation,
}

/// What becomes of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum JoinAnswer {
    /// The leader has noted it and will act by itself.
    Noted,
    /// This incarnation votes already.
    Voter,
    /// This node does not lead; ask that one.
    NotLeader(Option<NodeId>),
}

/// What became of a forwarded frame of commands.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum ForwardAnswer {
    /// Each command's reply, in order.
    Decided(Vec<Reply>),
    /// Surely not proposed.
    NotProposed,
    /// Proposed, and the outcome is not known.
    Unknown,
}

/// The leader's read index, for a follower that serves a linearizable read.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum ReadIndexAnswer {
    /// Apply up to here, then read.
    Index(u64),
    /// This node does not lead, or cannot tell whether it still does.
    NotLeader,
}
