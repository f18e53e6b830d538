//! Clicks on their way to the leader that counts them, and what comes back.
//!
//! With a rate limit on, a follower passes every click on as it came, also those that its own
//! state would refuse: only the leader's actor counts, so spreading clicks over nodes gains
//! nothing. These are frames of their own, on routes that older nodes do not have; variants and
//! fields are appended, never reordered. Nothing here counts.

use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::time::Duration;
use stock::{Attempt, Envelope, Reply};
use tokio::sync::oneshot;

/// A command that is counted, and the client's address that it is counted for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Click {
    /// What is asked for, by whom.
    pub envelope: Envelope,
    /// As the node saw it that the client asked; an IPv6 one stands for its /64. None for what
    /// is not counted by address.
    pub address: Option<IpAddr>,
    /// Whether a leader has counted it before, and could not propose it then.
    pub counted: bool,
}

/// What a limit is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Limit {
    /// The clicks of one user.
    User,
    /// The clicks from one client address.
    Address,
}

/// What is left of one limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Room {
    /// Clicks that may come at once.
    pub clicks_max: u32,
    /// In how many seconds so many become free again.
    pub window_s: u32,
    /// Clicks that may still come at once.
    pub left: u32,
    /// In how many milliseconds there is room for one more, rounded up; 0 when nothing is used.
    pub more_in_ms: u64,
}

/// What is left after a click, of each limit that is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allowance {
    /// First attempts and later ones are counted apart.
    pub attempt: Attempt,
    /// Of the user's.
    pub user: Option<Room>,
    /// Of the address's.
    pub address: Option<Room>,
}

/// A click beyond a limit. It was not proposed, and not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limited {
    /// The limit; of both, the one that is longer in the way.
    pub by: Limit,
    /// In how many milliseconds a click is taken again, if none comes before.
    pub wait_ms: u64,
}

impl Limited {
    /// How long to wait.
    pub fn wait(&self) -> Duration {
        Duration::from_millis(self.wait_ms)
    }
}

/// What became of one click.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClickOutcome {
    /// The machine decided it.
    Decided(Reply),
    /// It was beyond a limit.
    Limited(Limited),
    /// Surely not proposed.
    NotProposed,
    /// Proposed, and the outcome is not known.
    Unknown,
}

/// What became of one click, and what is left of its limits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClickAnswer {
    /// What became of it.
    pub outcome: ClickOutcome,
    /// None for a click that was not counted.
    pub allowance: Option<Allowance>,
}

/// What became of a frame of clicks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClicksAnswer {
    /// Each click's answer, in order.
    Taken(Vec<ClickAnswer>),
    /// No click was counted or proposed.
    NotTaken,
    /// Nobody knows.
    Unknown,
}

/// Clicks that a follower sent here because this node leads, and counts.
#[derive(Debug)]
pub struct ClickFrame {
    /// The clicks, as they came.
    pub clicks: Vec<Click>,
    /// Where the answers go, one a click, in order.
    pub reply: oneshot::Sender<Vec<ClickAnswer>>,
}
