//! Tests of the log store, on real files.
//!
//! `kill -9` is simulated by copying the files of a running store: what sled still holds in memory
//! is not in the copy. A kill leaves all files as they were at one instant, and so must the copy:
//! it is made again until nothing was written meanwhile (see [`killed`]).

mod damage;
mod durability;
mod journal;
mod model;
mod purge;
mod reads;
mod records;
mod suite;

use super::disk::Disk;
use super::{LogStore, StoreError, record};
use crate::types::{Entry, LogId, Proposal, TypeConfig, Vote};
use bytes::Bytes;
use openraft::EntryPayload;
use openraft::entry::RaftEntry;
use openraft::storage::{IOFlushed, RaftLogReader, RaftLogStorage};
use openraft::type_config::TypeConfigExt;
use openraft::type_config::alias::{CommittedLeaderIdOf, OneshotReceiverOf};
use openraft::vote::RaftLeaderId;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};
use stock::NodeId;
use tempfile::TempDir;

const NODE: NodeId = NodeId(1);

fn open(dir: &TempDir) -> LogStore {
    LogStore::open(dir.path(), NODE).unwrap()
}

/// Why a directory cannot be opened.
fn refusal(dir: &TempDir) -> StoreError {
    match LogStore::open(dir.path(), NODE) {
        Ok(_) => panic!("{} was opened", dir.path().display()),
        Err(error) => error,
    }
}

fn log_id(term: u64, index: u64) -> LogId {
    LogId::new(CommittedLeaderIdOf::<TypeConfig>::new(term, NODE), index)
}

/// An entry with a payload that depends on its id.
fn entry(term: u64, index: u64, payload_bytes: usize) -> Entry {
    let payload: Bytes =
        (0..payload_bytes as u64).map(|at| (term * 31 + index * 7 + at) as u8).collect();
    Entry::new(log_id(term, index), EntryPayload::Normal(Proposal(payload)))
}

fn entries(term: u64, indexes: std::ops::Range<u64>) -> Vec<Entry> {
    indexes.map(|index| entry(term, index, 100)).collect()
}

/// Starts an append; the receiver tells when it is durable.
async fn begin_append(
    store: &mut LogStore,
    entries: Vec<Entry>,
) -> OneshotReceiverOf<TypeConfig, io::Result<()>> {
    let (sender, receiver) = TypeConfig::oneshot();
    store.append(entries, IOFlushed::signal(sender)).await.unwrap();
    receiver
}

async fn append(store: &mut LogStore, entries: Vec<Entry>) {
    begin_append(store, entries).await.await.unwrap().unwrap();
}

async fn all(store: &mut LogStore) -> Vec<Entry> {
    store.try_get_log_entries(..).await.unwrap()
}

async fn last(store: &mut LogStore) -> Option<LogId> {
    store.get_log_state().await.unwrap().last_log_id
}

/// How long a copy is made again before its test fails.
const COPY_WAIT: Duration = Duration::from_secs(60);

/// What is on disk at one instant, as a directory of its own.
///
/// The checkpointer may be writing. A copy of which every byte is still the same when all of it
/// has been made is what was there between the two looks (a double collect); else it is made
/// again. Whoever calls it has no append under way, so the checkpointer soon has nothing to do.
fn killed(dir: &TempDir) -> TempDir {
    let deadline = Instant::now() + COPY_WAIT;
    loop {
        let copy = tempfile::tempdir().unwrap();
        let is_whole = copy_dir(dir.path(), copy.path())
            .and_then(|()| is_same(dir.path(), copy.path()))
            .or_else(|e| if e.kind() == io::ErrorKind::NotFound { Ok(false) } else { Err(e) });
        if is_whole.unwrap() {
            return copy;
        }
        assert!(Instant::now() < deadline, "{} never stands still", dir.path().display());
    }
}

/// # Errors
/// `NotFound` among others: sled removes files of its own.
fn copy_dir(from: &Path, to: &Path) -> io::Result<()> {
    for item in std::fs::read_dir(from)? {
        let item = item?;
        let target = to.join(item.file_name());
        if item.file_type()?.is_dir() {
            std::fs::create_dir(&target)?;
            copy_dir(&item.path(), &target)?;
        } else {
            std::fs::copy(item.path(), target)?;
        }
    }
    Ok(())
}

/// Whether two directories have the same files with the same bytes.
fn is_same(one: &Path, other: &Path) -> io::Result<bool> {
    let names = |dir: &Path| -> io::Result<BTreeSet<OsString>> {
        std::fs::read_dir(dir)?.map(|item| Ok(item?.file_name())).collect()
    };
    let found = names(one)?;
    if found != names(other)? {
        return Ok(false);
    }
    for name in found {
        let (one, other) = (one.join(&name), other.join(&name));
        let is_same = if one.is_dir() {
            is_same(&one, &other)?
        } else {
            std::fs::read(&one)? == std::fs::read(&other)?
        };
        if !is_same {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Changes a closed store's trees behind its back.
fn tamper(dir: &TempDir, change: impl FnOnce(&Disk)) {
    let (mut disk, _) = Disk::open(dir.path(), NODE).unwrap();
    change(&disk);
    disk.sled.sync().unwrap();
}
