//! Brings one batch to a decision: proposes it, or forwards it, and tries again through a failover.
//!
//! Own commands are retried until their deadline. Once an outcome was unknown, every further try
//! is marked as a later attempt, so the machine stores what it decides and a late copy of the
//! first try cannot decide otherwise. What followers sent gets one try: their own node retries.
//! When the node ends, a try that is under way is unknown.

use super::batch::{FrameSlot, Group, Slot};
use super::{Answer, Ending, NotProposed};
use crate::trace;
use raft::{ForwardAnswer, Proposed, Replica};
use std::time::Duration;
use stock::{Attempt, Envelope, NodeId, Reply};
use tokio::time::Instant;

/// Before the next try while the leader, as this node knows it, does not take the batch.
const RETRY_INTERVAL: Duration = Duration::from_millis(10);

/// Runs until every command of the group is answered.
pub(super) async fn deliver(replica: Replica, mut group: Group, mut ending: Ending) {
    #[cfg(feature = "mutants")]
    let _counted = crate::mutant::InFlight::count(&group.batch);
    let mut uncertain = false;
    loop {
        let leader = replica.leader();
        if leader == Some(replica.id()) && !replica.has_room() {
            settle_followers(&mut group, false);
            return give_up(group.own, uncertain, NotProposed::DiskFull);
        }
        let proposed = tokio::select! {
            biased;
            proposed = attempt(&replica, &mut group, leader) => proposed,
            () = ending.is_over() => Proposed::Unknown,
        };
        match proposed {
            Proposed::Decided(replies) => return answer(group, replies),
            Proposed::NotProposed => {}
            Proposed::Unknown => uncertain = true,
        }
        settle_followers(&mut group, uncertain);
        if uncertain {
            for command in &mut group.batch.commands {
                command.attempt = Attempt::Later;
            }
            #[cfg(feature = "mutants")]
            crate::mutant::rename(&mut group.batch);
        }
        give_up(group.take_expired(), uncertain, NotProposed::NoLeader);
        if group.own.is_empty() {
            return;
        }
        tokio::select! {
            () = wait_to_retry(&replica, leader, group.deadline()) => {}
            () = ending.has_come() => {
                return give_up(group.own, uncertain, NotProposed::ShuttingDown);
            }
        }
    }
}

async fn attempt(replica: &Replica, group: &mut Group, leader: Option<NodeId>) -> Proposed {
    let deadline = group.deadline();
    match leader {
        Some(leader) if leader == replica.id() => {
            let batch = group.len();
            let stage = |command: &Envelope| trace::propose(command, batch);
            let spans = trace::each(&group.batch.commands, stage);
            let proposed = replica.propose(&mut group.batch, deadline).await;
            trace::came_to(&spans, &proposed);
            proposed
        }
        Some(leader) => {
            // Only own commands: what followers sent is not passed on a second time.
            settle_followers(group, false);
            if group.own.is_empty() {
                return Proposed::NotProposed;
            }
            let frame = group.len();
            let stage = |command: &Envelope| trace::forward(command, leader, frame);
            let spans = trace::each(&group.batch.commands, stage);
            let proposed =
                replica.forward(leader, &group.batch.commands, group.waiting, deadline).await;
            trace::came_to(&spans, &proposed);
            proposed
        }
        None => Proposed::NotProposed,
    }
}

/// Answers what followers sent, who will try again, and leaves only own commands in the batch.
fn settle_followers(group: &mut Group, uncertain: bool) {
    for FrameSlot { reply, .. } in group.frames.drain(..) {
        let outcome = if uncertain { ForwardAnswer::Unknown } else { ForwardAnswer::NotProposed };
        let _gone = reply.send(outcome);
    }
    group.batch.commands.truncate(group.own.len());
    give_up(group.take_once(), uncertain, NotProposed::NoLeader);
}

/// Waits a moment, or until there is a leader, but not past the deadline.
pub(super) async fn wait_to_retry(replica: &Replica, leader: Option<NodeId>, deadline: Instant) {
    let again = Instant::now() + RETRY_INTERVAL;
    if leader.is_some() {
        return tokio::time::sleep_until(again).await;
    }
    tokio::select! {
        () = replica.leader_differs_from(None) => {}
        () = tokio::time::sleep_until(deadline) => {}
    }
}

fn answer(group: Group, replies: Vec<Reply>) {
    let mut replies = replies.into_iter();
    for (Slot { reply_to, .. }, reply) in group.own.into_iter().zip(replies.by_ref()) {
        reply_to.send(Answer::Decided(reply));
    }
    for FrameSlot { commands, reply } in group.frames {
        let part = replies.by_ref().take(commands).collect();
        let _gone = reply.send(ForwardAnswer::Decided(part));
    }
}

fn give_up(slots: Vec<Slot>, uncertain: bool, why: NotProposed) {
    for Slot { reply_to, .. } in slots {
        reply_to.send(if uncertain { Answer::Unknown } else { Answer::NotProposed(why) });
    }
}
