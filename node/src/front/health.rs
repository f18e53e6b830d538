//! `/livez` and `/readyz`: for probes and load balancers.
//!
//! Alive is whoever answers, whatever the quorum. Ready is who leads, or hears from a leader that
//! it can reach, and is not far behind; a node that drains is not ready. Probes may add queries of
//! their own.

use super::FrontState;
use super::answer::json;
use super::docs::{Answer, Docs, JSON, TEXT, Tag, of, plain, text as parameter};
use crate::problem::{Kind, Problem};
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Serialize;
use std::sync::Arc;
use stock::{NodeId, Seq};
use utoipa::ToSchema;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Schema};

pub(super) const LIVEZ: Docs = Docs {
    id: "livez",
    tag: Tag::Operations,
    summary: "Whether the process answers",
    notes: "Whatever the quorum.",
    parameters: &[],
    body: None,
    answers: &[Answer::new(StatusCode::OK, "It does.", &[(TEXT, plain(words))])],
    problems: &[],
};

pub(super) const READYZ: Docs = Docs {
    id: "readyz",
    summary: "Whether this node should be asked",
    notes: "It leads, or hears from a leader that it can reach, and is not far behind.",
    parameters: &[&[parameter("verbose", "Say why, in JSON.", plain(words))]],
    answers: &[
        Answer::new(
            StatusCode::OK,
            "It should.",
            &[(TEXT, plain(words)), (JSON, of::<Readiness>())],
        ),
        Answer::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "It should not; in JSON when asked why.",
            &[(JSON, of::<Readiness>())],
        ),
    ],
    problems: &[&[Kind::NotReady]],
    ..LIVEZ
};

fn words() -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(Type::String).into()
}

/// The answer of `/readyz?verbose`, in 200 and 503 alike.
#[derive(Debug, Serialize, ToSchema)]
struct Readiness {
    ready: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    draining: bool,
    node: NodeId,
    role: String,
    term: u64,
    #[schema(required = true)]
    leader: Option<NodeId>,
    last_log: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    purged: Option<u64>,
    committed: u64,
    applied: u64,
    seq: Seq,
}

/// `GET /livez`.
pub(super) async fn livez(_: Arc<FrontState>, _: Request) -> Result<Response, Problem> {
    Ok(text("alive\n"))
}

/// `GET /readyz`.
pub(super) async fn readyz(state: Arc<FrontState>, request: Request) -> Result<Response, Problem> {
    let status = state.replica.status();
    let draining = state.draining();
    let reason =
        if draining { Some("this node is shutting down".to_owned()) } else { status.ready.err() };
    let verbose = request.uri().query().is_some_and(|query| {
        query.split('&').any(|pair| pair == "verbose" || pair.starts_with("verbose="))
    });
    if !verbose {
        return match reason {
            None => Ok(text("ready\n")),
            Some(_) => Err(Problem::plain(Kind::NotReady)),
        };
    }
    let code = if reason.is_none() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let readiness = Readiness {
        ready: reason.is_none(),
        reason,
        draining,
        node: state.node,
        role: status.role.to_string(),
        term: status.term,
        leader: status.leader,
        last_log: status.last_log,
        purged: status.purged,
        committed: status.committed,
        applied: status.applied,
        seq: status.seq,
    };
    json(code, &readiness)
}

fn text(words: &'static str) -> Response {
    let mut response = Response::new(Body::from(words));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
