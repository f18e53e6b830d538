//! The feed: committed events in `seq` order from any place, without a gap, and the whole state
//! at one `seq` to start from.
//!
//! Recent events come from memory, older ones from the segment files, on a thread that may block
//! and with no lock held. Never waits for an event and never decides who may read: the front does.
//! Segments are the only copy of the orders and are never removed, so a limit on how far back the
//! feed reaches ([`FeedLimits`]) spares the disk's reads, not its room.

use crate::applied::{Applied, Found};
use crate::replica::Replica;
use crate::segment::SegmentStore;
use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use stock::{CursorName, CursorTarget, Event, Hold, Machine, Product, Seq, Sku};
use tokio::sync::watch;

/// The most events that one call returns.
pub const FEED_EVENTS_MAX: usize = 4_096;

/// How far back a reader may go. Whole segments of 16,384 events count; what is in memory can
/// always be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FeedLimits {
    /// The newest segments of at most so many bytes; none: all of them.
    pub bytes: Option<u64>,
    /// Segments with an event at most so old, in log time; none: all of them.
    pub age: Option<Duration>,
}

/// What the feed holds after a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Feed {
    /// The next events, in order; none when the place is the newest event.
    Events(Vec<Event>),
    /// The next event is older than the limits allow. The feed can be followed again from after
    /// the event before `oldest`, or from an export.
    Gone {
        /// The oldest event that the feed still gives.
        oldest: Seq,
    },
    /// This node has not come so far yet.
    Ahead {
        /// The newest event here.
        newest: Seq,
    },
}

/// Follows the newest event of a replica. Many may wait at little cost.
#[derive(Debug, Clone)]
pub struct FeedWatch(watch::Receiver<crate::applied::Progress>);

impl FeedWatch {
    /// Waits until this node has applied an event after `seq`, and returns the newest; none when
    /// the replica has ended.
    pub async fn after(&mut self, seq: Seq) -> Option<Seq> {
        self.0.wait_for(|progress| progress.seq > seq).await.ok().map(|progress| progress.seq)
    }
}

/// The whole state at one `seq`: products, debts, cursors, open holds, which orders were taken
/// back; and all events up to it, page by page.
pub struct Export {
    /// What all of it is of.
    pub seq: Seq,
    /// Log time there, in milliseconds since the Unix epoch.
    pub log_time_ms: u64,
    /// The hash of the whole state there.
    pub state_hash: u128,
    /// All products, by id.
    pub products: Vec<Product>,
    /// What products owe as counters, by product.
    pub debts: Vec<(Sku, u64)>,
    /// The cursors with their positions and what they are for, by name.
    pub cursors: Vec<(CursorName, u64, Option<CursorTarget>)>,
    /// The holds that are open, by id.
    pub holds: Vec<(Seq, Hold)>,
    /// The orders that were taken back.
    pub cancelled: BTreeSet<Seq>,
    feed: EventReader,
    read: Seq,
}

impl Export {
    fn new(machine: &Machine, feed: EventReader) -> Self {
        Self {
            seq: machine.seq(),
            log_time_ms: machine.log_time_ms(),
            state_hash: machine.state_hash(),
            products: machine.products().cloned().collect(),
            debts: machine.debts().map(|(sku, owed)| (sku.clone(), owed)).collect(),
            cursors: {
                let target = |name| machine.cursor_target(name).cloned();
                machine.cursors().map(|(name, at)| (name.clone(), at, target(name))).collect()
            },
            holds: machine.open_holds().map(|(id, hold)| (id, hold.clone())).collect(),
            cancelled: machine.cancelled_orders().collect(),
            feed,
            read: Seq(0),
        }
    }

    /// The next events, in order from the first on; none after that of the export's `seq`.
    ///
    /// # Errors
    /// When a segment file cannot be read, or is not what was sealed.
    pub async fn next_events(&mut self) -> io::Result<Option<Vec<Event>>> {
        let left = usize::try_from(self.seq.0 - self.read.0).unwrap_or(usize::MAX);
        if left == 0 {
            return Ok(None);
        }
        let max = left.min(FEED_EVENTS_MAX);
        match self.feed.read(self.read, max, FeedLimits::default()).await? {
            Feed::Events(events) if !events.is_empty() => {
                self.read = Seq(self.read.0 + events.len() as u64);
                Ok(Some(events))
            }
            other => Err(missing(self.read, &other)),
        }
    }
}

impl Replica {
    /// The events after `after`, at most `max` and [`FEED_EVENTS_MAX`] of them; 0 is before the
    /// first. Answers at once; see [`Replica::feed_watch`] to wait for more.
    ///
    /// # Errors
    /// When a segment file cannot be read, or is not what was sealed.
    pub async fn events(&self, after: Seq, max: usize, limits: FeedLimits) -> io::Result<Feed> {
        self.event_reader().read(after, max, limits).await
    }

    /// Follows the newest event.
    pub fn feed_watch(&self) -> FeedWatch {
        FeedWatch(self.shared().applied.progress())
    }

    /// The whole state as this node has applied it now. Copies products, debts, cursors, open holds
    /// and the ids of cancelled orders under one lock; the events are read as the export is.
    pub fn export(&self) -> Export {
        let feed = self.event_reader();
        self.read(|machine| Export::new(machine, feed))
    }

    fn event_reader(&self) -> EventReader {
        let shared = self.shared();
        EventReader {
            applied: shared.applied.clone(),
            segments: Arc::clone(&shared.snapshots.segments),
        }
    }
}

/// Reads events from memory or files.
#[derive(Clone)]
struct EventReader {
    applied: Applied,
    segments: Arc<SegmentStore>,
}

impl EventReader {
    async fn read(&self, after: Seq, max: usize, limits: FeedLimits) -> io::Result<Feed> {
        let max = max.clamp(1, FEED_EVENTS_MAX);
        match self.applied.events_after(after, max) {
            Found::Here(slice) => Ok(Feed::Events(slice.into_events())),
            Found::Ahead { newest } => Ok(Feed::Ahead { newest }),
            Found::Sealed { log_time_ms } => {
                let segments = Arc::clone(&self.segments);
                let work = move || cold(&segments, after, max, limits, log_time_ms);
                tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
            }
        }
    }
}

/// Reads segment files. Blocks.
fn cold(
    segments: &SegmentStore,
    after: Seq,
    max: usize,
    limits: FeedLimits,
    log_time_ms: u64,
) -> io::Result<Feed> {
    let from = Seq(after.0 + 1);
    let oldest_ms = limits
        .age
        .map(|age| log_time_ms.saturating_sub(u64::try_from(age.as_millis()).unwrap_or(u64::MAX)));
    let oldest = segments.oldest_within(limits.bytes, oldest_ms)?;
    if let Some(oldest) = oldest
        && from < oldest
    {
        return Ok(Feed::Gone { oldest });
    }
    let events = segments.events(from, max)?;
    if events.is_empty() {
        return Err(missing(after, &Feed::Events(events)));
    }
    Ok(Feed::Events(events))
}

fn missing(after: Seq, found: &Feed) -> io::Error {
    io::Error::other(format!("the event after {after} is neither in memory nor sealed: {found:?}"))
}

#[cfg(test)]
mod tests;
