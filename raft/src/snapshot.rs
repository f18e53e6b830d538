//! Snapshots: a small manifest file that names sealed segment files and carries the rest.
//!
//! A snapshot costs what is new since the last one: segments are sealed once, as they become full
//! (see [`sealer`]), and never written again, and the manifest holds the hot state and the events
//! of the one segment that is not full yet. Segments are cut at fixed `seq`s, so they are the same
//! bytes on every node, and a lagging node fetches only those that it lacks.

mod digests;
mod manifest;
pub(crate) mod sealer;

use crate::applied::{Applied, Replacement, StateCopy};
use crate::fsync;
#[cfg(feature = "mutants")]
use crate::mutant::{self, Mutant};
use crate::segment::{SEGMENT_EVENTS, SegmentRef, SegmentStore};
use crate::types::TypeConfig;
use bytes::Bytes;
use digests::DigestStore;
use manifest::Encoding;
use openraft::storage::RaftSnapshotBuilder;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use stock::{Event, Machine, Restore, Seq};
use tokio::sync::oneshot;

pub(crate) use manifest::{Encoded, MANIFEST_BYTES_MAX, Manifest};

/// The most segments that are digested when one is sealed, where none waits to be: a node that
/// fetched many of them goes on with the next.
const DIGESTS_AT_ONCE: usize = 16;
/// The same while others wait in memory: one more than is sealed, so that it comes to an end.
const DIGESTS_IN_HASTE: usize = 2;

impl Manifest {
    /// Brings a machine on its way to this snapshot to its end, by the events of the segment files
    /// and this manifest that it has not had; checks it against the saved hash.
    ///
    /// # Errors
    /// When a segment is missing or damaged, or the rebuilt state is not the one that was saved.
    fn rebuild(&self, segments: &SegmentStore, mut restore: Restore) -> io::Result<Replacement> {
        let begun = restore.seq();
        let last_of = |segment: &SegmentRef| Seq(segment.first_seq.0 - 1 + SEGMENT_EVENTS as u64);
        for segment in self.segments.iter().filter(|segment| last_of(segment) > begun) {
            for event in segments.read(segment.first_seq)?.iter().filter(|one| one.seq > begun) {
                restore.event(event).map_err(invalid)?;
            }
        }
        for event in self.partial.iter().filter(|one| one.seq > begun) {
            restore.event(event).map_err(invalid)?;
        }
        let folded = restore.seq().0 - begun.0;
        #[cfg(feature = "mutants")]
        if mutant::is(Mutant::RequestTableMissingFromSnapshot) {
            return Ok(self.replacement(restore.finish_without_requests(), folded));
        }
        Ok(self.replacement(restore.finish().map_err(invalid)?, folded))
    }

    fn replacement(&self, machine: Machine, folded: u64) -> Replacement {
        Replacement { meta: self.meta.clone(), machine, partial: self.partial.clone(), folded }
    }
}

fn last_of(events: &[Event]) -> Option<Seq> {
    events.last().map(|event| event.seq)
}

fn invalid(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// The directory's current snapshot, and how a new one takes its place.
#[derive(Clone)]
pub(crate) struct SnapshotStore {
    dir: PathBuf,
    current: Arc<Mutex<Option<Encoded>>>,
    /// Held while a manifest takes its place: openraft may build one while it installs another.
    placing: Arc<Mutex<()>>,
    /// The last event that this process is known to have sealed. Held while a segment is sealed,
    /// so that the sealer and a snapshot take turns and neither encodes what the other has.
    sealed: Arc<Mutex<Seq>>,
    pub(crate) segments: Arc<SegmentStore>,
    digests: Arc<DigestStore>,
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
            sealed: Arc::default(),
            segments,
            digests: Arc::new(DigestStore::open(dir)?),
        };
        match std::fs::read(store.path()) {
            Ok(bytes) => {
                let (encoded, manifest) = Encoded::read(Bytes::from(bytes))?;
                applied.replace(store.opened(&manifest)?);
                store.set_current(encoded);
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
    pub(crate) fn current(&self) -> Option<Encoded> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_current(&self, encoded: Encoded) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Some(encoded);
    }

    /// The state of the directory's snapshot.
    fn opened(&self, manifest: &Manifest) -> io::Result<Replacement> {
        #[cfg(feature = "mutants")]
        if mutant::is(Mutant::RequestTableMissingFromSnapshot) {
            return manifest.rebuild(&self.segments, Restore::towards(manifest.hot.clone()));
        }
        let started = Instant::now();
        match self.digests.assemble(manifest, &self.segments) {
            Ok(machine) => {
                tracing::info!(
                    seq = manifest.hot.seq.0,
                    digested = self.digests.made(),
                    took_ms = started.elapsed().as_millis() as u64,
                    "the snapshot is read"
                );
                Ok(manifest.replacement(machine, 0))
            }
            Err(error) => {
                tracing::warn!(
                    "the digests of the segments do not lead to the snapshot of {}: {error}. \
                     It is rebuilt from the first event on",
                    manifest.hot.seq
                );
                self.digests.clear()?;
                manifest.rebuild(&self.segments, Restore::towards(manifest.hot.clone()))
            }
        }
    }

    /// The state of a received snapshot. A replica that has come a part of the way goes on from a
    /// copy of its state, so that what it costs is what is new; readers see the old one meanwhile.
    fn received(&self, applied: &Applied, manifest: &Manifest) -> io::Result<Replacement> {
        // A copy shares what is large with the state that it is of. Nothing is applied while a
        // snapshot is installed: openraft's state machine worker does both.
        let earlier = applied.read(|machine| (machine.seq() > Seq(0)).then(|| machine.clone()));
        if let Some(earlier) = earlier {
            let from = earlier.seq();
            let went_on = Restore::from_earlier(earlier, manifest.hot.clone())
                .map_err(invalid)
                .and_then(|restore| manifest.rebuild(&self.segments, restore));
            match went_on {
                Ok(replacement) => return Ok(replacement),
                Err(error) => tracing::warn!(
                    "the events after {from} do not lead from this node's state to the snapshot \
                     of {}: {error}. It is rebuilt from the first event on",
                    manifest.hot.seq
                ),
            }
        }
        manifest.rebuild(&self.segments, Restore::towards(manifest.hot.clone()))
    }

    /// Makes a manifest durable: write aside, fsync, rename, fsync the directory. Blocking.
    fn write(&self, manifest: &Encoded) -> io::Result<()> {
        let aside = self.dir.join("snapshot.tmp");
        let mut file = File::create(&aside)?;
        file.write_all(manifest.bytes())?;
        fsync::all(&file)?;
        std::fs::rename(&aside, self.path())?;
        fsync::names(&self.dir)
    }

    fn sealed(&self) -> MutexGuard<'_, Seq> {
        self.sealed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Seals the chunks that are full, digests them, and frees them from memory. Blocking.
    ///
    /// # Errors
    /// When a segment cannot be written, or its file has another content.
    fn seal_full(&self, applied: &Applied) -> io::Result<()> {
        let mut sealed = Seq(0);
        loop {
            let mut known = self.sealed();
            sealed = sealed.max(*known);
            let full = applied.full_after(sealed);
            let Some(chunk) = full.first() else {
                return Ok(());
            };
            let started = Instant::now();
            self.segments.seal(chunk)?;
            sealed = last_of(chunk).unwrap_or(sealed);
            *known = sealed;
            let sealed_after = started.elapsed();
            // Who waits comes before what only a restart needs.
            let at_most = if full.len() > 1 { DIGESTS_IN_HASTE } else { DIGESTS_AT_ONCE };
            let list = self.segments.list();
            if let Err(error) = self.digests.keep_up(&list, chunk, &self.segments, at_most) {
                tracing::warn!("segments without a digest make the next restart longer: {error}");
            }
            drop(known);
            applied.forget_sealed(sealed);
            tracing::debug!(
                last = sealed.0,
                waiting = full.len() - 1,
                sealed_ms = sealed_after.as_millis() as u64,
                took_ms = started.elapsed().as_millis() as u64,
                "segment sealed"
            );
        }
    }

    /// Seals what became full, and saves the manifest. Blocking; off the hot path.
    fn save(&self, applied: &Applied, collected: Collected) -> io::Result<Encoded> {
        let Collected { copy: StateCopy { meta, hot }, partial } = collected;
        let seq = hot.seq();
        let encoding = Encoding::begin(meta, &hot)?;
        // Applies need not copy any more what they change.
        drop(hot);
        self.seal_full(applied)?;
        let full_segments = full_segments(seq);
        let segments: Vec<SegmentRef> = self
            .segments
            .list()
            .into_iter()
            .take_while(|segment| segment.first_seq <= seq)
            .take(usize::try_from(full_segments).unwrap_or(usize::MAX))
            .collect();
        assert_eq!(segments.len() as u64, full_segments, "every full segment is sealed");
        let encoded = encoding.end(&segments, &partial)?;
        let _placing = self.placing.lock().unwrap_or_else(PoisonError::into_inner);
        match self.current() {
            // A newer one was installed meanwhile, and the log before it may be purged already.
            Some(newer) if newer.meta.last_log_id >= encoded.meta.last_log_id => Ok(newer),
            _ => {
                self.write(&encoded)?;
                self.set_current(encoded.clone());
                Ok(encoded)
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
        encoded: Encoded,
    ) -> io::Result<Installed> {
        let is_current = self.current().is_some_and(|current| current.meta == encoded.meta);
        if is_current && applied.position().0 == encoded.meta.last_log_id {
            return Ok(Installed { seq: applied.mark().seq, folded: 0 });
        }
        let store = self.clone();
        let applied = applied.clone();
        let work = move || {
            let replacement = store.received(&applied, &encoded.decode()?)?;
            let installed =
                Installed { seq: replacement.machine.seq(), folded: replacement.folded };
            let _placing = store.placing.lock().unwrap_or_else(PoisonError::into_inner);
            store.write(&encoded)?;
            let mut sealed = store.sealed();
            applied.replace(replacement);
            // A file of this history may have taken the place of one that was sealed here.
            *sealed = Seq(0);
            drop(sealed);
            store.set_current(encoded);
            Ok(installed)
        };
        tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
    }
}

/// What came of an install.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Installed {
    /// The last event of the state.
    pub(crate) seq: Seq,
    /// How many events it took to rebuild it.
    pub(crate) folded: u64,
}

/// Full segments behind a state of this `seq`.
fn full_segments(seq: Seq) -> u64 {
    seq.0 / SEGMENT_EVENTS as u64
}

/// What a manifest takes of the applied state. As long as the copy is kept, applies copy each page
/// of products or stored outcomes that they change.
struct Collected {
    copy: StateCopy,
    /// The events after the last full segment.
    partial: Vec<Event>,
}

impl Collected {
    /// Adds the events to a copy. Blocking.
    ///
    /// # Errors
    /// As of [`Applied::events_between`].
    fn of(applied: &Applied, copy: StateCopy) -> io::Result<Self> {
        let seq = copy.hot.seq();
        let before_partial = Seq(full_segments(seq) * SEGMENT_EVENTS as u64);
        let partial = applied.events_between(before_partial, seq)?;
        Ok(Self { copy, partial })
    }
}

/// Builds a snapshot of the state as it was when the builder was made.
pub(crate) struct SnapshotBuilder {
    store: SnapshotStore,
    applied: Applied,
    copy: Option<StateCopy>,
    /// How long applies waited for the copy.
    copied: Duration,
}

impl SnapshotBuilder {
    pub(crate) fn new(store: SnapshotStore, applied: Applied) -> Self {
        let started = Instant::now();
        let copy = Some(applied.copy());
        Self { store, applied, copy, copied: started.elapsed() }
    }
}

impl RaftSnapshotBuilder<TypeConfig> for SnapshotBuilder {
    type SnapshotData = Encoded;

    async fn build_snapshot(&mut self) -> io::Result<Snapshot> {
        let copy = self.copy.take().unwrap_or_else(|| self.applied.copy());
        let (seq, last) = (copy.hot.seq(), copy.meta.last_log_id);
        let started = Instant::now();
        let (store, applied) = (self.store.clone(), self.applied.clone());
        let (done, saved) = oneshot::channel();
        let saving = move || {
            let collected = Collected::of(&applied, copy);
            // Applies waited for its locks, and for nothing from now on.
            sealer::give_way();
            // Whoever waits goes away with the node alone.
            let _gone = done.send(collected.and_then(|of| store.save(&applied, of)));
        };
        std::thread::Builder::new().name("snapshot".to_owned()).spawn(saving)?;
        let snapshot = saved.await.map_err(io::Error::other)??;
        if snapshot.meta.last_log_id == last {
            tracing::debug!(
                seq = seq.0,
                segments = full_segments(seq),
                bytes = snapshot.bytes().len(),
                copied_us = self.copied.as_micros() as u64,
                took_ms = started.elapsed().as_millis() as u64,
                "snapshot saved"
            );
        } else {
            tracing::debug!(seq = seq.0, "the snapshot was overtaken by one that was installed");
        }
        Ok(Snapshot { meta: snapshot.meta.clone(), snapshot })
    }
}

pub(crate) type Snapshot = openraft::type_config::alias::SnapshotOf<TypeConfig, Encoded>;

#[cfg(test)]
mod tests;
