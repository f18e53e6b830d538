//! The log alone, for the benchmark in `benches/`: its only way in.

use crate::store::LogStore;
use crate::types::{Entry, LogId, Proposal, TypeConfig};
use bytes::Bytes;
use openraft::EntryPayload;
use openraft::entry::RaftEntry;
use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::type_config::TypeConfigExt;
use openraft::type_config::alias::CommittedLeaderIdOf;
use openraft::vote::RaftLeaderId;
use std::io;
use std::path::Path;
use stock::NodeId;

const NODE: NodeId = NodeId(1);

/// A log store in a directory of its own.
pub struct Log {
    store: LogStore,
    next: u64,
}

impl Log {
    /// Opens it.
    ///
    /// # Errors
    /// When the directory cannot be used.
    pub fn open(dir: &Path) -> Result<Self, crate::StoreError> {
        Ok(Self { store: LogStore::open(dir, NODE)?, next: 0 })
    }

    /// Appends one entry with this content; it is on the disk when this returns.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn append(&mut self, content: Bytes) -> io::Result<()> {
        let leader = CommittedLeaderIdOf::<TypeConfig>::new(1, NODE);
        let id = LogId::new(leader, self.next);
        self.next += 1;
        let entry: Entry = Entry::new(id, EntryPayload::Normal(Proposal(content)));
        let (sender, durable) = TypeConfig::oneshot();
        self.store.append([entry], IOFlushed::signal(sender)).await?;
        durable.await.map_err(io::Error::other)?
    }

    /// Closes it.
    pub async fn close(self) {
        self.store.close().await;
    }
}
