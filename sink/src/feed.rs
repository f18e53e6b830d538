//! The feed as a sink takes it: a bounded queue that is filled while the target writes.
//!
//! Owns: the reading task, and the check that no change is missing. A target that is slow fills
//! the queue, and then the connection: a node cuts off who does not read, at no cost to a buy, and
//! the reader comes back with its place. Called by `run`.

use crate::source::{Source, SourceError};
use std::sync::Arc;
use stock::Seq;
use stock::api::EventView;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Changes that were read and not yet taken. A usual one takes some 400 bytes here.
const QUEUE_EVENTS_MAX: usize = 8_192;

/// See the module. Reading ends when it is dropped.
pub(crate) struct Feed {
    queue: mpsc::Receiver<EventView>,
    reader: JoinHandle<SourceError>,
    last: Seq,
}

impl Feed {
    /// Begins after this change.
    pub(crate) fn start<S: Source>(source: &Arc<S>, after: Seq) -> Self {
        let (sender, queue) = mpsc::channel(QUEUE_EVENTS_MAX);
        let source = Arc::clone(source);
        let reader = tokio::spawn(async move { source.follow(after, sender).await });
        Self { queue, reader, last: after }
    }

    /// Waits for a change, and takes all that are there, at most `max`. Nothing is lost when it is
    /// dropped while it waits.
    ///
    /// # Errors
    /// As the source's, once all that was read has been taken.
    pub(crate) async fn take(
        &mut self,
        batch: &mut Vec<EventView>,
        max: usize,
    ) -> Result<(), SourceError> {
        batch.clear();
        if self.queue.recv_many(batch, max).await == 0 {
            let ended = (&mut self.reader).await;
            return Err(ended.unwrap_or_else(|why| SourceError::Unavailable(why.to_string())));
        }
        for event in batch.iter() {
            if event.seq.0 != self.last.0 + 1 {
                let why = format!("change {} came after {}", event.seq, self.last);
                return Err(SourceError::Unavailable(why));
            }
            self.last = event.seq;
        }
        Ok(())
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.reader.abort();
    }
}
