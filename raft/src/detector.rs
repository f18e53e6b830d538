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
//! takes the one with the greater id for the later, so whose turn comes next can win in the term in
//! which the one before it has lost. Whatever this misses (a leader that dies before there is a
//! line to it, a campaign that is not won) the election timeouts see to. Never decides an election.

#[cfg(not(test))]
use crate::mutant::{self, Mutant};
use crate::peer::{Call, Hello};
use crate::shared::Shared;
use crate::status::Role;
use crate::types::{Incarnation, TypeConfig, Vote};
use futures_util::future::join_all;
use openraft::RaftMetrics;
use openraft::impls::leader_id_adv::LeaderId;
use openraft::raft::TransferLeaderRequest;
use std::collections::BTreeMap;
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
        let (vote, term) = (metrics.vote, metrics.current_term);
        let leads = metrics.current_leader == Some(id);
        // The vote is told once it is flushed, a moment later than who leads.
        let is_its = vote.committed && vote.leader_id == LeaderId { term, node_id: id };
        (leads && is_its).then_some(Gone { id, vote, term })
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
    let voters: BTreeMap<NodeId, Incarnation> = shared.look(voters).unwrap_or_default();
    let mut turns = voters.keys().filter(|id| **id != gone.id);
    let (Some(turn), Some(raft)) = (turns.position(|id| *id == me), shared.raft()) else {
        return;
    };
    tokio::select! {
        () = shared.leader_differs_from(Some(gone.id)) => return,
        () = tokio::time::sleep(TURN * turn as u32) => {}
    }
    let hellos = ask(shared, gone, &voters).await;
    let status = crate::status::local(shared);
    let myself =
        Heard { id: me, term: status.term, leader: status.leader, last_log: status.last_log };
    if status.fenced || !can_win(&myself, gone, voters.len(), &hellos) {
        tracing::debug!(?hellos, "node {} has ended, and this node does not campaign", gone.id);
        return;
    }
    tracing::info!("node {}, which led, has ended: this node campaigns", gone.id);
    // As if it had handed over to this node. Raft takes no notice if its vote is not the last.
    let request = TransferLeaderRequest::new(gone.vote, me, None);
    match raft.handle_transfer_leader(request).await {
        Ok(Ok(())) => {}
        Ok(Err(refused)) => tracing::info!("this node does not campaign after all: {refused}"),
        Err(error) => tracing::debug!("this node could not campaign: {error}"),
    }
}

/// Who votes, and by which directory: what a node lost with another gives it no vote.
fn voters(metrics: &RaftMetrics<TypeConfig>) -> BTreeMap<NodeId, Incarnation> {
    let membership = metrics.membership_config.membership();
    let incarnation = |id| Some((id, membership.get_node(&id)?.incarnation));
    metrics.membership_config.voter_ids().filter_map(incarnation).collect()
}

/// What the other voters say. One that lost its directory refuses.
async fn ask(shared: &Shared, gone: &Gone, voters: &BTreeMap<NodeId, Incarnation>) -> Vec<Heard> {
    let me = shared.links.id();
    let others = voters.iter().filter(|(id, _)| **id != me && **id != gone.id);
    let asked = others.map(|(to, incarnation)| {
        let (incarnation, path) = (Some(*incarnation), "/peer/hello");
        let call = Call { to: *to, incarnation, path, timeout: ANSWER_TIMEOUT };
        shared.links.call::<_, Hello>(call, &())
    });
    let answers = join_all(asked).await.into_iter().flatten();
    let takes_part = |hello: &Hello| hello.role != Role::Fenced.to_string();
    answers.filter(takes_part).map(Heard::from).collect()
}

/// What a voter knows.
#[derive(Debug, Clone, Copy)]
struct Heard {
    id: NodeId,
    term: u64,
    leader: Option<NodeId>,
    last_log: u64,
}

impl From<Hello> for Heard {
    fn from(Hello { id, term, leader, last_log, .. }: Hello) -> Self {
        Self { id, term, leader, last_log }
    }
}

/// Whether a majority of the voters is there, and none of it knows better.
fn can_win(me: &Heard, gone: &Gone, voters: usize, others: &[Heard]) -> bool {
    let knows_better = |other: &Heard| {
        let leads = other.leader.is_some_and(|leader| leader != gone.id);
        // Who has campaigned already, and not won, is in the next term.
        let candidate = (gone.term + 1, me.id);
        let is_later = other.term > gone.term && (other.term, other.id) > candidate;
        leads || is_later || other.last_log > me.last_log
    };
    let is_majority = (others.len() + 1) * 2 > voters;
    me.term == gone.term && is_majority && !others.iter().any(knows_better)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gone() -> Gone {
        let leader_id = LeaderId { term: 7, node_id: NodeId(1) };
        Gone { id: NodeId(1), vote: Vote { leader_id, committed: true }, term: 7 }
    }

    fn heard(id: u64, term: u64, leader: Option<u64>, last_log: u64) -> Heard {
        Heard { id: NodeId(id), term, leader: leader.map(NodeId), last_log }
    }

    #[test]
    fn who_cannot_win_disturbs_nobody() {
        let can = |me: Heard, voters, others: &[Heard]| can_win(&me, &gone(), voters, others);
        let me = heard(2, 7, Some(1), 100);
        assert!(can(me, 3, &[heard(3, 7, Some(1), 100)]));
        assert!(can(me, 3, &[heard(3, 7, Some(1), 99)]));
        assert!(!can(me, 3, &[]), "nobody answers");
        assert!(!can(me, 5, &[heard(3, 7, Some(1), 100)]), "two of five");
        assert!(can(me, 5, &[heard(3, 7, Some(1), 100), heard(4, 7, None, 7)]));
        assert!(!can(me, 3, &[heard(3, 7, Some(1), 101)]), "it has more of the log");
        assert!(!can(me, 3, &[heard(3, 8, Some(3), 100)]), "it leads");
        assert!(!can(me, 3, &[heard(3, 8, Some(4), 90)]), "it knows who leads");
        assert!(!can(heard(2, 8, None, 100), 3, &[heard(3, 7, Some(1), 100)]), "an election is on");
    }

    /// The one before it has campaigned and lost, for its log was shorter.
    #[test]
    fn whose_turn_is_next_can_win_in_the_same_term() {
        let lost = heard(2, 8, None, 90);
        assert!(can_win(&heard(3, 7, Some(1), 100), &gone(), 3, &[lost]));
        let later = heard(3, 8, None, 90);
        assert!(!can_win(&heard(2, 7, Some(1), 100), &gone(), 3, &[later]));
        assert!(!can_win(&heard(3, 7, Some(1), 100), &gone(), 3, &[heard(2, 9, None, 90)]));
    }
}
