//! `GET /v1/levels`: stock levels as server-sent events, `{"product_id":…,"stock":…}` at each
//! change.
//!
//! The same messages as over the WebSocket of `ws.rs`, which `levels.rs` makes for all. A level is
//! whole by itself, so an event has no id, and who comes back is told all levels first.

use super::super::docs::{Answer, Docs, Tag};
use super::super::{FrontState, query};
use super::bell::Seat;
use super::levels::Look;
use super::stream::{self, COMMENT, COMMENT_INTERVAL};
use crate::metrics::Listener;
use crate::problem::{Kind, Problem};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream::unfold;
use std::sync::Arc;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::timeout;

pub(in super::super) const SHOW: Docs = Docs {
    id: "levelEvents",
    tag: Tag::Live,
    summary: "Stock levels, as server-sent events",
    notes: "A stream without an end. Who connects is told every product's level, then each that \
            changed, at most ten times a second, as data such as \
            `{\"product_id\":\"sneaker\",\"stock\":498}`. Events have no id: who comes back, to \
            whichever node, is told every level first.",
    parameters: &[],
    body: None,
    answers: &[Answer::new(StatusCode::OK, "The stream.", stream::CONTENT)],
    problems: &[&[Kind::InvalidQuery, Kind::TooManyListeners]],
};

/// `GET /v1/levels`.
pub(in super::super) async fn show(
    state: Arc<FrontState>,
    request: Request,
) -> Result<Response, Problem> {
    query::none(request.uri())?;
    let seat = state.live.bell.sit(Listener::Levels)?;
    let listening = Listening { state, seat, looks: None };
    Ok(stream::response(unfold(listening, |mut listening| async move {
        let text = listening.next().await?;
        Some((text, listening))
    })))
}

/// One listener.
struct Listening {
    state: Arc<FrontState>,
    seat: Seat,
    /// None before the first look, and after too many that it has not read.
    looks: Option<Receiver<Look>>,
}

impl Listening {
    /// What is written next. None when the stream ends: the node shuts down or is fenced.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if self.seat.closing() || self.state.replica.fenced().is_some() {
                return None;
            }
            let Some(looks) = &mut self.looks else {
                let (all, looks) = self.state.live.levels.subscribe().await?;
                self.looks = Some(looks);
                // Nothing is on sale yet.
                if all.messages().is_empty() {
                    continue;
                }
                return Some(all.events());
            };
            let look = tokio::select! {
                look = timeout(COMMENT_INTERVAL, looks.recv()) => look,
                () = self.seat.closed() => return None,
            };
            match look {
                Ok(Ok(look)) => return Some(look.events()),
                Ok(Err(RecvError::Lagged(_))) => self.looks = None,
                Ok(Err(RecvError::Closed)) => return None,
                Err(_silence) => return Some(Bytes::from_static(COMMENT)),
            }
        }
    }
}
