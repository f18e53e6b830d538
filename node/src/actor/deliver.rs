//! Brings one batch to a decision: proposes it, or forwards it, and tries again through a failover.
//!
//! Own commands are retried until their deadline. Once an outcome was unknown, every further try
//! is marked as a later attempt, so the machine stores what it decides and a late copy of the
//! first try cannot decide otherwise. Frames of followers get one try: their own node retries.

use super::batch::{FrameSlot, Group};
use super::{Answer, NotProposed};
use raft::{ForwardAnswer, Proposed, Replica};
use std::time::Duration;
use stock::{Attempt, NodeId, Reply};
use tokio::time::Instant;

/// Before the next try while the leader, as this node knows it, does not take the batch.
const RETRY_INTERVAL: Duration = Duration::from_millis(10);

/// Runs until every command of the group is answered.
pub(super) async fn deliver(replica: Replica, mut group: Group) {
    let mut uncertain = false;
    loop {
        let leader = replica.leader();
        if leader == Some(replica.id()) && !replica.has_room() {
            settle_frames(&mut group, false);
            return give_up(group, uncertain, NotProposed::DiskFull);
        }
        let proposed = attempt(&replica, &mut group, leader).await;
        match proposed {
            Proposed::Decided(replies) => return answer(group, replies),
            Proposed::NotProposed => {}
            Proposed::Unknown => uncertain = true,
        }
        settle_frames(&mut group, uncertain);
        if uncertain {
            for command in &mut group.batch.commands {
                command.attempt = Attempt::Later;
            }
        }
        if group.own.is_empty() || !wait_to_retry(&replica, leader, group.deadline).await {
            return give_up(group, uncertain, NotProposed::NoLeader);
        }
    }
}

async fn attempt(replica: &Replica, group: &mut Group, leader: Option<NodeId>) -> Proposed {
    match leader {
        Some(leader) if leader == replica.id() => {
            replica.propose(&mut group.batch, group.deadline).await
        }
        Some(leader) if !group.own.is_empty() => {
            // Only own commands: frames are not passed on a second time.
            settle_frames(group, false);
            replica.forward(leader, &group.batch.commands, group.deadline).await
        }
        Some(_) | None => Proposed::NotProposed,
    }
}

/// Answers the frames, whose nodes will try again, and leaves only own commands in the batch.
fn settle_frames(group: &mut Group, uncertain: bool) {
    for FrameSlot { reply, .. } in group.frames.drain(..) {
        let outcome = if uncertain { ForwardAnswer::Unknown } else { ForwardAnswer::NotProposed };
        let _gone = reply.send(outcome);
    }
    group.batch.commands.truncate(group.own.len());
}

/// False when the deadline leaves no time for another try.
async fn wait_to_retry(replica: &Replica, leader: Option<NodeId>, deadline: Instant) -> bool {
    let again = Instant::now() + RETRY_INTERVAL;
    if again >= deadline {
        return false;
    }
    if leader.is_some() {
        tokio::time::sleep_until(again).await;
        return true;
    }
    tokio::select! {
        () = replica.leader_differs_from(None) => true,
        () = tokio::time::sleep_until(deadline) => false,
    }
}

fn answer(group: Group, replies: Vec<Reply>) {
    let mut replies = replies.into_iter();
    for (answer, reply) in group.own.into_iter().zip(replies.by_ref()) {
        let _gone = answer.send(Answer::Decided(reply));
    }
    for FrameSlot { commands, reply } in group.frames {
        let part = replies.by_ref().take(commands).collect();
        let _gone = reply.send(ForwardAnswer::Decided(part));
    }
}

fn give_up(group: Group, uncertain: bool, why: NotProposed) {
    for answer in group.own {
        let outcome = if uncertain { Answer::Unknown } else { Answer::NotProposed(why) };
        let _gone = answer.send(outcome);
    }
}
