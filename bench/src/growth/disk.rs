//! What a node's directory takes of the disk: the history, which grows with the orders, and all else,
//! which is reclaimed.

use client::cluster::ProcessCluster;
use serde::Serialize;
use std::path::Path;

/// The directories of the history: segments, and what is derived from each.
const HISTORY: [&str; 2] = ["segments", "digests"];

/// Of one node, on average.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(super) struct Disk {
    /// Events and their digests.
    pub(super) history_mib: f64,
    /// The Raft log with its journal, and the snapshot.
    pub(super) reclaimed_mib: f64,
}

impl Disk {
    pub(super) fn of(cluster: &ProcessCluster) -> Self {
        let dirs = || cluster.nodes().iter().map(|node| node.dir.as_path());
        let mib = |bytes: u64| bytes as f64 / cluster.nodes().len() as f64 / 1024.0 / 1024.0;
        let history = dirs().map(history_in).sum();
        let all: u64 = dirs().map(bytes_in).sum();
        Self { history_mib: mib(history), reclaimed_mib: mib(all.saturating_sub(history)) }
    }

    pub(super) fn sum_mib(&self) -> f64 {
        self.history_mib + self.reclaimed_mib
    }
}

/// Wherever below a directory the history is.
fn history_in(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let dirs = entries.filter(|entry| entry.path().is_dir());
    dirs.map(|entry| {
        let is_history = HISTORY.iter().any(|name| entry.file_name() == *name);
        if is_history { bytes_in(&entry.path()) } else { history_in(&entry.path()) }
    })
    .sum()
}

/// What the files below a directory take of the disk, as `du` counts them.
fn bytes_in(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    const BLOCK_BYTES: u64 = 512;
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => bytes_in(&entry.path()),
            Ok(metadata) => metadata.blocks() * BLOCK_BYTES,
            // Files come and go while nodes run.
            Err(_) => 0,
        })
        .sum()
}
