//! Tests of the log store, on real files.
//!
//! `kill -9` is simulated by copying the files of a running store: what sled still holds in memory
//! is not in the copy.

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
use std::io;
use std::path::Path;
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

/// What is on disk right now, as a directory of its own.
fn killed(dir: &TempDir) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    copy_dir(dir.path(), copy.path());
    copy
}

fn copy_dir(from: &Path, to: &Path) {
    for item in std::fs::read_dir(from).unwrap() {
        let item = item.unwrap();
        let target = to.join(item.file_name());
        if item.file_type().unwrap().is_dir() {
            std::fs::create_dir(&target).unwrap();
            copy_dir(&item.path(), &target);
        } else {
            std::fs::copy(item.path(), target).unwrap();
        }
    }
}

/// Changes a closed store's trees behind its back.
fn tamper(dir: &TempDir, change: impl FnOnce(&Disk)) {
    let (mut disk, _) = Disk::open(dir.path(), NODE).unwrap();
    change(&disk);
    disk.sled.sync().unwrap();
}
