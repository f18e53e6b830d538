//! Reading a few events out of a segment file, without the rest of it.

use super::format::{self, Flaw};
use super::{SEGMENT_EVENTS, SegmentRef, SegmentStore, at, damaged};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use stock::{Event, Seq};

impl SegmentStore {
    /// One event; `None` when no segment holds it.
    ///
    /// # Errors
    /// As of [`SegmentStore::events`].
    pub(crate) fn event(&self, seq: Seq) -> io::Result<Option<Event>> {
        Ok(self.events(seq, 1)?.pop())
    }

    /// The events from `from` on, at most `max` and to the end of its segment; empty when no
    /// segment holds the first. Reads their records, not the file.
    ///
    /// # Errors
    /// `InvalidData`, naming the file, when a record is damaged.
    pub(crate) fn events(&self, from: Seq, max: usize) -> io::Result<Vec<Event>> {
        let Some(segment) = format::segment_of(from).and_then(|first| self.find(first)) else {
            return Ok(Vec::new());
        };
        let path = self.path(segment.first_seq);
        let file = File::open(&path).map_err(|e| at(&path, &e))?;
        let read = |range: &Range<u64>| {
            let mut bytes = vec![0; (range.end - range.start) as usize];
            file.read_exact_at(&mut bytes, range.start).map_err(|e| at(&path, &e)).map(|()| bytes)
        };
        let end = segment.first_seq.0 + SEGMENT_EVENTS as u64;
        let seqs = from.0..end.min(from.0.saturating_add(max as u64));
        let tables: Vec<Range<u64>> =
            seqs.clone().map(|seq| format::table_range(&segment, Seq(seq))).collect();
        let Some(table_range) = hull(&tables) else {
            return Ok(Vec::new());
        };
        let table = read(&table_range)?;
        let places = seqs
            .clone()
            .zip(&tables)
            .map(|(seq, range)| {
                format::record_range(&segment, Seq(seq), part(&table, &table_range, range))
            })
            .collect::<Result<Vec<_>, Flaw>>()
            .map_err(|flaw| damaged(&path, &flaw))?;
        let Some(place) = hull(&places) else {
            return Ok(Vec::new());
        };
        let records = read(&place)?;
        seqs.zip(&places)
            .map(|(seq, range)| format::decode_record(Seq(seq), part(&records, &place, range)))
            .collect::<Result<Vec<_>, Flaw>>()
            .map_err(|flaw| damaged(&path, &flaw))
    }

    /// The first event of the oldest segment within these limits: the newest segments of at most
    /// `bytes_max` bytes, whose last event is not before `oldest_ms`. The event after all segments
    /// when none is within them; `None` without limits or segments.
    ///
    /// # Errors
    /// As of [`SegmentStore::events`].
    pub(crate) fn oldest_within(
        &self,
        bytes_max: Option<u64>,
        oldest_ms: Option<u64>,
    ) -> io::Result<Option<Seq>> {
        if bytes_max.is_none() && oldest_ms.is_none() {
            return Ok(None);
        }
        let segments = self.list();
        let by_bytes = bytes_max.map_or(0, |bytes_max| first_within_bytes(&segments, bytes_max));
        let by_age = match oldest_ms {
            Some(oldest_ms) => self.first_within_age(&segments, oldest_ms)?,
            None => 0,
        };
        let past_all = segments.last().map(|last| Seq(last.first_seq.0 + SEGMENT_EVENTS as u64));
        let first = segments.get(by_bytes.max(by_age)).map(|segment| segment.first_seq);
        Ok(first.or(past_all))
    }

    /// The place of the oldest segment whose last event is not before `oldest_ms`. Log time never
    /// goes back from one event to the next, so a few looks find it.
    fn first_within_age(&self, segments: &[SegmentRef], oldest_ms: u64) -> io::Result<usize> {
        let (mut low, mut high) = (0, segments.len());
        while low < high {
            let middle = low.midpoint(high);
            let last = Seq(segments[middle].first_seq.0 + SEGMENT_EVENTS as u64 - 1);
            if self.event(last)?.is_some_and(|event| event.at_ms >= oldest_ms) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        Ok(low)
    }
}

fn first_within_bytes(segments: &[SegmentRef], bytes_max: u64) -> usize {
    let mut bytes = 0_u64;
    let kept = segments.iter().rev().take_while(|segment| {
        bytes = bytes.saturating_add(segment.bytes);
        bytes <= bytes_max
    });
    segments.len() - kept.count()
}

/// From the start of the first to the end of the last.
fn hull(ranges: &[Range<u64>]) -> Option<Range<u64>> {
    Some(ranges.first()?.start..ranges.last()?.end)
}

/// The bytes of one range out of those of the hull. The ranges of a table follow each other and
/// each fits the file, so none is outside unless the table is damaged; then it is empty, and fails
/// its checksum.
fn part<'a>(bytes: &'a [u8], hull: &Range<u64>, range: &Range<u64>) -> &'a [u8] {
    let start = range.start.checked_sub(hull.start);
    let end = range.end.checked_sub(hull.start);
    start.zip(end).and_then(|(start, end)| bytes.get(start as usize..end as usize)).unwrap_or(&[])
}
