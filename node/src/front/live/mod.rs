//! Live stock: the change feed as server-sent events, and stock levels, as such or over a
//! WebSocket.
//!
//! Owns what listeners share: a tail of encoded events, and a bell that tells them of new ones.
//! Never holds up a buy: listeners only read what is applied, and are woken at a bounded rate.

mod bell;
mod encode;
pub(super) mod events;
mod levels;
pub(super) mod sse;
mod stream;
mod tail;
pub(super) mod ws;

use crate::metrics::Metrics;
use bell::Bell;
use levels::Levels;
use raft::{FeedLimits, Replica};
use tail::Tail;
use tokio::sync::watch;

/// What the listeners of a node share.
pub(crate) struct Live {
    tail: Tail,
    bell: Bell,
    levels: Levels,
}

impl Live {
    /// Follows the replica. Of `connections_max` not all may listen. Listeners end when `closing`
    /// turns true.
    pub(crate) fn new(
        replica: &Replica,
        limits: FeedLimits,
        metrics: Metrics,
        connections_max: usize,
        closing: watch::Receiver<bool>,
    ) -> Self {
        let levels = Levels::follow(replica.clone(), closing.clone());
        let bell = Bell::hang(replica, metrics, bell::seats_of(connections_max), closing);
        Self { tail: Tail::new(replica.clone(), limits), bell, levels }
    }
}
