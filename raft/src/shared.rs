//! What the tasks of one replica share: the links to its peers, its stores, the Raft handle.

use crate::applied::Applied;
use crate::apply::StateMachine;
use crate::barrier::Rounds;
use crate::clock::{Clocks, Leadership};
use crate::counting::Counting;
use crate::fence::Fence;
use crate::peer::{ClickFrame, ForwardAnswer, Hello, JoinAnswer, JoinRequest, Links, PeerError};
use crate::snapshot::SnapshotStore;
use crate::status::Standing;
use crate::store::LogStore;
use crate::types::{Incarnation, StoredMembership, TypeConfig};
use crate::upgrade::Upgrade;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::metrics::RaftServerMetrics;
use openraft::type_config::alias::WatchReceiverOf;
use openraft::{Raft, RaftMetrics, ServerState};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use stock::{Envelope, NodeId};
use tokio::sync::{mpsc, oneshot};

/// How long a peer is taken to be of the older build that it was.
const OLD_BUILD_TIME: Duration = Duration::from_secs(10);

pub(crate) type RaftHandle = Raft<TypeConfig, StateMachine>;
type Metrics = WatchReceiverOf<TypeConfig, RaftMetrics<TypeConfig>>;
/// Changes with the leader, the vote and the membership alone; [`Metrics`] with every entry, which
/// would wake for nothing whoever waits for another leader.
type ServerMetrics = WatchReceiverOf<TypeConfig, RaftServerMetrics<TypeConfig>>;

/// Commands that a follower sent here because this node leads. Its actor merges them into its
/// next batch, and answers each in order.
#[derive(Debug)]
pub struct ForwardedFrame {
    /// Who sent them.
    pub from: NodeId,
    /// How many commands of its clients are not answered yet, these among them. A build that does
    /// not say so counts for these alone.
    pub waiting: usize,
    /// The commands.
    pub commands: Vec<Envelope>,
    /// Where the answer goes.
    pub reply: oneshot::Sender<ForwardAnswer>,
}

/// What followers send to the node that leads.
#[derive(Debug)]
pub enum Forwarded {
    /// Commands for the next batch.
    Commands(ForwardedFrame),
    /// Clicks to be counted first, and refused or read or proposed, each for itself.
    Clicks(ClickFrame),
}

/// See the module.
pub(crate) struct Shared {
    pub(crate) links: Links,
    pub(crate) store: LogStore,
    pub(crate) applied: Applied,
    pub(crate) snapshots: SnapshotStore,
    pub(crate) clocks: Clocks,
    pub(crate) fence: Fence,
    pub(crate) counting: Counting,
    pub(crate) upgrade: Upgrade,
    /// Frames from followers, for the stock actor.
    pub(crate) forwarded: mpsc::Sender<Forwarded>,
    /// The address of the public listener, as others should tell clients.
    pub(crate) http: String,
    /// The data directory.
    pub(crate) data: PathBuf,
    /// A follower that heard nothing from a leader for this long is not ready.
    pub(crate) silence_max: Duration,
    /// Held while a received snapshot is fetched and installed.
    pub(crate) installing: tokio::sync::Mutex<()>,
    joins: Mutex<BTreeMap<NodeId, Incarnation>>,
    heard: Mutex<Option<Instant>>,
    unreached: Mutex<BTreeMap<NodeId, Unreached>>,
    standing: Mutex<Standing>,
    room: AtomicBool,
    /// The last peer that did not know what a follower tells of its queue, and when that was.
    knows_no_queue: Mutex<Option<(NodeId, Instant)>>,
    raft: OnceLock<(RaftHandle, Metrics, ServerMetrics)>,
    confirmations: OnceLock<Rounds<Option<u64>>>,
}

/// A peer that one question after the other surely did not reach.
struct Unreached {
    first: Instant,
    last: Instant,
    why: String,
}

/// What a replica is made of, before Raft runs.
pub(crate) struct Parts {
    pub(crate) links: Links,
    pub(crate) store: LogStore,
    pub(crate) applied: Applied,
    pub(crate) snapshots: SnapshotStore,
    pub(crate) counting: Counting,
    pub(crate) forwarded: mpsc::Sender<Forwarded>,
    pub(crate) http: String,
    pub(crate) data: PathBuf,
    pub(crate) silence_max: Duration,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(crate) fn new(parts: Parts) -> Self {
        Self {
            clocks: Clocks::new(parts.links.id(), parts.links.ids().count()),
            fence: Fence::open(&parts.data),
            upgrade: Upgrade::default(),
            links: parts.links,
            store: parts.store,
            applied: parts.applied,
            snapshots: parts.snapshots,
            counting: parts.counting,
            forwarded: parts.forwarded,
            http: parts.http,
            data: parts.data,
            silence_max: parts.silence_max,
            installing: tokio::sync::Mutex::new(()),
            joins: Mutex::new(BTreeMap::new()),
            heard: Mutex::new(None),
            unreached: Mutex::new(BTreeMap::new()),
            standing: Mutex::new(Standing::Member),
            room: AtomicBool::new(true),
            knows_no_queue: Mutex::new(None),
            raft: OnceLock::new(),
            confirmations: OnceLock::new(),
        }
    }

    /// Whether a peer is of a build that takes commands alone, as far as is known. It may have been
    /// upgraded since.
    pub(crate) fn knows_no_queue(&self, peer: NodeId) -> bool {
        let known = *lock(&self.knows_no_queue);
        known.is_some_and(|(known, at)| known == peer && at.elapsed() < OLD_BUILD_TIME)
    }

    pub(crate) fn note_knows_no_queue(&self, peer: NodeId) {
        *lock(&self.knows_no_queue) = Some((peer, Instant::now()));
    }

    /// The Raft handle; none while the node starts.
    pub(crate) fn raft(&self) -> Option<&RaftHandle> {
        self.raft.get().map(|(raft, ..)| raft)
    }

    /// Called once, when Raft runs.
    ///
    /// # Panics
    /// When called twice.
    pub(crate) fn set_raft(&self, raft: RaftHandle) {
        let (metrics, server) = (raft.metrics(), raft.server_metrics());
        assert!(self.raft.set((raft, metrics, server)).is_ok(), "Raft starts once");
    }

    /// The rounds by which this node confirms that it leads; none while the node starts.
    pub(crate) fn confirmations(&self) -> Option<&Rounds<Option<u64>>> {
        self.confirmations.get()
    }

    /// Called once, when Raft runs.
    ///
    /// # Panics
    /// When called twice.
    pub(crate) fn set_confirmations(&self, confirmations: Rounds<Option<u64>>) {
        assert!(self.confirmations.set(confirmations).is_ok(), "confirmations start once");
    }

    /// Looks at Raft's newest metrics without cloning them.
    pub(crate) fn look<R>(&self, look: impl FnOnce(&RaftMetrics<TypeConfig>) -> R) -> Option<R> {
        self.raft.get().map(|(_, metrics, _)| look(&metrics.borrow_watched()))
    }

    /// The leader as this node knows it. A leader that cannot reach a majority still names itself.
    pub(crate) fn leader(&self) -> Option<NodeId> {
        self.raft.get().and_then(|(_, _, server)| server.borrow_watched().current_leader)
    }

    pub(crate) fn is_leader(&self) -> bool {
        self.look(|metrics| metrics.state == ServerState::Leader).unwrap_or(false)
    }

    /// Its term and where log time is, for a node that leads.
    pub(crate) fn leadership(&self) -> Option<Leadership> {
        let term = self
            .look(|metrics| (metrics.state == ServerState::Leader).then_some(metrics.current_term));
        let applied_ms = self.applied.read(stock::Machine::log_time_ms);
        Some(Leadership { term: term.flatten()?, applied_ms })
    }

    pub(crate) fn heard_from_leader(&self) {
        *lock(&self.heard) = Some(Instant::now());
    }

    /// Since when no leader was heard.
    pub(crate) fn silence(&self) -> Option<Duration> {
        lock(&self.heard).map(|at| at.elapsed())
    }

    /// Notes what became of a question to a peer. One that is late says nothing: the peer may have
    /// much to do.
    pub(crate) fn note_asked(&self, peer: NodeId, failure: Option<&PeerError>) {
        let mut unreached = lock(&self.unreached);
        let Some(error) = failure else {
            unreached.remove(&peer);
            return;
        };
        if error.surely_not_taken() {
            let now = Instant::now();
            let row = unreached.entry(peer).or_insert_with(|| Unreached {
                first: now,
                last: now,
                why: String::new(),
            });
            (row.last, row.why) = (now, error.root());
        }
    }

    /// For how long no question has reached a peer, and why the last did not.
    pub(crate) fn unreached(&self, peer: NodeId) -> Option<(Duration, String)> {
        let unreached = lock(&self.unreached);
        unreached.get(&peer).map(|row| (row.last - row.first, row.why.clone()))
    }

    /// Whether the disk has room for more proposals.
    pub(crate) fn has_room(&self) -> bool {
        self.room.load(Ordering::Relaxed)
    }

    /// Notes whether it has; true when that changed.
    pub(crate) fn set_room(&self, room: bool) -> bool {
        self.room.swap(room, Ordering::Relaxed) != room
    }

    /// Takes this node out of the cluster for good: see [`Fence`]. Blocks.
    pub(crate) fn fence_off(&self, why: &str) {
        if let Some(raft) = self.raft() {
            raft.runtime_config().elect(false);
            raft.runtime_config().heartbeat(false);
        }
        match self.fence.raise(why) {
            Ok(true) => tracing::error!(
                "this node is fenced: {why}. It takes no part any more, and the others sell on. \
                 Stop it, remove its directory {} and start it again: they send it everything",
                self.data.display()
            ),
            Ok(false) => {}
            Err(error) => tracing::error!(
                "this node is fenced ({why}), but cannot note so in {}: {error}. Stop it and \
                 remove the directory",
                self.data.display()
            ),
        }
    }

    /// How this node stands to the cluster.
    pub(crate) fn standing(&self) -> Standing {
        lock(&self.standing).clone()
    }

    /// Changes the standing; true when it differs from the last.
    pub(crate) fn set_standing(&self, standing: Standing) -> bool {
        let mut current = lock(&self.standing);
        let differs = *current != standing;
        *current = standing;
        differs
    }

    /// Returns when the leader, as this node knows it, is another than `leader`.
    pub(crate) async fn leader_differs_from(&self, leader: Option<NodeId>) {
        let Some((_, _, server)) = self.raft.get() else {
            return;
        };
        let mut server = server.clone();
        while server.borrow_watched().current_leader == leader {
            if server.changed().await.is_err() {
                // Raft has stopped; whoever waits has a deadline, or ends with the node.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Notes that a node wants in with a new directory.
    pub(crate) fn note_join(&self, request: JoinRequest) -> JoinAnswer {
        if !self.is_leader() {
            return JoinAnswer::NotLeader(self.leader());
        }
        let named = |membership: &StoredMembership| {
            let node = membership.membership().get_node(&request.id);
            node.is_some_and(|node| node.incarnation == request.incarnation)
        };
        let votes = self.look(|metrics| {
            let committed = &metrics.committed_membership_config;
            named(committed) && committed.voter_ids().any(|id| id == request.id)
        });
        if votes == Some(true) {
            return JoinAnswer::Voter;
        }
        // A learner is promoted, and a founding member confirmed, without being asked for.
        if self.look(|metrics| named(&metrics.membership_config)) == Some(true) {
            return JoinAnswer::Noted;
        }
        let noted = lock(&self.joins).insert(request.id, request.incarnation);
        if noted != Some(request.incarnation) {
            tracing::info!(
                node = request.id.0,
                "node {} comes with an empty directory; replacing its vote",
                request.id
            );
        }
        JoinAnswer::Noted
    }

    /// Who wants in.
    pub(crate) fn joins(&self) -> BTreeMap<NodeId, Incarnation> {
        lock(&self.joins).clone()
    }

    /// Forgets a request that was carried out, or that its node does not stand by.
    pub(crate) fn forget_join(&self, id: NodeId) {
        lock(&self.joins).remove(&id);
    }

    /// Forgets all requests: whoever wants in asks the new leader.
    pub(crate) fn forget_joins(&self) {
        lock(&self.joins).clear();
    }

    /// True when the directory holds nothing that a cluster could depend on.
    pub(crate) fn is_fresh(&self) -> bool {
        self.store.is_fresh() && self.snapshots.current().is_none()
    }

    /// The last index that the directory holds, in its log or in its snapshot, when one holds any.
    pub(crate) fn held_index(&self) -> Option<u64> {
        let snapshot = self.snapshots.current().and_then(|current| current.meta.last_log_id);
        self.store.last_index().max(snapshot.map(|last| last.index))
    }

    /// What this node says of itself.
    pub(crate) fn hello(&self) -> Hello {
        let status = crate::status::local(self);
        Hello {
            id: self.links.id(),
            incarnation: self.links.incarnation(),
            cluster: self.links.cluster(),
            fresh: self.is_fresh(),
            peers: self.links.ids().collect(),
            http: self.http.clone(),
            role: status.role.to_string(),
            term: status.term,
            leader: status.leader,
            last_log: status.last_log,
            committed: status.committed,
            applied: status.applied,
            seq: status.seq,
            state_hash: status.state_hash,
        }
    }
}
