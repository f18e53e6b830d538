//! How a stream of server-sent events is answered, whatever it tells.

use super::super::docs::{Shape, plain};
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream::{self, Stream};
use std::convert::Infallible;
use std::time::Duration;
use utoipa::openapi::schema::{ObjectBuilder, Type};

/// For nginx, which would hold the stream back otherwise.
static NO_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// A silent stream says that it is there, before load balancers take it for dead.
pub(super) const COMMENT_INTERVAL: Duration = Duration::from_secs(15);
pub(super) const COMMENT: &[u8] = b": still here\n\n";
/// The first words: browsers that are cut off come back after so many milliseconds.
const GREETING: &[u8] = b": flashnode\nretry: 500\n\n";

/// What the OpenAPI document says of the body.
pub(super) const CONTENT: &[(&str, Shape)] =
    &[("text/event-stream", plain(|| ObjectBuilder::new().schema_type(Type::String).into()))];

/// An answer that goes on for as long as `text` does, after a greeting.
pub(super) fn response(text: impl Stream<Item = Bytes> + Send + 'static) -> Response {
    use futures_util::StreamExt;
    let greeting = stream::iter([Bytes::from_static(GREETING)]);
    let text = greeting.chain(text).map(Ok::<Bytes, Infallible>);
    let mut response = Response::new(Body::from_stream(text));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(&NO_BUFFERING, HeaderValue::from_static("no"));
    response
}
