//! Request bodies: read whole, bounded in size and time, then parsed straight into a typed shape.
//!
//! `Content-Type: application/json` is expected. None at all is accepted too, for a client that
//! sets no header; anything else is a 415, so that a form is never taken for JSON.
//!
//! Shapes hold plain texts and numbers (see `field.rs`). What cannot be parsed into the shape is
//! a 400, what then is no valid value is a 422.

use crate::problem::{Kind, Problem};
use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderMap, HeaderValue, header};
use bytes::BytesMut;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::error::Category;
use std::future::poll_fn;
use std::pin::Pin;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};

/// The largest body of any route, in bytes.
pub(super) const BODY_BYTES_MAX: usize = 64 * 1024;

/// Reads a JSON body whole.
///
/// # Errors
/// `unsupported-media-type`; `too-large`; `request-timeout` when it is not here by the deadline;
/// `invalid-json` when it breaks off.
pub(super) async fn read(
    headers: &HeaderMap,
    body: Body,
    deadline: Instant,
) -> Result<Bytes, Problem> {
    read_as(&[b"application/json"], headers, body, deadline).await
}

/// Reads a body of one of these types whole.
///
/// # Errors
/// As [`read`].
pub(super) async fn read_as(
    types: &[&[u8]],
    headers: &HeaderMap,
    body: Body,
    deadline: Instant,
) -> Result<Bytes, Problem> {
    if let Some(content_type) = headers.get(header::CONTENT_TYPE)
        && !types.iter().any(|name| is_type(content_type.as_bytes(), name))
    {
        return Err(Problem::plain(Kind::UnsupportedMediaType));
    }
    not_encoded(headers)?;
    take(body, BODY_BYTES_MAX, deadline).await
}

/// Refuses a body that says it is compressed: it would be read as what it is not.
///
/// # Errors
/// `unsupported-media-type`.
pub(super) fn not_encoded(headers: &HeaderMap) -> Result<(), Problem> {
    let is_plain = |coding: &HeaderValue| coding.as_bytes().eq_ignore_ascii_case(b"identity");
    if headers.get_all(header::CONTENT_ENCODING).iter().all(is_plain) {
        return Ok(());
    }
    let rule = "Send the body as it is: no Content-Encoding is taken.";
    Err(Problem::new(Kind::UnsupportedMediaType, rule))
}

/// Whether a content type is this one, whatever its parameters.
pub(super) fn is_type(content_type: &[u8], wanted: &[u8]) -> bool {
    let end = content_type.iter().position(|byte| *byte == b';').unwrap_or(content_type.len());
    content_type[..end].trim_ascii().eq_ignore_ascii_case(wanted)
}

/// Takes a body of at most so many bytes, whatever it holds.
///
/// # Errors
/// `too-large`; `request-timeout` when it is not here by the deadline; `invalid-json` when it
/// breaks off.
pub(super) async fn take(
    body: Body,
    bytes_max: usize,
    deadline: Instant,
) -> Result<Bytes, Problem> {
    collect_by(deadline, body, bytes_max, |_| Ok(())).await
}

/// As [`take`], with a permit of `room` for each byte from when it is here, until the permit is
/// dropped. So a body that is only announced, or comes slowly, takes nobody's room.
///
/// # Errors
/// As [`take`]; `overloaded` when there is no room for a part of it.
pub(super) async fn take_within(
    room: &Semaphore,
    body: Body,
    bytes_max: usize,
    deadline: Instant,
) -> Result<(Bytes, Option<SemaphorePermit<'_>>), Problem> {
    let mut permit: Option<SemaphorePermit<'_>> = None;
    let hold = |bytes: usize| {
        let permits = u32::try_from(bytes).unwrap_or(u32::MAX);
        let more = room.try_acquire_many(permits).map_err(|_| Problem::overloaded())?;
        match &mut permit {
            Some(permit) => permit.merge(more),
            None => permit = Some(more),
        }
        Ok(())
    };
    let bytes = collect_by(deadline, body, bytes_max, hold).await?;
    Ok((bytes, permit))
}

async fn collect_by(
    deadline: Instant,
    body: Body,
    bytes_max: usize,
    hold: impl FnMut(usize) -> Result<(), Problem>,
) -> Result<Bytes, Problem> {
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(too_large(bytes_max));
    }
    timeout_at(deadline, collect(body, bytes_max, hold))
        .await
        .unwrap_or_else(|_| Err(Problem::plain(Kind::RequestTimeout)))
}

/// Nearly every body is one frame, which is then taken as it is. `hold` may refuse each part.
async fn collect(
    mut body: Body,
    bytes_max: usize,
    mut hold: impl FnMut(usize) -> Result<(), Problem>,
) -> Result<Bytes, Problem> {
    let mut first = Bytes::new();
    let mut whole = BytesMut::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let frame = frame.map_err(|error| {
            Problem::new(Kind::InvalidJson, format!("The body broke off: {error}."))
        })?;
        // What is no data is trailers, which mean nothing here.
        let Ok(part) = frame.into_data() else {
            continue;
        };
        if first.len() + whole.len() + part.len() > bytes_max {
            return Err(too_large(bytes_max));
        }
        hold(part.len())?;
        if first.is_empty() && whole.is_empty() {
            first = part;
            continue;
        }
        // The first frame was not the last one: copied once, with what follows.
        whole.extend_from_slice(&std::mem::take(&mut first));
        whole.extend_from_slice(&part);
    }
    Ok(if whole.is_empty() { first } else { whole.freeze() })
}

fn too_large(bytes_max: usize) -> Problem {
    Problem::new(Kind::TooLarge, format!("The body may have at most {bytes_max} bytes."))
}

/// Parses a body into its shape.
///
/// # Errors
/// `invalid-json` with line and column; `invalid-field` naming the field; `invalid-value` for a
/// number that no machine type holds.
pub(super) fn parse<'b, T: Deserialize<'b>>(bytes: &'b [u8]) -> Result<T, Problem> {
    // A derived shape would take an array as its fields in order.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(no_object(bytes));
    }
    serde_json::from_slice(bytes).map_err(|error| {
        let text = error.to_string();
        let kind = match error.classify() {
            Category::Data => Kind::InvalidField,
            // Such as 1e999, which is JSON.
            Category::Syntax if text.starts_with("number out of range") => Kind::InvalidValue,
            Category::Syntax | Category::Eof | Category::Io => Kind::InvalidJson,
        };
        Problem::new(kind, text)
    })
}

fn no_object(bytes: &[u8]) -> Problem {
    if bytes.trim_ascii().is_empty() {
        return Problem::new(Kind::InvalidJson, "The body is empty; send a JSON object.");
    }
    match serde_json::from_slice::<IgnoredAny>(bytes) {
        Ok(_) => Problem::new(Kind::InvalidField, "The body is not a JSON object."),
        Err(error) => Problem::new(Kind::InvalidJson, error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    async fn read_typed(content_type: Option<&'static str>, body: Body) -> Result<Bytes, Problem> {
        let mut headers = HeaderMap::new();
        if let Some(content_type) = content_type {
            headers.insert(header::CONTENT_TYPE, content_type.parse().unwrap());
        }
        read(&headers, body, Instant::now() + Duration::from_secs(5)).await
    }

    #[tokio::test]
    async fn content_types() {
        for (content_type, taken) in [
            (None, true),
            (Some("application/json"), true),
            (Some("Application/JSON"), true),
            (Some("application/json; charset=utf-8"), true),
            (Some("application/json ;x"), true),
            (Some(""), false),
            (Some("text/json"), false),
            (Some("application/jsonp"), false),
            (Some("application/x-www-form-urlencoded"), false),
        ] {
            match read_typed(content_type, Body::from("{}")).await {
                Ok(bytes) => assert!(taken && bytes == "{}", "{content_type:?}"),
                Err(problem) => {
                    assert!(!taken, "{content_type:?}");
                    assert_eq!(problem.kind(), Kind::UnsupportedMediaType);
                }
            }
        }
    }

    #[tokio::test]
    async fn sizes() {
        for (bytes, taken) in [(0, true), (BODY_BYTES_MAX, true), (BODY_BYTES_MAX + 1, false)] {
            let got = read_typed(None, Body::from(vec![b' '; bytes])).await;
            match got {
                Ok(body) => assert!(taken && body.len() == bytes, "{bytes}"),
                Err(problem) => assert!(!taken && problem.kind() == Kind::TooLarge, "{bytes}"),
            }
        }
    }

    #[tokio::test]
    async fn bodies_share_a_room() {
        let room = Semaphore::new(10);
        let deadline = Instant::now() + Duration::from_secs(5);
        let body = |bytes: usize| Body::from(vec![b'x'; bytes]);
        let (bytes, permit) = take_within(&room, body(7), 8, deadline).await.unwrap();
        assert_eq!((bytes.len(), room.available_permits()), (7, 3));
        let refused = take_within(&room, body(4), 8, deadline).await.unwrap_err();
        assert_eq!((refused.kind(), room.available_permits()), (Kind::Overloaded, 3));
        // What never comes takes no room, and what breaks off gives it back.
        let silent = Body::from_stream(futures_util::stream::pending::<std::io::Result<Bytes>>());
        let timed_out = take_within(&room, silent, 8, Instant::now()).await.unwrap_err();
        assert_eq!((timed_out.kind(), room.available_permits()), (Kind::RequestTimeout, 3));
        drop(permit);
        assert_eq!(room.available_permits(), 10);
        let (_, permit) = take_within(&room, body(0), 8, deadline).await.unwrap();
        assert!(permit.is_none());
    }

    #[tokio::test]
    async fn parts_are_put_together_and_bounded() {
        let parts = |sizes: &[usize]| {
            let parts: Vec<_> =
                sizes.iter().map(|size| Ok::<_, std::io::Error>(vec![b'x'; *size])).collect();
            Body::from_stream(futures_util::stream::iter(parts))
        };
        let half = BODY_BYTES_MAX / 2;
        for sizes in [&[half, half][..], &[1, 0, half, 1], &[0, 5], &[]] {
            let whole = read_typed(None, parts(sizes)).await.unwrap();
            assert_eq!(whole.len(), sizes.iter().sum::<usize>());
            assert!(whole.iter().all(|byte| *byte == b'x'));
        }
        let problem = read_typed(None, parts(&[half, half, 1])).await.unwrap_err();
        assert_eq!(problem.kind(), Kind::TooLarge);
    }
}
