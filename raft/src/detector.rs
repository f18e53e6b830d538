//! The failure detector: a follower learns at once that the leader's process has ended.
//!
//! A silent leader may be slow, paused or cut off, and only time tells: that is what election
//! timeouts are for, and they stay as they are. But the system of a process that ends closes its
//! connections, and then refuses new ones: nobody is there to be waited for. So whoever sees its
//! line to the leader end, and is refused when it connects anew, campaigns, and asks the others to
//! vote although they heard from that leader a moment ago. (As Chandra and Toueg call it in
//! "Unreliable Failure Detectors for Reliable Distributed Systems", 1996, it is allowed to err: the
//! election is Raft's own, and a leader that lives after all steps down for the new one. No read
//! trusts a lease.)
//!
//! The followers would disturb one another if all of them campaigned at once, so they take turns by
//! their ids. Never decides an election.

use crate::shared::Shared;
use openraft::raft::TransferLeaderRequest;
use std::sync::Arc;
use std::time::Duration;
use stock::NodeId;

/// How long each follower leaves to the one before it: some times what an election takes.
const TURN: Duration = Duration::from_millis(50);
/// Before the next line to a leader that closed one and is there.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Set by the test of what happens when nobody campaigns soon; no other build has it.
#[cfg(test)]
pub(crate) static IS_OFF: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

/// Runs for the life of the node.
pub(crate) async fn run(shared: Arc<Shared>) {
    #[cfg(test)]
    if IS_OFF.load(std::sync::atomic::Ordering::Relaxed) {
        return;
    }
    let me = shared.links.id();
    loop {
        let leader = shared.leader();
        tokio::select! {
            () = shared.leader_differs_from(leader) => {}
            gone = is_gone(&shared, leader.filter(|id| *id != me)) => if let Some(gone) = gone {
                campaign(&shared, gone).await;
            }
        }
    }
}

/// Returns when the line to the leader has ended; the leader, if it is surely not there any more.
async fn is_gone(shared: &Shared, leader: Option<NodeId>) -> Option<NodeId> {
    let Some(leader) = leader else {
        return std::future::pending().await;
    };
    shared.links.lost(leader).await;
    let is_gone = shared.links.is_refused_by(leader).await;
    if !is_gone {
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    is_gone.then_some(leader)
}

/// Campaigns when it is this node's turn, unless another leads by then.
async fn campaign(shared: &Shared, gone: NodeId) {
    let me = shared.links.id();
    let voters = shared.look(|metrics| {
        metrics.membership_config.voter_ids().filter(|id| *id != gone).collect::<Vec<_>>()
    });
    let turn = voters.unwrap_or_default().iter().position(|id| *id == me);
    let (Some(turn), Some(raft)) = (turn, shared.raft()) else {
        return;
    };
    tokio::select! {
        () = shared.leader_differs_from(Some(gone)) => return,
        () = tokio::time::sleep(TURN * turn as u32) => {}
    }
    if shared.fence.is_fenced() || shared.leader() != Some(gone) {
        return;
    }
    let Some(vote) = shared.look(|metrics| metrics.vote) else {
        return;
    };
    tracing::info!("node {gone}, which led, has ended: this node campaigns");
    // As if it had handed over to this node; refused if its vote is not the last one any more.
    let request = TransferLeaderRequest::new(vote, me, None);
    if let Err(error) = raft.handle_transfer_leader(request).await {
        tracing::debug!("this node could not campaign: {error}");
    }
}
