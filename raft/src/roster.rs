//! The nodes of the cluster that a directory belongs to, by id, as they were when it formed.
//!
//! `--peers` says how to reach the nodes, and addresses may change at every start. Which nodes
//! there are may not: a majority of other nodes is another majority, and two of them need not
//! overlap. So a directory remembers the ids, and a node whose `--peers` names others does not
//! start. Never asks a peer; [`crate::formation`] does.

use crate::formation::list;
use crate::fsync;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use stock::NodeId;

const FILE: &str = "nodes";

/// Why a directory and `--peers` do not fit.
#[derive(Debug, thiserror::Error)]
pub enum RosterError {
    /// `--peers` names other nodes.
    #[error(
        "this directory belongs to a cluster of nodes {known}, and --peers names {configured}: \
         make --peers name the same ids on every node. Addresses may change, the set of nodes may \
         not; a node that was lost comes back under its id with an empty directory"
    )]
    Differs {
        /// As the directory has them.
        known: String,
        /// As they are configured.
        configured: String,
    },
    /// The file cannot be read or written.
    #[error("the list of nodes in the directory cannot be used: {0}")]
    Io(#[from] io::Error),
}

/// Compares what the directory remembers with `--peers`. A directory of an older build remembers
/// nothing, and learns it now.
///
/// # Errors
/// [`RosterError`].
pub(crate) fn check(dir: &Path, configured: &[NodeId]) -> Result<(), RosterError> {
    let configured = list(configured);
    match std::fs::read_to_string(dir.join(FILE)) {
        Ok(known) if known.trim() == configured => Ok(()),
        Ok(known) => Err(RosterError::Differs { known: known.trim().to_owned(), configured }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(write(dir, &configured)?),
        Err(error) => Err(error.into()),
    }
}

/// Remembers the nodes of a cluster that has just formed; durable when it returns.
///
/// # Errors
/// Whatever the disk says.
pub(crate) fn remember(dir: &Path, nodes: &[NodeId]) -> io::Result<()> {
    write(dir, &list(nodes))
}

fn write(dir: &Path, nodes: &str) -> io::Result<()> {
    let aside = dir.join(format!("{FILE}.tmp"));
    let mut file = File::create(&aside)?;
    writeln!(file, "{nodes}")?;
    fsync::all(&file)?;
    std::fs::rename(&aside, dir.join(FILE))?;
    fsync::names(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(ids: &[u64]) -> Vec<NodeId> {
        ids.iter().copied().map(NodeId).collect()
    }

    #[test]
    fn a_directory_keeps_to_its_nodes() {
        let dir = tempfile::tempdir().unwrap();
        check(dir.path(), &ids(&[1, 2, 3])).unwrap();
        check(dir.path(), &ids(&[1, 2, 3])).unwrap();
        for others in [&[1, 2][..], &[1, 2, 3, 4], &[1, 2, 4]] {
            let error = check(dir.path(), &ids(others)).unwrap_err().to_string();
            assert!(error.contains("a cluster of nodes 1, 2, 3"), "{error}");
            assert!(error.contains(&list(&ids(others))), "{error}");
        }
    }
}
