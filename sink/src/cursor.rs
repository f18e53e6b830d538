//! Targets that cannot say where they stand: their position is a cursor kept by the cluster.
//!
//! **At least once, under an id that never changes.** A batch is delivered, then the cursor is
//! moved from where the batch began to where it ends, by compare-and-set. A kill between the two
//! has the batch delivered again, the same messages in the same order. Of two runners, one finds
//! the cursor moved and stands by.
//!
//! Owns: that order of things. Never does: deliver (see [`Delivery`]).

use crate::message::{Envelope, Message};
use crate::source::{SourceError, State};
use crate::target::{Applied, Target, TargetError};
use std::sync::Arc;
use stock::api::{EventView, ExportLine};
use stock::{CursorName, Seq};

/// Messages of a state that are delivered at once.
const PAGE: usize = 500;

/// Named positions, kept by the cluster.
pub trait Cursors: Send + Sync + 'static {
    /// Where the cursor with this name stands; 0 when it was never moved.
    fn read(&self, name: &CursorName) -> impl Future<Output = Result<Seq, SourceError>> + Send;

    /// Moves it from one place to another. False when it does not stand there.
    fn advance(
        &self,
        name: &CursorName,
        places: (Seq, Seq),
    ) -> impl Future<Output = Result<bool, SourceError>> + Send;
}

/// A system that messages are handed to.
pub trait Delivery: Send {
    /// Connects anew.
    ///
    /// # Errors
    /// [`TargetError::Lost`], [`TargetError::Refused`].
    fn connect(&mut self) -> impl Future<Output = Result<(), TargetError>> + Send;

    /// Hands these over, in order; when it returns, the other side has taken all of them, durably
    /// as far as it can.
    ///
    /// # Errors
    /// As [`Delivery::connect`]: some may have been taken, and come again.
    fn deliver(
        &mut self,
        messages: &[Message],
    ) -> impl Future<Output = Result<(), TargetError>> + Send;
}

/// A delivery whose position is a cursor.
pub struct Cursored<C, D> {
    cursors: Arc<C>,
    name: CursorName,
    delivery: D,
    envelope: Option<Envelope>,
}

impl<C: Cursors, D: Delivery> Cursored<C, D> {
    /// Under the cursor with this name.
    pub fn new(cursors: Arc<C>, name: CursorName, delivery: D) -> Self {
        Self { cursors, name, delivery, envelope: None }
    }

    async fn stands(&mut self, places: (Seq, Seq), rows: u64) -> Result<Applied, TargetError> {
        if self.cursors.advance(&self.name, places).await? {
            Ok(Applied { rows })
        } else {
            Err(TargetError::Moved)
        }
    }

    fn envelope(&self) -> Result<Envelope, TargetError> {
        self.envelope.clone().ok_or_else(|| TargetError::Lost("it is not connected".to_owned()))
    }
}

impl<C: Cursors, D: Delivery> Target for Cursored<C, D> {
    async fn open(&mut self, cluster_id: &str) -> Result<Seq, TargetError> {
        self.envelope = Some(Envelope::new(cluster_id));
        self.delivery.connect().await?;
        Ok(self.cursors.read(&self.name).await?)
    }

    async fn apply(&mut self, from: Seq, batch: &[EventView]) -> Result<Applied, TargetError> {
        let Some(last) = batch.last() else { return Ok(Applied::default()) };
        let envelope = self.envelope()?;
        let messages: Vec<Message> = batch.iter().map(|event| envelope.event(event)).collect();
        self.delivery.deliver(&messages).await?;
        self.stands((from, last.seq), messages.len() as u64).await
    }

    async fn rebase<S: State>(&mut self, from: Seq, state: &mut S) -> Result<Applied, TargetError> {
        let (envelope, seq) = (self.envelope()?, state.seq());
        let (mut rows, mut at_ms, mut page) = (0, 0, Vec::new());
        while let Some(line) = state.next().await? {
            if let ExportLine::Head { log_time_ms, .. } = line {
                at_ms = log_time_ms;
            }
            page.extend(envelope.state((from, seq), at_ms, &line));
            if page.len() >= PAGE || matches!(line, ExportLine::End { .. }) {
                self.delivery.deliver(&page).await?;
                rows += page.len() as u64;
                page.clear();
            }
        }
        self.stands((from, seq), rows).await
    }
}
