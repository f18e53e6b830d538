//! The failure detector: a follower learns at once that the leader's process has ended.
//!
//! A silent leader may be slow, paused or cut off, and only time tells: that is what election
//! timeouts are for, and they stay as they are. But the system of a process that ends closes its
//! connections, and then refuses new ones: nobody is there to be waited for. So whoever sees its
//! line to the leader end, and is refused when it connects anew, campaigns, and asks the others to
//! vote although they heard from that leader a moment ago.
//!
//! It is allowed to err, as Chandra and Toueg call such detectors ("Unreliable Failure Detectors
//! for Reliable Distributed Systems", 1996): the election is Raft's own, no read trusts a lease,
//! and a leader that lives after all steps down for the new one. But it must not disturb for
//! nothing, as pre-vote sees to elsewhere. So before it campaigns it asks the other voters: a
//! majority must answer, and none may know another leader, a later term, or more of the log.
//!
//! The voters take turns by their ids. The order matters: of two candidates of one term openraft
//! takes the one with the greater id for the later, so whose turn comes next can win in the same
//! term. Never decides an election.

#[cfg(not(test))]
use crate::mutant::{self, Mutant};
use crate::peer::{Call, Hello};
use crate::shared::Shared;
use crate::types::Vote;
use futures_util::future::join_all;
use openraft::raft::TransferLeaderRequest;
use std::sync::Arc;
use std::time::Duration;
use stock::NodeId;

/// How long each voter leaves to the one before it: several times what an election takes.
const TURN: Duration = Duration::from_millis(50);
/// How long the other voters may take to say what they know.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(150);
/// Before the next line to a leader that closed one and is there.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Set by the test of what happens when nobody campaigns soon; no other build has it.
#[cfg(test)]
pub(crate) static IS_OFF: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

/// Whether nobody is to campaign before a leader that died is back: what a seeded bug needs.
fn is_off() -> bool {
    #[cfg(test)]
    return IS_OFF.load(std::sync::atomic::Ordering::Relaxed);
    #[cfg(not(test))]
    mutant::is(Mutant::LeaderRestored)
}

/// A leader that is not there any more, and the vote by which it led.
struct Gone {
    id: NodeId,
    vote: Vote,
    term: u64,
}

/// Runs for the life of the node.
pub(crate) async fn run(shared: Arc<Shared>) {
    if is_off() {
        return;
    }
    let me = shared.links.id();
    loop {
        let leader = shared.leader();
        tokio::select! {
            () = shared.leader_differs_from(leader) => {}
            gone = is_gone(&shared, leader.filter(|id| *id != me)) => if let Some(gone) = gone {
                campaign(&shared, &gone).await;
            }
        }
    }
}

/// Returns when the line to the leader has ended; the leader, if it is not there any more.
async fn is_gone(shared: &Shared, leader: Option<NodeId>) -> Option<Gone> {
    let Some(id) = leader else {
        return std::future::pending().await;
    };
    shared.links.lost(id).await;
    let led_by = shared.look(|metrics| {
        let still = metrics.current_leader == Some(id);
        still.then_some(Gone { id, vote: metrics.vote, term: metrics.current_term })
    });
    if shared.links.is_refused_by(id).await {
        return led_by.flatten();
    }
    tokio::time::sleep(LOOK_AGAIN).await;
    None
}

/// Campaigns when it is this node's turn, unless another leads by then or could win rather.
async fn campaign(shared: &Shared, gone: &Gone) {
    let me = shared.links.id();
    let voters: Vec<NodeId> =
        shared.look(|metrics| metrics.membership_config.voter_ids().collect()).unwrap_or_default();
    let mut turns = voters.iter().filter(|id| **id != gone.id);
    let (Some(turn), Some(raft)) = (turns.position(|id| *id == me), shared.raft()) else {
        return;
    };
    tokio::select! {
        () = shared.leader_differs_from(Some(gone.id)) => return,
        () = tokio::time::sleep(TURN * turn as u32) => {}
    }
    if shared.fence.is_fenced() || !can_win(shared, gone, &voters).await {
        return;
    }
    tracing::info!("node {}, which led, has ended: this node campaigns", gone.id);
    // As if it had handed over to this node. Raft takes no notice if its vote is not the last.
    let request = TransferLeaderRequest::new(gone.vote, me, None);
    if let Err(error) = raft.handle_transfer_leader(request).await {
        tracing::debug!("this node could not campaign: {error}");
    }
}

/// Whether a majority of the voters is there, and none of it knows better.
async fn can_win(shared: &Shared, gone: &Gone, voters: &[NodeId]) -> bool {
    let me = shared.links.id();
    let ask = |to| {
        let path = "/peer/hello";
        let call = Call { to, incarnation: None, path, timeout: ANSWER_TIMEOUT };
        shared.links.call::<_, Hello>(call, &())
    };
    let others = voters.iter().copied().filter(|id| *id != me && *id != gone.id);
    let answers: Vec<Hello> = join_all(others.map(ask)).await.into_iter().flatten().collect();
    let last_log = crate::status::local(shared).last_log;
    let knows_better = |hello: &Hello| {
        hello.term > gone.term
            || hello.leader.is_some_and(|leader| leader != gone.id)
            || hello.last_log > last_log
    };
    let with_me = answers.len() + 1;
    let can = with_me > voters.len() / 2 && !answers.iter().any(knows_better);
    if !can {
        tracing::debug!(with_me, "node {} has ended, and this node does not campaign", gone.id);
    }
    can
}
