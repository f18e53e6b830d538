//! The IO thread: the only one that writes to sled.
//!
//! It takes all that waits in the queue, writes it to sled in order, makes it durable with one
//! flush and one sync (group commit), writes the mark, and only then reports. sled recovers a
//! prefix of the writes, so their order is what keeps every crash sound:
//!
//! - appends of one group are one sled batch; a vote, a truncation or a purge in between closes
//!   the batch first;
//! - `purged` is written before anything is removed, and before entries that follow a purge;
//! - `committed` is written after the entries that it covers;
//! - the mark is lowered and synced before a truncation.
//!
//! Purged entries are removed in small steps (see `removal`): a few after each group, in
//! proportion to what the group appended so that the log cannot outgrow the purge, and more while
//! nothing waits. An append never waits for more than the steps of one group.
//!
//! After the first error nothing is written any more: everyone gets the error, and the process
//! is expected to exit.

use super::disk::{self, Disk};
use super::error::{StoreFailure, io_error};
use super::mark::Durable;
use super::record::{self, Record, key};
use super::removal::{Purge, purge_steps, remove_after};
use super::state::{AppendNo, TAIL_BYTES_MAX};
use super::{Shared, meta};
use crate::mutant::{self, Mutant};
use crate::types::{ClusterId, Entry, LogId, TypeConfig, Vote};
use openraft::storage::IOFlushed;
use std::io;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{mpsc, oneshot};

/// The most operations that wait for the IO thread.
pub(super) const QUEUE_OPS_MAX: usize = 256;
/// A group is closed when its entries reach this many bytes.
const GROUP_BYTES_MAX: usize = 4 * 1024 * 1024;

/// One operation, and who waits for it to be durable.
pub(super) struct Op {
    pub(super) write: Write,
    pub(super) done: Done,
}

/// What to write.
pub(super) enum Write {
    /// Append entries; they follow the last one without a hole.
    Append { entries: Vec<Entry>, no: AppendNo, bytes: usize },
    /// Save the vote.
    Vote(Vote),
    /// Remove all entries after `kept`, the log's last id from now on.
    Truncate { kept: Option<LogId> },
    /// Forget all entries up to this one.
    Purge { upto: LogId },
    /// Save the cluster that this directory belongs to.
    Cluster(Option<ClusterId>),
    /// Finish, and let go of the files.
    Close,
}

/// Whom to tell that an operation is durable.
pub(super) enum Done {
    /// Nobody.
    Silent,
    /// openraft.
    Appended(IOFlushed<TypeConfig>),
    /// A caller of the store.
    Reply(oneshot::Sender<io::Result<()>>),
}

impl Done {
    fn report(self, result: io::Result<()>) {
        match self {
            Self::Silent => {}
            Self::Appended(flushed) => flushed.io_completed(result),
            // A caller that has gone away does not wait any more.
            Self::Reply(reply) => drop(reply.send(result)),
        }
    }
}

/// The state of the IO thread.
pub(super) struct Writer {
    disk: Disk,
    shared: Arc<Shared>,
    queue: mpsc::Receiver<Op>,
    /// What is written to sled, durable or not.
    written: Durable,
    committed: Option<LogId>,
    /// The last append whose entries are written.
    appended: AppendNo,
    purge: Option<Purge>,
}

/// The part of a group that is not yet given to sled.
#[derive(Default)]
struct Pending {
    batch: sled::Batch,
    keys: usize,
}

impl Writer {
    pub(super) fn new(
        disk: Disk,
        found: &disk::Found,
        shared: Arc<Shared>,
        queue: mpsc::Receiver<Op>,
    ) -> Self {
        Self {
            disk,
            shared,
            queue,
            written: Durable { last: found.last, vote: found.vote },
            committed: found.committed,
            appended: AppendNo::default(),
            // A purge that a crash interrupted goes on; usually the first step finds nothing.
            purge: found.purged.map(|upto| Purge::up_to(upto.index)),
        }
    }

    /// Runs until the store is closed, dropped, or broken.
    pub(super) fn run(mut self) {
        let closing = match self.serve() {
            Ok(closing) => closing,
            Err(error) => {
                let failure = self.shared.fail(&error);
                self.refuse_all(&failure);
                return;
            }
        };
        // Whoever waits for the close may open the directory again at once.
        let Self { disk, shared, .. } = self;
        shared.state().log = None;
        drop(disk);
        shared.closed();
        closing.report(Ok(()));
    }

    /// Serves the queue; returns who waits for the close.
    fn serve(&mut self) -> io::Result<Done> {
        while let Some(op) = self.next()? {
            let mut group = self.drain(op);
            let closing = group.pop_if(|op| matches!(op.write, Write::Close));
            let (writes, waiting): (Vec<_>, Vec<_>) =
                group.into_iter().map(|op| (op.write, op.done)).unzip();
            let result = self.commit(&writes, closing.is_some());
            if let Err(error) = result {
                let failure = self.shared.fail(&error);
                for done in waiting.into_iter().chain(closing.map(|op| op.done)) {
                    done.report(Err(failure.clone().into()));
                }
                return Err(error);
            }
            for done in waiting {
                done.report(Ok(()));
            }
            if let Some(op) = closing {
                return Ok(op.done);
            }
            self.purge_beside(&writes)?;
        }
        // Every handle is gone.
        self.commit(&[], true)?;
        Ok(Done::Silent)
    }

    /// The next operation; `None` when every handle is gone. Purges while there is none.
    fn next(&mut self) -> io::Result<Option<Op>> {
        while self.purge.is_some() {
            match self.queue.try_recv() {
                Ok(op) => return Ok(Some(op)),
                Err(mpsc::error::TryRecvError::Disconnected) => return Ok(None),
                Err(mpsc::error::TryRecvError::Empty) => {
                    self.purge_step()?;
                    // Or sled would collect page writes faster than the disk takes them, and the
                    // next append's flush would wait for them all.
                    self.disk.db.flush().map_err(io_error)?;
                }
            }
        }
        Ok(self.queue.blocking_recv())
    }

    /// All that waits, up to the limits; a close ends the group.
    fn drain(&mut self, op: Op) -> Vec<Op> {
        let mut bytes = op.write.bytes();
        let mut group = vec![op];
        while bytes < GROUP_BYTES_MAX
            && group.len() < QUEUE_OPS_MAX
            && !matches!(group.last(), Some(Op { write: Write::Close, .. }))
            && let Ok(op) = self.queue.try_recv()
        {
            bytes += op.write.bytes();
            group.push(op);
        }
        group
    }

    /// Writes a group and makes it durable, if anyone needs it to be.
    fn commit(&mut self, writes: &[Write], is_last: bool) -> io::Result<()> {
        let started = Instant::now();
        let mut pending = Pending::default();
        for write in writes {
            self.write(write, &mut pending)?;
        }
        pending.give_to(&self.disk.log)?;
        // A purge alone may be lost: what follows it in the log is lost with it.
        if is_last || writes.iter().any(Write::must_be_durable) {
            self.write_committed()?;
            self.disk.sync()?;
            self.disk.mark.raise(self.written)?;
            self.shared.stats.flushed(started.elapsed());
        }
        self.publish(writes);
        Ok(())
    }

    fn write(&mut self, write: &Write, pending: &mut Pending) -> io::Result<()> {
        if let Write::Append { entries, no, .. } = write {
            let mut bytes = 0;
            for entry in entries {
                bytes += pending.add(entry)?;
                self.written.last = Some(entry.log_id);
            }
            self.appended = *no;
            self.shared.stats.appended(entries.len() as u64, bytes);
            return Ok(());
        }
        pending.give_to(&self.disk.log)?;
        match write {
            Write::Append { .. } | Write::Close => {}
            Write::Vote(_) if mutant::is(Mutant::VoteNotPersisted) => {}
            Write::Vote(vote) => {
                let next = Durable { vote: Some(*vote), ..self.written };
                self.disk.mark.lower(&next)?;
                insert(&self.disk.meta, disk::KEY_VOTE, meta::encode_vote(vote))?;
                self.written = next;
            }
            Write::Truncate { kept } => {
                let next = Durable { last: *kept, ..self.written };
                self.disk.mark.lower(&next)?;
                remove_after(&self.disk.log, kept.map_or(0, |kept| kept.index + 1))?;
                self.written = next;
            }
            Write::Purge { upto } => self.start_purge(upto)?,
            Write::Cluster(cluster) => {
                let identity = super::Identity { cluster: *cluster, ..self.identity() };
                let bytes = meta::encode_identity(&identity);
                insert(&self.disk.identity, disk::KEY_IDENTITY, bytes)?;
            }
        }
        Ok(())
    }

    fn identity(&self) -> super::Identity {
        self.shared.state().identity
    }

    fn start_purge(&mut self, upto: &LogId) -> io::Result<()> {
        if self.written.last.is_none_or(|last| last.index <= upto.index) {
            let next = Durable { last: Some(*upto), ..self.written };
            self.disk.mark.lower(&next)?;
            self.written = next;
        }
        insert(&self.disk.meta, disk::KEY_PURGED, meta::encode_log_id(upto))?;
        self.purge = Some(match self.purge.take() {
            Some(purge) => purge.extended_to(upto.index),
            None => Purge::up_to(upto.index),
        });
        Ok(())
    }

    /// `committed` rides along with what is synced anyway. It may speak of entries that are still
    /// in the queue; then it waits for them.
    fn write_committed(&mut self) -> io::Result<()> {
        let committed = self.shared.state().committed;
        let is_written = committed.map(|id| id.index) <= self.written.last.map(|id| id.index);
        if let Some(log_id) = committed
            && is_written
            && self.committed != committed
        {
            insert(&self.disk.meta, disk::KEY_COMMITTED, meta::encode_log_id(&log_id))?;
            self.committed = committed;
        }
        Ok(())
    }

    /// Shows readers what is durable now.
    fn publish(&self, writes: &[Write]) {
        let mut released = 0;
        let mut state = self.shared.state();
        for write in writes {
            match write {
                Write::Append { bytes, .. } => released += bytes,
                Write::Vote(vote) => state.vote = Some(*vote),
                Write::Cluster(cluster) => state.identity.cluster = *cluster,
                Write::Truncate { .. } | Write::Purge { .. } | Write::Close => {}
            }
        }
        // A group without an append may have left one unsynced, but never writes one.
        state.evict(self.appended, TAIL_BYTES_MAX);
        drop(state);
        self.shared.unsynced.add_permits(released);
    }

    /// Purges in proportion to what was just appended, and at least one step.
    fn purge_beside(&mut self, writes: &[Write]) -> io::Result<()> {
        let appended: usize = writes.iter().map(Write::keys).sum();
        for _ in 0..purge_steps(appended) {
            if self.purge.is_none() {
                break;
            }
            self.purge_step()?;
        }
        Ok(())
    }

    fn purge_step(&mut self) -> io::Result<()> {
        if let Some(purge) = self.purge.take() {
            self.purge = purge.step(&self.disk.log)?;
        }
        Ok(())
    }

    /// Answers everything with the failure, until every handle is gone.
    fn refuse_all(mut self, failure: &StoreFailure) {
        while let Some(op) = self.queue.blocking_recv() {
            op.done.report(Err(failure.clone().into()));
        }
    }
}

impl Pending {
    /// Adds an entry; returns its bytes.
    fn add(&mut self, entry: &Entry) -> io::Result<u64> {
        let record = Record::of(entry)?;
        for (chunk, bytes) in record.chunks() {
            debug_assert!(bytes.len() <= record::CHUNK_BYTES_MAX);
            self.batch.insert(&key(entry.log_id.index, chunk), bytes);
            self.keys += 1;
        }
        Ok(record.bytes())
    }

    fn give_to(&mut self, log: &sled::Tree) -> io::Result<()> {
        if self.keys == 0 {
            return Ok(());
        }
        let Self { batch, .. } = std::mem::take(self);
        log.apply_batch(batch).map_err(io_error)
    }
}

impl Write {
    fn bytes(&self) -> usize {
        if let Self::Append { bytes, .. } = self { *bytes } else { 0 }
    }

    fn keys(&self) -> usize {
        match self {
            Self::Append { entries, bytes, .. } => entries.len() + bytes / record::CHUNK_BYTES_MAX,
            _ => 0,
        }
    }

    fn must_be_durable(&self) -> bool {
        !matches!(self, Self::Purge { .. })
    }
}

fn insert(tree: &sled::Tree, key: &str, value: Vec<u8>) -> io::Result<()> {
    tree.insert(key, value).map(drop).map_err(io_error)
}
