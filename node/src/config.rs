//! What a node is told: flags, then `FLASHNODE_*`, then the file, then defaults.
//!
//! Owns the settings and their refusals, each of which says what to do. Never opens a socket or a
//! directory, and reads no environment but what it is given. Called once, by `main`.
//!
//! `args.rs` holds the flags, which are also the names of the variables; `file.rs` the shape of
//! `cluster.toml`; `check.rs` makes one [`Config`] of what they say.

mod args;
mod check;
mod file;
mod limits;
mod mutant;
mod sinks;

pub(crate) use crate::logging::LogFormat;

use crate::bridge::SinkConfig;
use crate::front::{Demo, DropIn, TrustedProxies};
use crate::rate::RateLimits;
use crate::resp::RespSettings;

use args::Flags;
use raft::FeedLimits;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use stock::NodeId;

/// A node's settings, checked: they do not contradict one another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Config {
    /// Which node this is; one of `peers`.
    pub(crate) id: NodeId,
    /// The peer listener of every node, `host:port`: its own is where it listens, the others are
    /// how it reaches them. One, three or five.
    pub(crate) peers: BTreeMap<NodeId, String>,
    /// Where the public listener binds.
    pub(crate) http: SocketAddr,
    /// What the other nodes tell clients about the public listener, `host:port`.
    pub(crate) advertise_http: String,
    /// The listener of the Redis protocol; none: there is none.
    pub(crate) resp: Option<RespSettings>,
    /// The node's own directory.
    pub(crate) data: PathBuf,
    /// How long a request may wait for its answer.
    pub(crate) deadline: Duration,
    /// How long a buy may wait for its turn.
    pub(crate) wait_max: Duration,
    /// The most connections of the public listener; further ones get a 503.
    pub(crate) max_connections: usize,
    /// Threads of the async runtime.
    pub(crate) worker_threads: usize,
    /// Time between a leader's heartbeats.
    pub(crate) heartbeat: Duration,
    /// The least silence after which a follower campaigns.
    pub(crate) election_min: Duration,
    /// The most silence after which a follower campaigns.
    pub(crate) election_max: Duration,
    /// Log entries between snapshots.
    pub(crate) snapshot_entries: u64,
    /// Log entries kept behind a snapshot: a node that lags by less needs no snapshot.
    pub(crate) keep_entries: u64,
    /// How far back the event feed reaches.
    pub(crate) feed: FeedLimits,
    /// What the drop-in routes are set to.
    pub(crate) drop_in: DropIn,
    /// Whether the control room may storm the cluster.
    pub(crate) demo: Demo,
    /// How many clicks a user, or a client address, has in a time.
    pub(crate) limits: RateLimits,
    /// From whom the client's address is believed.
    pub(crate) proxies: TrustedProxies,
    /// The sinks inside this node, each under a name of its own.
    pub(crate) sinks: Vec<SinkConfig>,
    /// How log lines look.
    pub(crate) log_format: LogFormat,
    /// What is logged: a level, or the directives of an `EnvFilter`.
    pub(crate) log_level: String,
    /// Where the spans of requests go, if the build can export any.
    pub(crate) otlp_endpoint: Option<String>,
}

impl Config {
    /// Reads `args` (the program's name first), the environment, and the file that they name.
    ///
    /// # Errors
    /// [`ConfigError`] for the first thing that is wrong; [`ConfigError::Usage`] also for `--help`.
    pub(crate) fn load(args: impl IntoIterator<Item = OsString>) -> Result<Self, ConfigError> {
        let environment = |name: &str| std::env::var(name).ok();
        let config = Self::load_from(args, environment)?;
        mutant::plant(environment(raft::mutant::VARIABLE).as_deref().unwrap_or_default())?;
        Ok(config)
    }

    /// The same with the environment as an argument.
    fn load_from(
        args: impl IntoIterator<Item = OsString>,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        let given = Flags::parse_args(args)?.or(Flags::parse_environment(&environment)?);
        let file = match &given.config {
            Some(path) => file::read(path)?,
            None => file::ClusterFile::default(),
        };
        check::check(given, file, environment)
    }
}

/// Why there is no [`Config`], and what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// The flags are wrong, or ask for help.
    #[error(transparent)]
    Usage(#[from] clap::Error),
    /// A variable is wrong.
    #[error("{variable}: {why}")]
    Environment {
        /// Its name.
        variable: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The file cannot be read.
    #[error("cannot read the config file {path}: {source}; check --config", path = path.display())]
    FileUnreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The file is not what it should be.
    #[error("the config file {path} is wrong: {why}", path = path.display())]
    FileInvalid {
        /// The file.
        path: PathBuf,
        /// Where, and what would be right.
        why: String,
    },
    /// Which node it is was not said.
    #[error("which node is this? Say so with --id, as in: flashnode --id 1 --peers 1=HOST:PORT,…")]
    NoId,
    /// The nodes were not said.
    #[error(
        "which nodes form the cluster? Name their peer listeners, as in: flashnode --id {id} \
         --peers 1=127.0.0.1:7101,2=127.0.0.1:7102,3=127.0.0.1:7103, or name a file with --config"
    )]
    NoPeers {
        /// This node.
        id: NodeId,
    },
    /// An id is not one.
    #[error("a node's id is a whole number from 1, and {found:?} is none")]
    BadId {
        /// What was given.
        found: String,
    },
    /// An entry of `--peers` is not one.
    #[error("--peers takes ID=HOST:PORT,ID=HOST:PORT,…, and {found:?} is no such entry")]
    BadPeer {
        /// The entry.
        found: String,
    },
    /// Two nodes have one id.
    #[error("node {id} is there twice; give each node an id of its own")]
    DuplicateId {
        /// The id.
        id: NodeId,
    },
    /// Two nodes have one address.
    #[error("nodes {first} and {second} both have {what} {address}; give each one of its own")]
    DuplicateAddress {
        /// One of them.
        first: NodeId,
        /// The other.
        second: NodeId,
        /// Which address.
        what: &'static str,
        /// Their address.
        address: String,
    },
    /// The number of nodes does not make a cluster.
    #[error(
        "a cluster has 1, 3 or 5 nodes, and {count} are named; an even number survives no more"
    )]
    BadCount {
        /// How many were named.
        count: usize,
    },
    /// This node is none of the cluster's.
    #[error("--id {id} is not among the nodes {known}; use one of these, or add node {id} to them")]
    NotAPeer {
        /// This node.
        id: NodeId,
        /// The nodes.
        known: String,
    },
    /// An address is not one.
    #[error("{what}: {found:?} is no address; use {rule}")]
    BadAddress {
        /// Which setting.
        what: String,
        /// What was given.
        found: String,
        /// What would be right.
        rule: &'static str,
    },
    /// The default port of the public listener does not exist.
    #[error("there is no port 8100+{id}; say with --http where the public listener binds")]
    NoDefaultPort {
        /// This node.
        id: NodeId,
    },
    /// Nobody could reach the advertised address.
    #[error(
        "--http {http} listens on every address, which is none that clients can use; say with \
         --advertise-http HOST:PORT what they should use"
    )]
    NothingToAdvertise {
        /// The public listener.
        http: SocketAddr,
    },
    /// Both listeners want one port.
    #[error(
        "the public listener {http} and the peer listener {peer} need the same port; change --http"
    )]
    SamePort {
        /// The public listener.
        http: SocketAddr,
        /// The peer listener.
        peer: String,
    },
    /// The settings contradict one another, or one is out of range.
    #[error("{0}")]
    OutOfRange(String),
    /// The log level is none.
    #[error(
        "--log-level {found:?}: {why}; use error, warn, info, debug or trace, or directives such \
         as warn,flashnode=debug"
    )]
    BadLogLevel {
        /// What was given.
        found: String,
        /// What is wrong with it.
        why: String,
    },
}

impl ConfigError {
    /// Tells the user, and says with which code to exit: 0 after `--help`, 2 otherwise.
    pub(crate) fn exit(&self) -> ExitCode {
        if let Self::Usage(usage) = self {
            // Nothing is left to do when the terminal is gone.
            let _ = usage.print();
            return ExitCode::from(u8::try_from(usage.exit_code()).unwrap_or(2));
        }
        eprintln!("flashnode: {self}");
        ExitCode::from(2)
    }
}

#[cfg(test)]
mod tests;
