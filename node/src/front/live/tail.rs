//! The tail: the newest events, encoded once for all listeners.
//!
//! Filled by whichever listener comes first, so it costs nothing while nobody listens. A listener
//! that is further behind reads the replica's feed by itself, and joins the others at the tail.

use super::encode::Chunk;
use bytes::Bytes;
use raft::{Feed, FeedLimits, Replica};
use std::collections::VecDeque;
use std::io;
use std::sync::{Mutex, PoisonError};
use stock::Seq;

/// Encoded events that are kept, in bytes.
const TAIL_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Events of one chunk: what one listener writes before the others have their turn.
const CHUNK_EVENTS_MAX: usize = 256;

/// What comes after a place.
#[derive(Debug)]
pub(super) enum Next {
    /// These events, encoded, up to and with `last`.
    Text { text: Bytes, last: Seq },
    /// Nothing yet.
    Nothing,
    /// The feed no longer reaches so far back.
    Gone { oldest: Seq },
}

/// See the module.
pub(super) struct Tail {
    replica: Replica,
    limits: FeedLimits,
    chunks: Mutex<Chunks>,
}

#[derive(Default)]
struct Chunks {
    run: VecDeque<Chunk>,
    bytes: usize,
}

impl Tail {
    pub(super) fn new(replica: Replica, limits: FeedLimits) -> Self {
        Self { replica, limits, chunks: Mutex::default() }
    }

    /// The next events after `after`.
    ///
    /// # Errors
    /// When a segment file cannot be read, or is not what was sealed.
    pub(super) async fn after(&self, after: Seq) -> io::Result<Next> {
        if let Some((text, next)) = self.lock().after(after) {
            return Ok(Next::Text { text, last: Seq(next.0 - 1) });
        }
        let events = match self.replica.events(after, CHUNK_EVENTS_MAX, self.limits).await? {
            Feed::Events(events) => events,
            Feed::Ahead { .. } => return Ok(Next::Nothing),
            Feed::Gone { oldest } => return Ok(Next::Gone { oldest }),
        };
        let Some(chunk) = Chunk::encode(events).map_err(io::Error::other)? else {
            return Ok(Next::Nothing);
        };
        let last = Seq(chunk.next().0 - 1);
        let text = chunk.after(after).unwrap_or_default();
        self.lock().offer(chunk);
        Ok(Next::Text { text, last })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Chunks> {
        self.chunks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Chunks {
    /// What comes after a place, if it is here; and the event after that.
    fn after(&self, after: Seq) -> Option<(Bytes, Seq)> {
        let place = self.run.partition_point(|chunk| chunk.next().0 <= after.0.saturating_add(1));
        let chunk = self.run.get(place)?;
        Some((chunk.after(after)?, chunk.next()))
    }

    /// Takes a chunk that goes on where the newest ends, or that is newer than all: the tail
    /// begins anew there. One that is older is left to the listener that is so far behind.
    fn offer(&mut self, chunk: Chunk) {
        if let Some(newest) = self.run.back() {
            if chunk.first() < newest.next() {
                return;
            }
            if chunk.first() > newest.next() {
                *self = Self::default();
            }
        }
        self.bytes += chunk.len();
        self.run.push_back(chunk);
        while self.bytes > TAIL_BYTES_MAX && self.run.len() > 1 {
            self.bytes -= self.run.pop_front().map_or(0, |oldest| oldest.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stock::{Change, Event, Sku};

    fn chunk(seqs: std::ops::Range<u64>) -> Chunk {
        let event = |seq| {
            let sku = Sku::new("tee").unwrap();
            let change = Change::Restocked { sku, quantity: 1, available: seq };
            Event { seq: Seq(seq), at_ms: seq, change }
        };
        Chunk::encode(seqs.map(event).collect()).unwrap().unwrap()
    }

    fn next(chunks: &Chunks, after: u64) -> Option<u64> {
        chunks.after(Seq(after)).map(|(_, next)| next.0)
    }

    #[test]
    fn chunks_that_follow_each_other_are_one_run() {
        let mut chunks = Chunks::default();
        chunks.offer(chunk(10..20));
        chunks.offer(chunk(20..22));
        assert_eq!(next(&chunks, 8), None, "event 9 is not here");
        assert_eq!(next(&chunks, 9), Some(20));
        assert_eq!(next(&chunks, 18), Some(20));
        assert_eq!(next(&chunks, 19), Some(22));
        assert_eq!(next(&chunks, 21), None);
    }

    #[test]
    fn an_older_chunk_changes_nothing_and_a_gap_begins_anew() {
        let mut chunks = Chunks::default();
        chunks.offer(chunk(10..20));
        chunks.offer(chunk(1..5));
        chunks.offer(chunk(15..25));
        assert_eq!((next(&chunks, 0), next(&chunks, 14)), (None, Some(20)));
        chunks.offer(chunk(30..31));
        assert_eq!((next(&chunks, 14), next(&chunks, 29)), (None, Some(31)));
    }

    #[test]
    fn the_oldest_go_when_it_is_large() {
        let mut chunks = Chunks::default();
        let mut seq = 1;
        while chunks.run.front().is_none_or(|chunk| chunk.first() == Seq(1)) {
            chunks.offer(chunk(seq..seq + 2_000));
            seq += 2_000;
        }
        assert!(chunks.bytes <= TAIL_BYTES_MAX, "{}", chunks.bytes);
        let kept: usize = chunks.run.iter().map(Chunk::len).sum();
        assert_eq!(chunks.bytes, kept);
        assert_eq!(next(&chunks, seq - 2), Some(seq));
    }
}
