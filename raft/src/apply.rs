//! openraft's state machine: decodes committed entries and feeds them to the applied state.
//!
//! Driven by openraft's state machine worker, one run of committed entries at a time. A body that
//! does not decode stops the node: guessing would make replicas diverge.

use crate::applied::Applied;
use crate::propose::decode_batch;
use crate::snapshot::{Encoded, Installed, Snapshot, SnapshotBuilder, SnapshotStore};
use crate::trace;
use crate::types::{LogId, SnapshotMeta, StoredMembership, TypeConfig};
use futures_util::{Stream, TryStreamExt};
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::{EntryPayload, OptionalSend};
use std::io;

/// The state machine that openraft drives.
pub(crate) struct StateMachine {
    applied: Applied,
    snapshots: SnapshotStore,
}

impl StateMachine {
    pub(crate) fn new(applied: Applied, snapshots: SnapshotStore) -> Self {
        Self { applied, snapshots }
    }
}

impl RaftStateMachine<TypeConfig> for StateMachine {
    type SnapshotData = Encoded;
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        Ok(self.applied.position())
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> io::Result<()>
    where
        Strm: Stream<Item = io::Result<EntryResponder<TypeConfig>>> + Unpin + OptionalSend,
    {
        while let Some((entry, responder)) = entries.try_next().await? {
            let replies = match entry.payload {
                EntryPayload::Blank => {
                    self.applied.apply_other(entry.log_id, None);
                    Vec::new()
                }
                EntryPayload::Membership(membership) => {
                    let stored = StoredMembership::new(Some(entry.log_id), membership);
                    self.applied.apply_other(entry.log_id, Some(stored));
                    Vec::new()
                }
                EntryPayload::Normal(proposal) => {
                    let (rules, batch) = decode_batch(&proposal).map_err(io::Error::other)?;
                    let replies = self.applied.apply_batch(entry.log_id, rules, &batch);
                    trace::applied(entry.log_id.index, &batch, &replies);
                    replies
                }
            };
            if let Some(responder) = responder {
                responder.send(replies);
            }
            self.applied.announce();
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder {
        SnapshotBuilder::new(self.snapshots.clone(), self.applied.clone())
    }

    async fn install_snapshot(
        &mut self,
        _meta: &SnapshotMeta,
        snapshot: Encoded,
    ) -> io::Result<()> {
        let Installed { seq, folded } = self.snapshots.install(&self.applied, snapshot).await?;
        tracing::info!(seq = seq.0, folded, "caught up by a snapshot");
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<Snapshot>> {
        let current = self.snapshots.current();
        Ok(current.map(|snapshot| Snapshot { meta: snapshot.meta.clone(), snapshot }))
    }
}
