//! Snapshots: a small manifest file that names sealed segment files and carries the rest.
//!
//! A snapshot costs what is new since the last one: segments that became full are sealed once and
//! never written again, and the manifest holds the hot state and the events of the one segment
//! that is not full yet. Segments are cut at fixed `seq`s, so they are the same bytes on every
//! node, and a lagging node fetches only those that it lacks.

use crate::applied::{Applied, Replacement, StateCopy};
use crate::fsync;
#[cfg(feature = "mutants")]
use crate::mutant::{self, Mutant};
use crate::segment::{SEGMENT_EVENTS, SegmentRef, SegmentStore};
use crate::types::{SnapshotMeta, TypeConfig};
use openraft::storage::RaftSnapshotBuilder;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use stock::{Event, HotState, Machine, Restore, Seq, codec};

/// The version of the manifest's encoding.
const FORMAT: u16 = 1;
const MAGIC: &[u8; 6] = b"FNSNAP";
const HEADER_BYTES: usize = MAGIC.len() + 2 + 4;
/// The largest manifest, in bytes. It grows with products and stored outcomes, both of which have a
/// bound, and not with orders or holds.
pub(crate) const MANIFEST_BYTES_MAX: u64 = 1 << 30;

/// A snapshot: what it takes, with the segment files it names, to rebuild the applied state.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) meta: SnapshotMeta,
    pub(crate) hot: HotState,
    pub(crate) segments: Vec<SegmentRef>,
    /// The events after the last full segment.
    pub(crate) partial: Vec<Event>,
}

impl Manifest {
    /// Encodes it behind a magic, a format version and a checksum.
    pub(crate) fn to_bytes(&self) -> io::Result<Vec<u8>> {
        let body = codec::encode(self, MANIFEST_BYTES_MAX).map_err(io::Error::other)?;
        let mut bytes = Vec::with_capacity(HEADER_BYTES + body.len());
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&FORMAT.to_le_bytes());
        bytes.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
        bytes.extend_from_slice(&body);
        Ok(bytes)
    }

    /// Decodes what [`Manifest::to_bytes`] made.
    ///
    /// # Errors
    /// `InvalidData` when it is not a manifest, is of another format, or was damaged.
    pub(crate) fn from_bytes(bytes: &[u8]) -> io::Result<Self> {
        let invalid = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
        let Some((header, body)) = bytes.split_at_checked(HEADER_BYTES) else {
            return Err(invalid(format!("a snapshot manifest of {} bytes", bytes.len())));
        };
        let (magic, rest) = header.split_at(MAGIC.len());
        let (format, crc) = rest.split_at(2);
        if magic != MAGIC {
            return Err(invalid("this is not a snapshot manifest".into()));
        }
        if format != FORMAT.to_le_bytes() {
            return Err(invalid(format!(
                "the snapshot manifest has format {format:?}, this build reads {FORMAT}"
            )));
        }
        if crc != crc32fast::hash(body).to_le_bytes() {
            return Err(invalid("the snapshot manifest fails its checksum".into()));
        }
        codec::decode(body, MANIFEST_BYTES_MAX).map_err(|error| invalid(error.to_string()))
    }

    /// Rebuilds the state from the segment files and this manifest; checks it against its hash.
    ///
    /// # Errors
    /// When a segment is missing or damaged, or the rebuilt state is not the one that was saved.
    fn rebuild(&self, segments: &SegmentStore) -> io::Result<Machine> {
        let mut restore = Restore::towards(self.hot.clone());
        let invalid = |error: stock::RestoreError| {
            io::Error::new(io::ErrorKind::InvalidData, error.to_string())
        };
        for segment in &self.segments {
            for event in segments.read(segment.first_seq)? {
                restore.event(&event).map_err(invalid)?;
            }
        }
        for event in &self.partial {
            restore.event(event).map_err(invalid)?;
        }
        #[cfg(feature = "mutants")]
        if mutant::is(Mutant::RequestTableMissingFromSnapshot) {
            return Ok(restore.finish_without_requests());
        }
        restore.finish().map_err(invalid)
    }
}

/// The directory's current snapshot, and how a new one takes its place.
#[derive(Clone)]
pub(crate) struct SnapshotStore {
    dir: PathBuf,
    current: Arc<Mutex<Option<Arc<Manifest>>>>,
    /// Held while a manifest takes its place: openraft may build one while it installs another.
    placing: Arc<Mutex<()>>,
    pub(crate) segments: Arc<SegmentStore>,
}

impl SnapshotStore {
    /// Opens the directory and, when there is a snapshot, rebuilds `applied` from it. Blocking.
    ///
    /// # Errors
    /// When a file cannot be read or is damaged.
    pub(crate) fn open(
        dir: &Path,
        segments: Arc<SegmentStore>,
        applied: &Applied,
    ) -> io::Result<Self> {
        let store = Self {
            dir: dir.to_path_buf(),
            current: Arc::new(Mutex::new(None)),
            placing: Arc::default(),
            segments,
        };
        match std::fs::read(store.path()) {
            Ok(bytes) => {
                let manifest = Manifest::from_bytes(&bytes)?;
                applied.replace(store.replacement(&manifest)?);
                store.set_current(Arc::new(manifest));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(store)
    }

    fn path(&self) -> PathBuf {
        self.dir.join("snapshot")
    }

    /// The newest snapshot, if there is one.
    pub(crate) fn current(&self) -> Option<Arc<Manifest>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_current(&self, manifest: Arc<Manifest>) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Some(manifest);
    }

    fn replacement(&self, manifest: &Manifest) -> io::Result<Replacement> {
        Ok(Replacement {
            meta: manifest.meta.clone(),
            machine: manifest.rebuild(&self.segments)?,
            partial: manifest.partial.clone(),
        })
    }

    /// Makes a manifest durable: write aside, fsync, rename, fsync the directory. Blocking.
    fn write(&self, manifest: &Manifest) -> io::Result<()> {
        let aside = self.dir.join("snapshot.tmp");
        let mut file = File::create(&aside)?;
        file.write_all(&manifest.to_bytes()?)?;
        fsync::all(&file)?;
        std::fs::rename(&aside, self.path())?;
        fsync::names(&self.dir)
    }

    /// Seals what became full, and saves the manifest. Blocking; off the hot path.
    fn save(&self, copy: StateCopy) -> io::Result<Arc<Manifest>> {
        for chunk in &copy.tail.full {
            self.segments.seal(chunk)?;
        }
        let full_segments = copy.hot.seq.0 / SEGMENT_EVENTS as u64;
        let segments: Vec<SegmentRef> = self
            .segments
            .list()
            .into_iter()
            .take_while(|segment| segment.first_seq.0 <= copy.hot.seq.0)
            .take(usize::try_from(full_segments).unwrap_or(usize::MAX))
            .collect();
        assert_eq!(segments.len() as u64, full_segments, "every full segment is sealed");
        let manifest = Arc::new(Manifest {
            meta: copy.meta,
            hot: copy.hot,
            segments,
            partial: copy.tail.partial,
        });
        let _placing = self.placing.lock().unwrap_or_else(PoisonError::into_inner);
        match self.current() {
            // A newer one was installed meanwhile, and the log before it may be purged already.
            Some(newer) if newer.meta.last_log_id >= manifest.meta.last_log_id => Ok(newer),
            _ => {
                self.write(&manifest)?;
                self.set_current(Arc::clone(&manifest));
                Ok(manifest)
            }
        }
    }

    /// Replaces the applied state and the current snapshot by a received one, whose segments have
    /// all been fetched. Durable when it returns.
    ///
    /// # Errors
    /// When a segment is missing, or the state does not have the hash that the manifest names.
    pub(crate) async fn install(
        &self,
        applied: &Applied,
        manifest: Arc<Manifest>,
    ) -> io::Result<()> {
        let is_current = self.current().is_some_and(|current| current.meta == manifest.meta);
        if is_current && applied.position().0 == manifest.meta.last_log_id {
            return Ok(());
        }
        let store = self.clone();
        let applied = applied.clone();
        let work = move || {
            let replacement = store.replacement(&manifest)?;
            let _placing = store.placing.lock().unwrap_or_else(PoisonError::into_inner);
            store.write(&manifest)?;
            applied.replace(replacement);
            store.set_current(manifest);
            Ok(())
        };
        tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
    }
}

/// Builds a snapshot of the state as it was when the builder was made.
pub(crate) struct SnapshotBuilder {
    store: SnapshotStore,
    applied: Applied,
    copy: Option<StateCopy>,
}

impl SnapshotBuilder {
    pub(crate) fn new(store: SnapshotStore, applied: Applied) -> Self {
        let copy = Some(applied.copy());
        Self { store, applied, copy }
    }
}

impl RaftSnapshotBuilder<TypeConfig> for SnapshotBuilder {
    type SnapshotData = Arc<Manifest>;

    async fn build_snapshot(&mut self) -> io::Result<Snapshot> {
        let copy = self.copy.take().unwrap_or_else(|| self.applied.copy());
        let started = std::time::Instant::now();
        let store = self.store.clone();
        let manifest = tokio::task::spawn_blocking(move || store.save(copy))
            .await
            .map_err(io::Error::other)??;
        let sealed = manifest.segments.last().map_or(0, |last| last.first_seq.0 - 1)
            + if manifest.segments.is_empty() { 0 } else { SEGMENT_EVENTS as u64 };
        self.applied.forget_sealed(Seq(sealed));
        tracing::debug!(
            seq = manifest.hot.seq.0,
            segments = manifest.segments.len(),
            took_ms = started.elapsed().as_millis() as u64,
            "snapshot saved"
        );
        Ok(Snapshot { meta: manifest.meta.clone(), snapshot: manifest })
    }
}

pub(crate) type Snapshot = openraft::type_config::alias::SnapshotOf<TypeConfig, Arc<Manifest>>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::LogId;
    use openraft::impls::leader_id_adv::LeaderId;
    use stock::{
        Attempt, Batch, Command, Envelope, NodeId, RequestId, Requester, Rules, Sku, Terms,
    };

    fn log_id(index: u64) -> LogId {
        LogId { leader_id: LeaderId { term: 1, node_id: NodeId(1) }, index }
    }

    fn create(sku: &str) -> Batch {
        let sku = Sku::new(sku).unwrap();
        let request_id = RequestId::new(sku.as_str()).unwrap();
        let command = Command::CreateProduct(Box::new(Terms::plain(sku, "", 1)));
        let (requester, attempt) = (Requester::Operator, Attempt::First);
        Batch { stamp_ms: 1, commands: vec![Envelope { requester, request_id, attempt, command }] }
    }

    /// openraft may build a snapshot while it installs a newer one and purges the log up to that:
    /// the older must not take the newer one's place, on disk or in memory.
    #[test]
    fn a_snapshot_that_was_overtaken_takes_no_place() {
        let dir = tempfile::tempdir().unwrap();
        let segments = Arc::new(SegmentStore::open(dir.path()).unwrap());
        let applied = Applied::new(Arc::clone(&segments));
        let store = SnapshotStore::open(dir.path(), Arc::clone(&segments), &applied).unwrap();
        applied.apply_batch(log_id(0), Rules::NEWEST, &create("first"));
        let older = applied.copy();
        applied.apply_batch(log_id(1), Rules::NEWEST, &create("second"));
        let newer = store.save(applied.copy()).unwrap();
        let answered = store.save(older).unwrap();
        assert_eq!(answered.meta, newer.meta, "the builder hands out what is in place");
        assert_eq!(store.current().unwrap().meta, newer.meta);

        let reopened = Applied::new(Arc::clone(&segments));
        SnapshotStore::open(dir.path(), segments, &reopened).unwrap();
        assert_eq!(reopened.position().0, Some(log_id(1)));
        assert_eq!(reopened.mark().state_hash, applied.mark().state_hash);
    }
}
