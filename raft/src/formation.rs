//! How a node with an empty directory becomes a member: it forms the cluster with the others, or
//! is let into the one that it finds.
//!
//! A cluster forms only when *all* configured peers answer with empty directories; the lowest id
//! initialises it. While any peer knows a cluster, an empty directory means that this node's data
//! was lost: it neither votes nor campaigns, and asks the leader to replace its vote
//! ([`crate::readmission`]). Never both: nothing is initialised next to a cluster that lives.

use crate::peer::{Call, Hello, JoinAnswer, JoinRequest, PeerError, PeerRefusal};
use crate::roster;
use crate::shared::Shared;
use crate::status::Standing;
use crate::types::{ClusterId, Member};
use futures_util::future::join_all;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use stock::NodeId;

/// Between rounds of questions to the peers.
const ROUND_INTERVAL: Duration = Duration::from_millis(200);
const HELLO_TIMEOUT: Duration = Duration::from_millis(500);

/// Rounds without a leader's answer before this node says that something is wrong.
const ROUNDS_BEFORE_ALARM: u32 = 15;

/// What each other configured node said.
pub(crate) type Hellos = BTreeMap<NodeId, Result<Hello, PeerError>>;

/// Why a node must not start: continuing would mix two clusters or two nodes.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A peer belongs to another cluster than this directory.
    #[error(
        "node {peer} belongs to cluster {theirs}, this directory to {ours}: check --peers, or \
         point --data at the directory of that cluster"
    )]
    OtherCluster {
        /// The peer.
        peer: NodeId,
        /// Its cluster.
        theirs: ClusterId,
        /// The cluster of this directory.
        ours: ClusterId,
    },
    /// At a peer's address answers another node.
    #[error("at the address given for node {peer} answers node {theirs}: check --peers")]
    OtherNode {
        /// The peer, as configured.
        peer: NodeId,
        /// Who answers there.
        theirs: NodeId,
    },
    /// A peer is configured with other nodes.
    #[error(
        "node {peer} is configured with nodes {theirs}, this one with {ours}: make --peers agree"
    )]
    OtherPeers {
        /// The peer.
        peer: NodeId,
        /// Its nodes.
        theirs: String,
        /// Our nodes.
        ours: String,
    },
}

/// Asks every other node who it is.
pub(crate) async fn hellos(shared: &Shared) -> Hellos {
    let asked = shared.links.others().map(|to| async move {
        let path = "/peer/hello";
        let call = Call { to, incarnation: None, path, timeout: HELLO_TIMEOUT };
        (to, shared.links.call::<_, Hello>(call, &()).await)
    });
    join_all(asked).await.into_iter().collect()
}

/// Compares what the reachable peers say with what this node is.
///
/// # Errors
/// [`IdentityError`] when this node must not go on.
pub(crate) fn check_identity(shared: &Shared, hellos: &Hellos) -> Result<(), IdentityError> {
    let our_peers: Vec<NodeId> = shared.links.ids().collect();
    for (&peer, answer) in hellos {
        match answer {
            Err(PeerError::Refused { refusal: PeerRefusal::OtherNode { theirs }, .. }) => {
                return Err(IdentityError::OtherNode { peer, theirs: *theirs });
            }
            Err(PeerError::Refused { refusal: PeerRefusal::OtherCluster { theirs }, .. }) => {
                if let Some(ours) = shared.links.cluster() {
                    return Err(IdentityError::OtherCluster { peer, theirs: *theirs, ours });
                }
            }
            Ok(hello) if hello.peers != our_peers => {
                return Err(IdentityError::OtherPeers {
                    peer,
                    theirs: list(&hello.peers),
                    ours: list(&our_peers),
                });
            }
            Ok(_) | Err(_) => {}
        }
    }
    Ok(())
}

/// Lists ids for a message: `1, 2, 3`.
pub(crate) fn list(ids: &[NodeId]) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Runs until this node is a member. Returns at once when its directory is not empty.
///
/// # Errors
/// [`IdentityError`] when a peer turns out to be of another cluster or configuration.
pub(crate) async fn run(shared: Arc<Shared>) -> Result<(), IdentityError> {
    let mut rejoining_rounds = 0;
    while !is_member(&shared) {
        let hellos = hellos(&shared).await;
        check_identity(&shared, &hellos)?;
        if is_member(&shared) {
            break;
        }
        if hellos.values().flatten().any(|hello| hello.cluster.is_some() && !hello.fresh) {
            rejoining_rounds += 1;
            ask_to_join(&shared, &hellos, rejoining_rounds).await;
        } else if shared.is_fresh() {
            form_or_wait(&shared, &hellos).await;
        }
        // Else this node is in a membership that has yet to be committed; to found a cluster a
        // second time would be to found another.
        tokio::time::sleep(ROUND_INTERVAL).await;
    }
    let nodes: Vec<NodeId> = shared.links.ids().collect();
    if let Err(error) = roster::remember(&shared.data, &nodes) {
        // The next start does it.
        tracing::warn!("the directory could not note the cluster's nodes: {error}");
    }
    shared.set_standing(Standing::Member);
    Ok(())
}

/// Does the membership, as this node has it, name this directory as a voter?
fn is_member(shared: &Shared) -> bool {
    let (id, incarnation) = (shared.links.id(), shared.links.incarnation());
    shared
        .look(|metrics| {
            let membership = metrics.committed_membership_config.membership();
            membership.get_node(&id).is_some_and(|node| node.incarnation == incarnation)
                && membership.voter_ids().any(|voter| voter == id)
        })
        .unwrap_or(false)
}

async fn form_or_wait(shared: &Shared, hellos: &Hellos) {
    let missing: Vec<String> = hellos
        .iter()
        .filter(|(_, answer)| answer.is_err())
        .map(|(id, _)| format!("node {id} ({})", shared.links.address(*id).unwrap_or("?")))
        .collect();
    if !missing.is_empty() {
        let why = format!("waiting for {} to form the cluster", missing.join(" and "));
        if shared.set_standing(Standing::Forming(why.clone())) {
            tracing::info!("{why}: start it with the same --peers");
        }
        return;
    }
    let founder = shared.links.ids().min();
    if founder != Some(shared.links.id()) {
        let why = "all peers are here; waiting for the lowest id to form the cluster";
        shared.set_standing(Standing::Forming(why.into()));
        return;
    }
    if hellos.values().flatten().any(|hello| !hello.fresh) {
        let why = "a peer's directory is not empty, yet it knows no cluster; restart or wipe it";
        if shared.set_standing(Standing::Forming(why.into())) {
            tracing::warn!("{why}");
        }
        return;
    }
    if let Err(why) = initialise(shared, hellos).await {
        tracing::error!("the cluster could not be formed, trying again: {why}");
    }
}

/// Founds the cluster. Only the lowest id gets here, and only when every directory is empty.
async fn initialise(shared: &Shared, hellos: &Hellos) -> Result<(), String> {
    let mut members: BTreeMap<NodeId, Member> = hellos
        .values()
        .flatten()
        .map(|hello| (hello.id, Member { incarnation: hello.incarnation }))
        .collect();
    members.insert(shared.links.id(), Member { incarnation: shared.links.incarnation() });
    let cluster = ClusterId(rand::random());
    // The id is durable before the first entry is: a log never lacks its cluster.
    shared.store.adopt_cluster(Some(cluster)).await.map_err(|error| error.to_string())?;
    shared.links.set_cluster(cluster);
    let raft = shared.raft().ok_or("Raft does not run yet")?;
    raft.initialize(members).await.map_err(|error| error.to_string())?;
    tracing::info!(%cluster, "formed the cluster");
    Ok(())
}

async fn ask_to_join(shared: &Shared, hellos: &Hellos, rounds: u32) {
    let known: Vec<&Hello> =
        hellos.values().flatten().filter(|hello| hello.cluster.is_some()).collect();
    let with_data = known.iter().filter(|hello| !hello.fresh).count();
    let nodes = hellos.len() + 1;
    let request = JoinRequest { id: shared.links.id(), incarnation: shared.links.incarnation() };
    let leader = known.iter().find_map(|hello| hello.leader);
    let mut noted = false;
    if let Some(to) = leader.filter(|leader| *leader != shared.links.id()) {
        let path = "/peer/join";
        let call = Call { to, incarnation: None, path, timeout: HELLO_TIMEOUT };
        match shared.links.call(call, &request).await {
            Ok(JoinAnswer::Noted) => noted = true,
            // The membership that names this directory is on its way.
            Ok(JoinAnswer::Voter) => return,
            Ok(JoinAnswer::NotLeader(_)) | Err(_) => {}
        }
    }
    let alarm = rounds >= ROUNDS_BEFORE_ALARM;
    let minority = with_data <= nodes / 2 && hellos.values().all(Result::is_ok);
    if !alarm && (minority || !noted) {
        // The cluster may have formed, or its leader may have changed, a moment ago.
        return;
    }
    let why = if minority {
        format!(
            "only {with_data} of {nodes} nodes still have their data, which is no majority, so \
             nobody can say what was sold. Bring back the lost directories exactly as they were \
             when their nodes stopped (a disk that was not mounted, say) and start those nodes \
             again; an older copy or a backup would silently lose orders. Only to give up every \
             sale: stop all nodes, remove all their directories, and start anew"
        )
    } else if noted {
        "the cluster lives and this directory is empty: the leader replaces this node's vote"
            .to_string()
    } else {
        "the cluster lives and this directory is empty, but no leader is there to let this node \
         in: start the other nodes"
            .to_string()
    };
    if shared.set_standing(Standing::Rejoining(why.clone())) {
        tracing::warn!("{why}");
    }
}
