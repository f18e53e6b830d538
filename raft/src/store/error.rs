//! Why a log store cannot be opened, and why an open one has stopped. Every message says what the
//! operator can do, because these are the last lines that a node prints.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use stock::NodeId;

/// Why a log store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The operating system refused something.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        doing: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// The refusal.
        source: io::Error,
    },
    /// Another process (or another handle in this one) has the directory open.
    #[error(
        "the data directory {} is in use by another process; stop that flashnode first, or give \
         this one a directory of its own with --data",
        dir.display()
    )]
    InUse {
        /// The data directory.
        dir: PathBuf,
    },
    /// The directory belongs to another node.
    #[error(
        "the data directory {} belongs to node {found}, but this is node {wanted}; start it with \
         --id {found}, or give --data the directory of node {wanted}",
        dir.display()
    )]
    OtherNode {
        /// The data directory.
        dir: PathBuf,
        /// The node that created it.
        found: NodeId,
        /// The node that tries to open it.
        wanted: NodeId,
    },
    /// The directory was written by a newer build.
    #[error(
        "the data directory {} has format {found}, and this build knows formats up to {known}; \
         start the newer flashnode again",
        dir.display()
    )]
    NewerFormat {
        /// The data directory.
        dir: PathBuf,
        /// The format that it has.
        found: u8,
        /// The newest format that this build reads.
        known: u8,
    },
    /// What was written cannot be read back.
    #[error(
        "the log store in {} is damaged: {what}. {}",
        dir.display(),
        AS_WIPED
    )]
    Corrupt {
        /// The data directory.
        dir: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The store has forgotten what it once reported as durable, so the node may have voted or
    /// acknowledged something that it no longer knows.
    #[error(
        "the log store in {} has lost data that was already synced: it holds {found}, but {} says \
         that {marked} was durable. {}",
        dir.display(),
        super::mark::FILE_NAME,
        AS_WIPED
    )]
    BehindMark {
        /// The data directory.
        dir: PathBuf,
        /// What the store holds.
        found: String,
        /// What the mark says.
        marked: String,
    },
}

/// What to do with a directory that cannot be trusted. It must not simply be "repaired": the node
/// could vote a second time in one term, or miss an entry that it has acknowledged.
pub(super) const AS_WIPED: &str = "This node must not take part with it: move the directory away \
     and start the node again with an empty one; it comes back as a wiped node, and the others \
     send it everything. Do so for one node at a time";

impl StoreError {
    pub(crate) fn io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { doing, path: path.to_owned(), source }
    }

    pub(super) fn corrupt(dir: &Path, what: impl Into<String>) -> Self {
        Self::Corrupt { dir: dir.to_owned(), what: what.into() }
    }
}

/// Why an open store has stopped for good: the process must exit.
///
/// After a failed write or sync nobody knows what is on disk (the kernel may have dropped the
/// dirty pages and report success the next time), so nothing is retried.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the log store has stopped: {0}")]
pub(crate) struct StoreFailure(pub(super) Arc<str>);

impl From<StoreFailure> for io::Error {
    fn from(failure: StoreFailure) -> Self {
        io::Error::other(failure)
    }
}

/// sled's errors as IO errors, so that openraft can carry them.
pub(super) fn io_error(error: sled::Error) -> io::Error {
    match error {
        sled::Error::Io(error) => error,
        sled::Error::Corruption { .. } => io::Error::new(io::ErrorKind::InvalidData, error),
        _ => io::Error::other(error),
    }
}
