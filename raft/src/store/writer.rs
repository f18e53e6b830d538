//! The IO thread: the one that makes things durable, and the only one that writes the journal.
//!
//! It takes all that waits in the queue, journals it as one frame with one sync (group commit),
//! writes the mark, and only then reports. The checkpointer gets the same operations and files
//! them in sled later; nobody waits for that. The order of the queue is the order of the frames
//! and so of what sled is told, which is what keeps every crash sound. Two things besides:
//!
//! - `committed` rides along with what is synced anyway, once the entries that it covers are
//!   journalled;
//! - the mark is lowered and synced before a truncation, or a purge beyond the log.
//!
//! After the first error nothing is written any more: everyone gets the error, and the process
//! is expected to exit.

use super::Shared;
use super::checkpointer::{Checkpointer, Journalled, Task};
use super::disk::{self, Disk};
use super::error::StoreFailure;
use super::journal::{BODY_BYTES_MAX, Half, Journal};
use super::mark::{Durable, Mark};
use super::operation::Operation;
use super::record::Record;
use super::removal::Purge;
use super::state::AppendNo;
use crate::mutant::{self, Mutant};
use crate::types::{ClusterId, Entry, LogId, TypeConfig, Vote};
use openraft::storage::IOFlushed;
use std::fs::File;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc as tasks;
use std::thread::JoinHandle;
use std::time::Instant;
use tokio::sync::{mpsc, oneshot};

/// The most operations that wait for the IO thread.
pub(super) const QUEUE_OPS_MAX: usize = 256;
/// A group is closed when its entries reach this many bytes.
const GROUP_BYTES_MAX: usize = 1024 * 1024;

/// The checkpointer gets frames when so many bytes of them have gathered.
const GATHERED_BYTES_MAX: usize = 64 * 1024;

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
    journal: Journal,
    mark: Mark,
    shared: Arc<Shared>,
    queue: mpsc::Receiver<Op>,
    checkpoints: Checkpoints,
    /// What is journalled.
    written: Durable,
    committed: Option<LogId>,
    /// The last append whose entries are journalled.
    appended: AppendNo,
    /// The bytes of a frame's body; kept for their room.
    body: Vec<u8>,
    /// Dropped, and so released, when sled is closed.
    _lock: File,
}

/// The checkpointer, as the IO thread sees it.
struct Checkpoints {
    tasks: tasks::Sender<Task>,
    freed: tasks::Receiver<Half>,
    thread: JoinHandle<()>,
    /// Frames that it has not been given yet.
    gathered: Vec<Journalled>,
    gathered_bytes: usize,
    /// Whether the half that is not being filled may hold what sled does not have.
    is_other_half_taken: bool,
}

impl Writer {
    /// Starts the checkpointer. The writer itself runs where [`Writer::run`] is called.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub(super) fn new(
        disk: Disk,
        found: &disk::Found,
        shared: Arc<Shared>,
        queue: mpsc::Receiver<Op>,
    ) -> io::Result<Self> {
        let Disk { sled, journal, mark, lock } = disk;
        let (tasks, to_file) = tasks::channel();
        let (to_free, freed) = tasks::channel();
        // A purge that a crash interrupted goes on; usually the first step finds nothing.
        let purge = found.purged.map(|upto| Purge::up_to(upto.index));
        let filed = journal.last();
        let checkpointer =
            Checkpointer::new(sled, filed, purge, Arc::clone(&shared), to_file, to_free);
        let watched = Arc::clone(&shared);
        let thread =
            std::thread::Builder::new().name("log-checkpoint".to_owned()).spawn(move || {
                // Only in tests; a node has aborted by now.
                if catch_unwind(AssertUnwindSafe(|| checkpointer.run())).is_err() {
                    watched.fail(&io::Error::other("the checkpointer panicked"));
                }
            })?;
        let is_other_half_taken = false;
        Ok(Self {
            journal,
            mark,
            shared,
            queue,
            checkpoints: Checkpoints {
                tasks,
                freed,
                thread,
                gathered: Vec::new(),
                gathered_bytes: 0,
                is_other_half_taken,
            },
            written: Durable { last: found.last, vote: found.vote },
            committed: found.committed,
            appended: AppendNo::default(),
            body: Vec::new(),
            _lock: lock,
        })
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
        let Self { checkpoints, shared, _lock: lock, .. } = self;
        let Checkpoints { tasks, thread, .. } = checkpoints;
        drop(tasks);
        // A panic of it is a failure that is known already.
        drop(thread.join());
        drop(lock);
        shared.closed();
        closing.report(shared.soundness());
    }

    /// Serves the queue; returns who waits for the close.
    fn serve(&mut self) -> io::Result<Done> {
        while let Some(op) = self.queue.blocking_recv() {
            let mut group = self.drain(op);
            let closing = group.pop_if(|op| matches!(op.write, Write::Close));
            let (writes, waiting): (Vec<_>, Vec<_>) =
                group.into_iter().map(|op| (op.write, op.done)).unzip();
            let result = self.commit(&writes);
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
                self.finish()?;
                return Ok(op.done);
            }
        }
        // Every handle is gone.
        self.finish()?;
        Ok(Done::Silent)
    }

    /// Journals what is committed, and leaves the rest to the checkpointer.
    fn finish(&mut self) -> io::Result<()> {
        self.commit(&[])?;
        self.hand_on()
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

    /// Journals a group, which makes it durable, and hands it on.
    fn commit(&mut self, writes: &[Write]) -> io::Result<()> {
        let started = Instant::now();
        let mut operations = Vec::new();
        for write in writes {
            self.prepare(write, &mut operations)?;
        }
        operations.extend(self.newly_committed());
        if !operations.is_empty() {
            self.journal(operations)?;
            self.mark.raise(self.written)?;
            self.shared.stats.flushed(started.elapsed());
        }
        self.publish(writes);
        Ok(())
    }

    /// What a write takes in the journal.
    fn prepare(&mut self, write: &Write, operations: &mut Vec<Operation>) -> io::Result<()> {
        match write {
            Write::Append { entries, no, .. } => {
                let mut bytes = 0;
                for entry in entries {
                    let record = Record::of(entry)?;
                    bytes += record.bytes();
                    operations.push(Operation::Append { index: entry.log_id.index, record });
                    self.written.last = Some(entry.log_id);
                }
                self.appended = *no;
                self.shared.stats.appended(entries.len() as u64, bytes);
            }
            Write::Vote(_) if mutant::is(Mutant::VoteNotPersisted) => {}
            Write::Vote(vote) => {
                self.give_up(Durable { vote: Some(*vote), ..self.written })?;
                operations.push(Operation::Vote(*vote));
            }
            Write::Truncate { kept } => {
                self.give_up(Durable { last: *kept, ..self.written })?;
                operations.push(Operation::Truncate { kept: *kept });
            }
            Write::Purge { upto } => {
                if self.written.last.is_none_or(|last| last.index <= upto.index) {
                    self.give_up(Durable { last: Some(*upto), ..self.written })?;
                }
                operations.push(Operation::Purge { upto: *upto });
            }
            Write::Cluster(cluster) => {
                let identity = super::Identity { cluster: *cluster, ..self.identity() };
                operations.push(Operation::Identity(identity));
            }
            Write::Close => {}
        }
        Ok(())
    }

    /// From now on the store is to hold `next`, which may be less than the mark says.
    fn give_up(&mut self, next: Durable) -> io::Result<()> {
        self.mark.lower(&next)?;
        self.written = next;
        Ok(())
    }

    fn identity(&self) -> super::Identity {
        self.shared.state().identity
    }

    /// Writes frames until all is durable: one, unless a half of the journal ends before.
    fn journal(&mut self, operations: Vec<Operation>) -> io::Result<()> {
        let mut frame = Vec::with_capacity(operations.len());
        for operation in operations {
            if self.body.len() + operation.encoded_bytes() > BODY_BYTES_MAX {
                self.write_frame(std::mem::take(&mut frame))?;
            }
            operation.encode(&mut self.body);
            frame.push(operation);
        }
        self.write_frame(frame)
    }

    /// Makes the body durable as one frame, and hands its operations on.
    fn write_frame(&mut self, operations: Vec<Operation>) -> io::Result<()> {
        if !self.journal.has_room(self.body.len()) {
            self.turn()?;
        }
        let number = self.journal.write(&self.body)?;
        self.checkpoints.gathered_bytes += self.body.len();
        self.body.clear();
        let is_urgent = operations.iter().any(|op| matches!(op, Operation::Purge { .. }));
        let frame = Journalled { number, operations, appended: self.appended };
        self.checkpoints.gathered.push(frame);
        if is_urgent || self.checkpoints.gathered_bytes >= GATHERED_BYTES_MAX {
            self.hand_on()?;
        }
        Ok(())
    }

    /// Gives the checkpointer what has gathered: it is in no hurry, and each waking of it costs.
    fn hand_on(&mut self) -> io::Result<()> {
        self.checkpoints.gathered_bytes = 0;
        if self.checkpoints.gathered.is_empty() {
            return Ok(());
        }
        let frames = std::mem::take(&mut self.checkpoints.gathered);
        self.checkpoints.tasks.send(Task::File(frames)).map_err(|_| self.shared.gone())
    }

    /// Goes on in the other half, once sled has all that is in it.
    fn turn(&mut self) -> io::Result<()> {
        if self.checkpoints.is_other_half_taken {
            self.checkpoints.freed.recv().map_err(|_| self.shared.gone())?;
        }
        self.hand_on()?;
        let left = self.journal.turn();
        self.checkpoints.is_other_half_taken = true;
        self.checkpoints.tasks.send(Task::Free(left)).map_err(|_| self.shared.gone())
    }

    /// `committed` may speak of entries that are still in the queue; then it waits for them.
    fn newly_committed(&mut self) -> Option<Operation> {
        let committed = self.shared.state().committed;
        let is_written = committed.map(|id| id.index) <= self.written.last.map(|id| id.index);
        if !is_written || self.committed == committed {
            return None;
        }
        self.committed = committed;
        committed.map(Operation::Committed)
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
        drop(state);
        self.shared.unsynced.add_permits(released);
    }

    /// Answers everything with the failure, until every handle is gone.
    fn refuse_all(mut self, failure: &StoreFailure) {
        while let Some(op) = self.queue.blocking_recv() {
            op.done.report(Err(failure.clone().into()));
        }
    }
}

impl Write {
    fn bytes(&self) -> usize {
        if let Self::Append { bytes, .. } = self { *bytes } else { 0 }
    }
}
