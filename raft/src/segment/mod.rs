//! Sealed event segments: immutable files that hold the replicated history in `seq` order.
//!
//! A segment covers exactly [`SEGMENT_EVENTS`] events at a fixed place
//! (`k * SEGMENT_EVENTS + 1 ..= (k + 1) * SEGMENT_EVENTS`), so it is the same file, byte for byte,
//! on every replica: a snapshot names it, and a lagging node copies it. Owns `<dir>/segments/`,
//! one file a segment. Never writes a file twice in place, and never shows one that is not whole
//! and durable: written aside, synced, renamed, directory synced. All calls block. Called by
//! `snapshot` (seal, read), `applied` (single events), `feed` (pages) and `peer` (shipping).

mod cold;
mod format;
#[cfg(test)]
mod tests;

use crate::fsync;
use format::{Flaw, HEADER_BYTES, SEGMENT_BYTES_MAX, TRAILER_BYTES};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use stock::{Event, Seq};

/// The events of one segment.
pub(crate) const SEGMENT_EVENTS: usize = 16_384;

const DIR: &str = "segments";
const SUFFIX: &str = ".segment";
const TMP_SUFFIX: &str = ".tmp";

/// Names a segment and its exact content, for a snapshot manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SegmentRef {
    /// Its first event.
    pub(crate) first_seq: Seq,
    /// Its events; always [`SEGMENT_EVENTS`].
    pub(crate) count: u32,
    /// The length of its file, in bytes.
    pub(crate) bytes: u64,
    /// The checksum of its file.
    pub(crate) crc32: u32,
}

/// The segment files of one data directory.
pub(crate) struct SegmentStore {
    dir: PathBuf,
    /// By first event. Locked for a moment only: readers do not wait for a writer's disk.
    segments: Mutex<BTreeMap<Seq, SegmentRef>>,
    /// Held while files are changed, so that two writers take turns.
    writing: Mutex<()>,
}

impl SegmentStore {
    /// Opens `<dir>/segments/`, or creates it, and looks at the header and trailer of each file.
    /// What a crash left half written is removed.
    ///
    /// # Errors
    /// `InvalidData`, naming the file, when one is not the segment that its name says.
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        let dir = dir.join(DIR);
        std::fs::create_dir_all(&dir).map_err(|e| at(&dir, &e))?;
        if let Some(parent) = dir.parent() {
            sync_dir(parent)?;
        }
        let mut segments = BTreeMap::new();
        for entry in std::fs::read_dir(&dir).map_err(|e| at(&dir, &e))? {
            let path = entry.map_err(|e| at(&dir, &e))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.ends_with(TMP_SUFFIX) {
                std::fs::remove_file(&path).map_err(|e| at(&path, &e))?;
            } else if let Some(first_seq) = parse_name(&name) {
                segments.insert(first_seq, inspect(&path, first_seq)?);
            } else {
                tracing::warn!(file = %path.display(), "this is no segment, and is ignored");
            }
        }
        Ok(Self { dir, segments: Mutex::new(segments), writing: Mutex::new(()) })
    }

    /// The segments, oldest first.
    pub(crate) fn list(&self) -> Vec<SegmentRef> {
        self.segments().values().cloned().collect()
    }

    /// Writes exactly one full, aligned segment; durable when it returns. One that is there already
    /// stays, if all of it is as it should be.
    ///
    /// # Errors
    /// `InvalidInput` when the events are not one full segment; `InvalidData` when the file exists
    /// with another content, which means that two histories met; and whatever the disk says.
    pub(crate) fn seal(&self, events: &[Event]) -> io::Result<SegmentRef> {
        let invalid = |e| io::Error::new(io::ErrorKind::InvalidInput, e);
        let first_seq = format::check_aligned(events).map_err(|e| invalid(e.to_string()))?;
        let bytes = format::encode(first_seq, events).map_err(|e| invalid(e.to_string()))?;
        let path = self.path(first_seq);
        let sealed = format::verify(&bytes).map_err(|flaw| damaged(&path, &flaw))?;
        let _turn = self.turn();
        if let Some(found) = self.find(first_seq) {
            if found != sealed {
                let (found, wanted) = (Box::new(found), Box::new(sealed));
                return Err(damaged(&path, &Flaw::Other { found, wanted }));
            }
            // Of one that was found at the start only the ends were looked at, and a crash may have
            // come before its name was durable.
            if std::fs::read(&path).is_ok_and(|there| there == bytes) {
                sync_dir(&self.dir)?;
                return Ok(sealed);
            }
        }
        self.write(&path, &bytes)?;
        self.segments().insert(first_seq, sealed.clone());
        Ok(sealed)
    }

    /// All events of the segment that starts with `first_seq`.
    ///
    /// # Errors
    /// `NotFound` when there is none; `InvalidData`, naming the file, when it is damaged.
    pub(crate) fn read(&self, first_seq: Seq) -> io::Result<Vec<Event>> {
        let (segment, bytes) = self.load(first_seq)?;
        let path = self.path(first_seq);
        format::decode(&segment, &bytes).map_err(|flaw| damaged(&path, &flaw))
    }

    /// The bytes of the segment that starts with `first_seq`, verified, to ship to a peer.
    ///
    /// # Errors
    /// As of [`SegmentStore::read`].
    pub(crate) fn raw(&self, first_seq: Seq) -> io::Result<Vec<u8>> {
        self.load(first_seq).map(|(_, bytes)| bytes)
    }

    /// Adds a segment that a peer shipped; durable when it returns. A file of another content is
    /// replaced: the snapshot that names `wanted` is the truth.
    ///
    /// # Errors
    /// `InvalidData` when the bytes are not the segment that `wanted` names; nothing is changed.
    pub(crate) fn install_raw(&self, wanted: &SegmentRef, bytes: &[u8]) -> io::Result<()> {
        let path = self.path(wanted.first_seq);
        let refuse = |flaw: Flaw| {
            let what = format!("a peer sent a bad segment from {}: {flaw}", wanted.first_seq);
            io::Error::new(io::ErrorKind::InvalidData, what)
        };
        let found = format::verify(bytes).map_err(refuse)?;
        if found != *wanted {
            let (found, wanted) = (Box::new(found), Box::new(wanted.clone()));
            return Err(refuse(Flaw::Other { found, wanted }));
        }
        let _turn = self.turn();
        if self.find(wanted.first_seq).as_ref() == Some(wanted) {
            return Ok(());
        }
        self.write(&path, bytes)?;
        self.segments().insert(wanted.first_seq, found);
        Ok(())
    }

    fn turn(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn segments(&self) -> MutexGuard<'_, BTreeMap<Seq, SegmentRef>> {
        self.segments.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, first_seq: Seq) -> Option<SegmentRef> {
        self.segments().get(&first_seq).cloned()
    }

    fn path(&self, first_seq: Seq) -> PathBuf {
        self.dir.join(format!("{:020}{SUFFIX}", first_seq.0))
    }

    fn load(&self, first_seq: Seq) -> io::Result<(SegmentRef, Vec<u8>)> {
        let path = self.path(first_seq);
        let segment = self.find(first_seq).ok_or_else(|| {
            io::Error::new(io::ErrorKind::NotFound, format!("no segment {}", path.display()))
        })?;
        let mut bytes = Vec::with_capacity(segment.bytes as usize);
        let file = File::open(&path).map_err(|e| at(&path, &e))?;
        file.take(SEGMENT_BYTES_MAX as u64 + 1)
            .read_to_end(&mut bytes)
            .map_err(|e| at(&path, &e))?;
        let found = format::verify(&bytes).map_err(|flaw| damaged(&path, &flaw))?;
        if found != segment {
            let (found, wanted) = (Box::new(found), Box::new(segment));
            return Err(damaged(&path, &Flaw::Other { found, wanted }));
        }
        Ok((segment, bytes))
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut tmp = path.as_os_str().to_owned();
        tmp.push(TMP_SUFFIX);
        let tmp = PathBuf::from(tmp);
        let write = || {
            let mut file = File::create(&tmp)?;
            file.write_all(bytes)?;
            fsync::all(&file)?;
            std::fs::rename(&tmp, path)
        };
        write().map_err(|e| at(path, &e))?;
        sync_dir(&self.dir)
    }
}

/// The first event that a file name promises.
fn parse_name(name: &str) -> Option<Seq> {
    let digits = name.strip_suffix(SUFFIX)?;
    let is_ours = digits.len() == 20 && digits.bytes().all(|digit| digit.is_ascii_digit());
    is_ours.then(|| digits.parse().ok().map(Seq)).flatten()
}

/// Reads the header and the trailer of a file.
fn inspect(path: &Path, wanted: Seq) -> io::Result<SegmentRef> {
    let file = File::open(path).map_err(|e| at(path, &e))?;
    let bytes = file.metadata().map_err(|e| at(path, &e))?.len();
    let (mut header, mut trailer) = ([0; HEADER_BYTES], [0; TRAILER_BYTES]);
    let Some(trailer_at) = bytes.checked_sub(TRAILER_BYTES as u64) else {
        return Err(damaged(path, &Flaw::Length(bytes)));
    };
    file.read_exact_at(&mut header, 0)
        .and_then(|()| file.read_exact_at(&mut trailer, trailer_at))
        .map_err(|_| damaged(path, &Flaw::Length(bytes)))?;
    let segment = format::identify(&header, trailer, bytes).map_err(|f| damaged(path, &f))?;
    if segment.first_seq != wanted {
        return Err(damaged(path, &Flaw::Place { found: segment.first_seq, wanted }));
    }
    Ok(segment)
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    fsync::names(dir).map_err(|e| at(dir, &e))
}

/// An IO error with the file that it is about.
fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

fn damaged(path: &Path, flaw: &Flaw) -> io::Error {
    let what = format!(
        "the event segment {} cannot be used: {flaw}. Move the data directory away and start the \
         node again with an empty one; the others send it everything. Do so for one node at a time",
        path.display()
    );
    io::Error::new(io::ErrorKind::InvalidData, what)
}
