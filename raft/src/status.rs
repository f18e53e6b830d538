//! What a replica knows of itself: for `/v1/cluster`, `/readyz`, metrics and its peers' hellos.

use crate::shared::Shared;
use crate::types::ClusterId;
use openraft::{Instant, ServerState};
use std::fmt;
use std::time::Duration;
use stock::{NodeId, Seq};

/// A replica with more committed entries left to apply than this is not ready.
const READY_LAG_MAX: u64 = 10_000;

/// What part a node plays now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Appends and replicates.
    Leader,
    /// Votes and acknowledges.
    Follower,
    /// Replicates, without a vote yet.
    Learner,
    /// Asks for votes.
    Candidate,
    /// Waits for all peers before the cluster's first start.
    Forming,
    /// Waits with an empty directory to be let in again.
    Rejoining,
    /// Takes no part: its state is not the majority's.
    Fenced,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Leader => "leader",
            Self::Follower => "follower",
            Self::Learner => "learner",
            Self::Candidate => "candidate",
            Self::Forming => "forming",
            Self::Rejoining => "rejoining",
            Self::Fenced => "fenced",
        })
    }
}

/// One moment of a replica. `applied`, `seq` and `state_hash` belong together.
#[derive(Debug, Clone)]
pub struct LocalStatus {
    /// This node.
    pub id: NodeId,
    /// Its part.
    pub role: Role,
    /// Its Raft term.
    pub term: u64,
    /// The leader, as it knows it.
    pub leader: Option<NodeId>,
    /// Index of its last log entry.
    pub last_log: u64,
    /// Index up to which its log is purged, behind a snapshot.
    pub purged: Option<u64>,
    /// Index up to which it knows entries to be committed.
    pub committed: u64,
    /// Index up to which it has applied.
    pub applied: u64,
    /// The machine's version there.
    pub seq: Seq,
    /// The hash of the machine's state there.
    pub state_hash: u128,
    /// Its cluster, once it has one.
    pub cluster_id: Option<ClusterId>,
    /// By how many milliseconds its wall clock is ahead of the median of the nodes' clocks
    /// (negative: behind); none while it knows fewer than a majority of them. More than 500 either
    /// way means that it is off, and has no say in log time.
    pub clock_off_ms: Option<i64>,
    /// Whether it takes no part any more, because its state is not the majority's.
    pub fenced: bool,
    /// Whether it leads and has stopped selling, because no majority has one state.
    pub split: bool,
    /// Whether it can serve, or why not.
    pub ready: Result<(), String>,
}

/// How this node stands to the cluster's membership.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is, as far as it knows, a member.
    Member,
    /// It waits to form a cluster; says for whom.
    Forming(String),
    /// It waits to be let in; says for what.
    Rejoining(String),
    /// It is a member, but no leader is in sight; says why, as far as it can see.
    Leaderless(String),
}

/// Takes the status of this replica.
pub(crate) fn local(shared: &Shared) -> LocalStatus {
    let mark = shared.applied.mark();
    let standing = shared.standing();
    let mut status = LocalStatus {
        id: shared.links.id(),
        role: Role::Forming,
        term: 0,
        leader: None,
        last_log: 0,
        purged: None,
        committed: 0,
        applied: mark.index,
        seq: mark.seq,
        state_hash: mark.state_hash,
        cluster_id: shared.links.cluster(),
        fenced: shared.fence.is_fenced(),
        split: shared.fence.is_split(),
        clock_off_ms: shared.clocks.off_ms().get(&shared.links.id()).copied(),
        ready: Err("the node is starting".into()),
    };
    shared.look(|metrics| {
        status.term = metrics.current_term;
        status.leader = metrics.current_leader;
        status.last_log = metrics.last_log_index.unwrap_or(0);
        status.purged = metrics.purged.as_ref().map(|log_id| log_id.index);
        let committed = metrics.cluster_committed.map_or(0, |log_id| log_id.index);
        status.committed = committed.max(mark.index);
        status.role = match (&standing, metrics.state) {
            _ if status.fenced => Role::Fenced,
            (Standing::Forming(_), _) => Role::Forming,
            (Standing::Rejoining(_), _) => Role::Rejoining,
            (_, ServerState::Leader) => Role::Leader,
            (_, ServerState::Candidate) => Role::Candidate,
            (_, ServerState::Follower | ServerState::Shutdown) => Role::Follower,
            (_, ServerState::Learner) => Role::Learner,
        };
    });
    if shared.raft().is_some() {
        status.ready = ready(shared, &standing, &status);
    }
    status
}

/// For how long no leader with a majority has shown itself: on a leader, since a majority answered
/// it last; elsewhere, since a leader was heard. None when that never happened.
pub(crate) fn leader_silence(shared: &Shared) -> Option<Duration> {
    let leads = shared.look(|metrics| {
        let acked = metrics.last_quorum_acked.as_ref().map(|acked| acked.elapsed());
        (metrics.state == ServerState::Leader).then_some(acked)
    });
    match leads.flatten() {
        Some(quorum_silence) => quorum_silence,
        None => shared.silence(),
    }
}

/// Why a node that hears its leader can ask it nothing, should that be so for longer than a
/// failover takes. Whether it can, the questions for its clock tell.
pub(crate) fn leader_out_of_reach(shared: &Shared) -> Option<String> {
    leader_silence(shared).filter(|silence| *silence <= shared.silence_max)?;
    let leader = shared.leader().filter(|leader| *leader != shared.links.id())?;
    let (lasting, why) = shared.unreached(leader)?;
    let address = shared.links.address(leader)?;
    (lasting > shared.silence_max).then(|| {
        format!(
            "node {leader} leads and is heard, but cannot be asked at {address} ({why}): see that \
             this is its peer listener's address in this node's --peers, and that nothing stands \
             between them"
        )
    })
}

fn ready(shared: &Shared, standing: &Standing, status: &LocalStatus) -> Result<(), String> {
    if let Some(why) = shared.fence.closed() {
        return Err(if status.fenced { format!("it is fenced: {why}") } else { why });
    }
    match standing {
        Standing::Forming(why) | Standing::Rejoining(why) | Standing::Leaderless(why) => {
            return Err(why.clone());
        }
        Standing::Member => {}
    }
    match status.role {
        Role::Leader | Role::Follower => {}
        Role::Learner => return Err("it catches up before it votes again".into()),
        Role::Candidate | Role::Forming | Role::Rejoining | Role::Fenced => {
            return Err("it asks for votes: there is no leader".into());
        }
    }
    if !shared.has_room() {
        return Err("its disk is nearly full".into());
    }
    if status.leader.is_none() {
        return Err("no leader is known".into());
    }
    if leader_silence(shared).is_none_or(|silence| silence > shared.silence_max) {
        return Err(match status.role {
            Role::Leader => "it leads, but no majority answers".into(),
            _ => "nothing was heard from the leader".into(),
        });
    }
    if let Some(why) = leader_out_of_reach(shared) {
        return Err(why);
    }
    let lag = status.committed.saturating_sub(status.applied);
    if lag > READY_LAG_MAX {
        return Err(format!("{lag} committed entries are left to apply"));
    }
    Ok(())
}
