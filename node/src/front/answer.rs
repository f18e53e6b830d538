//! Answers: JSON with the `seq` of the state that it speaks of.
//!
//! Never decides a status. The headers that every answer has are added by `FrontState::finish`.

use super::SEQ;
use crate::problem::Problem;
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Serialize;
use stock::{Seq, api};

static REPLAYED: HeaderName = HeaderName::from_static(api::HEADER_REPLAYED);

/// An answer in JSON.
///
/// # Errors
/// `internal` when the body cannot be serialised, which none of ours does.
pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Result<Response, Problem> {
    let mut text = Vec::with_capacity(256);
    serde_json::to_writer(&mut text, body)
        .map_err(|error| Problem::internal("serialise an answer", &error))?;
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// An answer in JSON that speaks of the state at `seq`.
///
/// # Errors
/// As [`json`].
pub(super) fn json_at(
    status: StatusCode,
    seq: Seq,
    body: &impl Serialize,
) -> Result<Response, Problem> {
    let mut response = json(status, body)?;
    response.headers_mut().insert(&SEQ, HeaderValue::from(seq.0));
    Ok(response)
}

/// Says where the thing that was made is found.
///
/// # Errors
/// `internal` when the path is no header's value, which none of ours is.
pub(super) fn located(mut response: Response, path: String) -> Result<Response, Problem> {
    let location = HeaderValue::try_from(path)
        .map_err(|why| Problem::internal("say where to find it", &why))?;
    response.headers_mut().insert(header::LOCATION, location);
    Ok(response)
}

/// Says that this is the outcome of an earlier attempt.
pub(super) fn mark_replayed(mut response: Response) -> Response {
    response.headers_mut().insert(&REPLAYED, HeaderValue::from_static("true"));
    response
}
