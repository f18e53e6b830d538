//! Targets that cannot say where they stand: their position is a cursor kept by the cluster.
//!
//! **At least once, under an id that never changes.** A batch is delivered, then the cursor is
//! moved from where the batch began to where it ends, by compare-and-set. A kill between the two
//! has the batch delivered again, the same messages in the same order. Of two runners, one finds
//! the cursor moved and stands by.
//!
//! A cursor is for one target, which it says from its first move on: who delivers to another one
//! under its name would begin in the middle, and is refused. It is made by that first move, so a
//! target that never took anything, a mistyped one, has none.
//!
//! Owns: that order of things. Never does: deliver (see [`Delivery`]).

use crate::message::{Envelope, Message};
use crate::pace::Pages;
use crate::source::{SourceError, State};
use crate::target::{Applied, Target, TargetError};
use std::fmt::Write as _;
use std::sync::Arc;
use stock::api::{EventView, ExportLine};
use stock::{CursorName, CursorTarget, Seq};

/// The longest target that the cluster keeps.
const TARGET_BYTES_MAX: usize = 256;

/// Named positions, kept by the cluster, each for one target.
pub trait Cursors: Send + Sync + 'static {
    /// Where the cursor with this name stands; none when there is none, and room for it. Refused
    /// when it is for another target, or there are too many.
    fn read(
        &self,
        cursor: (&CursorName, &CursorTarget),
    ) -> impl Future<Output = Result<Option<Seq>, SourceError>> + Send;

    /// Moves it from one place to another; from none it is made. False when it does not stand
    /// there. Replicated and durable when it returns.
    fn advance(
        &self,
        cursor: (&CursorName, &CursorTarget),
        places: (Option<Seq>, Seq),
    ) -> impl Future<Output = Result<bool, SourceError>> + Send;
}

/// A system that messages are handed to.
pub trait Delivery: Send {
    /// Which system, and where in it, without what is secret: what its cursor is for.
    fn identity(&self) -> String;

    /// Connects anew.
    ///
    /// # Errors
    /// [`TargetError::Moved`] while another runner keeps it, [`TargetError::Lost`],
    /// [`TargetError::Refused`].
    fn connect(&mut self) -> impl Future<Output = Result<(), TargetError>> + Send;

    /// How many of these, from the first on, are handed over at once; at least one.
    fn fitting(&self, messages: &[Message]) -> usize {
        messages.len()
    }

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
    target: CursorTarget,
    delivery: D,
    open: Option<Open>,
    /// From where to where the other side has taken everything although the cursor does not say so
    /// yet: it could not be moved.
    unrecorded: Option<(Seq, Seq)>,
}

/// What is known once it was opened.
struct Open {
    envelope: Envelope,
    /// Whether there is a cursor.
    made: bool,
}

impl<C: Cursors, D: Delivery> Cursored<C, D> {
    /// Under the cursor with this name.
    pub fn new(cursors: Arc<C>, name: CursorName, delivery: D) -> Self {
        let target = target(&delivery.identity());
        Self { cursors, name, target, delivery, open: None, unrecorded: None }
    }

    fn envelope(&self) -> Result<Envelope, TargetError> {
        let open = self.open.as_ref();
        open.map(|open| open.envelope.clone()).ok_or_else(not_connected)
    }

    async fn stands(&mut self, (from, to): (Seq, Seq)) -> Result<(), TargetError> {
        let open = self.open.as_mut().ok_or_else(not_connected)?;
        let from = open.made.then_some(from);
        if !self.cursors.advance((&self.name, &self.target), (from, to)).await? {
            self.unrecorded = None;
            return Err(TargetError::Moved);
        }
        open.made = true;
        Ok(())
    }

    /// Records what of a batch was taken before; returns where the cursor stands then.
    async fn record(&mut self, from: Seq, batch: &[EventView]) -> Result<Seq, TargetError> {
        let Some((_, taken)) = self.unrecorded.filter(|(since, _)| *since == from) else {
            self.unrecorded = None;
            return Ok(from);
        };
        let Some(last) = batch.iter().rfind(|event| event.seq <= taken) else { return Ok(from) };
        self.stands((from, last.seq)).await?;
        self.unrecorded = (last.seq < taken).then_some((last.seq, taken));
        Ok(last.seq)
    }

    /// Delivers a page of a state, again where that fails: a state that is given up is delivered
    /// from its beginning.
    async fn page(&mut self, page: &[Message], pages: &mut Pages<'_>) -> Result<(), TargetError> {
        let mut rest = page;
        let mut connected = true;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(self.delivery.fitting(rest));
            let delivered = async {
                if !connected {
                    self.delivery.connect().await?;
                }
                self.delivery.deliver(now).await
            };
            match delivered.await {
                Ok(()) => {
                    pages.wrote(now.len()).await;
                    (rest, connected) = (later, true);
                }
                Err(TargetError::Lost(why)) if pages.again(&why).await => connected = false,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn not_connected() -> TargetError {
    TargetError::Lost("it is not connected".to_owned())
}

impl<C: Cursors, D: Delivery> Target for Cursored<C, D> {
    async fn open(&mut self, cluster_id: &str) -> Result<Seq, TargetError> {
        self.open = None;
        // Before a queue or a stream is made where the cursor is for another.
        self.cursors.read((&self.name, &self.target)).await?;
        let connected = self.delivery.connect().await;
        let taken = connected == Err(TargetError::Moved);
        if !taken {
            connected?;
        }
        // Read once it is this runner's: the one before may have moved it until then.
        let stands = self.cursors.read((&self.name, &self.target)).await?;
        let position = stands.unwrap_or(Seq(0));
        if taken {
            return Err(TargetError::Taken(position));
        }
        let (envelope, made) = (Envelope::new(cluster_id), stands.is_some());
        self.open = Some(Open { envelope, made });
        Ok(position)
    }

    async fn apply(&mut self, mut from: Seq, batch: &[EventView]) -> Result<Applied, TargetError> {
        let envelope = self.envelope()?;
        let messages: Vec<Message> = batch.iter().map(|event| envelope.event(event)).collect();
        from = self.record(from, batch).await?;
        let mut begin = batch.partition_point(|event| event.seq <= from);
        while begin < messages.len() {
            let end = begin + self.delivery.fitting(&messages[begin..]);
            self.delivery.deliver(&messages[begin..end]).await?;
            let to = batch[end - 1].seq;
            self.unrecorded = Some((from, to));
            self.stands((from, to)).await?;
            self.unrecorded = None;
            (from, begin) = (to, end);
        }
        Ok(Applied { rows: messages.len() as u64 })
    }

    async fn rebase<S: State>(
        &mut self,
        from: Seq,
        state: &mut S,
        pages: &mut Pages<'_>,
    ) -> Result<Applied, TargetError> {
        let (envelope, seq) = (self.envelope()?, state.seq());
        let (mut rows, mut at_ms, mut page) = (0, 0, Vec::new());
        while let Some(line) = state.next().await? {
            if let ExportLine::Head { log_time_ms, .. } = line {
                at_ms = log_time_ms;
            }
            for message in envelope.state((from, seq), at_ms, &line) {
                page.push(message);
                if page.len() >= pages.rows_max() {
                    self.page(&page, pages).await?;
                    rows += page.len() as u64;
                    page.clear();
                }
            }
        }
        self.page(&page, pages).await?;
        rows += page.len() as u64;
        self.stands((from, seq)).await?;
        Ok(Applied { rows })
    }
}

/// An identity as the cluster keeps one: visible characters, not too many of them.
pub fn target(identity: &str) -> CursorTarget {
    let mut text = String::new();
    for byte in identity.bytes() {
        if byte.is_ascii_graphic() {
            text.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    if text.len() > TARGET_BYTES_MAX {
        // What was cut off still tells two apart.
        let hash = fnv1a(&text);
        text.truncate(TARGET_BYTES_MAX - 17);
        let _ = write!(text, "~{hash:016x}");
    }
    let empty = || unreachable!("an identity has a scheme, and visible characters: {text:?}");
    CursorTarget::new(text.clone()).unwrap_or_else(|_| empty())
}

/// The hash FNV-1a, which is the same for ever (Fowler, Noll and Vo).
pub(crate) fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_kept_as_visible_characters_and_told_apart_however_long() {
        for (identity, kept) in [
            ("nats://a:4222/S/s", "nats://a:4222/S/s"),
            ("amqp://a:5672/my vhost/q\u{e9}", "amqp://a:5672/my%20vhost/q%C3%A9"),
        ] {
            assert_eq!(target(identity).as_str(), kept);
        }
        let [one, two] = ["1", "2"].map(|end| target(&format!("http://{}{end}", "a".repeat(400))));
        assert_eq!((one.as_str().len(), two.as_str().len()), (256, 256));
        assert_ne!(one, two);
    }
}
