//! The leader's part when a node comes back with an empty directory: replace its vote.
//!
//! The old directory acknowledged entries that the new one does not have, so its vote must not be
//! handed on. The leader removes the voter by a membership change that the *others* commit, adds
//! the new incarnation as a learner, and promotes it once it has caught up. Every step but the
//! first is read off the committed membership alone, so a new leader continues where the old one
//! stopped, and a change that was left half done (a joint membership) is finished.

use crate::peer::{Call, Hello};
use crate::shared::Shared;
use crate::types::{Incarnation, Member, TypeConfig};
use openraft::{ChangeMembers, RaftMetrics};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use stock::NodeId;

/// Between looks at the membership and at learners that catch up.
const STEP_INTERVAL: Duration = Duration::from_millis(200);
/// One membership change.
const STEP_TIMEOUT: Duration = Duration::from_secs(10);
const HELLO_TIMEOUT: Duration = Duration::from_millis(500);
/// A learner this close to the end of the leader's log has caught up.
const CAUGHT_UP_ENTRIES: u64 = 256;

/// What the membership says is to be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Finish a change that was left between its two entries.
    Flatten,
    Promote(NodeId),
    RemoveVoter(NodeId, Incarnation),
    RemoveLearner(NodeId, Incarnation),
    AddLearner(NodeId, Incarnation),
}

/// Runs for the life of the node; acts only while it leads.
pub(crate) async fn run(shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(STEP_INTERVAL).await;
        if !shared.is_leader() {
            shared.forget_joins();
            continue;
        }
        let joins = shared.joins();
        let Some(step) = shared.look(|metrics| next_step(metrics, &joins)).flatten() else {
            continue;
        };
        if let Err(why) = take(&shared, step).await {
            tracing::debug!("{step:?} is not done yet: {why}");
        }
    }
}

fn next_step(
    metrics: &RaftMetrics<TypeConfig>,
    joins: &BTreeMap<NodeId, Incarnation>,
) -> Option<Step> {
    if metrics.membership_config != metrics.committed_membership_config {
        // A change is under way.
        return None;
    }
    let membership = metrics.committed_membership_config.membership();
    if membership.get_joint_config().len() > 1 {
        return Some(Step::Flatten);
    }
    let voters: BTreeSet<NodeId> = membership.voter_ids().collect();
    let last = metrics.last_log_index.unwrap_or(0);
    let matched = |id: &NodeId| {
        let replication = metrics.replication.as_ref()?;
        replication.get(id).copied().flatten().map(|log_id| log_id.index)
    };
    let caught_up = |id: &NodeId| matched(id).is_some_and(|at| at + CAUGHT_UP_ENTRIES >= last);
    for (&id, &incarnation) in joins {
        match membership.get_node(&id) {
            None => return Some(Step::AddLearner(id, incarnation)),
            // Its request is carried out; what is left is read off the membership.
            Some(node) if node.incarnation == incarnation => {}
            Some(_) if voters.contains(&id) => return Some(Step::RemoveVoter(id, incarnation)),
            Some(_) => return Some(Step::RemoveLearner(id, incarnation)),
        }
    }
    let mut learners = membership.learner_ids();
    learners.find(caught_up).map(Step::Promote)
}

async fn take(shared: &Shared, step: Step) -> Result<(), String> {
    let Some(raft) = shared.raft() else {
        return Ok(());
    };
    let one = |id: NodeId| BTreeSet::from([id]);
    let (change, retain) = match step {
        Step::Flatten => (ChangeMembers::AddVoterIds(BTreeSet::new()), true),
        Step::Promote(id) => (ChangeMembers::AddVoterIds(one(id)), true),
        Step::RemoveVoter(id, incarnation) => {
            stands_by(shared, id, incarnation).await?;
            (ChangeMembers::RemoveVoters(one(id)), false)
        }
        Step::RemoveLearner(id, incarnation) => {
            stands_by(shared, id, incarnation).await?;
            (ChangeMembers::RemoveNodes(one(id)), false)
        }
        Step::AddLearner(id, incarnation) => {
            tracing::info!("sending node {id} everything it lost");
            (ChangeMembers::AddNodes(BTreeMap::from([(id, Member { incarnation })])), true)
        }
    };
    tokio::time::timeout(STEP_TIMEOUT, raft.change_membership(change, retain))
        .await
        .map_err(|error| error.to_string())?
        .map_err(|error| error.to_string())?;
    if let Step::Promote(id) = step {
        shared.forget_join(id);
        tracing::info!("node {id} has caught up and votes again");
    }
    Ok(())
}

/// Before a vote is taken away: does the node that *this* node reaches under the id have that
/// empty directory? Someone may have started a second node under the id of a healthy one.
async fn stands_by(shared: &Shared, id: NodeId, incarnation: Incarnation) -> Result<(), String> {
    let path = "/peer/hello";
    let call = Call { to: id, incarnation: None, path, timeout: HELLO_TIMEOUT };
    let hello: Hello = shared.links.call(call, &()).await.map_err(|error| error.to_string())?;
    if hello.incarnation == incarnation && hello.fresh {
        return Ok(());
    }
    shared.forget_join(id);
    Err(format!("at the address of node {id} answers another directory, which keeps its vote"))
}
