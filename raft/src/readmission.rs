//! The leader's part when a node comes back with an empty directory: replace its vote.
//!
//! The old directory acknowledged entries that the new one does not have, so its vote must not be
//! handed on. The leader removes the voter by a membership change that the *others* commit, adds
//! the new incarnation as a learner, and promotes it once it has caught up. Each step is read off
//! the current membership, so a new leader continues where the old one stopped.

use crate::shared::Shared;
use crate::types::{Incarnation, Member};
use openraft::ChangeMembers;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use stock::NodeId;

/// Between looks at a learner that catches up.
const STEP_INTERVAL: Duration = Duration::from_millis(200);
/// One membership change.
const STEP_TIMEOUT: Duration = Duration::from_secs(10);
/// A learner this close to the end of the leader's log has caught up.
const CAUGHT_UP_ENTRIES: u64 = 256;

/// What the membership says is to be done next for one node.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    RemoveOldVoter,
    RemoveOldLearner,
    AddLearner,
    AwaitCatchUp,
    Promote,
    Done,
}

/// Runs for the life of the node; acts only while it leads.
pub(crate) async fn run(shared: Arc<Shared>) {
    loop {
        if shared.joins().is_empty() || !shared.is_leader() {
            shared.join_noted.notified().await;
        }
        for (id, incarnation) in shared.joins() {
            if let Err(why) = step(&shared, id, incarnation).await {
                tracing::debug!("node {id} is not readmitted yet: {why}");
            }
        }
        tokio::time::sleep(STEP_INTERVAL).await;
    }
}

async fn step(shared: &Shared, id: NodeId, incarnation: Incarnation) -> Result<(), String> {
    let Some(raft) = shared.raft() else {
        return Ok(());
    };
    let ids = BTreeSet::from([id]);
    let next = next_step(shared, id, incarnation);
    let change = match next {
        Step::AwaitCatchUp => return Ok(()),
        Step::Done => {
            shared.joined(id);
            tracing::info!("node {id} has caught up and votes again");
            return Ok(());
        }
        Step::AddLearner => {
            tracing::info!("sending node {id} everything it lost");
            let learner = raft.add_learner(id, Member { incarnation }, false);
            return tokio::time::timeout(STEP_TIMEOUT, learner)
                .await
                .map_err(|error| error.to_string())?
                .map(drop)
                .map_err(|error| error.to_string());
        }
        Step::RemoveOldVoter => raft.change_membership(ChangeMembers::RemoveVoters(ids), false),
        Step::RemoveOldLearner => raft.change_membership(ChangeMembers::RemoveNodes(ids), false),
        Step::Promote => raft.change_membership(ChangeMembers::AddVoterIds(ids), true),
    };
    tokio::time::timeout(STEP_TIMEOUT, change)
        .await
        .map_err(|error| error.to_string())?
        .map(drop)
        .map_err(|error| error.to_string())
}

fn next_step(shared: &Shared, id: NodeId, incarnation: Incarnation) -> Step {
    shared
        .look(|metrics| {
            let membership = metrics.membership_config.membership();
            let votes = membership.voter_ids().any(|voter| voter == id);
            match membership.get_node(&id) {
                None => Step::AddLearner,
                Some(node) if node.incarnation != incarnation && votes => Step::RemoveOldVoter,
                Some(node) if node.incarnation != incarnation => Step::RemoveOldLearner,
                Some(_) if votes => Step::Done,
                Some(_) => {
                    let matched = metrics
                        .replication
                        .as_ref()
                        .and_then(|replication| replication.get(&id).copied().flatten())
                        .map_or(0, |log_id| log_id.index);
                    let last = metrics.last_log_index.unwrap_or(0);
                    if matched > 0 && matched + CAUGHT_UP_ENTRIES >= last {
                        Step::Promote
                    } else {
                        Step::AwaitCatchUp
                    }
                }
            }
        })
        .unwrap_or(Step::AwaitCatchUp)
}
