//! The checkpointer: the only thread that writes to sled once the store is open.
//!
//! It files what the IO thread has journalled, in the same order, many groups at once, and makes
//! it durable when a half of the journal is full, so that the half can be written again. Nobody
//! waits for it, but an IO thread that has filled the other half meanwhile, and a close.
//!
//! Purged entries are removed in small steps (see `removal`): some after each batch, in proportion
//! to what it added so that the log cannot outgrow the purge, and more while there is nothing to
//! file.
//!
//! After the first error nothing is written any more: the store has failed, and the process is
//! expected to exit.

use super::Shared;
use super::error::io_error;
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
                // Or sled would collect page writes faster than the disk takes them, and the next
                // checkpoint would wait for them all.
                self.sled.db.flush().map_err(io_error)?;
            } else if self.sled.pending.is_empty() {
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
            }
            self.filed = frame.number;
            self.appended = frame.appended;
        }
        if self.sled.has_gathered() {
            self.give()?;
        }
        Ok(())
    }

    /// Gives sled what has gathered; from then on readers need it in memory no more.
    fn give(&mut self) -> io::Result<()> {
        let keys = self.sled.give()?;
        self.shared.state().evict(self.appended, TAIL_BYTES_MAX);
        for _ in 0..purge_steps(keys) {
            if self.purge.is_none() {
                break;
            }
            self.purge_step()?;
        }
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
