//! A cluster of real `flashnode` processes on this machine, to be killed at will.
//!
//! Owns: the processes, their ports, directories and logs, from start to the end of the last one;
//! dropping the harness kills all of them and removes what it created. Never does: reach into a
//! node other than by signals, files and its public HTTP. Called by `flashctl demo`, by the tests
//! of `node`, and by testers.
//!
//! When the harness is dropped by a panicking test, the directory stays, and its path is printed.

mod error;
mod ports;
mod process;

pub use error::ClusterError;
pub use process::NodeProcess;

use crate::{Client, Timeouts};
use ports::Lease;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};
use stock::NodeId;
use stock::api::{ClusterView, NodeView};
use tempfile::TempDir;

/// How often a condition is looked at while it is waited for.
const POLL_INTERVAL: Duration = Duration::from_millis(10);
/// How long [`ProcessCluster::leader`] looks for one.
const LEADER_DEADLINE: Duration = Duration::from_secs(15);
/// Deadlines of the harness's own questions: a paused node must not hold it up.
const TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_millis(500),
    attempt: Duration::from_secs(2),
    give_up: Duration::from_secs(2),
    settle: Duration::from_secs(2),
};
/// The most nodes of one cluster.
const NODES_MAX: u64 = 9;

/// What kind of cluster to start.
#[derive(Debug, Clone)]
pub struct Options {
    /// How many nodes.
    pub nodes: u64,
    /// The `flashnode` program; otherwise looked for beside this one and in `target/`.
    pub binary: Option<PathBuf>,
    /// Where directories and logs go, and stay; otherwise a temporary directory.
    pub dir: Option<PathBuf>,
    /// Given to every node on each start, after the harness's own.
    pub extra_args: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { nodes: 3, binary: None, dir: None, extra_args: Vec::new() }
    }
}

/// Real node processes.
#[derive(Debug)]
pub struct ProcessCluster {
    nodes: Vec<NodeProcess>,
    binary: PathBuf,
    extra_args: Vec<String>,
    root: Root,
    client: Client,
    /// `Some` while this harness owns the processes.
    lease: Option<Lease>,
}

#[derive(Debug)]
enum Root {
    Given(PathBuf),
    Temporary(TempDir),
}

impl Root {
    fn path(&self) -> &Path {
        match self {
            Self::Given(path) => path,
            Self::Temporary(dir) => dir.path(),
        }
    }
}

impl ProcessCluster {
    /// Finds ports and a directory, and starts every node. Does not wait for them to form: see
    /// [`ProcessCluster::wait_ready`].
    ///
    /// # Errors
    /// [`ClusterError`] when there is no binary, no port, no directory, or a process cannot start.
    pub fn start(options: Options) -> Result<Self, ClusterError> {
        let mut cluster = Self::prepare(options)?;
        for id in 1..=cluster.nodes.len() as u64 {
            cluster.start_node(NodeId(id))?;
        }
        Ok(cluster)
    }

    /// As [`ProcessCluster::start`], but starts no process.
    ///
    /// # Errors
    /// As [`ProcessCluster::start`].
    ///
    /// # Panics
    /// When the number of nodes is 0 or above 9.
    pub fn prepare(options: Options) -> Result<Self, ClusterError> {
        let Options { nodes, binary, dir, extra_args } = options;
        assert!((1..=NODES_MAX).contains(&nodes), "a cluster of {nodes} nodes is not made here");
        let binary = match binary {
            Some(binary) if binary.is_file() => binary,
            Some(binary) => {
                return Err(ClusterError::NoBinary { looked_at: vec![binary] });
            }
            None => find_binary()?,
        };
        let root = if let Some(dir) = dir {
            std::fs::create_dir_all(&dir).map_err(ClusterError::io("create", &dir))?;
            Root::Given(dir)
        } else {
            let temporary = tempfile::Builder::new().prefix("flashnode-").tempdir();
            Root::Temporary(temporary.map_err(ClusterError::io("create", "a directory"))?)
        };
        let lease = Lease::take(2 * nodes as usize)?;
        let nodes: Vec<NodeProcess> = (1..=nodes)
            .zip(lease.ports().chunks(2))
            .map(|(id, pair)| NodeProcess::new(NodeId(id), root.path(), [pair[0], pair[1]]))
            .collect();
        let addresses = nodes.iter().map(|node| node.http.clone()).collect();
        let client = Client::with_timeouts(addresses, TIMEOUTS)?;
        Ok(Self { nodes, binary, extra_args, root, client, lease: Some(lease) })
    }

    /// All nodes, by id.
    pub fn nodes(&self) -> &[NodeProcess] {
        &self.nodes
    }

    /// One node.
    ///
    /// # Panics
    /// When there is no such node.
    pub fn node(&self, id: NodeId) -> &NodeProcess {
        &self.nodes[self.position(id)]
    }

    /// Where all directories and logs are.
    pub fn dir(&self) -> &Path {
        self.root.path()
    }

    /// Public addresses of all nodes, by id, as a [`Client`] takes them.
    pub fn addresses(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.http.clone()).collect()
    }

    /// A client of all nodes; the position of node `n` is `n - 1`.
    ///
    /// # Errors
    /// [`ClusterError::Client`] when the HTTP client cannot be built.
    pub fn client(&self) -> Result<Client, ClusterError> {
        Ok(Client::new(self.addresses())?)
    }

    /// Starts a node that is down, on the ports and the directory it always had.
    ///
    /// # Errors
    /// [`ClusterError`] when the process cannot start.
    ///
    /// # Panics
    /// When there is no such node, or it runs.
    pub fn start_node(&mut self, id: NodeId) -> Result<(), ClusterError> {
        self.start_node_with(id, &[])
    }

    /// As [`ProcessCluster::start_node`], with more arguments for this run.
    ///
    /// # Errors
    /// As [`ProcessCluster::start_node`].
    ///
    /// # Panics
    /// As [`ProcessCluster::start_node`].
    pub fn start_node_with(&mut self, id: NodeId, args: &[String]) -> Result<(), ClusterError> {
        let peers: Vec<String> =
            self.nodes.iter().map(|node| format!("{}={}", node.id, node.peer)).collect();
        let position = self.position(id);
        if let Some(lease) = &mut self.lease {
            lease.release(&self.nodes[position].ports());
        }
        let args: Vec<String> = self.extra_args.iter().chain(args).cloned().collect();
        self.nodes[position].start(&self.binary, &peers.join(","), &args)
    }

    /// SIGKILL, and waits until the process is gone: all it had open is closed by then.
    ///
    /// # Errors
    /// [`ClusterError::Signal`].
    ///
    /// # Panics
    /// When there is no such node, or it does not run.
    pub fn kill(&mut self, id: NodeId) -> Result<(), ClusterError> {
        let position = self.position(id);
        self.nodes[position].kill()
    }

    /// SIGTERM, without waiting: see [`ProcessCluster::wait_exit`].
    ///
    /// # Errors
    /// [`ClusterError::Signal`].
    ///
    /// # Panics
    /// As [`ProcessCluster::kill`].
    pub fn terminate(&mut self, id: NodeId) -> Result<(), ClusterError> {
        let position = self.position(id);
        self.nodes[position].signal(rustix::process::Signal::TERM)
    }

    /// Waits until the process has ended by itself.
    ///
    /// # Errors
    /// [`ClusterError::Deadline`] when it has not.
    ///
    /// # Panics
    /// When there is no such node, or it was not started.
    pub async fn wait_exit(
        &mut self,
        id: NodeId,
        deadline: Duration,
    ) -> Result<ExitStatus, ClusterError> {
        let (position, started) = (self.position(id), Instant::now());
        loop {
            if let Some(status) = self.nodes[position].try_wait()? {
                return Ok(status);
            }
            if started.elapsed() > deadline {
                return Err(ClusterError::deadline(format!("node {id} to exit"), deadline));
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// SIGSTOP, and waits until every thread of it has stopped.
    ///
    /// # Errors
    /// [`ClusterError::Signal`].
    ///
    /// # Panics
    /// As [`ProcessCluster::kill`].
    pub fn pause(&mut self, id: NodeId) -> Result<(), ClusterError> {
        let position = self.position(id);
        self.nodes[position].pause()
    }

    /// SIGCONT.
    ///
    /// # Errors
    /// [`ClusterError::Signal`].
    ///
    /// # Panics
    /// As [`ProcessCluster::kill`].
    pub fn resume(&mut self, id: NodeId) -> Result<(), ClusterError> {
        let position = self.position(id);
        self.nodes[position].resume()
    }

    /// Removes the directory of a node that is down.
    ///
    /// # Errors
    /// [`ClusterError::Io`].
    ///
    /// # Panics
    /// When there is no such node, or it runs.
    pub fn wipe(&mut self, id: NodeId) -> Result<(), ClusterError> {
        assert!(!self.alive(id), "node {id} runs; kill it before wiping its directory");
        let dir = &self.node(id).dir;
        match std::fs::remove_dir_all(dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(ClusterError::io("remove", dir)(error))
            }
            _ => Ok(()),
        }
    }

    /// Whether the process runs (a paused one does).
    ///
    /// # Panics
    /// When there is no such node.
    pub fn alive(&mut self, id: NodeId) -> bool {
        let position = self.position(id);
        self.nodes[position].pid().is_some() && matches!(self.nodes[position].try_wait(), Ok(None))
    }

    /// Waits until every node that was started, and is not paused, is ready.
    ///
    /// # Errors
    /// [`ClusterError::Exited`] with the end of its log as soon as one of them has ended,
    /// [`ClusterError::Deadline`] with whom it waited for.
    pub async fn wait_ready(&mut self, deadline: Duration) -> Result<(), ClusterError> {
        let started = Instant::now();
        let mut waiting: Vec<usize> =
            (0..self.nodes.len()).filter(|position| self.nodes[*position].answers()).collect();
        loop {
            let mut unready = Vec::new();
            for position in waiting {
                if let Some(status) = self.nodes[position].try_wait()? {
                    return Err(self.nodes[position].exited(status));
                }
                if !self.client.ready(position).await {
                    unready.push(position);
                }
            }
            if unready.is_empty() {
                return Ok(());
            }
            if started.elapsed() > deadline {
                let names: Vec<String> =
                    unready.iter().map(|position| self.nodes[*position].in_words()).collect();
                let what = format!("{} to be ready", names.join(" and "));
                return Err(ClusterError::deadline(what, deadline));
            }
            waiting = unready;
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// The leader: of the nodes that run and are not paused, the one that says so of itself, in
    /// the highest term.
    ///
    /// # Errors
    /// [`ClusterError::Deadline`] when none does for 15 s.
    pub async fn leader(&self) -> Result<NodeId, ClusterError> {
        let started = Instant::now();
        loop {
            let mut leader: Option<(u64, NodeId)> = None;
            for position in 0..self.nodes.len() {
                let view = self.own_view(position).await;
                if let Some(view) = view.filter(|view| view.role == "leader") {
                    leader = leader.max(Some((view.term, view.id)));
                }
            }
            if let Some((_, id)) = leader {
                return Ok(id);
            }
            if started.elapsed() > LEADER_DEADLINE {
                return Err(ClusterError::deadline("a leader".to_owned(), LEADER_DEADLINE));
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// The cluster as this node sees it; `None` when it does not answer.
    ///
    /// # Panics
    /// When there is no such node.
    pub async fn view(&self, id: NodeId) -> Option<ClusterView> {
        let position = self.position(id);
        if !self.nodes[position].answers() {
            return None;
        }
        self.client.cluster(position).await.ok()
    }

    /// What each node says of itself, by id; `None` of one that does not answer.
    pub async fn own_views(&self) -> Vec<Option<NodeView>> {
        futures_util::future::join_all((0..self.nodes.len()).map(|at| self.own_view(at))).await
    }

    /// Waits until all running nodes have applied the same index; returns what they say of
    /// themselves then, so that their state hashes can be compared.
    ///
    /// # Errors
    /// [`ClusterError::Deadline`] with the indexes they are at.
    pub async fn wait_level(&self, deadline: Duration) -> Result<Vec<NodeView>, ClusterError> {
        let started = Instant::now();
        let expected = self.nodes.iter().filter(|node| node.answers()).count();
        loop {
            let views: Vec<NodeView> = self.own_views().await.into_iter().flatten().collect();
            let level = views.windows(2).all(|pair| pair[0].applied == pair[1].applied);
            if level && views.len() == expected && views.iter().all(|view| view.lag == 0) {
                return Ok(views);
            }
            if started.elapsed() > deadline {
                let applied: Vec<String> = views
                    .iter()
                    .map(|view| format!("node {} at {}", view.id, view.applied))
                    .collect();
                let what = format!("all nodes to be level (now {})", applied.join(", "));
                return Err(ClusterError::deadline(what, deadline));
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Lets go of the processes and the directory: they outlive this harness. Returns where they
    /// keep their files.
    pub fn keep(mut self) -> PathBuf {
        self.lease = None;
        for node in &mut self.nodes {
            node.let_go();
        }
        let path = self.root.path().to_owned();
        if let Root::Temporary(dir) = std::mem::replace(&mut self.root, Root::Given(path.clone())) {
            let _: PathBuf = dir.keep();
        }
        path
    }

    async fn own_view(&self, position: usize) -> Option<NodeView> {
        let id = self.nodes[position].id;
        self.view(id).await?.nodes.into_iter().find(|view| view.id == id)
    }

    fn position(&self, id: NodeId) -> usize {
        let position = self.nodes.iter().position(|node| node.id == id);
        position.unwrap_or_else(|| panic!("no node {id} among {}", self.nodes.len()))
    }
}

impl Drop for ProcessCluster {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            // Nobody is left to hear of an error here.
            let _ = node.kill_if_running();
        }
        if std::thread::panicking()
            && let Root::Temporary(dir) = &mut self.root
        {
            dir.disable_cleanup(true);
            eprintln!("the nodes' directories and logs are kept in {}", dir.path().display());
        }
    }
}

/// The program beside this one, or where cargo builds it.
fn find_binary() -> Result<PathBuf, ClusterError> {
    let exe = std::env::current_exe().map_err(ClusterError::io("find", "this program"))?;
    // target/release/flashctl, or target/debug/deps/some_test-0123.
    let beside = exe.ancestors().skip(1).take(2).map(|dir| dir.join("flashnode"));
    let built = ["target/release/flashnode", "target/debug/flashnode"].map(PathBuf::from);
    let looked_at: Vec<PathBuf> = beside.chain(built).collect();
    match looked_at.iter().find(|path| path.is_file()) {
        Some(path) => Ok(path.clone()),
        None => Err(ClusterError::NoBinary { looked_at }),
    }
}
