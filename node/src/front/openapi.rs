//! `GET /openapi.json`: the OpenAPI 3.1 document of all routes.
//!
//! Made once, of the [`super::docs::Docs`] that stand beside the handlers and of the types that
//! they name; there is no other copy of it. `document.rs` puts it together, `operation.rs` turns
//! one endpoint into an operation.

mod document;
mod operation;

use super::FrontState;
use super::docs::{Answer, Docs, JSON, Tag, plain};
use crate::problem::Problem;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use std::sync::{Arc, LazyLock};
use utoipa::openapi::schema::ObjectBuilder;

/// Nothing in it changes while a node runs.
static DOCUMENT: LazyLock<Result<Bytes, serde_json::Error>> =
    LazyLock::new(|| serde_json::to_vec(&document::document()).map(Bytes::from));

pub(super) const SHOW: Docs = Docs {
    id: "openapi",
    tag: Tag::Operations,
    summary: "This document",
    notes: "Generated from the types and tables that the node itself works with.",
    parameters: &[],
    body: None,
    answers: &[Answer::new(
        StatusCode::OK,
        "An OpenAPI 3.1 document.",
        &[(JSON, plain(|| ObjectBuilder::new().into()))],
    )],
    problems: &[],
};

/// `GET /openapi.json`.
pub(super) async fn show(_: Arc<FrontState>, _: Request) -> Result<Response, Problem> {
    let text = match &*DOCUMENT {
        Ok(text) => text.clone(),
        Err(error) => return Err(Problem::internal("write the OpenAPI document", error)),
    };
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(JSON));
    Ok(response)
}

#[cfg(test)]
mod tests;
