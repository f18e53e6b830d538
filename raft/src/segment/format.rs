//! The bytes of a segment file. Pure: no IO.
//!
//! ```text
//! header    magic "FNSEG" 0, format u16, first seq u64, events u32, crc32 of these 20 bytes
//! table     where each record starts, and where the last one ends: u32s from the first record on
//! records   crc32 of the event's bytes, the event (bincode, `stock::codec`)
//! trailer   crc32 of all that is before it
//! ```
//!
//! All numbers are little endian. The file holds nothing but what the events say, so equal events
//! give equal files on every node.

use super::{SEGMENT_EVENTS, SegmentRef};
use std::ops::Range;
use stock::{Event, Seq, codec};

/// The format that this build writes, and the newest that it reads.
const FORMAT: u16 = 1;
const MAGIC: &[u8; 6] = b"FNSEG\0";
/// The largest encoded event. An order with the longest ids has about 400 bytes.
const EVENT_BYTES_MAX: usize = 4096;
const CRC_BYTES: usize = 4;
const OFFSET_BYTES: usize = 4;
pub(super) const HEADER_BYTES: usize = 24;
pub(super) const TRAILER_BYTES: usize = CRC_BYTES;
const TABLE_BYTES: usize = (SEGMENT_EVENTS + 1) * OFFSET_BYTES;
const RECORDS_AT: usize = HEADER_BYTES + TABLE_BYTES;
const BYTES_MIN: usize = RECORDS_AT + TRAILER_BYTES;
/// The largest segment file, in bytes.
pub(super) const SEGMENT_BYTES_MAX: usize =
    BYTES_MIN + SEGMENT_EVENTS * (CRC_BYTES + EVENT_BYTES_MAX);

/// What is wrong with a segment.
#[derive(Debug, thiserror::Error)]
pub(super) enum Flaw {
    #[error("it has {0} bytes; a segment has {BYTES_MIN} to {SEGMENT_BYTES_MAX}")]
    Length(u64),
    #[error("it does not start like a segment")]
    Header,
    #[error("it has format {0}, and this build reads formats up to {FORMAT}")]
    Format(u16),
    #[error("it is the segment from {found}, where the one from {wanted} belongs")]
    Place { found: Seq, wanted: Seq },
    #[error("its checksum does not match its content")]
    Checksum,
    #[error("it is not the segment that was asked for: {found:?} instead of {wanted:?}")]
    Other { found: Box<SegmentRef>, wanted: Box<SegmentRef> },
    #[error("the record of event {0} is damaged")]
    Record(Seq),
    #[error("the record of event {seq} cannot be decoded: {source}")]
    Event { seq: Seq, source: codec::CodecError },
}

/// The events that do not make one full segment, and why.
#[derive(Debug, thiserror::Error)]
#[error("{count} events from {first:?} on are not one full segment of {SEGMENT_EVENTS}")]
pub(super) struct NotAligned {
    count: usize,
    first: Option<Seq>,
}

/// The first event of the segment that an event belongs to; `None` for 0, which is no event.
pub(super) fn segment_of(seq: Seq) -> Option<Seq> {
    let before = seq.0.checked_sub(1)?;
    Some(Seq(before - before % SEGMENT_EVENTS as u64 + 1))
}

/// Checks that the events are exactly one full, aligned, dense segment.
pub(super) fn check_aligned(events: &[Event]) -> Result<Seq, NotAligned> {
    let first = events.first().map(|event| event.seq);
    let is_dense = |first: Seq| events.iter().zip(first.0..).all(|(event, seq)| event.seq.0 == seq);
    match first {
        Some(first)
            if events.len() == SEGMENT_EVENTS
                && segment_of(first) == Some(first)
                && is_dense(first) =>
        {
            Ok(first)
        }
        _ => Err(NotAligned { count: events.len(), first }),
    }
}

/// Encodes the events of a segment that [`check_aligned`] accepted.
pub(super) fn encode(first: Seq, events: &[Event]) -> Result<Vec<u8>, codec::CodecError> {
    let mut bytes = Vec::with_capacity(RECORDS_AT + events.len() * 128);
    bytes.extend(header(first));
    bytes.resize(RECORDS_AT, 0);
    for (nth, event) in events.iter().enumerate() {
        let record = bytes.len();
        set_offset(&mut bytes, nth, record);
        bytes.extend([0; CRC_BYTES]);
        codec::append(event, &mut bytes, EVENT_BYTES_MAX as u64)?;
        let (crc, event) = bytes[record..].split_at_mut(CRC_BYTES);
        crc.copy_from_slice(&crc32fast::hash(event).to_le_bytes());
    }
    let end = bytes.len();
    set_offset(&mut bytes, events.len(), end);
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    Ok(bytes)
}

/// Writes into the table where a record starts.
fn set_offset(bytes: &mut [u8], nth: usize, record: usize) {
    let at = HEADER_BYTES + nth * OFFSET_BYTES;
    let offset = (record - RECORDS_AT) as u32;
    bytes[at..at + OFFSET_BYTES].copy_from_slice(&offset.to_le_bytes());
}

/// The name of a segment, from its header, its trailer and its length in bytes.
///
/// # Errors
/// When the header is not one of a segment of this format. The content is not looked at.
pub(super) fn identify(
    header: &[u8; HEADER_BYTES],
    trailer: [u8; TRAILER_BYTES],
    bytes: u64,
) -> Result<SegmentRef, Flaw> {
    if bytes < BYTES_MIN as u64 || bytes > SEGMENT_BYTES_MAX as u64 {
        return Err(Flaw::Length(bytes));
    }
    let (sealed, crc) = header.split_at(HEADER_BYTES - CRC_BYTES);
    if !sealed.starts_with(MAGIC) || crc != crc32fast::hash(sealed).to_le_bytes() {
        return Err(Flaw::Header);
    }
    let format = u16::from_le_bytes([header[6], header[7]]);
    if format != FORMAT {
        return Err(Flaw::Format(format));
    }
    let mut first = [0; 8];
    first.copy_from_slice(&header[8..16]);
    let first_seq = Seq(u64::from_le_bytes(first));
    let count = u32_at(header, 16);
    if count as usize != SEGMENT_EVENTS || segment_of(first_seq) != Some(first_seq) {
        return Err(Flaw::Header);
    }
    Ok(SegmentRef { first_seq, count, bytes, crc32: u32::from_le_bytes(trailer) })
}

/// Checks all of a segment's bytes against their own checksum, and names them.
///
/// # Errors
/// When they are not a whole, undamaged segment.
pub(super) fn verify(bytes: &[u8]) -> Result<SegmentRef, Flaw> {
    let length = Flaw::Length(bytes.len() as u64);
    let Some((content, trailer)) = bytes.split_last_chunk::<TRAILER_BYTES>() else {
        return Err(length);
    };
    let Some(header) = content.first_chunk::<HEADER_BYTES>() else {
        return Err(length);
    };
    let found = identify(header, *trailer, bytes.len() as u64)?;
    if crc32fast::hash(content) != found.crc32 {
        return Err(Flaw::Checksum);
    }
    Ok(found)
}

/// Decodes all events of a segment that [`verify`] accepted.
///
/// # Errors
/// When a record is not what the table and its place say.
pub(super) fn decode(segment: &SegmentRef, bytes: &[u8]) -> Result<Vec<Event>, Flaw> {
    let mut events = Vec::with_capacity(SEGMENT_EVENTS);
    for seq in (segment.first_seq.0..).take(SEGMENT_EVENTS).map(Seq) {
        let table = table_range(segment, seq);
        let (from, to) = (table.start as usize, table.end as usize);
        let place = record_range(segment, seq, &bytes[from..to])?;
        events.push(decode_record(seq, &bytes[place.start as usize..place.end as usize])?);
    }
    Ok(events)
}

/// Where in the file the table says where an event's record starts and ends.
pub(super) fn table_range(segment: &SegmentRef, seq: Seq) -> Range<u64> {
    let nth = seq.0 - segment.first_seq.0;
    let at = HEADER_BYTES as u64 + nth * OFFSET_BYTES as u64;
    at..at + 2 * OFFSET_BYTES as u64
}

/// Where in the file an event's record is, by the part of the table at [`table_range`].
///
/// # Errors
/// When that cannot be: the table is damaged.
pub(super) fn record_range(
    segment: &SegmentRef,
    seq: Seq,
    table: &[u8],
) -> Result<Range<u64>, Flaw> {
    let (start, end) = (u32_at(table, 0), u32_at(table, OFFSET_BYTES));
    let record_bytes = end.checked_sub(start).ok_or(Flaw::Record(seq))? as usize;
    let range = RECORDS_AT as u64 + u64::from(start)..RECORDS_AT as u64 + u64::from(end);
    let fits = range.end + TRAILER_BYTES as u64 <= segment.bytes;
    let is_record = (CRC_BYTES..=CRC_BYTES + EVENT_BYTES_MAX).contains(&record_bytes);
    if fits && is_record { Ok(range) } else { Err(Flaw::Record(seq)) }
}

/// Decodes one record.
///
/// # Errors
/// When its checksum differs or it holds another event.
pub(super) fn decode_record(seq: Seq, record: &[u8]) -> Result<Event, Flaw> {
    let Some((crc, body)) = record.split_first_chunk::<CRC_BYTES>() else {
        return Err(Flaw::Record(seq));
    };
    if crc32fast::hash(body).to_le_bytes() != *crc {
        return Err(Flaw::Record(seq));
    }
    let event: Event = codec::decode(body, EVENT_BYTES_MAX as u64)
        .map_err(|source| Flaw::Event { seq, source })?;
    if event.seq == seq { Ok(event) } else { Err(Flaw::Record(seq)) }
}

fn header(first: Seq) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..6].copy_from_slice(MAGIC);
    header[6..8].copy_from_slice(&FORMAT.to_le_bytes());
    header[8..16].copy_from_slice(&first.0.to_le_bytes());
    header[16..20].copy_from_slice(&(SEGMENT_EVENTS as u32).to_le_bytes());
    let crc = crc32fast::hash(&header[..HEADER_BYTES - CRC_BYTES]);
    header[HEADER_BYTES - CRC_BYTES..].copy_from_slice(&crc.to_le_bytes());
    header
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(number)
}
