//! A cluster of real `flashnode` processes on this machine, to be killed at will.
//!
//! Owns: the processes, their ports, directories and logs, from start to the end of the last one;
//! dropping the harness kills all of them and removes what it created. Never does: reach into a
//! node other than by signals, files and its public HTTP. Called by `flashctl demo`, by the tests
//! of `node`, and by testers.
//!
//! When the harness is dropped by a panicking test, the directory stays, and its path is printed.

mod binary;
mod error;
mod ports;
mod process;
mod watch;

pub use error::ClusterError;
pub use process::NodeProcess;

use crate::{Client, Timeouts};
use binary::find_binary;
use ports::Lease;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;
use stock::NodeId;
use tempfile::TempDir;

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
    /// Given to every node on each start, after the harness's own; `{resp}` stands for an address
    /// that is free for a listener of the Redis protocol: [`NodeProcess::resp`].
    pub extra_args: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { nodes: 3, binary: None, dir: None, extra_args: Vec::new() }
    }
}

/// What one start of one node adds to what every start has.
#[derive(Debug, Clone, Default)]
pub struct Launch {
    /// More arguments, after those of the harness and of [`Options::extra_args`].
    pub args: Vec<String>,
    /// More environment variables.
    pub env: Vec<(String, OsString)>,
}

/// Real node processes.
#[derive(Debug)]
pub struct ProcessCluster {
    nodes: Vec<NodeProcess>,
    binary: PathBuf,
    extra_args: Vec<String>,
    /// Where a node finds another's peer listener, when not at its own address.
    detours: BTreeMap<(NodeId, NodeId), String>,
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
        let lease = Lease::take(3 * nodes as usize)?;
        let nodes: Vec<NodeProcess> = (1..=nodes)
            .zip(lease.ports().chunks(3))
            .map(|(id, of)| NodeProcess::new(NodeId(id), root.path(), [of[0], of[1], of[2]]))
            .collect();
        let addresses = nodes.iter().map(|node| node.http.clone()).collect();
        let client = Client::with_timeouts(addresses, TIMEOUTS)?;
        let detours = BTreeMap::new();
        Ok(Self { nodes, binary, extra_args, detours, root, client, lease: Some(lease) })
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
        self.launch(id, &Launch::default())
    }

    /// From its next start on, `from` finds the peer listener of `to` at this `host:port`: a proxy
    /// that stands between them.
    ///
    /// # Panics
    /// When there is no such node, or they are one.
    pub fn detour(&mut self, from: NodeId, to: NodeId, address: String) {
        assert_ne!(from, to, "a node does not reach itself over the network");
        let (_, _) = (self.position(from), self.position(to));
        self.detours.insert((from, to), address);
    }

    /// From its next start on, the node keeps its data in this directory, which the harness does
    /// not remove.
    ///
    /// # Panics
    /// When there is no such node, or it runs.
    pub fn place(&mut self, id: NodeId, dir: PathBuf) {
        assert!(!self.alive(id), "node {id} runs; its directory cannot be moved");
        let position = self.position(id);
        self.nodes[position].dir = dir;
    }

    /// The program that the nodes run.
    pub fn binary(&self) -> &Path {
        &self.binary
    }

    /// Lets the nodes run another program from their next start on.
    pub fn set_binary(&mut self, binary: PathBuf) {
        self.binary = binary;
    }

    /// As [`ProcessCluster::start_node`], with more arguments and variables for this run.
    ///
    /// # Errors
    /// As [`ProcessCluster::start_node`].
    ///
    /// # Panics
    /// As [`ProcessCluster::start_node`].
    pub fn launch(&mut self, id: NodeId, launch: &Launch) -> Result<(), ClusterError> {
        let reached = |node: &NodeProcess| {
            let address = self.detours.get(&(id, node.id)).unwrap_or(&node.peer);
            format!("{}={address}", node.id)
        };
        let peers: Vec<String> = self.nodes.iter().map(reached).collect();
        let position = self.position(id);
        let own = |arg: &String| arg.replace("{resp}", &self.nodes[position].resp);
        let launch = Launch {
            args: self.extra_args.iter().chain(&launch.args).map(own).collect(),
            env: launch.env.clone(),
        };
        self.nodes[position].start(&self.binary, &peers.join(","), &launch)
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
