//! The cluster under test: real `flashnode` processes whose peer links go through proxies.
//!
//! Owns: the processes, the proxies, and the way back to health. Never does: choose a fault.
//! Called by `run`, by the nemeses, and by tests.

mod claim;
mod clocks;
mod disks;
mod journals;
mod log_end;
mod recovery;
mod sweep;

pub use recovery::Patience;
pub use sweep::{Swept, sweep};

pub(crate) use claim::Claim;
pub(crate) use clocks::{Clocks, Shift};
pub(crate) use disks::{Disks, Room};
pub(crate) use journals::Journals;
pub(crate) use log_end::LogEnd;

use crate::aside;
use crate::nemesis::{Kind, Need};
use crate::proxy::Network;
use client::cluster::{ClusterError, Launch, ProcessCluster};
use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;
use stock::NodeId;
use stock::api::NodeView;

/// How long a cluster may take to form.
const FORM_DEADLINE: Duration = Duration::from_secs(60);

/// What cluster to start.
#[derive(Debug, Clone)]
pub struct Options {
    /// 3 or 5.
    pub nodes: u64,
    /// The `flashnode` program; otherwise looked for beside this one.
    pub binary: Option<PathBuf>,
    /// Where data directories and logs go.
    pub dir: PathBuf,
    /// Given to every node.
    pub args: Vec<String>,
    /// Environment of every node, such as `FLASHNODE_MUTANT`.
    pub env: Vec<(String, String)>,
    /// The faults that will be injected: some need nodes that were started in their own way.
    pub kinds: Vec<Kind>,
    /// Decides about jitter and loss on the links.
    pub seed: u64,
}

impl Options {
    /// So many nodes with their files in `dir`, made ready for these faults; all else as it is by
    /// default.
    pub fn new(nodes: u64, dir: PathBuf, kinds: &[Kind], seed: u64) -> Self {
        let (binary, args, env, kinds) = (None, Vec::new(), Vec::new(), kinds.to_vec());
        Self { nodes, binary, dir, args, env, kinds, seed }
    }
}

/// A running cluster.
#[derive(Debug)]
pub struct Cluster {
    /// The processes. Start one with [`Cluster::launch`], or it lacks its environment.
    pub processes: ProcessCluster,
    /// The links between them.
    pub network: Network,
    env: Vec<(String, OsString)>,
    /// Whose files a nemesis has damaged: until the fault is healed, which wipes it, such a node
    /// may stop at any time.
    damaged: Option<NodeId>,
    /// Who may end by itself until the fault of now is healed.
    excused: BTreeSet<NodeId>,
    /// What some faults need; or why it is not there, in words. Dropped after the processes.
    clocks: Result<Clocks, String>,
    journals: Result<Journals, String>,
    deaths: Vec<Death>,
    breaches: Vec<String>,
    /// Dropped after the processes, which write there.
    disks: Result<Disks, String>,
    /// Dropped last: nothing is left to be claimed then.
    claim: Claim,
}

/// A process that ended though no fault called for it.
#[derive(Debug, Clone)]
pub struct Death {
    /// The node.
    pub node: NodeId,
    /// How it ended. Its log says why.
    pub status: ExitStatus,
}

impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { node, status } = self;
        write!(f, "node {node} ended by itself ({status}); node-{node}.log says why")
    }
}

impl Cluster {
    /// Starts proxies and nodes, and waits until all are ready.
    ///
    /// # Errors
    /// [`ClusterError`].
    pub async fn start(options: Options) -> Result<Self, ClusterError> {
        let Options { nodes, binary, dir, mut args, env, kinds, seed } = options;
        let claim = stake_claim()?;
        args.extend(kinds.iter().flat_map(|kind| kind.node_args()).map(ToString::to_string));
        let prepared = client::cluster::Options { nodes, binary, dir: Some(dir), extra_args: args };
        let mut processes = ProcessCluster::prepare(prepared)?;
        let peers: Vec<(NodeId, String)> =
            processes.nodes().iter().map(|node| (node.id, node.peer.clone())).collect();
        let network = Network::between(&peers, seed).await;
        let network = network.map_err(unusable("open", "proxies between the nodes"))?;
        for (from, to, address) in network.detours() {
            processes.detour(from, to, address);
        }
        let ids: Vec<NodeId> = peers.iter().map(|(id, _)| *id).collect();
        let needs = |need| kinds.iter().any(|kind| kind.needs() == need);
        let clocks = needs(Need::Clock).then(|| Clocks::wind(&ids, processes.dir()));
        let journals = needs(Need::Journal).then(Journals::find);
        let disks =
            needs(Need::SmallDisk).then(|| Disks::mount(&ids, processes.dir(), claim.tag()));
        if let Some(Ok(disks)) = &disks {
            for id in &ids {
                processes.place(*id, disks.data(*id));
            }
        }
        let mut cluster = Self {
            processes,
            network,
            env: env
                .into_iter()
                .map(|(name, value)| (name, value.into()))
                .chain([claim.environment()])
                .collect(),
            damaged: None,
            excused: BTreeSet::new(),
            clocks: clocks.unwrap_or_else(unneeded),
            journals: journals.unwrap_or_else(unneeded),
            deaths: Vec::new(),
            breaches: Vec::new(),
            disks: disks.unwrap_or_else(unneeded),
            claim,
        };
        for id in cluster.ids() {
            cluster.launch(id)?;
        }
        cluster.processes.wait_ready(FORM_DEADLINE).await?;
        Ok(cluster)
    }

    /// Public addresses, by id.
    pub fn addresses(&self) -> Vec<String> {
        self.processes.addresses()
    }

    /// All nodes, up or down.
    pub fn ids(&self) -> Vec<NodeId> {
        self.processes.nodes().iter().map(|node| node.id).collect()
    }

    /// Starts a node that is down, as [`Cluster::start`] did.
    ///
    /// # Errors
    /// [`ClusterError`] when the process cannot start.
    ///
    /// # Panics
    /// When there is no such node, or it runs.
    pub fn launch(&mut self, id: NodeId) -> Result<(), ClusterError> {
        let mut env = self.env.clone();
        let mut preloaded = Vec::new();
        if let Ok(clocks) = &self.clocks {
            preloaded.push(clocks.library().as_os_str().to_owned());
            env.extend(clocks.environment(id));
        }
        if let Ok(journals) = &self.journals {
            let dir = &self.processes.node(id).dir;
            preloaded.push(journals.library().as_os_str().to_owned());
            let journaled = Journals::environment(dir);
            env.extend(journaled.map_err(unusable("journal", dir.display().to_string()))?);
        }
        if !preloaded.is_empty() {
            env.push(("LD_PRELOAD".to_owned(), preloaded.join(OsStr::new(":"))));
        }
        self.processes.launch(id, &Launch { args: Vec::new(), env })?;
        if let (Ok(clocks), Some(pid)) = (&mut self.clocks, self.processes.node(id).pid()) {
            clocks.note(pid);
            self.claim.note(pid).map_err(unusable("write", "the claim of this run"))?;
        }
        Ok(())
    }

    /// Says that this node's files are no longer what it wrote. It may stop by itself until it is
    /// healed, which is to give it an empty directory.
    ///
    /// # Panics
    /// When another one is damaged: two of three that forget are a majority.
    pub(crate) fn mark_damaged(&mut self, id: NodeId) {
        assert!(self.damaged.is_none_or(|other| other == id), "{:?} is, too", self.damaged);
        self.damaged = Some(id);
    }

    /// Whose files are no longer what it wrote.
    pub(crate) fn damaged(&self) -> Option<NodeId> {
        self.damaged
    }

    /// Takes note of a promise that a node was seen to break, in words.
    pub(crate) fn breach(&mut self, what: String) {
        self.breaches.push(what);
    }

    /// Promises that nodes were seen to break, besides what the checks of a history see.
    pub fn breaches(&self) -> &[String] {
        &self.breaches
    }

    /// Says that this node may end by itself until the fault of now is healed.
    pub(crate) fn excuse(&mut self, id: NodeId) {
        self.excused.insert(id);
    }

    /// The nodes' clocks; or, in words, why there are none.
    pub(crate) fn clocks(&self) -> &Result<Clocks, String> {
        &self.clocks
    }

    pub(crate) fn clocks_mut(&mut self) -> &mut Result<Clocks, String> {
        &mut self.clocks
    }

    /// What journals unsynced writes; or, in words, why nothing does.
    pub(crate) fn journals(&self) -> &Result<Journals, String> {
        &self.journals
    }

    /// How many changes a node that stands still has not synced, but for those of this file.
    ///
    /// # Errors
    /// [`ClusterError::Io`].
    pub(crate) fn waiting(&self, id: NodeId, besides: &Path) -> Result<usize, ClusterError> {
        let dir = &self.processes.node(id).dir;
        let waiting = Journals::waiting(dir, besides);
        waiting.map_err(unusable("look at the journal of", dir.display().to_string()))
    }

    /// Lets a node that is down lose this much of what it has not synced.
    ///
    /// # Errors
    /// [`ClusterError::Io`]; its directory is of no use then.
    pub(crate) fn undo(
        &mut self,
        id: NodeId,
        loss: unsynced::Loss,
        seed: u64,
    ) -> Result<unsynced::Undone, ClusterError> {
        let dir = &self.processes.node(id).dir;
        let undone = Journals::undo(dir, loss, seed);
        undone.map_err(unusable("undo what was not synced in", dir.display().to_string()))
    }

    /// The nodes' disks; or, in words, why they are not small.
    pub(crate) fn disks(&self) -> &Result<Disks, String> {
        &self.disks
    }

    /// What the other nodes that answer say of themselves.
    pub(crate) async fn others(&self, node: NodeId) -> Vec<NodeView> {
        let views = self.processes.own_views().await;
        views.into_iter().flatten().filter(|view| view.id != node).collect()
    }

    /// Processes that ended though no fault called for it, as far as was noticed: each is a bug
    /// of the node, or a fault that went further than it should.
    pub fn deaths(&self) -> &[Death] {
        &self.deaths
    }

    /// Takes note of processes that ended by themselves.
    pub(crate) async fn notice_deaths(&mut self) {
        for node in self.ids() {
            // Whom the harness killed has no process any more.
            if self.processes.node(node).pid().is_none() {
                continue;
            }
            if let Ok(status) = self.processes.wait_exit(node, Duration::ZERO).await
                && self.damaged != Some(node)
                && !self.excused.contains(&node)
            {
                self.deaths.push(Death { node, status });
            }
        }
    }
}

/// The claim of a run that begins. Ends what killed runs left first; what stays does not hinder
/// this one.
pub(crate) fn stake_claim() -> Result<Claim, ClusterError> {
    match sweep() {
        Ok(swept) if swept.is_empty() => {}
        Ok(swept) => aside::say(format_args!("left by runs that were killed: {swept}")),
        Err(error) => aside::say(format_args!("what a killed run left stays: {error}")),
    }
    Claim::stake().map_err(unusable("write", "the claim of this run"))
}

/// What no fault that was asked for needs is not there.
fn unneeded<T>() -> Result<T, String> {
    Err("the cluster was not started for this fault".to_owned())
}

/// An error of the harness itself.
pub(crate) fn unusable(
    action: &'static str,
    what: impl Into<String>,
) -> impl FnOnce(io::Error) -> ClusterError {
    let path = what.into();
    move |error| ClusterError::Io { action, path, error }
}
