//! `GET /v1/export`: the whole state at one `seq`, a JSON object a line ([`ExportLine`]).
//!
//! For whoever starts anew, or fell behind what the event feed still gives: products, cursors, open
//! holds and all orders, then the feed after the head's `seq`. Written as it is read, page by page;
//! what it keeps in memory is a copy of the products and open holds, and two are read at once at
//! most. A node that fails on the way cuts it off before its last line.

use super::docs::{Answer, Docs, NDJSON, READ, READ_FAILS, Tag, plain};
use super::query::{self, Parameters};
use super::{FrontState, SEQ, history, holds};
use crate::problem::{Kind, Problem};
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use raft::Export;
use std::io;
use std::sync::Arc;
use stock::api::{ExportLine, ProductView};
use stock::{Chain, Event};
use tokio::sync::OwnedSemaphorePermit;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Schema};

/// Exports that are read at once: each keeps a copy of the products and the open holds.
pub(super) const CALLS_MAX: usize = 2;
/// Products or holds that are written at once.
const PAGE: usize = 1_000;

pub(super) const SHOW: Docs = Docs {
    id: "export",
    tag: Tag::Live,
    summary: "The whole state at one seq",
    notes: "An `ExportLine` a line, from the head to the end. An export without its end was cut \
            off. Go on with the events after the head's `seq`.",
    parameters: &[READ],
    body: None,
    answers: &[Answer::new(StatusCode::OK, "The lines.", &[(NDJSON, plain(lines))])],
    problems: &[READ_FAILS, &[Kind::Overloaded]],
};

fn lines() -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(Type::String).into()
}

/// `GET /v1/export`.
pub(super) async fn show(state: Arc<FrontState>, request: Request) -> Result<Response, Problem> {
    let parameters = Parameters::of_read(request.uri(), &[])?;
    query::wait_until_current(&state, &parameters).await?;
    let Ok(permit) = Arc::clone(&state.exports).try_acquire_owned() else {
        let why = format!("{CALLS_MAX} exports are being read from this node; try another one.");
        return Err(Problem::new(Kind::Overloaded, why));
    };
    let export = state.replica.export();
    let seq = export.seq;
    let chain = Chain::default();
    let exporting = Exporting { part: Part::Head, export, chain, lines: 0, _permit: permit };
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
#[derive(Debug, Clone, Copy)]
enum Part {
    Head,
    /// The products from this place on.
    Products(usize),
    /// The debts from this place on.
    Debts(usize),
    Cursors,
    /// The open holds from this place on.
    Holds(usize),
    /// The next page of events.
    Orders,
    End,
    Over,
}

struct Exporting {
    part: Part,
    export: Export,
    /// The orders so far.
    chain: Chain,
    lines: u64,
    _permit: OwnedSemaphorePermit,
}

impl Exporting {
    /// The next page; none after the last. A page may not be empty, or the body would end there.
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        let mut text = Vec::new();
        while text.is_empty() {
            self.part = match self.part {
                Part::Head => {
                    self.head(&mut text)?;
                    Part::Products(0)
                }
                Part::Products(from) if from < self.export.products.len() => {
                    self.products(&mut text, from)?;
                    Part::Products(from + PAGE)
                }
                Part::Products(_) => Part::Debts(0),
                Part::Debts(from) if from < self.export.debts.len() => {
                    self.debts(&mut text, from)?;
                    Part::Debts(from + PAGE)
                }
                Part::Debts(_) => Part::Cursors,
                Part::Cursors => {
                    self.cursors(&mut text)?;
                    Part::Holds(0)
                }
                Part::Holds(from) if from < self.export.holds.len() => {
                    self.holds(&mut text, from)?;
                    Part::Holds(from + PAGE)
                }
                Part::Holds(_) => Part::Orders,
                Part::Orders => match self.export.next_events().await? {
                    Some(events) => {
                        events.iter().try_for_each(|event| self.event(&mut text, event))?;
                        Part::Orders
                    }
                    None => Part::End,
                },
                Part::End => {
                    write(&mut text, &ExportLine::End { lines: self.lines })?;
                    Part::Over
                }
                Part::Over => return Ok(None),
            };
        }
        Ok(Some(text.into()))
    }

    fn head(&mut self, text: &mut Vec<u8>) -> io::Result<()> {
        let Export { seq, log_time_ms, state_hash, .. } = self.export;
        let state_hash = format!("{state_hash:032x}");
        self.line(text, &ExportLine::Head { seq, log_time_ms, state_hash })
    }

    fn products(&mut self, text: &mut Vec<u8>, from: usize) -> io::Result<()> {
        for at in from..self.export.products.len().min(from + PAGE) {
            let product = self.export.products[at].clone();
            let view = ProductView::new(product, self.export.seq);
            self.line(text, &ExportLine::Product(view))?;
        }
        Ok(())
    }

    fn debts(&mut self, text: &mut Vec<u8>, from: usize) -> io::Result<()> {
        for at in from..self.export.debts.len().min(from + PAGE) {
            let (product_id, owed) = self.export.debts[at].clone();
            self.line(text, &ExportLine::Debt { product_id, owed })?;
        }
        Ok(())
    }

    fn cursors(&mut self, text: &mut Vec<u8>) -> io::Result<()> {
        for (name, position, target) in std::mem::take(&mut self.export.cursors) {
            self.line(text, &ExportLine::Cursor { name, position, target })?;
        }
        Ok(())
    }

    fn holds(&mut self, text: &mut Vec<u8>, from: usize) -> io::Result<()> {
        for at in from..self.export.holds.len().min(from + PAGE) {
            let (id, hold) = self.export.holds[at].clone();
            let view = holds::open_view(id, hold, self.export.seq);
            let view = view.map_err(|problem| {
                io::Error::other(format!("hold {id}: {}", problem.kind().title()))
            })?;
            self.line(text, &ExportLine::Hold(view))?;
        }
        Ok(())
    }

    fn event(&mut self, text: &mut Vec<u8>, event: &Event) -> io::Result<()> {
        self.chain.follow(event);
        let cancelled = self.export.cancelled.contains(&event.seq);
        match history::shown(event, self.chain, cancelled) {
            Some(order) => self.line(text, &ExportLine::Order(order)),
            None => Ok(()),
        }
    }

    fn line(&mut self, text: &mut Vec<u8>, line: &ExportLine) -> io::Result<()> {
        self.lines += 1;
        write(text, line)
    }
}

fn write(text: &mut Vec<u8>, line: &ExportLine) -> io::Result<()> {
    serde_json::to_writer(&mut *text, line)?;
    text.push(b'\n');
    Ok(())
}
