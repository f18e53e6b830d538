//! The subcommands, one file each, and what they share: global options, failures, exit codes.

pub(crate) mod buy;
pub(crate) mod completions;
pub(crate) mod cursor;
pub(crate) mod demo;
pub(crate) mod export;
pub(crate) mod hold;
pub(crate) mod import;
pub(crate) mod order;
pub(crate) mod product;
pub(crate) mod ready;
pub(crate) mod sink;
pub(crate) mod status;
pub(crate) mod storm;
pub(crate) mod terms;
pub(crate) mod top;
pub(crate) mod verify;
pub(crate) mod watch;

use client::cluster::ClusterError;
use client::{Client, ClientError};
use std::str::FromStr;
use stock::InvalidId;
use stock::api::Problem;

/// Where a cluster started by hand as the README says listens.
const NODES_DEFAULT: &str = "127.0.0.1:8101,127.0.0.1:8102,127.0.0.1:8103";
/// The environment's list of nodes.
const NODES_ENV: &str = "FLASHCTL_NODES";

/// Options that every subcommand takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Global {
    /// Public addresses of the nodes, comma separated [env: FLASHCTL_NODES]
    /// [default: 127.0.0.1:8101,127.0.0.1:8102,127.0.0.1:8103]
    // Not clap's `env`: the demo's `--nodes` is a number and must not meet the variable.
    #[arg(id = "nodes", long, global = true, value_name = "HOST:PORT,…", verbatim_doc_comment)]
    pub(crate) nodes: Option<String>,
    /// Print one JSON document
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

impl Global {
    /// The nodes' addresses: the flag, else the environment, else the default.
    pub(crate) fn addresses(&self) -> Vec<String> {
        let from_env = || std::env::var(NODES_ENV).ok().filter(|list| !list.is_empty());
        let list = self.nodes.clone().or_else(from_env).unwrap_or_else(|| NODES_DEFAULT.into());
        list.split(',').filter(|address| !address.is_empty()).map(str::to_owned).collect()
    }

    /// A client of these nodes.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        Ok(Client::new(self.addresses())?)
    }
}

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Ok = 0,
    Failed = 1,
    Usage = 2,
    Unavailable = 3,
    Violated = 4,
    /// As shells report an end by SIGINT.
    Interrupted = 130,
}

/// Why a subcommand could not do its work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error("{0}")]
    Usage(String),
    #[error("{0}")]
    Failed(String),
    #[error("interrupted")]
    Interrupted,
}

impl Failure {
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Usage(_)
            | Self::Client(ClientError::BadAddress { .. } | ClientError::NoNodes)
            | Self::Cluster(ClusterError::NoBinary { .. }) => Exit::Usage,
            Self::Client(error) if error.is_unavailable() => Exit::Unavailable,
            Self::Cluster(ClusterError::Deadline { .. }) => Exit::Unavailable,
            Self::Client(_) | Self::Cluster(_) | Self::Failed(_) => Exit::Failed,
            Self::Interrupted => Exit::Interrupted,
        }
    }

    /// The node's own words, when it refused.
    pub(crate) fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Client(ClientError::Refused(problem)) => Some(problem),
            _ => None,
        }
    }
}

/// Reads an id that will be a part of a URL's path, where `.` and `..` mean another place.
pub(crate) fn in_url<T: FromStr<Err = InvalidId>>(text: &str) -> Result<T, String> {
    if client::is_path_segment(text) {
        text.parse().map_err(|why: InvalidId| why.to_string())
    } else {
        Err("it cannot stand in a URL; use any other than . and ..".into())
    }
}

/// Returns when the user or the system asks this program to end.
pub(crate) async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let wait = |kind| async move {
        match signal(kind) {
            Ok(mut signals) => {
                signals.recv().await;
            }
            // Without a handler the signal's own effect remains: the program ends.
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = wait(SignalKind::interrupt()) => {}
        () = wait(SignalKind::terminate()) => {}
        () = wait(SignalKind::hangup()) => {}
    }
}
