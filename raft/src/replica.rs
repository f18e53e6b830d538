//! The face of this crate: one replica of the stock, opened, proposed to, read from, shut down.

use crate::applied::Applied;
use crate::apply::StateMachine;
use crate::barrier::{Barrier, ReadError};
use crate::counting::Counting;
use crate::formation::{self, IdentityError};
use crate::mutant::{self, Mutant};
use crate::peer::{self, Links, Network};
use crate::propose::encode_batch;
use crate::rollback::{self, RolledBack};
use crate::roster::{self, RosterError};
use crate::segment::SegmentStore;
use crate::shared::{Forwarded, Parts, Shared};
use crate::snapshot::{SnapshotStore, sealer};
use crate::status::{self, LocalStatus, Standing};
use crate::store::{LogStore, StoreError};
use crate::{
    check, clock, counting, detector, diagnosis, fence, handover, readmission, tick, upgrade,
    upkeep,
};
use openraft::error::{ClientWriteError, RaftError};
use openraft::{Config, Raft, SnapshotPolicy};
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use stock::{Batch, Event, Machine, NodeId, Reply, Rules, Seq};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Set by the test that shows what openraft's default would do; no other build has it.
#[cfg(test)]
pub(crate) static LEADER_RESTORE: std::sync::atomic::AtomicBool =
    std::sync::atomic::AtomicBool::new(false);

#[cfg(test)]
fn leader_restore() -> bool {
    LEADER_RESTORE.load(std::sync::atomic::Ordering::Relaxed)
}

#[cfg(not(test))]
const fn leader_restore() -> bool {
    false
}

/// How to open a replica.
#[derive(Debug, Clone)]
pub struct ReplicaConfig {
    /// This node.
    pub id: NodeId,
    /// Every node's peer listener as this node reaches it; its own entry is what it binds.
    pub peers: BTreeMap<NodeId, String>,
    /// The address of this node's public listener, as peers should tell clients.
    pub http: String,
    /// The data directory.
    pub data: PathBuf,
    /// Between heartbeats of a leader.
    pub heartbeat: Duration,
    /// A follower that hears nothing asks for votes after `election_min..election_max` more.
    pub election_min: Duration,
    /// See `election_min`.
    pub election_max: Duration,
    /// Entries between snapshots.
    pub snapshot_entries: u64,
    /// Entries kept in the log behind a snapshot, so that a node that lags less needs none.
    pub keep_entries: u64,
    /// Whether this node counts clicks while it leads: see [`Replica::counts`].
    pub counts_clicks: bool,
}

/// Why a replica cannot be opened. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The data directory cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The snapshot or a segment cannot be read.
    #[error(
        "the snapshot in {dir} cannot be used: {source}. Move the directory away and start again: \
         the other nodes send everything anew"
    )]
    Snapshot {
        /// The data directory.
        dir: String,
        /// What is wrong.
        source: io::Error,
    },
    /// The peer listener cannot be bound.
    #[error(
        "cannot listen for peers on {address}, which --peers says is this node's. Is it running \
         already?"
    )]
    Bind {
        /// The address.
        address: String,
        /// Why not.
        source: io::Error,
    },
    /// This directory belongs to a cluster of other nodes.
    #[error(transparent)]
    Roster(#[from] RosterError),
    /// This directory is an older copy of what it was.
    #[error(transparent)]
    RolledBack(#[from] RolledBack),
    /// This node must not join these peers.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// This directory's state was not the majority's.
    #[error(
        "the directory {dir} is fenced: {why}. Remove it and start again with an empty one: the \
         other nodes send everything. Do so for one node at a time"
    )]
    Fenced {
        /// The data directory.
        dir: String,
        /// What was found.
        why: String,
    },
    /// Timeouts that contradict each other.
    #[error("these timeouts cannot work: {0}")]
    Timeouts(String),
    /// Raft does not start.
    #[error("Raft does not start: {0}")]
    Raft(String),
}

/// What became of a proposal.
#[derive(Debug)]
pub enum Proposed {
    /// Committed and applied; each command's reply, in order.
    Decided(Vec<Reply>),
    /// Surely not proposed: it may be proposed again as it is.
    NotProposed,
    /// Proposed, and the outcome is not known: it may only be tried again as a later attempt.
    Unknown,
}

/// One replica. Clones share it.
#[derive(Clone)]
pub struct Replica {
    shared: Arc<Shared>,
    barrier: Barrier,
    failed: watch::Receiver<Option<String>>,
    /// The listener and everything else that runs for this replica; ends with it.
    tasks: Arc<Mutex<JoinSet<()>>>,
}

impl Replica {
    /// Opens the directory, listens for peers, and joins or forms the cluster in the background.
    ///
    /// `forwarded` receives the frames that followers send while this node leads.
    ///
    /// # Errors
    /// [`OpenError`]; nothing has been changed but, at most, the directory created.
    pub async fn open(
        config: ReplicaConfig,
        forwarded: mpsc::Sender<Forwarded>,
    ) -> Result<Self, OpenError> {
        let raft_config = raft_config(&config)?;
        let shared = open_stores(&config, forwarded).await?;
        let mut tasks = JoinSet::new();
        listen(&config, &shared, &mut tasks).await?;
        if !shared.is_fresh() {
            let hellos = formation::hellos(&shared).await;
            formation::check_identity(&shared, &hellos)?;
            rollback::check(&shared).await?;
        }
        let machine = StateMachine::new(shared.applied.clone(), shared.snapshots.clone());
        let network = Network::new(shared.links.clone());
        let raft = Raft::new(config.id, raft_config, network, shared.store.clone(), machine)
            .await
            .map_err(|error| OpenError::Raft(upkeep::in_words(&config.data, &error.to_string())))?;
        shared.set_raft(raft);
        let failed = start_tasks(&shared, &mut tasks);
        let barrier = Barrier::start(&shared, &mut tasks);
        Ok(Self { shared, barrier, failed, tasks: Arc::new(Mutex::new(tasks)) })
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// This node.
    pub fn id(&self) -> NodeId {
        self.shared.links.id()
    }

    /// The leader, as this node knows it.
    pub fn leader(&self) -> Option<NodeId> {
        self.shared.leader()
    }

    /// Returns when the leader, as this node knows it, is another than `leader`.
    pub async fn leader_differs_from(&self, leader: Option<NodeId>) {
        self.shared.leader_differs_from(leader).await;
    }

    /// Stamps a batch, proposes it on this node, which should lead, and waits until it is applied.
    ///
    /// A [`Proposed::Decided`] is on the disks of a majority. The batch must encode to at most
    /// [`stock::codec::BATCH_BYTES_MAX`]; a larger one is not proposed.
    ///
    /// # Panics
    /// When apply did not answer every command of the batch: replicas would diverge.
    pub async fn propose(&self, batch: &mut Batch, deadline: Instant) -> Proposed {
        #[cfg(feature = "mutants")]
        if mutant::is(Mutant::AnswerBeforeCommit) {
            return mutant::early_answer::propose(self, batch, deadline).await;
        }
        self.propose_and_wait(batch, deadline).await
    }

    pub(crate) async fn propose_and_wait(&self, batch: &mut Batch, deadline: Instant) -> Proposed {
        let Some(raft) = self.shared.raft() else {
            return Proposed::NotProposed;
        };
        if self.shared.fence.is_closed() {
            return Proposed::NotProposed;
        }
        let Some(leads) = self.shared.leadership() else {
            return Proposed::NotProposed;
        };
        let stamp = tokio::time::timeout_at(deadline, self.shared.clocks.stamp_ms(leads));
        let Ok(stamp_ms) = stamp.await else {
            return Proposed::NotProposed;
        };
        batch.stamp_ms = stamp_ms;
        let proposal = match encode_batch(self.shared.rules(), batch) {
            Ok(proposal) => proposal,
            Err(error) => {
                tracing::error!("a batch could not be encoded: {error}");
                return Proposed::NotProposed;
            }
        };
        // A leader that is cut off never completes a write, so two other ends are needed.
        let written = tokio::select! {
            written = raft.client_write(proposal) => written,
            () = self.shared.leader_differs_from(Some(self.id())) => return Proposed::Unknown,
            () = tokio::time::sleep_until(deadline) => return Proposed::Unknown,
        };
        match written {
            Ok(response) => {
                assert_eq!(
                    response.data.len(),
                    batch.commands.len(),
                    "apply answers every command of a batch"
                );
                Proposed::Decided(response.data)
            }
            // openraft refuses so before it appends.
            Err(RaftError::APIError(ClientWriteError::ForwardToLeader(_))) => Proposed::NotProposed,
            Err(_) => Proposed::Unknown,
        }
    }

    /// Looks at the machine as this node has applied it. Applies wait meanwhile.
    pub fn read<R>(&self, look: impl FnOnce(&Machine) -> R) -> R {
        self.shared.applied.read(look)
    }

    /// Returns when [`Replica::read`] sees everything that was acknowledged before the call.
    ///
    /// # Errors
    /// [`ReadError`] at the deadline.
    pub async fn read_barrier(&self, deadline: Instant) -> Result<(), ReadError> {
        if mutant::is(Mutant::FollowerAnswersStale) && !self.shared.is_leader() {
            return Ok(());
        }
        if self.shared.fence.is_fenced() {
            return Err(ReadError::NoLeader);
        }
        self.barrier.pass(deadline).await
    }

    /// Waits until this node has applied the change `min_seq`; false at the deadline.
    pub async fn wait_for_seq(&self, min_seq: Seq, deadline: Instant) -> bool {
        let mut progress = self.shared.applied.progress();
        let applied = progress.wait_for(|progress| progress.seq >= min_seq);
        matches!(tokio::time::timeout_at(deadline, applied).await, Ok(Ok(_)))
    }

    /// Any change that this node has applied, from memory or from its segment file. May read disk.
    ///
    /// # Errors
    /// When the segment file cannot be read, or is not what was sealed.
    pub fn event(&self, seq: Seq) -> io::Result<Option<Event>> {
        self.shared.applied.event(seq)
    }

    /// False when the disk is so full that this node must not propose. What it was asked before is
    /// safe, and reads go on.
    pub fn has_room(&self) -> bool {
        self.shared.has_room()
    }

    /// The newest rules that every node is known to apply entries by. Commands that came with
    /// newer ones must not be proposed: nodes of older builds would stop at them.
    pub fn rules(&self) -> Rules {
        self.shared.rules()
    }

    /// This node's own status.
    pub fn status(&self) -> LocalStatus {
        status::local(&self.shared)
    }

    /// Every configured node's status, asked now.
    pub async fn cluster(&self) -> Vec<stock::api::NodeView> {
        diagnosis::cluster(&self.shared).await
    }

    /// Counters of the log store.
    pub fn store_metrics(&self) -> crate::store::StoreMetrics {
        self.shared.store.metrics()
    }

    /// Hands leadership to another voter, if this node leads; returns when it has, or at the
    /// deadline.
    pub async fn step_down(&self, deadline: Instant) {
        handover::to_any(&self.shared, |_| true, deadline).await;
    }

    /// Why this node must not be asked, when its state turned out not to be the majority's. It
    /// proposes and reads nothing linearizable any more; a stale read would be of a wrong state.
    pub fn fenced(&self) -> Option<String> {
        self.shared.fence.fenced()
    }

    /// Returns why, when this replica cannot go on: the process must exit.
    pub async fn failed(&self) -> String {
        let mut failed = self.failed.clone();
        match failed.wait_for(Option::is_some).await {
            Ok(why) => why.clone().unwrap_or_default(),
            Err(_) => "the replica's supervisor stopped".into(),
        }
    }

    /// Stops Raft and closes the log store. What was acknowledged is durable already.
    pub async fn close(&self) {
        if let Some(raft) = self.shared.raft()
            && let Err(error) = raft.shutdown().await
        {
            tracing::warn!("Raft did not shut down cleanly: {error}");
        }
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
        self.shared.store.close().await;
    }
}

fn raft_config(config: &ReplicaConfig) -> Result<Arc<Config>, OpenError> {
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let raft_config = Config {
        cluster_name: "flashnode".into(),
        heartbeat_interval: millis(config.heartbeat),
        election_timeout_min: millis(config.election_min),
        election_timeout_max: millis(config.election_max),
        install_snapshot_timeout: 120_000,
        max_payload_entries: 512,
        max_append_entries: Some(256),
        snapshot_policy: SnapshotPolicy::LogsSinceLast(config.snapshot_entries),
        max_in_snapshot_log_to_keep: config.keep_entries,
        replication_lag_threshold: config.keep_entries.max(config.snapshot_entries),
        purge_batch_size: 256,
        enable_pre_vote: Some(true),
        // The default loses acknowledged entries: a leader may have answered on its followers'
        // disks alone, and would resume its term with a shorter log.
        enable_leader_restore: Some(leader_restore() || mutant::is(Mutant::LeaderRestored)),
        allow_log_reversion: Some(false),
        ..Config::default()
    };
    raft_config.validate().map(Arc::new).map_err(|error| OpenError::Timeouts(error.to_string()))
}

async fn open_stores(
    config: &ReplicaConfig,
    forwarded: mpsc::Sender<Forwarded>,
) -> Result<Arc<Shared>, OpenError> {
    let (dir, id) = (config.data.clone(), config.id);
    let nodes: Vec<NodeId> = config.peers.keys().copied().collect();
    let opened = tokio::task::spawn_blocking(move || {
        let store = LogStore::open(&dir, id)?;
        if let Some(why) = fence::found(&dir).map_err(|e| StoreError::io("read", &dir, e))? {
            return Err(OpenError::Fenced { dir: dir.display().to_string(), why });
        }
        if !store.is_fresh() {
            roster::check(&dir, &nodes)?;
        }
        let snapshot =
            |source: io::Error| OpenError::Snapshot { dir: dir.display().to_string(), source };
        let segments = Arc::new(SegmentStore::open(&dir).map_err(snapshot)?);
        let applied = Applied::new(Arc::clone(&segments));
        let snapshots = SnapshotStore::open(&dir, segments, &applied).map_err(snapshot)?;
        Ok::<_, OpenError>((store, applied, snapshots))
    });
    let (store, applied, snapshots) =
        opened.await.map_err(|error| OpenError::Raft(error.to_string()))??;
    let identity = store.identity();
    let links = Links::new(config.id, identity.incarnation, identity.cluster, config.peers.clone())
        .map_err(|error| OpenError::Raft(error.to_string()))?;
    Ok(Arc::new(Shared::new(Parts {
        links,
        store,
        applied,
        snapshots,
        counting: Counting::new(config.counts_clicks),
        forwarded,
        http: config.http.clone(),
        data: config.data.clone(),
        silence_max: config.election_max * 2,
    })))
}

async fn listen(
    config: &ReplicaConfig,
    shared: &Arc<Shared>,
    tasks: &mut JoinSet<()>,
) -> Result<(), OpenError> {
    let address = config.peers.get(&config.id).cloned().unwrap_or_default();
    let bind = |source: io::Error| OpenError::Bind { address: address.clone(), source };
    let listener = TcpListener::bind(&address).await.map_err(bind)?;
    tasks.spawn(peer::listen(listener, Arc::clone(shared)));
    Ok(())
}

/// Starts the tasks that live as long as the node.
fn start_tasks(shared: &Arc<Shared>, tasks: &mut JoinSet<()>) -> watch::Receiver<Option<String>> {
    let (report, failed) = watch::channel(None);
    if shared.is_fresh() {
        let shared = Arc::clone(shared);
        let report = report.clone();
        shared.set_standing(Standing::Forming("looking for the other nodes".into()));
        tasks.spawn(async move {
            if let Err(error) = formation::run(shared).await {
                report.send_replace(Some(error.to_string()));
            }
        });
    }
    tasks.spawn(readmission::run(Arc::clone(shared)));
    tasks.spawn(diagnosis::run(Arc::clone(shared)));
    tasks.spawn(clock::probe::run(Arc::clone(shared)));
    tasks.spawn(counting::run(Arc::clone(shared)));
    tasks.spawn(detector::run(Arc::clone(shared)));
    tasks.spawn(upgrade::run(Arc::clone(shared)));
    tasks.spawn(check::run(Arc::clone(shared)));
    tasks.spawn(tick::run(Arc::clone(shared)));
    tasks.spawn(sealer::run(shared.snapshots.clone(), shared.applied.clone()));
    tasks.spawn(upkeep::run(Arc::clone(shared), report));
    failed
}
