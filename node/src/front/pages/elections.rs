//! When the leader changed, as this node saw it: for the time line of the control room.

use raft::Replica;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use stock::NodeId;
use tokio::sync::watch;

/// The newest changes that are kept.
const CHANGES_MAX: usize = 64;

/// The leader is another one, or none.
#[derive(Debug, Clone, Copy)]
pub(super) struct Change {
    /// When, by this node's wall clock.
    pub(super) at_ms: u64,
    pub(super) term: u64,
    pub(super) leader: Option<NodeId>,
}

/// See the module.
pub(super) struct Elections(Arc<Mutex<VecDeque<Change>>>);

/// This node's wall clock.
pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl Elections {
    /// Watches the replica until `closing` turns true.
    pub(super) fn follow(replica: Replica, mut closing: watch::Receiver<bool>) -> Self {
        let changes: Arc<Mutex<VecDeque<Change>>> = Arc::default();
        let noting = Arc::clone(&changes);
        tokio::spawn(async move {
            let mut leader = None;
            loop {
                tokio::select! {
                    () = replica.leader_differs_from(leader) => {}
                    _ = closing.wait_for(|closing| *closing) => return,
                }
                leader = replica.leader();
                let change = Change { at_ms: now_ms(), term: replica.status().term, leader };
                let mut changes = noting.lock().unwrap_or_else(PoisonError::into_inner);
                changes.push_back(change);
                if changes.len() > CHANGES_MAX {
                    changes.pop_front();
                }
            }
        });
        Self(changes)
    }

    /// The changes, the oldest first.
    pub(super) fn seen(&self) -> Vec<Change> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }
}
