//! `GET /metrics`: what Prometheus reads.

use super::FrontState;
use super::docs::{Answer, Docs, TEXT, Tag, plain};
use crate::metrics::{Broken, CONTENT_TYPE, Found, PRODUCTS_MAX, ProductGauges, Scrape};
use crate::problem::Problem;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use std::sync::Arc;
use utoipa::openapi::schema::{ObjectBuilder, Type};

pub(super) const SHOW: Docs = Docs {
    id: "metrics",
    tag: Tag::Operations,
    summary: "What Prometheus reads",
    notes: "",
    parameters: &[],
    body: None,
    answers: &[Answer::new(
        StatusCode::OK,
        "Prometheus' text format.",
        &[(TEXT, plain(|| ObjectBuilder::new().schema_type(Type::String).into()))],
    )],
    problems: &[],
};

/// Gathers the counters, and looks at the replica for everything else.
pub(super) async fn show(state: Arc<FrontState>, _: Request) -> Result<Response, Problem> {
    let status = state.replica.status();
    let store = state.replica.store_metrics();
    let (products, broken, holds_open, holds, orders) = state.replica.read(|machine| {
        let mut broken = Broken::default();
        machine.products().for_each(|product| broken.look_at(product));
        let products = machine.products().take(PRODUCTS_MAX).map(ProductGauges::from).collect();
        let (open, all) = (machine.open_holds().len(), machine.hold_tally());
        (products, broken, open, all, machine.chain().orders)
    });
    let text = state
        .metrics
        .render(&Scrape {
            term: status.term,
            is_leader: status.leader == Some(status.id),
            is_ready: status.ready.is_ok() && !state.draining(),
            committed: status.committed,
            applied: status.applied,
            clock_off_ms: status.clock_off_ms,
            found: Found { fenced: status.fenced, split: status.split },
            role: status.role,
            knows_leader: status.leader.is_some(),
            last_log: status.last_log,
            purged: status.purged.unwrap_or(0),
            mailbox: state.stock.waiting(),
            seq: status.seq,
            orders,
            holds_open,
            holds,
            broken,
            store,
            products,
        })
        .map_err(|error| Problem::internal("write the metrics", &error))?;
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    Ok(response)
}
