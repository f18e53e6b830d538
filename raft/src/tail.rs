//! The newest events in memory: those that no sealed segment file holds yet, and some that do.
//!
//! Owned by the applied state, under its lock. Events stand in chunks aligned to segments, so a
//! full chunk is exactly the content of one segment file, and whoever seals it shares it instead
//! of copying it.

use crate::segment::SEGMENT_EVENTS;
use std::collections::VecDeque;
use std::ops::{Deref, Range};
use std::sync::Arc;
use stock::{Event, Seq, Traces};

/// Full chunks that stay in memory after they were sealed: readers of recent events need no file.
const SEALED_CHUNKS_KEPT: usize = 2;

/// Consecutive events, up to and including the newest.
#[derive(Debug, Default)]
pub(crate) struct EventTail {
    /// Full, aligned chunks, oldest first.
    full: VecDeque<Chunk>,
    /// The chunk that is being filled. Shorter than a segment.
    partial: Vec<Event>,
    /// Of those events of it that were applied here.
    traces: Traces,
}

/// A full chunk.
pub(crate) type Chunk = Arc<FullChunk>;

/// The events of one segment.
#[derive(Debug)]
pub(crate) struct FullChunk {
    events: Vec<Event>,
    /// Of all of them, unless this node began within the chunk, by a start or a snapshot.
    traces: Traces,
}

impl FullChunk {
    pub(crate) fn traces(&self) -> &Traces {
        &self.traces
    }
}

impl Deref for FullChunk {
    type Target = [Event];

    fn deref(&self) -> &[Event] {
        &self.events
    }
}

/// Consecutive events of one chunk, taken without copying where the chunk is full.
#[derive(Debug)]
pub(crate) enum TailSlice {
    Shared { chunk: Chunk, range: Range<usize> },
    Copied(Vec<Event>),
}

impl Default for TailSlice {
    fn default() -> Self {
        Self::Copied(Vec::new())
    }
}

impl TailSlice {
    /// The events; copies them if they are shared.
    pub(crate) fn into_events(self) -> Vec<Event> {
        match self {
            Self::Shared { chunk, range } => chunk[range].to_vec(),
            Self::Copied(events) => events,
        }
    }
}

impl EventTail {
    /// A tail that starts after the sealed segments, with the events of a manifest.
    pub(crate) fn from_partial(partial: Vec<Event>) -> Self {
        assert!(
            partial.len() < SEGMENT_EVENTS,
            "a partial chunk holds {} events, a segment's worth or more",
            partial.len()
        );
        Self { full: VecDeque::new(), partial, traces: Traces::default() }
    }

    /// Adds the next events; returns the last one that filled a chunk, which can be sealed now.
    ///
    /// # Panics
    /// When their `seq`s do not follow the last one.
    pub(crate) fn extend(&mut self, events: Vec<Event>, traces: Traces) -> Option<Seq> {
        self.traces.append(traces);
        events.into_iter().filter_map(|event| self.push(event)).last()
    }

    fn push(&mut self, event: Event) -> Option<Seq> {
        if let Some(last) = self.partial.last() {
            assert_eq!(event.seq.0, last.seq.0 + 1, "events are dense");
        } else {
            assert_eq!(
                (event.seq.0 - 1) % SEGMENT_EVENTS as u64,
                0,
                "a chunk starts where a segment starts"
            );
            // The first chunk of a small sale may never be full; later ones will be.
            let room = if self.full.is_empty() { 1_024 } else { SEGMENT_EVENTS };
            self.partial.reserve_exact(room);
        }
        let seq = event.seq;
        self.partial.push(event);
        if self.partial.len() < SEGMENT_EVENTS {
            return None;
        }
        let later = self.traces.split_off_after(seq);
        let traces = std::mem::replace(&mut self.traces, later);
        let events = std::mem::take(&mut self.partial);
        self.full.push_back(Arc::new(FullChunk { events, traces }));
        Some(seq)
    }

    /// The events after this one, at most `max`, and of one chunk only; none when the next event
    /// is not in memory.
    pub(crate) fn slice(&self, after: Seq, max: usize) -> Option<TailSlice> {
        let (chunk, at) = self.place(Seq(after.0.checked_add(1)?))?;
        match self.full.get(chunk) {
            Some(full) => {
                let range = at..full.len().min(at.saturating_add(max));
                Some(TailSlice::Shared { chunk: Arc::clone(full), range })
            }
            None if chunk == self.full.len() && at < self.partial.len() => {
                let end = self.partial.len().min(at.saturating_add(max));
                Some(TailSlice::Copied(self.partial[at..end].to_vec()))
            }
            None => None,
        }
    }

    /// Chunk and place of an event, if it is in memory or yet to come.
    fn place(&self, seq: Seq) -> Option<(usize, usize)> {
        let first = self.first_seq()?;
        let offset = usize::try_from(seq.0.checked_sub(first.0)?).ok()?;
        Some((offset / SEGMENT_EVENTS, offset % SEGMENT_EVENTS))
    }

    /// The event with this number, when it is still in memory.
    pub(crate) fn get(&self, seq: Seq) -> Option<&Event> {
        let (chunk, at) = self.place(seq)?;
        match self.full.get(chunk) {
            Some(full) => full.get(at),
            None if chunk == self.full.len() => self.partial.get(at),
            None => None,
        }
    }

    /// The oldest event in memory.
    pub(crate) fn first_seq(&self) -> Option<Seq> {
        let oldest = self.full.front().map_or(&*self.partial, |chunk| &***chunk);
        oldest.first().map(|event| event.seq)
    }

    /// The full chunks with events after `sealed_up_to`, oldest first.
    pub(crate) fn full_after(&self, sealed_up_to: Seq) -> Vec<Chunk> {
        let is_new = |chunk: &&Chunk| chunk.last().is_some_and(|last| last.seq > sealed_up_to);
        self.full.iter().filter(is_new).cloned().collect()
    }

    /// Takes out chunks that a segment file holds, all but the newest few. Freeing them takes
    /// milliseconds each: whoever gets them does so without the lock.
    #[must_use]
    pub(crate) fn take_sealed(&mut self, sealed_up_to: Seq) -> Vec<Chunk> {
        let spare = self.full.len().saturating_sub(SEALED_CHUNKS_KEPT);
        let is_sealed = |chunk: &&Chunk| chunk.last().is_some_and(|last| last.seq <= sealed_up_to);
        let sealed = self.full.iter().take(spare).take_while(is_sealed).count();
        self.full.drain(..sealed).collect()
    }
}
