//! Requests and answers as bytes: RESP2 and RESP3.
//!
//! A request is an array of bulk strings, in both versions. Its extent is measured here first, with
//! every announced size held against a bound before anything is kept for it; what is measured is
//! decoded by `redis-protocol`, which would follow arrays within arrays as deep as somebody writes
//! them. Never looks at what a request means. Called by the connection.

use redis_protocol::resp2::decode;
use redis_protocol::resp2::types::OwnedFrame;

/// The most bytes of one request.
pub(super) const REQUEST_BYTES_MAX: usize = 64 * 1024;
/// The most arguments of one request, its name too.
pub(super) const ARGUMENTS_MAX: usize = 1_024;
/// The longest line that announces a size: a sign, a number, and the end.
const SIZE_BYTES_MAX: usize = 16;

/// A request's name and arguments.
pub(super) type Request = Vec<Vec<u8>>;

/// What is no request. The connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    /// It does not begin as an array: an inline command, HTTP, or noise.
    #[error("expected '*'; this listener takes no inline commands")]
    NoArray,
    /// An announced number is none, or negative.
    #[error("invalid multibulk length")]
    Number,
    /// There are more arguments than a request may have.
    #[error("too many arguments: at most {ARGUMENTS_MAX}")]
    Arguments,
    /// An argument is no bulk string.
    #[error("expected '$'")]
    NoBulk,
    /// It has more bytes than a request may have.
    #[error("the request is too large: at most {REQUEST_BYTES_MAX} bytes")]
    TooLarge,
    /// A bulk string does not end where it says.
    #[error("invalid bulk length")]
    NoEnd,
}

/// Takes the first request off the bytes; none when it is not whole yet. Returns how many bytes it
/// had. An empty array is a request without a name.
///
/// # Errors
/// [`Malformed`] when no further byte can make it a request.
pub(super) fn request(bytes: &[u8]) -> Result<Option<(Request, usize)>, Malformed> {
    let Some(len) = measure(bytes)? else { return Ok(None) };
    match decode::decode(&bytes[..len]) {
        Ok(Some((OwnedFrame::Array(frames), read))) if read == len => {
            let text = |frame| match frame {
                OwnedFrame::BulkString(text) => Ok(text),
                _ => Err(Malformed::NoBulk),
            };
            let arguments = frames.into_iter().map(text).collect::<Result<_, _>>()?;
            Ok(Some((arguments, len)))
        }
        _ => Err(Malformed::NoEnd),
    }
}

/// The length of the first request; none when it is not whole yet.
fn measure(bytes: &[u8]) -> Result<Option<usize>, Malformed> {
    match bytes.first() {
        None => return Ok(None),
        Some(b'*') => {}
        Some(_) => return Err(Malformed::NoArray),
    }
    let Some((count, mut at)) = size(bytes, 1)? else { return Ok(None) };
    if count > ARGUMENTS_MAX {
        return Err(Malformed::Arguments);
    }
    for _ in 0..count {
        match bytes.get(at) {
            None => return Ok(None),
            Some(b'$') => {}
            Some(_) => return Err(Malformed::NoBulk),
        }
        let Some((len, from)) = size(bytes, at + 1)? else { return Ok(None) };
        if len > REQUEST_BYTES_MAX || from + len + 2 > REQUEST_BYTES_MAX {
            return Err(Malformed::TooLarge);
        }
        at = from + len + 2;
        match bytes.get(at - 2..at) {
            None => return Ok(None),
            Some(b"\r\n") => {}
            Some(_) => return Err(Malformed::NoEnd),
        }
    }
    Ok(Some(at))
}

/// The number at this place and where its line ends; none when the line is not whole yet.
fn size(bytes: &[u8], at: usize) -> Result<Option<(usize, usize)>, Malformed> {
    let line = &bytes[at.min(bytes.len())..];
    let Some(end) = line.iter().take(SIZE_BYTES_MAX).position(|byte| *byte == b'\r') else {
        return if line.len() < SIZE_BYTES_MAX { Ok(None) } else { Err(Malformed::Number) };
    };
    match line.get(end + 1) {
        None => return Ok(None),
        Some(b'\n') => {}
        Some(_) => return Err(Malformed::Number),
    }
    let digits = &line[..end];
    let number = std::str::from_utf8(digits).ok().filter(|_| digits.iter().all(u8::is_ascii_digit));
    let number = number.and_then(|text| text.parse().ok()).ok_or(Malformed::Number)?;
    Ok(Some((number, at + end + 2)))
}

/// Which version a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    Two,
    Three,
}

/// One answer, or a message that nobody asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply {
    Simple(&'static str),
    /// Its first word is what programs match on.
    Error(String),
    Int(i64),
    Bulk(String),
    Raw(Vec<u8>),
    Null,
    Array(Vec<Reply>),
    Map(Vec<(&'static str, Reply)>),
    /// Out of turn in RESP3; an array in RESP2.
    Push(Vec<Reply>),
    /// One after the other, as a subscription is answered.
    Several(Vec<Reply>),
}

impl Reply {
    pub(super) const OK: Self = Self::Simple("OK");

    pub(super) fn error(text: impl Into<String>) -> Self {
        Self::Error(text.into())
    }

    /// Adds its bytes.
    pub(super) fn write(&self, version: Version, into: &mut Vec<u8>) {
        match self {
            Self::Simple(text) => line(into, b'+', text.as_bytes()),
            Self::Error(text) => {
                // Nothing of a client's may end the line.
                let text: String =
                    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
                line(into, b'-', text.as_bytes());
            }
            Self::Int(number) => line(into, b':', number.to_string().as_bytes()),
            Self::Bulk(text) => bulk(into, text.as_bytes()),
            Self::Raw(bytes) => bulk(into, bytes),
            Self::Null if version == Version::Two => into.extend_from_slice(b"$-1\r\n"),
            Self::Null => into.extend_from_slice(b"_\r\n"),
            Self::Array(replies) => {
                head(into, b'*', replies.len());
                write_all(replies, version, into);
            }
            Self::Map(pairs) => {
                match version {
                    Version::Two => head(into, b'*', 2 * pairs.len()),
                    Version::Three => head(into, b'%', pairs.len()),
                }
                for (name, reply) in pairs {
                    bulk(into, name.as_bytes());
                    reply.write(version, into);
                }
            }
            Self::Several(replies) => {
                write_all(replies, version, into);
            }
            Self::Push(replies) => {
                head(into, if version == Version::Two { b'*' } else { b'>' }, replies.len());
                write_all(replies, version, into);
            }
        }
    }
}

fn write_all(replies: &[Reply], version: Version, into: &mut Vec<u8>) {
    for reply in replies {
        reply.write(version, into);
    }
}

fn line(into: &mut Vec<u8>, kind: u8, text: &[u8]) {
    into.push(kind);
    into.extend_from_slice(text);
    into.extend_from_slice(b"\r\n");
}

fn head(into: &mut Vec<u8>, kind: u8, len: usize) {
    line(into, kind, len.to_string().as_bytes());
}

fn bulk(into: &mut Vec<u8>, text: &[u8]) {
    head(into, b'$', text.len());
    into.extend_from_slice(text);
    into.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests;
