//! Why a cluster of processes could not be had.
//!
//! Owns: the messages, each of which names the file or the log to look at. Called by `cluster`.

use crate::ClientError;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;
use stock::NodeId;

/// Why a cluster of processes could not be had.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// There is no `flashnode` to run.
    #[error(
        "no flashnode program found; build it with `cargo build --release`, or name it \
         (looked at {})",
        listed(looked_at)
    )]
    NoBinary {
        /// Where it was looked for.
        looked_at: Vec<PathBuf>,
    },
    /// No block of free ports.
    #[error("no {count} free ports below the ephemeral range; are other clusters running?")]
    NoPorts {
        /// How many were needed.
        count: usize,
    },
    /// A file or directory.
    #[error("could not {action} {path}: {error}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: String,
        /// What the system said.
        error: std::io::Error,
    },
    /// A signal could not be sent.
    #[error("could not signal node {node}: {error}")]
    Signal {
        /// The node.
        node: NodeId,
        /// What the system said.
        error: std::io::Error,
    },
    /// A node ended that should run.
    #[error("node {node} ended with {status}; the end of its log, {}:\n{log_end}", log.display())]
    Exited {
        /// The node.
        node: NodeId,
        /// How it ended.
        status: ExitStatus,
        /// Its log.
        log: PathBuf,
        /// The log's last lines.
        log_end: String,
    },
    /// Something did not come about in time.
    #[error("waited {deadline_ms} ms for {what}")]
    Deadline {
        /// For what.
        what: String,
        /// For how long.
        deadline_ms: u64,
    },
    /// The client for the nodes could not be made.
    #[error(transparent)]
    Client(#[from] ClientError),
}

impl ClusterError {
    pub(super) fn io(
        action: &'static str,
        path: impl AsRef<Path>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.as_ref().display().to_string();
        move |error| Self::Io { action, path, error }
    }

    pub(super) fn deadline(what: String, deadline: Duration) -> Self {
        Self::Deadline { what, deadline_ms: deadline.as_millis() as u64 }
    }
}

fn listed(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}
