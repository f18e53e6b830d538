//! sled and the files around it: opening, locking, what is found at the start, reading entries.
//!
//! ```text
//! <dir>/lock            held with flock while a process has the directory open
//! <dir>/durable.mark    see `mark`
//! <dir>/journal         see `journal`
//! <dir>/db-dir/         sled's directory: conf, db (the data file), blobs/ (stays empty), snap.*
//! ```
//!
//! Three trees: `log` (see `record`), `meta` (vote, committed, purged, filed) and `identity`. sled
//! recovers a prefix of what was written, in the order of the writes over all trees, and a batch
//! wholly or not at all. Whatever prefix it is, `filed` says from which frame of the journal on
//! everything has to be filed again, and then it is what was journalled.

use super::error::{StoreError, io_error};
use super::journal::{self, FrameNo, Journal};
use super::mark::{Durable, Mark};
use super::operation::Operation;
use super::record::{Damage, Partial, key, parse_key};
use super::sled_log::SledLog;
use super::{Identity, guard, meta};
use crate::fsync;
use crate::types::{Entry, LogId, Vote};
use rustix::fs::{FlockOperation, flock};
use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};
use stock::NodeId;

pub(super) const KEY_VOTE: &str = "vote";
pub(super) const KEY_COMMITTED: &str = "committed";
pub(super) const KEY_PURGED: &str = "purged";
pub(super) const KEY_IDENTITY: &str = "identity";
/// Up to which frame of the journal sled has everything.
pub(super) const KEY_FILED: &str = "filed";

const LOCK_FILE: &str = "lock";
const SLED_DIR: &str = "db-dir";
/// sled's data file inside its directory.
const SLED_FILE: &str = "db";
/// What else is kept in the data directory; without sled it proves a lost log.
const COMPANIONS: [&str; 3] = ["segments", "snapshot", journal::FILE_NAME];

/// sled's page cache. Recent entries are cached above sled, so this serves catch-up and purges.
const CACHE_BYTES: u64 = 64 * 1024 * 1024;
/// A page of a fourth of this or more would become a blob; ours stay below 70 KiB (see `record`).
pub(super) const SLED_SEGMENT_BYTES: usize = 512 * 1024;
/// How long a directory may stay locked by a predecessor that is just exiting.
const LOCK_WAIT: Duration = Duration::from_millis(500);
const LOCK_POLL: Duration = Duration::from_millis(10);

/// The open store, before its threads share it out.
pub(super) struct Disk {
    pub(super) sled: SledLog,
    pub(super) journal: Journal,
    pub(super) mark: Mark,
    /// Dropped, and so released, after sled.
    pub(super) lock: File,
}

/// What a store holds when it is opened.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) identity: Identity,
    pub(super) vote: Option<Vote>,
    pub(super) committed: Option<LogId>,
    pub(super) purged: Option<LogId>,
    /// The index of the first entry that the log contains, or will contain.
    pub(super) first: u64,
    /// The last log id; the purged one when there is no entry.
    pub(super) last: Option<LogId>,
}

impl Disk {
    /// Opens or creates the store of `node` in `dir`. Everything that it creates is durable when
    /// it returns.
    ///
    /// # Errors
    /// Every variant of [`StoreError`].
    pub(super) fn open(dir: &Path, node: NodeId) -> Result<(Self, Found), StoreError> {
        std::fs::create_dir_all(dir).map_err(|e| StoreError::io("create", dir, e))?;
        let lock = lock(dir)?;
        let sled_dir = dir.join(SLED_DIR);
        let is_new = !sled_dir.exists();
        if is_new {
            refuse_remains(dir)?;
        } else {
            remove_unfinished(&sled_dir)?;
        }
        let db = open_sled(dir, &sled_dir)?;
        let tree =
            |name: &str| db.open_tree(name).map_err(|e| StoreError::corrupt(dir, e.to_string()));
        let (log, meta, identity) = (tree("log")?, tree("meta")?, tree("identity")?);
        let data_path = sled_dir.join(SLED_FILE);
        let data_file =
            File::open(&data_path).map_err(|e| StoreError::io("open", &data_path, e))?;
        let mark = Mark::open(dir).map_err(|e| StoreError::io("open the mark in", dir, e))?;
        let mut sled = SledLog::new(db, [log, meta, identity], data_file);
        let journal = guard::catch(dir, || catch_up(&mut sled, dir))?;
        let mut disk = Self { sled, journal, mark, lock };
        let found = guard::catch(dir, || disk.recover(dir, node))?;
        disk.make_creation_durable(dir, &sled_dir)?;
        Ok((disk, found))
    }

    /// Reads what the store holds, creates the identity of an empty one, and judges both.
    fn recover(&mut self, dir: &Path, node: NodeId) -> Result<Found, StoreError> {
        let record = |tree: &sled::Tree, key: &str| {
            tree.get(key).map_err(|e| StoreError::corrupt(dir, e.to_string()))
        };
        let corrupt = |e: meta::MetaError| StoreError::corrupt(dir, e.to_string());
        let identity = match record(&self.sled.identity, KEY_IDENTITY)? {
            Some(bytes) => Some(known_identity(dir, &bytes)?),
            None => None,
        };
        if let Some(Identity { node: found, .. }) = identity
            && found != node
        {
            return Err(StoreError::OtherNode { dir: dir.to_owned(), found, wanted: node });
        }
        let log_id = |key: &'static str| match record(&self.sled.meta, key)? {
            Some(bytes) => meta::decode_log_id(key, &bytes).map(Some).map_err(corrupt),
            None => Ok(None),
        };
        let vote = match record(&self.sled.meta, KEY_VOTE)? {
            Some(bytes) => Some(meta::decode_vote(&bytes).map_err(corrupt)?),
            None => None,
        };
        let (committed, purged) = (log_id(KEY_COMMITTED)?, log_id(KEY_PURGED)?);
        let (first, last) =
            self.bounds(purged).map_err(|e| StoreError::corrupt(dir, e.to_string()))?;

        let holds = Durable { last, vote };
        if holds.is_behind(self.mark.says()) {
            return Err(StoreError::BehindMark {
                dir: dir.to_owned(),
                found: holds.to_string(),
                marked: self.mark.says().to_string(),
            });
        }
        // Committed is journalled after the entries that it covers, so no prefix of the journal can
        // hold it without them.
        if committed.map(|id| id.index) > last.map(|id| id.index) {
            return Err(StoreError::corrupt(dir, "committed entries are missing from the log"));
        }
        let identity = match identity {
            Some(identity) => identity,
            None if holds == Durable::default() => self.create_identity(dir, node)?,
            None => return Err(StoreError::corrupt(dir, "it has a log but no identity")),
        };
        Ok(Found { identity, vote, committed, purged, first, last })
    }

    fn create_identity(&mut self, dir: &Path, node: NodeId) -> Result<Identity, StoreError> {
        let incarnation = crate::types::Incarnation(rand::random());
        let identity = Identity { node, incarnation, cluster: None };
        self.sled
            .identity
            .insert(KEY_IDENTITY, meta::encode_identity(&identity))
            .map_err(io_error)
            .and_then(|_| self.sled.sync())
            .map_err(|e| StoreError::io("create the store in", dir, e))?;
        Ok(identity)
    }

    /// The first index and the last log id, with the last entry verified.
    fn bounds(&self, purged: Option<LogId>) -> io::Result<(u64, Option<LogId>)> {
        let first_kept = purged.map_or(0, |id| id.index + 1);
        let mut kept = self.sled.log.range(key(first_kept, 0)..).keys();
        let (Some(low), high) = (kept.next(), self.sled.log.last().map_err(io_error)?) else {
            return Ok((first_kept, purged));
        };
        let index_of = |key: &[u8]| {
            parse_key(key).map(|(index, _)| index).ok_or_else(|| {
                io::Error::new(io::ErrorKind::InvalidData, format!("{key:?} is no key of the log"))
            })
        };
        let first = index_of(&low.map_err(io_error)?)?;
        let last = match &high {
            Some((key, _)) => index_of(key)?,
            None => first,
        };
        if purged.is_some() && first != first_kept {
            let what = format!("the entries from {first_kept} up to {first} are missing");
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        let entries = read(&self.sled.log, last, last + 1, usize::MAX)?;
        Ok((first, entries.last().map(|entry| entry.log_id)))
    }

    /// A file whose directory entry is lost in a power cut is lost with all its synced content.
    fn make_creation_durable(&self, dir: &Path, sled_dir: &Path) -> Result<(), StoreError> {
        let sync = |path: &Path| {
            File::open(path)
                .and_then(|file| fsync::all(&file))
                .map_err(|e| StoreError::io("sync", path, e))
        };
        fsync::all(&self.sled.data_file).map_err(|e| StoreError::io("sync", sled_dir, e))?;
        sync(&sled_dir.join("conf"))?;
        sync(sled_dir)?;
        sync(dir)?;
        match dir.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => sync(parent),
            _ => sync(Path::new(".")),
        }
    }
}

/// Opens the journal, or creates it, and files in sled what sled does not have of it.
fn catch_up(sled: &mut SledLog, dir: &Path) -> Result<Journal, StoreError> {
    let corrupt = |what: String| StoreError::corrupt(dir, what);
    let said = sled.meta.get(KEY_FILED).map_err(|e| corrupt(e.to_string()))?;
    let filed = match &said {
        Some(bytes) => meta::decode_number(KEY_FILED, bytes).map_err(|e| corrupt(e.to_string()))?,
        None => 0,
    };
    // Nothing is journalled before sled has said so once. A start that was interrupted before
    // that, or an older build, leaves no journal, or a part of one.
    if said.is_none() && !journal::is_created(dir) {
        Journal::create(dir)
            .and_then(|()| fsync::names(dir))
            .map_err(|e| StoreError::io("create the journal in", dir, e))?;
    }
    let (journal, frames) = Journal::open(dir, FrameNo(filed))?;
    if said.is_some() && frames.is_empty() {
        return Ok(journal);
    }
    let not_filed = |e| StoreError::io("bring sled up to date in", dir, e);
    for frame in &frames {
        let operations = Operation::decode_all(&frame.body).map_err(|e| corrupt(e.to_string()))?;
        for operation in &operations {
            sled.file(operation).map_err(not_filed)?;
            if sled.has_gathered() {
                sled.give().and_then(|_| sled.sync()).map_err(not_filed)?;
            }
        }
    }
    sled.checkpoint(journal.last()).map_err(not_filed)?;
    Ok(journal)
}

/// Reads the entries `start..end`, all of which the caller knows to be in the log, until the
/// payloads reach `bytes_max`; at least one of a non-empty range.
///
/// # Errors
/// `InvalidData` when an entry is missing, lacks a chunk or fails its checksum.
pub(super) fn read(
    log: &sled::Tree,
    start: u64,
    end: u64,
    bytes_max: usize,
) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    let mut bytes_read = 0;
    let mut next = start;
    let mut partial: Option<Partial> = None;
    for item in log.range(key(start, 0)..key(end, 0)) {
        let (item_key, value) = item.map_err(io_error)?;
        let Some((index, chunk)) = parse_key(&item_key) else {
            return Err(Damage::new(next, format!("found the key {item_key:?}")).into());
        };
        if index != next {
            // The entry before ends here, and the next one must follow without a hole.
            entries.push(finished(partial.take(), next)?);
            next += 1;
            if bytes_read >= bytes_max {
                return Ok(entries);
            }
            if index != next {
                return Err(Damage::new(next, "it is missing".to_owned()).into());
            }
        }
        match &mut partial {
            Some(partial) => partial.push(chunk, &value)?,
            None => partial = Some(Partial::start(index, chunk, &value)?),
        }
        bytes_read += value.len();
    }
    if start < end {
        entries.push(finished(partial, next)?);
        next += 1;
        if next != end {
            return Err(Damage::new(next, "it is missing".to_owned()).into());
        }
    }
    Ok(entries)
}

fn finished(partial: Option<Partial>, index: u64) -> Result<Entry, Damage> {
    match partial {
        Some(partial) => partial.finish(),
        None => Err(Damage::new(index, "it is missing".to_owned())),
    }
}

fn known_identity(dir: &Path, bytes: &[u8]) -> Result<Identity, StoreError> {
    meta::decode_identity(bytes).map_err(|e| match e {
        meta::MetaError::Format(_, found) => {
            StoreError::NewerFormat { dir: dir.to_owned(), found, known: meta::FORMAT }
        }
        damaged @ meta::MetaError::Damaged(_) => StoreError::corrupt(dir, damaged.to_string()),
    })
}

/// Takes the directory's lock before anything in it is touched: sled has a lock of its own, but
/// only takes it after we have removed its leftovers, which may belong to a running process.
fn lock(dir: &Path) -> Result<File, StoreError> {
    let path = dir.join(LOCK_FILE);
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(|e| StoreError::io("open", &path, e))?;
    let deadline = Instant::now() + LOCK_WAIT;
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(rustix::io::Errno::WOULDBLOCK) if Instant::now() < deadline => {
                std::thread::sleep(LOCK_POLL);
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(StoreError::InUse { dir: dir.to_owned() });
            }
            Err(errno) => return Err(StoreError::io("lock", &path, errno.into())),
        }
    }
}

/// A directory with segments or a snapshot but no log has lost its log, and with it its vote.
fn refuse_remains(dir: &Path) -> Result<(), StoreError> {
    for name in COMPANIONS {
        let path = dir.join(name);
        let is_occupied = match std::fs::read_dir(&path) {
            Ok(mut entries) => entries.next().is_some(),
            Err(e) if e.kind() == io::ErrorKind::NotFound => false,
            Err(e) if e.kind() == io::ErrorKind::NotADirectory => true,
            Err(e) => return Err(StoreError::io("read", &path, e)),
        };
        if is_occupied {
            let what = format!("{SLED_DIR} is gone, but {name} is not");
            return Err(StoreError::corrupt(dir, what));
        }
    }
    Ok(())
}

/// sled writes its own snapshot under a temporary name. It takes a leftover of a crash for a
/// finished one, and fails.
fn remove_unfinished(sled_dir: &Path) -> Result<(), StoreError> {
    let error = |e| StoreError::io("clean up", sled_dir, e);
    for entry in std::fs::read_dir(sled_dir).map_err(error)? {
        let entry = entry.map_err(error)?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            tracing::info!(file = %entry.path().display(), "removing an unfinished sled snapshot");
            std::fs::remove_file(entry.path()).map_err(error)?;
        }
    }
    Ok(())
}

fn open_sled(dir: &Path, sled_dir: &Path) -> Result<sled::Db, StoreError> {
    let deadline = Instant::now() + LOCK_WAIT;
    loop {
        let config = sled::Config::new()
            .path(sled_dir)
            .cache_capacity(CACHE_BYTES)
            .segment_size(SLED_SEGMENT_BYTES)
            // Only the IO thread decides when to write and sync.
            .flush_every_ms(None);
        match guard::catch(dir, || Ok(config.open()))? {
            Ok(db) => return Ok(db),
            // A store of this process that was just closed: sled's own threads let go of the
            // file a moment later.
            Err(sled::Error::Io(e)) if e.to_string().contains("could not acquire lock") => {
                if Instant::now() >= deadline {
                    return Err(StoreError::InUse { dir: dir.to_owned() });
                }
                std::thread::sleep(LOCK_POLL);
            }
            Err(sled::Error::Io(e)) => return Err(StoreError::io("open", sled_dir, e)),
            Err(e) => return Err(StoreError::corrupt(dir, e.to_string())),
        }
    }
}
