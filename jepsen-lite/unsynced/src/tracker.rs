//! Which changes are durable: the rules, applied while the program runs.
//!
//! Owns: the list of changes that no sync has covered. Never does: a change itself, or a sync;
//! the preloaded library makes them and says here when each begins and ends.
//!
//! What makes a change durable:
//!
//! - bytes and lengths: an `fsync` or `fdatasync` of the file, through any descriptor of it, that
//!   *began* after the change was complete and succeeded. `sync_file_range` is not one: it neither
//!   writes the length nor empties the device's cache;
//! - names: an `fsync` of the directory that holds the name, likewise. An `fsync` of a new file
//!   does not make its name durable (the letter of POSIX; ext4 and XFS give more). A rename between
//!   two directories is durable when both were synced;
//! - anything: `sync`, `syncfs`.
//!
//! The list is bounded. Beyond the bound the oldest changes of a file count as durable, as if the
//! kernel had written them back in its own time, which it may.

use crate::journal::{Journal, at};
use crate::record::{
    Change, ChangeNo, Created, FileId, FileNo, Grave, Removed, Renamed, Resized, Written,
};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The most changes of one file that wait for a sync.
pub const FILE_CHANGES_MAX: usize = 4096;
/// The most changes of names that wait for a sync.
pub const NAME_CHANGES_MAX: usize = 65_536;
/// The most bytes that all waiting changes have replaced.
pub const OLD_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// A moment in the order of beginnings and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

/// Gives out moments, each later than the one before. Needs no lock, so that a sync can take the
/// moment of its beginning while a change is under way.
#[derive(Debug, Default)]
pub struct Clock(AtomicU64);

impl Clock {
    /// Now.
    pub fn now(&self) -> Moment {
        Moment(self.0.fetch_add(1, Ordering::SeqCst) + 1)
    }
}

/// A change that has begun.
#[derive(Debug, Clone, Copy)]
#[must_use = "a change that never ends can never become durable"]
pub struct Started(Option<ChangeNo>);

/// How a change ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was made, at least in part.
    Made,
    /// It was refused: nothing changed.
    Refused,
}

/// A change that no sync has covered.
struct Pending {
    subject: Subject,
    /// `None` while it is under way.
    made: Option<Moment>,
    old_bytes: u64,
}

/// What has to be synced.
enum Subject {
    Content(FileNo),
    /// The directories of which no sync has covered this change of a name.
    Names {
        unsynced: BTreeSet<u64>,
        removed: Option<FileNo>,
    },
}

/// The changes of one process below one directory.
pub struct Tracker {
    journal: Journal,
    clock: Arc<Clock>,
    pending: BTreeMap<ChangeNo, Pending>,
    by_file: HashMap<FileNo, BTreeSet<ChangeNo>>,
    names: BTreeSet<ChangeNo>,
    files: HashMap<u64, FileNo>,
    old_bytes: u64,
    last_change: u64,
    last_file: u64,
}

impl Tracker {
    /// Opens or creates the journal of `dir`. What an earlier process left unsynced still is.
    ///
    /// # Errors
    /// When the journal is in use, of another directory, damaged, or cannot be written.
    pub fn open(journal: &Path, dir: &Path, clock: Arc<Clock>) -> io::Result<Self> {
        let (journal, found) = Journal::open(journal, dir)?;
        let graves = journal.graves();
        std::fs::create_dir_all(&graves).map_err(|e| at(&graves, &e))?;
        let mut tracker = Self {
            journal,
            clock,
            pending: BTreeMap::new(),
            by_file: HashMap::new(),
            names: BTreeSet::new(),
            files: HashMap::new(),
            old_bytes: 0,
            last_change: 0,
            last_file: 0,
        };
        let made = tracker.clock.now();
        for (no, change) in &found.pending {
            for file in change.files() {
                tracker.last_file = tracker.last_file.max(file.no.0);
                tracker.files.insert(file.inode, file.no);
            }
            tracker.last_change = no.0;
            tracker.add(*no, change, Some(made));
        }
        Ok(tracker)
    }

    /// `len` bytes at `at` of this file are about to be overwritten or appended. `reader` reads
    /// the file.
    ///
    /// # Errors
    /// When the old bytes cannot be saved; the change must not be made then.
    pub fn write_begins(&mut self, reader: &File, at: u64, len: u64) -> io::Result<Started> {
        let Some((file, old_len)) = self.subject(reader)? else {
            return Ok(Started(None));
        };
        let old = read(reader, at, at.saturating_add(len).min(old_len))?;
        self.begin(Change::Write(Written { file, at, len, old_len, old }))
    }

    /// The length of this file is about to be set.
    ///
    /// # Errors
    /// As of [`Tracker::write_begins`].
    pub fn resize_begins(&mut self, reader: &File, to: u64) -> io::Result<Started> {
        let Some((file, old_len)) = self.subject(reader)? else {
            return Ok(Started(None));
        };
        let old = read(reader, to, old_len)?;
        self.begin(Change::Resize(Resized { file, to, old_len, old }))
    }

    /// A file or directory is about to be created, or linked, at `path`.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub fn create_begins(&mut self, path: &Path) -> io::Result<Started> {
        let parent = parent_inode(path)?;
        self.begin(Change::Create(Created { path: path.to_owned(), file: None, parent }))
    }

    /// What `create_begins` announced is there.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub fn created(&mut self, started: Started, is_new: IsNew, made: &Metadata) -> io::Result<()> {
        if let Some(no) = started.0 {
            let file = match is_new {
                IsNew::New => self.new_file(made.ino())?,
                IsNew::Linked => self.file(made.ino()),
            };
            self.journal.created(no, file)?;
        }
        self.ended(started, Outcome::Made)
    }

    /// The name `path` is about to be taken away.
    ///
    /// # Errors
    /// When what it names cannot be kept, or the journal cannot be written.
    pub fn remove_begins(&mut self, path: &Path) -> io::Result<Started> {
        let Ok(found) = path.symlink_metadata() else {
            return Ok(Started(None));
        };
        let parent = parent_inode(path)?;
        let file = self.file(found.ino());
        let grave = self.bury(path, &found, file)?;
        self.begin(Change::Remove(Removed { path: path.to_owned(), file, parent, grave }))
    }

    /// `from` is about to be called `to`.
    ///
    /// # Errors
    /// As of [`Tracker::remove_begins`].
    pub fn rename_begins(&mut self, from: &Path, to: &Path) -> io::Result<Started> {
        let Ok(found) = from.symlink_metadata() else {
            return Ok(Started(None));
        };
        let (from_parent, to_parent) = (parent_inode(from)?, parent_inode(to)?);
        let file = self.file(found.ino());
        let replaced = match to.symlink_metadata() {
            // Two names of one file: renaming one to the other does nothing.
            Ok(there) if there.ino() == found.ino() => return Ok(Started(None)),
            Ok(there) => {
                let replaced = self.file(there.ino());
                Some((replaced, self.bury(to, &there, replaced)?))
            }
            Err(_) => None,
        };
        let (from, to) = (from.to_owned(), to.to_owned());
        self.begin(Change::Rename(Renamed { from, to, file, from_parent, to_parent, replaced }))
    }

    /// A change is complete, or was refused.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub fn ended(&mut self, started: Started, outcome: Outcome) -> io::Result<()> {
        let Some(no) = started.0 else {
            return Ok(());
        };
        if outcome == Outcome::Refused {
            return self.settle(vec![no]);
        }
        let made = self.clock.now();
        if let Some(pending) = self.pending.get_mut(&no) {
            pending.made = Some(made);
        }
        self.write_back(no)
    }

    /// A sync of the file or directory with this inode, which began at `began`, succeeded.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub fn synced(&mut self, inode: u64, began: Moment) -> io::Result<()> {
        let Some(&file) = self.files.get(&inode) else {
            return self.directory_synced(inode, began);
        };
        let changes = self.by_file.get(&file).into_iter().flatten().copied();
        let durable: Vec<ChangeNo> = changes.filter(|no| self.is_made_before(*no, began)).collect();
        self.settle(durable)?;
        self.directory_synced(inode, began)
    }

    /// Everything was synced, beginning at `began`.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub fn all_synced(&mut self, began: Moment) -> io::Result<()> {
        let made = |no: &ChangeNo| self.is_made_before(*no, began);
        let durable: Vec<ChangeNo> = self.pending.keys().copied().filter(made).collect();
        self.settle(durable)
    }

    fn directory_synced(&mut self, inode: u64, began: Moment) -> io::Result<()> {
        let mut durable = Vec::new();
        for no in &self.names {
            let Some(pending) = self.pending.get_mut(no) else { continue };
            let is_made = pending.made.is_some_and(|made| made < began);
            if let Subject::Names { unsynced, .. } = &mut pending.subject
                && is_made
                && unsynced.remove(&inode)
                && unsynced.is_empty()
            {
                durable.push(*no);
            }
        }
        self.settle(durable)
    }

    fn is_made_before(&self, no: ChangeNo, began: Moment) -> bool {
        self.pending.get(&no).and_then(|pending| pending.made).is_some_and(|made| made < began)
    }

    /// Which file this is, and its length; `None` when no name and no grave leads to it, so that
    /// nobody will ever see it again.
    fn subject(&mut self, reader: &File) -> io::Result<Option<(FileId, u64)>> {
        let found = reader.metadata()?;
        Ok((found.nlink() > 0).then(|| (self.file(found.ino()), found.len())))
    }

    fn file(&mut self, inode: u64) -> FileId {
        let no = *self.files.entry(inode).or_insert_with(|| {
            self.last_file += 1;
            FileNo(self.last_file)
        });
        FileId { no, inode }
    }

    /// A file that was just created may have the inode of one that is gone for good.
    fn new_file(&mut self, inode: u64) -> io::Result<FileId> {
        self.forget_file(inode)?;
        Ok(self.file(inode))
    }

    fn forget_file(&mut self, inode: u64) -> io::Result<()> {
        if let Some(gone) = self.files.remove(&inode) {
            let changes = self.by_file.get(&gone).into_iter().flatten().copied().collect();
            self.settle(changes)?;
        }
        Ok(())
    }

    /// Keeps what is about to lose its name, for the change that begins next.
    fn bury(&mut self, path: &Path, found: &Metadata, file: FileId) -> io::Result<Grave> {
        if found.is_dir() {
            return Ok(Grave::Directory);
        }
        let grave = self.journal.grave(ChangeNo(self.last_change + 1));
        match std::fs::hard_link(path, &grave) {
            Ok(()) => Ok(Grave::Link),
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
                std::fs::copy(path, &grave).map_err(|e| at(&grave, &e))?;
                // What is written to the file from now on is lost with it.
                if found.nlink() == 1 {
                    self.files.remove(&file.inode);
                }
                Ok(Grave::Copy)
            }
            Err(error) => Err(at(&grave, &error)),
        }
    }

    fn begin(&mut self, change: Change) -> io::Result<Started> {
        self.last_change += 1;
        let no = ChangeNo(self.last_change);
        let change = self.journal.change(no, change)?;
        self.add(no, &change, None);
        Ok(Started(Some(no)))
    }

    fn add(&mut self, no: ChangeNo, change: &Change, made: Option<Moment>) {
        let (subject, old_bytes) = match change {
            Change::Write(Written { file, old, .. })
            | Change::Resize(Resized { file, old, .. }) => {
                self.by_file.entry(file.no).or_default().insert(no);
                (Subject::Content(file.no), old.len() as u64)
            }
            Change::Create(Created { parent, .. }) => (names([*parent], None), 0),
            Change::Remove(Removed { parent, file, .. }) => (names([*parent], Some(*file)), 0),
            Change::Rename(Renamed { from_parent, to_parent, replaced, .. }) => {
                (names([*from_parent, *to_parent], replaced.map(|(file, _)| file)), 0)
            }
        };
        if matches!(subject, Subject::Names { .. }) {
            self.names.insert(no);
        }
        self.old_bytes += old_bytes;
        self.pending.insert(no, Pending { subject, made, old_bytes });
    }

    /// Keeps the list within its bounds after `newest`.
    fn write_back(&mut self, newest: ChangeNo) -> io::Result<()> {
        let Some(pending) = self.pending.get(&newest) else {
            return Ok(());
        };
        let (waiting, is_full) = match &pending.subject {
            Subject::Content(file) => {
                let Some(changes) = self.by_file.get(file) else { return Ok(()) };
                let is_full = changes.len() > FILE_CHANGES_MAX || self.old_bytes > OLD_BYTES_MAX;
                (changes, is_full)
            }
            Subject::Names { .. } => (&self.names, self.names.len() > NAME_CHANGES_MAX),
        };
        if !is_full {
            return Ok(());
        }
        let oldest = waiting.iter().copied().take(waiting.len().div_ceil(2));
        let oldest = oldest.filter(|no| self.is_made_before(*no, Moment(u64::MAX))).collect();
        self.settle(oldest)
    }

    /// There is nothing to undo of these any more.
    fn settle(&mut self, numbers: Vec<ChangeNo>) -> io::Result<()> {
        let mut gone = Vec::new();
        for no in &numbers {
            let Some(pending) = self.pending.remove(no) else { continue };
            self.old_bytes -= pending.old_bytes;
            match pending.subject {
                Subject::Content(file) => {
                    if let Some(changes) = self.by_file.get_mut(&file) {
                        changes.remove(no);
                        if changes.is_empty() {
                            self.by_file.remove(&file);
                        }
                    }
                }
                Subject::Names { removed, .. } => {
                    self.names.remove(no);
                    gone.extend(removed.map(|file| (*no, file)));
                }
            }
        }
        // The graves go after the journal has let go of them.
        self.journal.settled(numbers)?;
        gone.into_iter().try_for_each(|(no, file)| self.dig_up(no, file))
    }

    /// A removal is durable, or was refused: its grave is not needed.
    fn dig_up(&mut self, no: ChangeNo, file: FileNo) -> io::Result<()> {
        let grave = self.journal.grave(no);
        let found = match grave.symlink_metadata() {
            Ok(found) => found,
            // A directory has none.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(at(&grave, &error)),
        };
        std::fs::remove_file(&grave).map_err(|e| at(&grave, &e))?;
        let is_last = found.nlink() == 1;
        if is_last && self.files.get(&found.ino()) == Some(&file) {
            return self.forget_file(found.ino());
        }
        if is_last && let Some(changes) = self.by_file.get(&file) {
            // A copy went, and with it what was written before it was made.
            return self.settle(changes.iter().copied().collect());
        }
        Ok(())
    }
}

/// Whether a created name is of a new file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IsNew {
    /// It is.
    New,
    /// It is one more name of a file.
    Linked,
}

impl Change {
    fn files(&self) -> impl Iterator<Item = FileId> {
        let (first, second) = match self {
            Self::Write(Written { file, .. }) | Self::Resize(Resized { file, .. }) => {
                (Some(*file), None)
            }
            Self::Create(Created { file, .. }) => (*file, None),
            Self::Remove(Removed { file, .. }) => (Some(*file), None),
            Self::Rename(Renamed { file, replaced, .. }) => {
                (Some(*file), replaced.map(|(file, _)| file))
            }
        };
        first.into_iter().chain(second)
    }
}

fn names<const N: usize>(parents: [u64; N], removed: Option<FileId>) -> Subject {
    Subject::Names { unsynced: BTreeSet::from(parents), removed: removed.map(|file| file.no) }
}

fn read(reader: &File, from: u64, to: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; to.saturating_sub(from) as usize];
    reader.read_exact_at(&mut bytes, from)?;
    Ok(bytes)
}

fn parent_inode(path: &Path) -> io::Result<u64> {
    let parent = path.parent().unwrap_or(path);
    parent.metadata().map(|found| found.ino()).map_err(|e| at(parent, &e))
}
