//! What goes over a line: one connection to a peer that carries many calls at once.
//!
//! Appends, forwarded commands and read indexes are most of what nodes say to each other, some of
//! each for every batch of buys. Over HTTP each of them costs a head to write and to parse, twice,
//! and a connection while it lasts; here it costs nine bytes. Everything else stays on HTTP, on the
//! same listener: the first byte of a connection tells them apart.
//!
//! ```text
//! greeting   MAGIC, once each way, the caller first
//! request    bytes u32, call u32, route u8; then the request, as in the body of an HTTP one
//! answer     bytes u32, call u32, status u8; then the answer, as in the body of an HTTP one, or
//!            why there is none
//! ```
//!
//! Numbers are little endian, `bytes` counts what follows the header. Answers come in any order.
//! An older build takes the greeting for bad HTTP and answers `HTTP/1.1 400`, so it is called over
//! HTTP. Routes and statuses are added, never reused.

use super::wire::FRAME_BYTES_MAX;
use bytes::{Buf, Bytes, BytesMut};
use std::io;

/// What opens a connection that carries frames. No HTTP begins with its first byte.
pub(super) const MAGIC: [u8; 8] = *b"\xf1FNLINE1";
/// What an older build's answer to the greeting begins with.
pub(super) const NOT_A_LINE: [u8; 8] = *b"HTTP/1.1";
/// Calls of one line that a node works on at once; the others wait in the connection.
pub(super) const CALLS_MAX: usize = 256;
/// Room for what is read at once.
pub(super) const READ_BYTES: usize = 64 * 1024;

const HEADER_BYTES: usize = 9;

/// What can be asked over a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Route {
    Append = 1,
    Forward = 2,
    Clicks = 3,
    ReadIndex = 4,
    ForwardWaiting = 5,
}

impl Route {
    /// The route of a path, if it is one that lines carry.
    pub(super) fn of(path: &str) -> Option<Self> {
        match path {
            "/raft/append" => Some(Self::Append),
            "/peer/forward" => Some(Self::Forward),
            "/peer/clicks" => Some(Self::Clicks),
            "/peer/read-index" => Some(Self::ReadIndex),
            "/peer/forward-waiting" => Some(Self::ForwardWaiting),
            _ => None,
        }
    }

    pub(super) fn from_byte(byte: u8) -> Option<Self> {
        [Self::Append, Self::Forward, Self::Clicks, Self::ReadIndex, Self::ForwardWaiting]
            .into_iter()
            .find(|route| *route as u8 == byte)
    }
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Status {
    /// The answer follows.
    Answered = 0,
    /// This node could not read the request, or write its answer; why follows.
    Failed = 1,
    /// This build has no such route.
    NoRoute = 2,
}

impl Status {
    pub(super) fn from_byte(byte: u8) -> Option<Self> {
        [Self::Answered, Self::Failed, Self::NoRoute]
            .into_iter()
            .find(|status| *status as u8 == byte)
    }
}

/// A request or an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    /// Which call it is of, by a number of the caller's.
    pub(super) call: u32,
    /// Of a request its [`Route`], of an answer its [`Status`].
    pub(super) kind: u8,
    pub(super) body: Bytes,
}

/// Adds a frame to what is to be written.
///
/// # Errors
/// When the body is larger than [`FRAME_BYTES_MAX`]; nothing is added then.
pub(super) fn put(out: &mut Vec<u8>, call: u32, kind: u8, body: &[u8]) -> io::Result<()> {
    let bytes = u32::try_from(body.len()).ok().filter(|bytes| u64::from(*bytes) <= FRAME_BYTES_MAX);
    let bytes = bytes.ok_or_else(|| too_large(body.len()))?;
    out.reserve(HEADER_BYTES + body.len());
    out.extend_from_slice(&bytes.to_le_bytes());
    out.extend_from_slice(&call.to_le_bytes());
    out.push(kind);
    out.extend_from_slice(body);
    Ok(())
}

/// Takes the first frame off what was read; none while it is not whole.
///
/// # Errors
/// When it is longer than any frame may be: what follows cannot be trusted.
pub(super) fn take(input: &mut BytesMut) -> io::Result<Option<Frame>> {
    let Some(header) = input.first_chunk::<HEADER_BYTES>() else {
        return Ok(None);
    };
    let [b0, b1, b2, b3, c0, c1, c2, c3, kind] = *header;
    let bytes = u32::from_le_bytes([b0, b1, b2, b3]) as usize;
    let call = u32::from_le_bytes([c0, c1, c2, c3]);
    if bytes as u64 > FRAME_BYTES_MAX {
        return Err(too_large(bytes));
    }
    if input.len() < HEADER_BYTES + bytes {
        input.reserve(HEADER_BYTES + bytes - input.len());
        return Ok(None);
    }
    input.advance(HEADER_BYTES);
    Ok(Some(Frame { call, kind, body: input.split_to(bytes).freeze() }))
}

fn too_large(bytes: usize) -> io::Error {
    let what = format!("a frame of {bytes} bytes; at most {FRAME_BYTES_MAX}");
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nodes of other builds read these bytes.
    #[test]
    fn a_frame_is_its_header_and_its_body() {
        let mut out = Vec::new();
        put(&mut out, 0x0102_0304, Route::Forward as u8, b"body").unwrap();
        assert_eq!(out, b"\x04\0\0\0\x04\x03\x02\x01\x02body");
        assert_eq!(MAGIC, *b"\xf1FNLINE1");
        for (path, byte) in [
            ("/raft/append", 1),
            ("/peer/forward", 2),
            ("/peer/clicks", 3),
            ("/peer/read-index", 4),
            ("/peer/forward-waiting", 5),
        ] {
            let route = Route::of(path).unwrap();
            assert_eq!((route as u8, Route::from_byte(byte)), (byte, Some(route)));
        }
        assert_eq!((Route::from_byte(0), Route::from_byte(6)), (None, None));
        let statuses = [Status::Answered, Status::Failed, Status::NoRoute];
        for (byte, status) in (0..).zip(statuses) {
            assert_eq!(Status::from_byte(byte), Some(status));
        }
    }

    #[test]
    fn frames_come_apart_wherever_the_stream_is_cut() {
        let mut out = Vec::new();
        let large = vec![7; 70_000];
        let sent = [(1, &b"one"[..]), (2, b""), (3, &large)];
        for (call, body) in sent {
            put(&mut out, call, 0, body).unwrap();
        }
        for step in [1, 5, 9, 4096, out.len()] {
            let (mut input, mut taken) = (BytesMut::new(), Vec::new());
            for part in out.chunks(step) {
                input.extend_from_slice(part);
                while let Some(frame) = take(&mut input).unwrap() {
                    taken.push((frame.call, frame.body));
                }
            }
            assert!(taken.iter().map(|(call, body)| (*call, &body[..])).eq(sent), "{step}");
        }
    }

    #[test]
    fn a_frame_that_is_too_long_is_refused_on_both_sides() {
        let body = vec![0; FRAME_BYTES_MAX as usize + 1];
        let mut out = Vec::new();
        assert!(put(&mut out, 1, 0, &body).is_err() && out.is_empty());
        let mut input = BytesMut::from(&b"\xff\xff\xff\xff\0\0\0\0\0"[..]);
        assert!(take(&mut input).is_err());
    }
}
