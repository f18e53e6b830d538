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

#[cfg(test)]
mod tests {
    use super::super::ws::PING_INTERVAL;
    use super::*;

    /// The `proxy_read_timeout` of the location that begins so.
    fn patience_of(location: &str) -> Duration {
        let config = include_str!("../../../../deploy/nginx.conf");
        let (_, block) = config.split_once(location).expect("the location");
        let block = block.split_once("\n    }").expect("its end").0;
        let seconds = block.split_once("proxy_read_timeout ").expect("a timeout").1;
        let seconds = seconds.split_once("s;").expect("in seconds").0;
        Duration::from_secs(seconds.parse().expect("a number"))
    }

    /// A silent stream is no dead one, also where a word is late; and a dead one is not kept long.
    #[test]
    fn nginx_waits_for_a_few_words_of_a_stream_and_not_for_ever() {
        for (location, interval) in [
            ("location ~ ^/v1/(events|levels)$ {", COMMENT_INTERVAL),
            ("location = /ws {", PING_INTERVAL),
        ] {
            let patience = patience_of(location);
            assert!(patience >= interval * 2, "{location} cuts off after {patience:?}");
            assert!(patience <= interval * 4, "{location} waits for {patience:?}");
        }
    }
}
