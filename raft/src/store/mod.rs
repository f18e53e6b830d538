//! The log store: log entries, vote and committed log id on disk, durable before it is said.
//!
//! Owns the data directory (its lock, its identity, the journal and sled inside it) and two
//! threads: one makes what is written durable in the journal, one files it in sled. Never decides
//! anything: openraft calls it, and the node opens it, watches for its failure and closes it. A
//! clone is a handle to the same store, and reads for whoever replicates or applies.
//!
//! - [`record`], an entry on disk, in checksummed chunks
//! - [`disk`], opening, and judging what is found
//! - [`mark`], noticing that synced data was lost
//! - [`state`], what readers see, and the entries in memory
//! - [`operation`], what is written, as bytes
//! - [`journal`], where it becomes durable
//! - [`writer`], the IO thread and group commit
//! - [`sled_log`] and [`checkpointer`], how it comes into sled
//! - [`removal`], purge steps and truncation
//! - [`reader`], reads
//!
//! What is not here: segments and snapshots (`segment`, `snapshot`), and any repair. A store that
//! has lost or damaged something refuses to open and says how to come back as a wiped node.

mod checkpointer;
mod disk;
mod error;
mod guard;
mod journal;
mod mark;
mod meta;
mod operation;
mod reader;
mod record;
mod removal;
mod sled_log;
mod state;
mod stats;
#[cfg(test)]
mod tests;
mod writer;

pub use error::StoreError;
pub(crate) use error::StoreFailure;
pub use stats::{FLUSH_US_BOUNDS, StoreMetrics};

use crate::mutant::{self, Mutant};
use crate::types::{ClusterId, Entry, Incarnation, LogId, TypeConfig, Vote};
use disk::{Disk, Found};
use openraft::OptionalSend;
use openraft::storage::{IOFlushed, LogState, RaftLogStorage};
use state::State;
use stats::Stats;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use stock::NodeId;
use tokio::sync::{Semaphore, SemaphorePermit, mpsc, oneshot, watch};
use writer::{Done, Op, QUEUE_OPS_MAX, Write, Writer};

/// How many bytes of entries may wait for the disk; an append beyond that waits in line.
const UNSYNCED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Whose directory this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The node that created it.
    pub(crate) node: NodeId,
    /// The random id that it got then.
    pub(crate) incarnation: Incarnation,
    /// The cluster that it belongs to, once that has formed.
    pub(crate) cluster: Option<ClusterId>,
}

/// A handle to the store of one data directory.
#[derive(Clone)]
pub(crate) struct LogStore {
    shared: Arc<Shared>,
    queue: mpsc::Sender<Op>,
}

/// What the handles and the IO thread share.
struct Shared {
    state: Mutex<State>,
    stats: Stats,
    unsynced: Semaphore,
    life: watch::Sender<Life>,
}

#[derive(Debug, Clone)]
enum Life {
    Open,
    Closed,
    Failed(StoreFailure),
}

impl LogStore {
    /// Opens the store of `node` in `dir`, or creates it with a new incarnation when there is
    /// none. Blocks, at most about a second in waiting for a predecessor's locks. What it creates
    /// is durable when it returns.
    ///
    /// # Errors
    /// [`StoreError`]: the directory is in use, of another node, of a newer format, damaged, or
    /// behind its durable mark.
    pub(crate) fn open(dir: &Path, node: NodeId) -> Result<Self, StoreError> {
        let (disk, found) = Disk::open(dir, node)?;
        Self::start(disk, &found).map_err(|e| StoreError::io("start the IO thread for", dir, e))
    }

    /// Starts the IO thread.
    fn start(disk: Disk, found: &Found) -> io::Result<Self> {
        let (queue, receiver) = mpsc::channel(QUEUE_OPS_MAX);
        let shared = Arc::new(Shared {
            state: Mutex::new(State::new(found, disk.sled.log.clone())),
            stats: Stats::default(),
            unsynced: Semaphore::new(UNSYNCED_BYTES_MAX),
            life: watch::Sender::new(Life::Open),
        });
        let writer = Writer::new(disk, found, Arc::clone(&shared), receiver)?;
        let watched = Arc::clone(&shared);
        std::thread::Builder::new().name("log-io".to_owned()).spawn(move || {
            // Only in tests; a node has aborted by now. What the writer leaves
            // behind is dropped, and the queue with it.
            if catch_unwind(AssertUnwindSafe(|| writer.run())).is_err() {
                watched.fail(&io::Error::other("the IO thread panicked"));
            }
        })?;
        Ok(Self { shared, queue })
    }

    /// Whose directory this is.
    pub(crate) fn identity(&self) -> Identity {
        self.shared.state().identity
    }

    /// Whether the store has never held a vote or an entry.
    pub(crate) fn is_fresh(&self) -> bool {
        let state = self.shared.state();
        state.last.is_none() && state.vote.is_none()
    }

    /// The last index that the log holds, or held before it was purged; none when there was none.
    pub(crate) fn last_index(&self) -> Option<u64> {
        self.shared.state().last.map(|last| last.index)
    }

    /// Saves which cluster the directory belongs to; durable when it returns.
    ///
    /// # Errors
    /// The store's failure.
    pub(crate) async fn adopt_cluster(&self, cluster: Option<ClusterId>) -> io::Result<()> {
        self.write_durably(Write::Cluster(cluster)).await
    }

    /// The counters; reading resets `flush_us_max`.
    pub(crate) fn metrics(&self) -> StoreMetrics {
        self.shared.stats.read()
    }

    /// Waits until the store has failed, and says why; the process must then exit. Never returns
    /// for a store that was closed.
    pub(crate) async fn failed(&self) -> StoreFailure {
        let mut life = self.shared.life.subscribe();
        let failure = match life.wait_for(|life| !matches!(life, Life::Open)).await {
            Ok(life) => match &*life {
                Life::Failed(failure) => Some(failure.clone()),
                Life::Open | Life::Closed => None,
            },
            Err(_) => None,
        };
        match failure {
            Some(failure) => failure,
            None => std::future::pending().await,
        }
    }

    /// Writes what waits, makes it durable, and lets go of the files. Later calls fail.
    pub(crate) async fn close(&self) {
        // An error means that it is closed already, or has failed and said so.
        drop(self.write_durably(Write::Close).await);
    }

    async fn write_durably(&self, write: Write) -> io::Result<()> {
        let (reply, replied) = oneshot::channel();
        self.permit().await?.send(Op { write, done: Done::Reply(reply) });
        replied.await.unwrap_or_else(|_| Err(self.shared.gone()))
    }

    /// A place in the queue. Taken before the state changes, so that a caller that is cancelled
    /// while it waits has changed nothing.
    async fn permit(&self) -> io::Result<mpsc::Permit<'_, Op>> {
        let permit = self.queue.reserve().await.map_err(|_| self.shared.gone())?;
        // A reader may have found damage; nothing is built on top of that.
        match &*self.shared.life.borrow() {
            Life::Failed(failure) => Err(failure.clone().into()),
            Life::Open | Life::Closed => Ok(permit),
        }
    }

    async fn unsynced_permit(&self, bytes: usize) -> io::Result<SemaphorePermit<'_>> {
        let permits = u32::try_from(bytes).map_err(io::Error::other)?;
        self.shared.unsynced.acquire_many(permits).await.map_err(|_| self.shared.gone())
    }
}

impl Shared {
    /// The state stays sound if a holder panics: it is checked before it is changed.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records the first failure, logs it once, and tells whoever waits.
    fn fail(&self, error: &io::Error) -> StoreFailure {
        let failure = StoreFailure(error.to_string().into());
        let mut first = failure.clone();
        self.life.send_if_modified(|life| {
            if let Life::Failed(earlier) = life {
                first = earlier.clone();
                return false;
            }
            tracing::error!("{failure}; this process must exit");
            *life = Life::Failed(failure.clone());
            true
        });
        // Nothing gives room back any more; whoever waits for it must not wait for ever.
        self.unsynced.close();
        first
    }

    fn closed(&self) {
        self.life.send_if_modified(|life| {
            let is_open = matches!(life, Life::Open);
            if is_open {
                *life = Life::Closed;
            }
            is_open
        });
        self.unsynced.close();
    }

    /// The store's failure, if it has failed.
    fn soundness(&self) -> io::Result<()> {
        match &*self.life.borrow() {
            Life::Failed(failure) => Err(failure.clone().into()),
            Life::Open | Life::Closed => Ok(()),
        }
    }

    /// Why the IO thread does not answer.
    fn gone(&self) -> io::Error {
        match &*self.life.borrow() {
            Life::Failed(failure) => failure.clone().into(),
            Life::Open | Life::Closed => io::Error::other("the log store is closed"),
        }
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<TypeConfig>> {
        let state = self.shared.state();
        Ok(LogState { last_purged_log_id: state.purged, last_log_id: state.last })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        self.write_durably(Write::Vote(*vote)).await
    }

    /// Costs nothing: it is written with the next group that is synced.
    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        self.shared.state().committed = committed;
        Ok(())
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        Ok(self.shared.state().committed)
    }

    async fn append<I>(&mut self, entries: I, flushed: IOFlushed<TypeConfig>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<Entry> = entries.into_iter().collect();
        let sizes = entries.iter().map(record::payload_bytes);
        if let Some(bytes) = sizes.clone().find(|&bytes| bytes > record::BODY_BYTES_MAX) {
            let what = format!("an entry of {bytes} bytes; at most {}", record::BODY_BYTES_MAX);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
        let bytes = sizes.sum::<usize>().min(UNSYNCED_BYTES_MAX);
        let room = self.unsynced_permit(bytes).await?;
        let permit = self.permit().await?;
        let no = self.shared.state().append(&entries)?;
        let done = if mutant::is(Mutant::AckBeforeWrite) {
            flushed.io_completed(Ok(()));
            Done::Silent
        } else {
            Done::Appended(flushed)
        };
        permit.send(Op { write: Write::Append { entries, no, bytes }, done });
        // The IO thread gives it back when the entries are durable.
        room.forget();
        Ok(())
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> io::Result<()> {
        let end = last_log_id.map_or(0, |id| id.index + 1);
        if end >= self.shared.state().end() {
            return Ok(());
        }
        // The id of the entry that stays, as the log has it: the mark is compared with it.
        let kept = match self.read(end.saturating_sub(1), end, usize::MAX)?.pop() {
            Some(entry) => Some(entry.log_id),
            None => self.shared.state().purged,
        };
        let permit = self.permit().await?;
        self.shared.state().truncate(kept);
        // openraft cuts a conflicting tail and then installs a snapshot, which is durable by
        // itself. A tail that came back after a crash would then stand beside a snapshot that
        // contradicts it, and openraft would refuse to start. So the cut comes first for good.
        let (reply, replied) = oneshot::channel();
        permit.send(Op { write: Write::Truncate { kept }, done: Done::Reply(reply) });
        replied.await.unwrap_or_else(|_| Err(self.shared.gone()))
    }

    async fn purge(&mut self, log_id: LogId) -> io::Result<()> {
        let permit = self.permit().await?;
        {
            let mut state = self.shared.state();
            if state.purged.is_some_and(|purged| purged.index >= log_id.index) {
                return Ok(());
            }
            state.purge(log_id);
        }
        permit.send(Op { write: Write::Purge { upto: log_id }, done: Done::Silent });
        Ok(())
    }
}
