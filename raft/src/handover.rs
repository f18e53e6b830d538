//! A leader's leaving: another voter is asked to lead before this one stops.

use crate::shared::Shared;
use stock::NodeId;
use tokio::time::Instant;

/// Hands leadership to the voter that is farthest along among those that `may` lead, if this node
/// leads; returns when it has moved, or at the deadline.
pub(crate) async fn to_any(shared: &Shared, may: impl Fn(NodeId) -> bool, deadline: Instant) {
    let me = shared.links.id();
    let Some(raft) = shared.raft() else {
        return;
    };
    if !shared.is_leader() {
        return;
    }
    let heir = shared.look(|metrics| {
        let voters: Vec<NodeId> = metrics.membership_config.voter_ids().collect();
        let replication = metrics.replication.as_ref()?;
        replication
            .iter()
            .filter(|(id, _)| **id != me && voters.contains(id) && may(**id))
            .max_by_key(|(_, matched)| **matched)
            .map(|(id, _)| *id)
    });
    let Some(heir) = heir.flatten() else {
        return;
    };
    if raft.trigger().transfer_leader(heir).await.is_ok() {
        let moved = shared.leader_differs_from(Some(me));
        if tokio::time::timeout_at(deadline, moved).await.is_ok() {
            tracing::info!("handed leadership to node {heir}");
        }
    }
}
