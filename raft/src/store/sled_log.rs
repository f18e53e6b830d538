//! sled's side of the store: its trees, and how operations are filed in them.
//!
//! Owns the open database. Who files is the checkpointer, and before it starts whoever opens the
//! directory, with the frames of the journal that sled lacks. Nothing here is durable before
//! [`SledLog::sync`] returns; whoever has given sled a batch calls it before the next one.

use super::disk::{
    KEY_COMMITTED, KEY_FILED, KEY_IDENTITY, KEY_PURGED, KEY_VOTE, SLED_SEGMENT_BYTES,
};
use super::error::io_error;
use super::journal::FrameNo;
use super::meta;
use super::operation::Operation;
use super::record::{self, key};
use super::removal::remove_after;
use crate::fsync;
use std::fs::File;
use std::io;

/// Entries are given to sled when so many bytes of them have gathered: a small part of one of its
/// segments, because all of it is synced before sled gets more (see `checkpointer`).
const BATCH_BYTES_MAX: usize = SLED_SEGMENT_BYTES / 8;

/// The database, and what is not yet given to it.
pub(super) struct SledLog {
    pub(super) db: sled::Db,
    pub(super) log: sled::Tree,
    pub(super) meta: sled::Tree,
    pub(super) identity: sled::Tree,
    /// Our own handle to sled's data file: sled's `flush` starts the writeback and waits for it,
    /// but never asks the device to make it durable, nor the file's new length.
    pub(super) data_file: File,
    pending: Pending,
    /// Bytes of entries that sled was given and that are not synced.
    unsynced_bytes: usize,
}

/// Entries that wait to be given to sled in one batch.
#[derive(Default)]
struct Pending {
    batch: sled::Batch,
    bytes: usize,
    keys: usize,
}

impl SledLog {
    pub(super) fn new(
        db: sled::Db,
        [log, meta, identity]: [sled::Tree; 3],
        data_file: File,
    ) -> Self {
        let pending = Pending::default();
        Self { db, log, meta, identity, data_file, pending, unsynced_bytes: 0 }
    }

    /// Whether no entry waits to be given to sled.
    pub(super) fn is_up_to_date(&self) -> bool {
        self.pending.keys == 0
    }

    /// Files one operation.
    ///
    /// # Errors
    /// sled's.
    pub(super) fn file(&mut self, operation: &Operation) -> io::Result<()> {
        match operation {
            Operation::Append { index, record } => {
                for (chunk, bytes) in record.chunks() {
                    debug_assert!(bytes.len() <= record::CHUNK_BYTES_MAX);
                    self.pending.batch.insert(&key(*index, chunk), bytes);
                    self.pending.bytes += bytes.len();
                    self.pending.keys += 1;
                }
                Ok(())
            }
            Operation::Vote(vote) => insert(&self.meta, KEY_VOTE, meta::encode_vote(vote)),
            Operation::Committed(upto) => {
                insert(&self.meta, KEY_COMMITTED, meta::encode_log_id(upto))
            }
            Operation::Truncate { kept } => {
                self.give()?;
                remove_after(&self.log, kept.map_or(0, |kept| kept.index + 1))?;
                self.sync()
            }
            Operation::Purge { upto } => {
                self.give()?;
                insert(&self.meta, KEY_PURGED, meta::encode_log_id(upto))
            }
            Operation::Identity(identity) => {
                insert(&self.identity, KEY_IDENTITY, meta::encode_identity(identity))
            }
        }
    }

    /// Whether enough entries wait to be given to sled.
    pub(super) fn has_gathered(&self) -> bool {
        self.pending.bytes >= BATCH_BYTES_MAX
    }

    /// Gives sled the entries that wait; returns how many keys they have.
    ///
    /// # Errors
    /// sled's.
    ///
    /// # Panics
    /// When so much would be unsynced that sled could write over a segment whose pages are
    /// nowhere else for good: after a power cut it might not open again.
    pub(super) fn give(&mut self) -> io::Result<usize> {
        let Pending { batch, bytes, keys } = std::mem::take(&mut self.pending);
        if keys > 0 {
            let before = self.unsynced_bytes;
            assert!(
                before == 0 || before + bytes <= SLED_SEGMENT_BYTES,
                "sled would be given {bytes} bytes while {before} are not synced"
            );
            self.unsynced_bytes += bytes;
            self.log.apply_batch(batch).map_err(io_error)?;
        }
        Ok(keys)
    }

    /// Makes everything up to a frame durable in sled, which then says so.
    ///
    /// # Errors
    /// When it fails, nobody knows what is durable, so the caller must stop.
    pub(super) fn checkpoint(&mut self, filed: FrameNo) -> io::Result<()> {
        self.give()?;
        // After all that it speaks of: sled recovers a prefix of what was written to it.
        insert(&self.meta, KEY_FILED, meta::encode_number(filed.0))?;
        self.sync()
    }

    /// Makes all that was written to sled durable: first sled's buffers, then the device.
    ///
    /// # Errors
    /// When either fails; nobody knows then what is durable, so the caller must stop.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.db.flush().map_err(io_error)?;
        fsync::content(&self.data_file)?;
        self.unsynced_bytes = 0;
        Ok(())
    }
}

fn insert(tree: &sled::Tree, key: &str, value: Vec<u8>) -> io::Result<()> {
    tree.insert(key, value).map(drop).map_err(io_error)
}
