//! The journal file: appended to before each change, emptied and compacted as changes settle.
//!
//! Owns: the file, its lock, and the directory of graves beside it. Never does: decide what is
//! durable (`tracker`), or take anything back (`undo`); it is called by both. The journal needs no
//! sync of its own: it has to outlive the process, not the machine.

use crate::record::{Change, ChangeNo, Header, Record};
use rustix::fs::{FlockOperation, flock};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a journal may stay locked by a process that was killed a moment ago.
const LOCK_WAIT: Duration = Duration::from_secs(2);
const LOCK_POLL: Duration = Duration::from_millis(10);
/// A journal below this size is not worth rewriting.
const COMPACT_BYTES_MIN: u64 = 8 * 1024 * 1024;

/// Where a record is in the file.
#[derive(Debug, Clone, Copy)]
struct Place {
    at: u64,
    bytes: u64,
}

/// The open journal.
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    header_bytes: u64,
    end: u64,
    /// The records of changes that are not settled, and of what they created.
    live: BTreeMap<ChangeNo, Vec<Place>>,
    live_bytes: u64,
}

/// What a journal held when it was opened.
pub(crate) struct Found {
    pub(crate) dir: PathBuf,
    /// What is not settled, in order.
    pub(crate) pending: BTreeMap<ChangeNo, Change>,
}

impl Journal {
    /// Opens or creates the journal of `dir`, and takes its lock.
    ///
    /// # Errors
    /// When another process has it, when it is of another directory, or the disk says so.
    pub(crate) fn open(path: &Path, dir: &Path) -> io::Result<(Self, Found)> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.open(path).map_err(|e| at(path, &e))?;
        lock(path, &file)?;
        let mut bytes = read_all(path, &file)?;
        if bytes.is_empty() {
            bytes = Header { dir: dir.to_owned() }.encode();
            file.write_all_at(&bytes, 0).map_err(|e| at(path, &e))?;
        }
        let (journal, found) = Self::with(path, file, &bytes)?;
        if found.dir != dir {
            let (theirs, ours) = (found.dir.display(), dir.display());
            let what = format!("is the journal of {theirs}, not of {ours}: give it another path");
            return Err(at(path, &io::Error::other(what)));
        }
        Ok((journal, found))
    }

    /// Opens a journal that is there, and takes its lock; `None` when the library was loaded, but
    /// nothing was ever changed.
    ///
    /// # Errors
    /// `NotFound` when it is not there; otherwise as of [`Journal::open`].
    pub(crate) fn existing(path: &Path) -> io::Result<Option<(Self, Found)>> {
        let file = OpenOptions::new().read(true).write(true).open(path);
        let file = file.map_err(|e| at(path, &e))?;
        lock(path, &file)?;
        let bytes = read_all(path, &file)?;
        if bytes.is_empty() { Ok(None) } else { Self::with(path, file, &bytes).map(Some) }
    }

    /// What a journal holds, read without its lock: of a process that stands still, or is gone.
    /// `None` as of [`Journal::existing`].
    ///
    /// # Errors
    /// As of [`Journal::existing`].
    pub(crate) fn look(path: &Path) -> io::Result<Option<Found>> {
        let file = File::open(path).map_err(|e| at(path, &e))?;
        let bytes = read_all(path, &file)?;
        if bytes.is_empty() {
            return Ok(None);
        }
        Self::with(path, file, &bytes).map(|(_, found)| Some(found))
    }

    fn with(path: &Path, file: File, bytes: &[u8]) -> io::Result<(Self, Found)> {
        let not_ours = || io::Error::new(io::ErrorKind::InvalidData, "is no journal of this build");
        let (header, header_bytes) = Header::decode(bytes).ok_or_else(|| at(path, &not_ours()))?;
        let mut found = Found { dir: header.dir, pending: BTreeMap::new() };
        let mut journal = Self {
            path: path.to_owned(),
            file,
            header_bytes: header_bytes as u64,
            end: header_bytes as u64,
            live: BTreeMap::new(),
            live_bytes: 0,
        };
        let mut rest = &bytes[header_bytes..];
        while let Some((record, length)) = Record::decode(rest).map_err(|e| at(path, &e))? {
            let place = Place { at: journal.end, bytes: length as u64 };
            journal.end += length as u64;
            rest = &rest[length..];
            match record {
                Record::Change(no, change) => {
                    found.pending.insert(no, change);
                    journal.keep(no, place);
                }
                Record::Created(no, file) => {
                    if let Some(Change::Create(created)) = found.pending.get_mut(&no) {
                        created.file = Some(file);
                        journal.keep(no, place);
                    }
                }
                Record::Settled(numbers) => {
                    for no in numbers {
                        found.pending.remove(&no);
                        journal.forget(no);
                    }
                }
            }
        }
        Ok((journal, found))
    }

    /// Where what was removed waits until its removal is durable.
    pub(crate) fn graves(&self) -> PathBuf {
        let mut name = self.path.as_os_str().to_owned();
        name.push(".graves");
        PathBuf::from(name)
    }

    /// Where what this change removes or replaces is kept.
    pub(crate) fn grave(&self, no: ChangeNo) -> PathBuf {
        self.graves().join(no.0.to_string())
    }

    /// Writes that a change is about to be made.
    ///
    /// # Errors
    /// When the record cannot be written; the change must not be made then.
    pub(crate) fn change(&mut self, no: ChangeNo, change: Change) -> io::Result<Change> {
        let record = Record::Change(no, change);
        let place = self.append(&record)?;
        self.keep(no, place);
        match record {
            Record::Change(_, change) => Ok(change),
            Record::Created(..) | Record::Settled(_) => unreachable!("it was made a line above"),
        }
    }

    /// Writes which file a creation made.
    ///
    /// # Errors
    /// When the record cannot be written.
    pub(crate) fn created(&mut self, no: ChangeNo, file: crate::record::FileId) -> io::Result<()> {
        let place = self.append(&Record::Created(no, file))?;
        self.keep(no, place);
        Ok(())
    }

    /// Writes that there is nothing more to undo of these changes.
    ///
    /// # Errors
    /// When it cannot be written, or the journal cannot be made smaller.
    pub(crate) fn settled(&mut self, numbers: Vec<ChangeNo>) -> io::Result<()> {
        if numbers.is_empty() {
            return Ok(());
        }
        for no in &numbers {
            self.forget(*no);
        }
        if self.live.is_empty() {
            // Quicker than a record, and the usual case of a program that syncs what it writes.
            return self.empty();
        }
        self.append(&Record::Settled(numbers))?;
        if self.end > COMPACT_BYTES_MIN && self.live_bytes < self.end / 2 {
            self.compact()?;
        }
        Ok(())
    }

    /// Forgets every change.
    ///
    /// # Errors
    /// When the file cannot be cut.
    pub(crate) fn empty(&mut self) -> io::Result<()> {
        self.file.set_len(self.header_bytes).map_err(|e| at(&self.path, &e))?;
        self.end = self.header_bytes;
        self.live.clear();
        self.live_bytes = 0;
        Ok(())
    }

    fn keep(&mut self, no: ChangeNo, place: Place) {
        self.live_bytes += place.bytes;
        self.live.entry(no).or_default().push(place);
    }

    fn forget(&mut self, no: ChangeNo) {
        let places = self.live.remove(&no).unwrap_or_default();
        self.live_bytes -= places.iter().map(|place| place.bytes).sum::<u64>();
    }

    fn append(&mut self, record: &Record) -> io::Result<Place> {
        let bytes = record.encode();
        self.file.write_all_at(&bytes, self.end).map_err(|e| at(&self.path, &e))?;
        let place = Place { at: self.end, bytes: bytes.len() as u64 };
        self.end += place.bytes;
        Ok(place)
    }

    /// Writes what is live to a new file, which takes this one's place at once.
    fn compact(&mut self) -> io::Result<()> {
        let mut aside = self.path.as_os_str().to_owned();
        aside.push(".compact");
        let aside = PathBuf::from(aside);
        let error = |e: io::Error| at(&aside, &e);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true);
        let new = options.open(&aside).map_err(error)?;
        lock(&aside, &new)?;
        let mut end = 0;
        let mut copy = |place: Place| {
            let mut bytes = vec![0; place.bytes as usize];
            self.file.read_exact_at(&mut bytes, place.at)?;
            new.write_all_at(&bytes, end)?;
            let copied = Place { at: end, bytes: place.bytes };
            end += place.bytes;
            Ok(copied)
        };
        copy(Place { at: 0, bytes: self.header_bytes }).map_err(error)?;
        let mut live = BTreeMap::new();
        for (no, places) in &self.live {
            let copied: io::Result<Vec<Place>> = places.iter().map(|place| copy(*place)).collect();
            live.insert(*no, copied.map_err(error)?);
        }
        std::fs::rename(&aside, &self.path).map_err(|e| at(&self.path, &e))?;
        (self.file, self.end, self.live) = (new, end, live);
        Ok(())
    }
}

fn read_all(path: &Path, file: &File) -> io::Result<Vec<u8>> {
    let length = file.metadata().map_err(|e| at(path, &e))?.len();
    let mut bytes = vec![0; length as usize];
    file.read_exact_at(&mut bytes, 0).map_err(|e| at(path, &e))?;
    Ok(bytes)
}

/// One process at a time: two would undo each other's changes.
fn lock(path: &Path, file: &File) -> io::Result<()> {
    let deadline = Instant::now() + LOCK_WAIT;
    loop {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(()),
            Err(rustix::io::Errno::WOULDBLOCK) if Instant::now() < deadline => {
                std::thread::sleep(LOCK_POLL);
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let what = "is in use by a process that still runs: end it first, or give each \
                            process a journal of its own";
                return Err(at(path, &io::Error::new(io::ErrorKind::ResourceBusy, what)));
            }
            Err(errno) => return Err(at(path, &errno.into())),
        }
    }
}

/// An error with the file that it is about.
pub(crate) fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
