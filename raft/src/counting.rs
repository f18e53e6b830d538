//! Whether the leader counts clicks. The leader's configuration decides, not that of the node that
//! a client happens to ask.
//!
//! Every node asks whoever leads, at each change and twice a second. Until the leader has said so
//! a node believes it to be configured as itself. Never counts: that is the stock actor's part.

use crate::peer::{Call, PeerError};
use crate::shared::Shared;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use stock::NodeId;

/// Between questions to the same leader: it may have come back otherwise configured.
const ASK_INTERVAL: Duration = Duration::from_millis(500);
/// Before the next question to a leader that did not answer.
const RETRY_INTERVAL: Duration = Duration::from_millis(20);
/// How long the answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(250);

/// What a node knows of who counts.
#[derive(Debug)]
pub(crate) struct Counting {
    here: bool,
    leader: Mutex<Option<(NodeId, bool)>>,
}

impl Counting {
    /// `here`: whether this node counts while it leads.
    pub(crate) fn new(here: bool) -> Self {
        Self { here, leader: Mutex::new(None) }
    }

    /// Whether this node counts while it leads.
    pub(crate) fn here(&self) -> bool {
        self.here
    }

    /// Whether another node counts, which leads.
    pub(crate) fn at(&self, leader: NodeId) -> bool {
        match *self.leader.lock().unwrap_or_else(PoisonError::into_inner) {
            Some((known, counts)) if known == leader => counts,
            Some(_) | None => self.here,
        }
    }

    fn learn(&self, leader: NodeId, counts: bool) {
        *self.leader.lock().unwrap_or_else(PoisonError::into_inner) = Some((leader, counts));
    }
}

/// Runs for the life of the node.
pub(crate) async fn run(shared: Arc<Shared>) {
    loop {
        let leader = shared.leader();
        let again = match leader {
            Some(leader) if leader != shared.links.id() => ask(&shared, leader).await,
            Some(_) | None => ASK_INTERVAL,
        };
        tokio::select! {
            () = shared.leader_differs_from(leader) => {}
            () = tokio::time::sleep(again) => {}
        }
    }
}

/// Asks once; returns when to ask again.
async fn ask(shared: &Shared, leader: NodeId) -> Duration {
    let path = "/peer/counts-clicks";
    let call = Call { to: leader, incarnation: None, path, timeout: ANSWER_TIMEOUT };
    let counts = match shared.links.call(call, &()).await {
        Ok(counts) => counts,
        // A build that knows of no limits counts nothing.
        Err(PeerError::NoRoute { .. }) => false,
        Err(_) => return RETRY_INTERVAL,
    };
    shared.counting.learn(leader, counts);
    ASK_INTERVAL
}
