//! Notices a directory that was rolled back: the leader knows up to where it acknowledged.
//!
//! An older copy of a directory carries its own, older `durable.mark`, so the node cannot see by
//! itself that it has lost entries. A leader remembers, as long as it leads, up to which entry each
//! follower's directory has acknowledged. A node asks before it takes part again; if it holds less
//! than it once acknowledged, it must not vote, and does not start.
//!
//! What it holds is its log and its snapshot. A snapshot is durable when it is acknowledged, but
//! the purge of the log up to it follows later: a node that is killed in between has a log that
//! ends before its snapshot does, and has lost nothing.

use crate::mutant;
use crate::peer::Call;
use crate::shared::Shared;
use crate::types::Incarnation;
use futures_util::future::join_all;
use std::time::Duration;
use stock::NodeId;

const ASK_TIMEOUT: Duration = Duration::from_millis(500);

/// A directory that holds less than it acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "this directory is older than it was: it holds entries up to {held}, and node {leader}, which \
     leads, has its acknowledgement of entry {acknowledged}. An older copy must not be put back: \
     orders could be lost. Remove the directory and start again with an empty one: the other \
     nodes send everything. Do so for one node at a time"
)]
pub struct RolledBack {
    /// The last index that it holds, in its log or its snapshot.
    pub held: u64,
    /// The last index that it acknowledged.
    pub acknowledged: u64,
    /// Who says so.
    pub leader: NodeId,
}

/// Asks the peers. Without an answer there is nothing to say: a leader that is new knows nothing
/// either.
///
/// # Errors
/// [`RolledBack`].
pub(crate) async fn check(shared: &Shared) -> Result<(), RolledBack> {
    if !mutant::defends_itself() {
        return Ok(());
    }
    let held = shared.held_index();
    let asked = shared.links.others().map(|to| async move {
        let path = "/peer/acknowledged";
        let call = Call { to, incarnation: None, path, timeout: ASK_TIMEOUT };
        (to, shared.links.call::<_, Option<u64>>(call, &()).await)
    });
    for (leader, answer) in join_all(asked).await {
        if let Ok(Some(acknowledged)) = answer
            && held < Some(acknowledged)
        {
            let held = held.unwrap_or(0);
            return Err(RolledBack { held, acknowledged, leader });
        }
    }
    Ok(())
}

/// Up to which index this directory of that node has acknowledged, if this node leads and knows.
pub(crate) fn acknowledged(shared: &Shared, id: NodeId, incarnation: Incarnation) -> Option<u64> {
    let known = shared.look(|metrics| {
        let node = metrics.membership_config.membership().get_node(&id)?;
        let replication = metrics.replication.as_ref()?;
        let matched = replication.get(&id).copied().flatten()?;
        (node.incarnation == incarnation).then_some(matched.index)
    });
    known.flatten()
}
