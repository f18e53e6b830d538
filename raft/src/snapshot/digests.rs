//! Digest files: what the sealed segments come to, so that a restart need not fold their events.
//!
//! Owns `<dir>/digests/`, one file for a segment, made from it by whoever needs it first. They are
//! derived: not synced, of no snapshot and no shipment, each bound to the very segment that it is
//! of, and made anew when missing, damaged or of another format. Nothing in them is believed: the
//! machine that comes of them has the state hash of the manifest, or all is folded from the events.
//! All calls block. Called by `snapshot`.

use super::{Manifest, invalid};
use crate::segment::{SegmentRef, SegmentStore};
use crate::tail::FullChunk;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use stock::{Assembly, DIGEST_FORMAT, Digest, Digester, Event, Machine, codec};

const DIR: &str = "digests";
const SUFFIX: &str = ".digest";
const MAGIC: &[u8; 8] = b"FNDIGEST";
const HEADER_BYTES: usize = MAGIC.len() + 2 + 4 + 4;
/// The largest digest. One of a segment of orders has 600 KiB.
const DIGEST_BYTES_MAX: u64 = 1 << 28;
/// Digests that are read ahead while one is added.
const READ_AHEAD: usize = 4;

/// See the module.
pub(super) struct DigestStore {
    dir: PathBuf,
    digester: Mutex<Digester>,
    /// Segments that were digested from their events.
    made: AtomicU64,
    /// Of those, by what apply had worked out.
    traced: AtomicU64,
}

impl DigestStore {
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        let dir = dir.join(DIR);
        fs::create_dir_all(&dir)?;
        Ok(Self {
            dir,
            digester: Mutex::default(),
            made: AtomicU64::new(0),
            traced: AtomicU64::new(0),
        })
    }

    fn digester(&self) -> MutexGuard<'_, Digester> {
        self.digester.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many segments were digested from their events since it was opened.
    pub(super) fn made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }

    /// Of those, how many without hashing their events again.
    #[cfg(test)]
    pub(super) fn traced(&self) -> u64 {
        self.traced.load(Ordering::Relaxed)
    }

    /// The machine of a manifest, assembled from the digests of its segments.
    ///
    /// # Errors
    /// When a segment is missing or damaged, or the digests do not lead to the state.
    pub(super) fn assemble(
        &self,
        manifest: &Manifest,
        segments: &SegmentStore,
    ) -> io::Result<Machine> {
        let newest = manifest.segments.last().and_then(|last| self.read(last));
        let orders = newest.map_or(manifest.hot.seq.0, |newest| newest.orders_up_to());
        let mut digester = self.digester();
        *digester = Digester::default();
        let mut assembly = Assembly::towards(manifest.hot.clone(), orders);
        std::thread::scope(|scope| {
            let (found, ahead) = sync_channel(READ_AHEAD);
            scope.spawn(move || self.read_ahead(&manifest.segments, segments, &found));
            self.add_all(&mut assembly, &mut digester, (&manifest.segments, &ahead), segments)
        })?;
        // The manifest's own events are not of a full segment: the next digest begins before them.
        let partial = digester.clone().digest(&manifest.partial).map_err(invalid)?;
        assembly.add(partial).map_err(invalid)?;
        assembly.finish().map_err(invalid)
    }

    fn add_all(
        &self,
        assembly: &mut Assembly,
        digester: &mut Digester,
        (wanted, ahead): (&[SegmentRef], &Receiver<io::Result<Option<Digest>>>),
        segments: &SegmentStore,
    ) -> io::Result<()> {
        for segment in wanted {
            let found = ahead.recv().map_err(io::Error::other)??;
            let digest = match found.filter(|digest| digester.follow(digest)) {
                Some(digest) => digest,
                None => self.make(segment, &segments.read(segment.first_seq)?, digester)?,
            };
            assembly.add(digest).map_err(invalid)?;
        }
        Ok(())
    }

    /// Reads the digests in order, and makes sure that the segments are what they were: whoever
    /// starts from a damaged directory must not find out later.
    fn read_ahead(
        &self,
        wanted: &[SegmentRef],
        segments: &SegmentStore,
        found: &SyncSender<io::Result<Option<Digest>>>,
    ) {
        for segment in wanted {
            let sound = segments.raw(segment.first_seq);
            // Whoever assembles has given up when it hears no more.
            if found.send(sound.map(|_| self.read(segment))).is_err() {
                return;
            }
        }
    }

    /// Digests at most so many segments that have none yet, as far as they follow each other.
    /// `newest` is the content of one, which need not be read then.
    pub(super) fn keep_up(
        &self,
        sealed: &[SegmentRef],
        newest: &FullChunk,
        segments: &SegmentStore,
        at_most: usize,
    ) -> io::Result<()> {
        let mut digester = self.digester();
        let next = sealed.partition_point(|segment| segment.first_seq <= digester.seq());
        for segment in sealed[next..].iter().take(at_most) {
            if self.read(segment).is_some_and(|digest| digester.follow(&digest)) {
                continue;
            }
            if newest.first().is_some_and(|first| first.seq == segment.first_seq) {
                let digest = digester
                    .digest_traced(newest, newest.traces())
                    .inspect(|_| {
                        self.traced.fetch_add(1, Ordering::Relaxed);
                    })
                    .or_else(|_| digester.digest(newest));
                self.keep(segment, &digest.map_err(invalid)?);
            } else {
                self.make(segment, &segments.read(segment.first_seq)?, &mut digester)?;
            }
        }
        Ok(())
    }

    /// Forgets all of them.
    pub(super) fn clear(&self) -> io::Result<()> {
        *self.digester() = Digester::default();
        fs::remove_dir_all(&self.dir)?;
        fs::create_dir_all(&self.dir)
    }

    /// Digests a segment, and keeps the file.
    fn make(
        &self,
        segment: &SegmentRef,
        events: &[Event],
        digester: &mut Digester,
    ) -> io::Result<Digest> {
        let digest = digester.digest(events).map_err(invalid)?;
        self.keep(segment, &digest);
        Ok(digest)
    }

    /// Writes the file if it can: the next restart does without it, too.
    fn keep(&self, segment: &SegmentRef, digest: &Digest) {
        self.made.fetch_add(1, Ordering::Relaxed);
        if let Err(error) = self.write(segment, digest) {
            tracing::warn!("the digest of the segment from {}: {error}", segment.first_seq);
        }
    }

    fn write(&self, segment: &SegmentRef, digest: &Digest) -> io::Result<()> {
        let body = codec::encode(digest, DIGEST_BYTES_MAX).map_err(io::Error::other)?;
        let mut header = Vec::with_capacity(HEADER_BYTES);
        header.extend(MAGIC);
        header.extend(DIGEST_FORMAT.to_le_bytes());
        header.extend(segment.crc32.to_le_bytes());
        header.extend(crc32fast::hash(&body).to_le_bytes());
        let path = self.path(segment);
        let aside = path.with_extension("tmp");
        let mut file = File::create(&aside)?;
        file.write_all(&header)?;
        file.write_all(&body)?;
        fs::rename(aside, path)
    }

    /// The digest of a segment, if there is a sound one of this very content.
    fn read(&self, segment: &SegmentRef) -> Option<Digest> {
        let bytes = fs::read(self.path(segment)).ok()?;
        let (header, body) = bytes.split_at_checked(HEADER_BYTES)?;
        let (magic, rest) = header.split_at(MAGIC.len());
        let (format, rest) = rest.split_at(2);
        let (of, crc) = rest.split_at(4);
        let is_it = magic == MAGIC
            && format == DIGEST_FORMAT.to_le_bytes()
            && of == segment.crc32.to_le_bytes()
            && crc == crc32fast::hash(body).to_le_bytes();
        let digest: Digest =
            is_it.then(|| codec::decode(body, DIGEST_BYTES_MAX)).and_then(Result::ok)?;
        (digest.before().0 + 1 == segment.first_seq.0).then_some(digest)
    }

    fn path(&self, segment: &SegmentRef) -> PathBuf {
        self.dir.join(format!("{:020}{SUFFIX}", segment.first_seq.0))
    }
}
