//! The body of a peer's HTTP request: all of it within a time and a size, or none.
//!
//! A peer that hangs, or whoever else reaches the port, must not hold a connection for ever by a
//! byte now and then. Never looks into a frame. Called by `server`, for each of its routes.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use std::time::Duration;

/// What a body may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct BodyMax {
    pub(super) bytes: u64,
    pub(super) time: Duration,
}

/// The routes, each called once the whole body is there.
pub(super) fn bounded<S: Clone + Send + Sync + 'static>(
    routes: Router<S>,
    max: BodyMax,
) -> Router<S> {
    routes
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn(move |request: Request, next: Next| read_whole(max, request, next)))
}

async fn read_whole(max: BodyMax, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let bytes_max = usize::try_from(max.bytes).unwrap_or(usize::MAX);
    match tokio::time::timeout(max.time, to_bytes(body, bytes_max)).await {
        Ok(Ok(bytes)) => next.run(Request::from_parts(parts, Body::from(bytes))).await,
        Ok(Err(error)) => (StatusCode::PAYLOAD_TOO_LARGE, error.to_string()).into_response(),
        Err(_) => StatusCode::REQUEST_TIMEOUT.into_response(),
    }
}
