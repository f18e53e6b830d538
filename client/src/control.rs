//! What a node tells its control room besides the contract's reads: `GET /v1/control`.
//!
//! Owns: the part of that answer that a terminal shows. Never does: keep it. Called by
//! `flashctl top`.

use crate::{Client, ClientError};
use reqwest::Method;
use serde::Deserialize;
use stock::api::{ItemView, Timestamp};
use stock::{NodeId, Seq};

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Control {
    /// The node that answers.
    pub node: NodeId,
    /// Its wall clock, in milliseconds since 1970.
    pub now_ms: u64,
    /// The nodes whose addresses it knows, also while they are down.
    pub nodes: Vec<Address>,
    /// The newest changes of leader that it saw, the oldest first.
    pub elections: Vec<Election>,
    /// Units set aside.
    pub holds: OpenHolds,
}

/// Where a node is reached.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Address {
    /// Its id.
    pub id: NodeId,
    /// Its advertised address, `host:port`.
    pub http: String,
}

/// A change of leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Election {
    /// When, by the wall clock of the node that saw it, in milliseconds since 1970.
    pub at_ms: u64,
    /// The term.
    pub term: u64,
    /// The leader; none while there was none.
    pub leader: Option<NodeId>,
}

/// The open holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct OpenHolds {
    /// How many there are.
    pub open: u64,
    /// The oldest of them.
    pub oldest: Vec<OpenHold>,
}

/// An open hold.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct OpenHold {
    /// Its number.
    pub hold_id: Seq,
    /// What is set aside.
    pub items: Vec<ItemView>,
    /// When it ends by itself.
    pub expires_at: Timestamp,
}

impl Client {
    /// What a node's control room shows.
    ///
    /// # Errors
    /// [`ClientError::Refused`] by a fenced node, [`ClientError::Unavailable`].
    pub async fn control(&self) -> Result<Control, ClientError> {
        self.ask(Method::GET, "v1/control", None).await
    }
}
