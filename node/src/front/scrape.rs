//! `GET /metrics`: what Prometheus reads.

use super::FrontState;
use super::docs::{Answer, Docs, TEXT, Tag, plain};
use crate::metrics::{CONTENT_TYPE, Found, PRODUCTS_MAX, ProductGauges, Scrape};
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
    let products = state.replica.read(|machine| {
        let gauges = |product: &stock::Product| ProductGauges {
            sku: product.terms.sku.clone(),
            available: product.available,
            sold: product.sold,
        };
        machine.products().take(PRODUCTS_MAX).map(gauges).collect()
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
            seq: status.seq,
            store,
            products,
        })
        .map_err(|error| Problem::internal("write the metrics", &error))?;
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    Ok(response)
}
