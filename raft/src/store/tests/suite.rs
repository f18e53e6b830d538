//! openraft's own storage suite on the log store, with the smallest state machine that satisfies
//! its other half.

use crate::store::LogStore;
use crate::types::{LogId, SnapshotMeta, StoredMembership, TypeConfig};
use futures_util::{Stream, TryStreamExt};
use openraft::storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine};
use openraft::testing::log::{StoreBuilder, Suite};
use openraft::type_config::alias::SnapshotOf;
use openraft::{EntryPayload, OptionalSend, StorageError};
use std::io;
use std::sync::{Arc, Mutex};
use stock::NodeId;

/// Only remembers what openraft asks it about.
#[derive(Clone, Default)]
struct Positions(Arc<Mutex<(SnapshotMeta, Option<SnapshotMeta>)>>);

type Snapshot = SnapshotOf<TypeConfig, ()>;

impl RaftSnapshotBuilder<TypeConfig> for Positions {
    type SnapshotData = ();

    async fn build_snapshot(&mut self) -> io::Result<Snapshot> {
        let mut state = self.0.lock().unwrap();
        state.1 = Some(state.0.clone());
        Ok(Snapshot { meta: state.0.clone(), snapshot: () })
    }
}

impl RaftStateMachine<TypeConfig> for Positions {
    type SnapshotData = ();
    type SnapshotBuilder = Self;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        let state = self.0.lock().unwrap();
        Ok((state.0.last_log_id, state.0.last_membership.clone()))
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> io::Result<()>
    where
        Strm: Stream<Item = io::Result<EntryResponder<TypeConfig>>> + Unpin + OptionalSend,
    {
        while let Some((entry, responder)) = entries.try_next().await? {
            let mut state = self.0.lock().unwrap();
            state.0.last_log_id = Some(entry.log_id);
            if let EntryPayload::Membership(membership) = entry.payload {
                state.0.last_membership = StoredMembership::new(Some(entry.log_id), membership);
            }
            if let Some(responder) = responder {
                responder.send(Vec::new());
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, (): ()) -> io::Result<()> {
        *self.0.lock().unwrap() = (meta.clone(), Some(meta.clone()));
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<Snapshot>> {
        let saved = self.0.lock().unwrap().1.clone();
        Ok(saved.map(|meta| Snapshot { meta, snapshot: () }))
    }
}

struct InTempDirs;

impl StoreBuilder<TypeConfig, LogStore, Positions, tempfile::TempDir> for InTempDirs {
    async fn build(
        &self,
    ) -> Result<(tempfile::TempDir, LogStore, Positions), StorageError<TypeConfig>> {
        let dir = tempfile::tempdir().unwrap();
        let store = LogStore::open(dir.path(), NodeId(1)).unwrap();
        Ok((dir, store, Positions::default()))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn openraft_storage_suite_passes() {
    Suite::test_all(InTempDirs).await.unwrap();
}
