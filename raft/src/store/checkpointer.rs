//! The checkpointer: the only thread that writes to sled once the store is open.
//!
//! It files what the IO thread has journalled, in the same order, many groups at once, and makes
//! each batch durable before it gives sled the next one. Nobody waits for it, but an IO thread that
//! has filled the other half of the journal meanwhile, and a close.
//!
//! sled takes what it has flushed for durable, and then writes over segments of its file whose
//! pages it has written anew elsewhere. Were the new ones lost in a power cut and the old ones not
//! there any more, it would not open again (runs have shown it; see `ARCHITECTURE.md`). It fills
//! a segment before it takes up the next, so no more than `BATCH_BYTES_MAX`, a part of a segment,
//! and the steps of a purge that belong to it may ever be unsynced.
//!
//! Purged entries are removed in small steps (see `removal`): some with each batch, in proportion
//! to what it adds so that the log cannot outgrow the purge, and more while there is nothing to
//! file.
//!
//! After the first error nothing is written any more: the store has failed, and the process is
//! expected to exit.

use super::Shared;
use super::journal::{FrameNo, Half};
use super::operation::Operation;
use super::removal::{Purge, purge_steps};
use super::sled_log::SledLog;
use super::state::{AppendNo, TAIL_BYTES_MAX};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError};
use std::time::Duration;

/// How long entries wait for others when no more come.
const GATHER_MAX: Duration = Duration::from_millis(100);

/// What the IO thread asks for, in the order in which it was journalled. What waits is bounded by
/// the journal: no more than its two halves hold.
pub(super) enum Task {
    /// File frames that are durable in the journal.
    File(Vec<Journalled>),
    /// Make everything before this durable in sled: the half shall be written again.
    Free(Half),
}

/// A frame, as the IO thread has it in memory.
pub(super) struct Journalled {
    pub(super) number: FrameNo,
    pub(super) operations: Vec<Operation>,
    /// The last append of which all entries are in this frame or an earlier one.
    pub(super) appended: AppendNo,
}

/// The state of the thread.
pub(super) struct Checkpointer {
    sled: SledLog,
    shared: Arc<Shared>,
    tasks: Receiver<Task>,
    freed: Sender<Half>,
    /// The last frame that was filed, durable or not.
    filed: FrameNo,
    /// The last append that was filed, given to sled or not.
    appended: AppendNo,
    purge: Option<Purge>,
}

impl Checkpointer {
    pub(super) fn new(
        sled: SledLog,
        filed: FrameNo,
        purge: Option<Purge>,
        shared: Arc<Shared>,
        tasks: Receiver<Task>,
        freed: Sender<Half>,
    ) -> Self {
        Self { sled, shared, tasks, freed, filed, appended: AppendNo::default(), purge }
    }

    /// Runs until the IO thread has gone, or something fails; sled is closed when it returns.
    pub(super) fn run(mut self) {
        if let Err(error) = self.serve() {
            self.shared.fail(&error);
        }
        // Readers have a handle, too.
        self.shared.state().log = None;
    }

    fn serve(&mut self) -> io::Result<()> {
        while let Some(task) = self.next()? {
            match task {
                Task::File(frames) => self.file(&frames)?,
                Task::Free(half) => {
                    self.checkpoint()?;
                    // Whoever is gone does not need it any more.
                    self.freed.send(half).unwrap_or_default();
                }
            }
        }
        self.shared.soundness()?;
        self.checkpoint()
    }

    /// The next task; `None` when the IO thread is gone. While there is none: purges, and else
    /// gives sled what has gathered.
    fn next(&mut self) -> io::Result<Option<Task>> {
        loop {
            match self.tasks.try_recv() {
                Ok(task) => return Ok(Some(task)),
                Err(TryRecvError::Disconnected) => return Ok(None),
                Err(TryRecvError::Empty) => {}
            }
            if self.purge.is_some() {
                self.give()?;
            } else if self.sled.is_up_to_date() {
                return Ok(self.tasks.recv().ok());
            } else {
                match self.tasks.recv_timeout(GATHER_MAX) {
                    Ok(task) => return Ok(Some(task)),
                    Err(RecvTimeoutError::Disconnected) => return Ok(None),
                    Err(RecvTimeoutError::Timeout) => self.give()?,
                }
            }
        }
    }

    fn file(&mut self, frames: &[Journalled]) -> io::Result<()> {
        for frame in frames {
            for operation in &frame.operations {
                self.sled.file(operation)?;
                if let Operation::Purge { upto } = operation {
                    self.purge = Some(match self.purge.take() {
                        Some(purge) => purge.extended_to(upto.index),
                        None => Purge::up_to(upto.index),
                    });
                }
                if self.sled.has_gathered() {
                    self.give()?;
                }
            }
            self.filed = frame.number;
            self.appended = frame.appended;
        }
        Ok(())
    }

    /// Gives sled what has gathered, with some steps of a purge, and makes it durable; from then
    /// on readers need it in memory no more.
    fn give(&mut self) -> io::Result<()> {
        let keys = self.sled.give()?;
        for _ in 0..purge_steps(keys) {
            if self.purge.is_none() {
                break;
            }
            self.purge_step()?;
        }
        self.sled.sync()?;
        self.shared.state().evict(self.appended, TAIL_BYTES_MAX);
        Ok(())
    }

    fn checkpoint(&mut self) -> io::Result<()> {
        self.give()?;
        self.sled.checkpoint(self.filed)
    }

    fn purge_step(&mut self) -> io::Result<()> {
        if let Some(purge) = self.purge.take() {
            self.purge = purge.step(&self.sled.log)?;
        }
        Ok(())
    }
}
