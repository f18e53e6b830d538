//! `GET /v1/export`: the whole state at one `seq`, a JSON object a line ([`ExportLine`]).
//!
//! For whoever starts anew, or fell behind what the event feed still gives: products, open holds
//! and all orders, then the feed after the head's `seq`. Written as it is read, page by page, so
//! that its size costs no memory. A node that fails on the way cuts it off before its last line.

use super::query::{self, Parameters};
use super::{FrontState, SEQ, history, holds};
use crate::problem::Problem;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use raft::Export;
use std::io;
use std::sync::Arc;
use stock::api::{ExportLine, ProductView};
use stock::{Chain, Event};

/// `GET /v1/export`.
pub(super) async fn show(state: Arc<FrontState>, request: Request) -> Result<Response, Problem> {
    let parameters = Parameters::of_read(request.uri(), &[])?;
    query::wait_until_current(&state, &parameters).await?;
    let export = state.replica.export();
    let seq = export.hot().seq;
    let exporting = Exporting { part: Part::State, export, chain: Chain::default(), lines: 0 };
    let text = stream::try_unfold(exporting, |mut exporting| async move {
        let text = exporting.next().await;
        if let Err(error) = &text {
            tracing::error!("an export was cut off: {error}");
        }
        Ok::<_, io::Error>(text?.map(|text| (text, exporting)))
    });
    let mut response = Response::new(Body::from_stream(text));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(&SEQ, HeaderValue::from(seq.0));
    Ok(response)
}

/// What is written next.
enum Part {
    /// The head, the products and the open holds.
    State,
    /// The next page of orders.
    Orders,
    /// Nothing.
    Over,
}

struct Exporting {
    part: Part,
    export: Export,
    /// The orders so far.
    chain: Chain,
    lines: u64,
}

impl Exporting {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        let mut text = Vec::new();
        match self.part {
            Part::State => {
                self.state(&mut text)?;
                self.part = Part::Orders;
            }
            // A page of events without an order writes nothing, which a body may not.
            Part::Orders => {
                while text.is_empty() {
                    let Some(events) = self.export.next_events().await? else {
                        write(&mut text, &ExportLine::End { lines: self.lines })?;
                        self.part = Part::Over;
                        break;
                    };
                    for event in &events {
                        self.event(&mut text, event)?;
                    }
                }
            }
            Part::Over => return Ok(None),
        }
        Ok(Some(text.into()))
    }

    fn state(&mut self, text: &mut Vec<u8>) -> io::Result<()> {
        let hot = self.export.hot();
        let mut lines = vec![ExportLine::Head {
            seq: hot.seq,
            log_time_ms: hot.log_time_ms,
            state_hash: format!("{:032x}", hot.state_hash),
        }];
        let product = |product: &stock::Product| ProductView::new(product.clone(), hot.seq);
        lines.extend(hot.products.iter().map(product).map(ExportLine::Product));
        for (id, hold) in self.export.holds() {
            let view = holds::open_view(*id, hold.clone(), hot.seq);
            lines.push(ExportLine::Hold(view.map_err(|problem| {
                io::Error::other(format!("hold {id}: {}", problem.kind().title()))
            })?));
        }
        self.lines += lines.len() as u64;
        lines.iter().try_for_each(|line| write(text, line))
    }

    fn event(&mut self, text: &mut Vec<u8>, event: &Event) -> io::Result<()> {
        self.chain.follow(event);
        let cancelled = self.export.is_cancelled(event.seq);
        let Some(order) = history::shown(event, self.chain, cancelled) else {
            return Ok(());
        };
        self.lines += 1;
        write(text, &ExportLine::Order(order))
    }
}

fn write(text: &mut Vec<u8>, line: &ExportLine) -> io::Result<()> {
    serde_json::to_writer(&mut *text, line)?;
    text.push(b'\n');
    Ok(())
}
