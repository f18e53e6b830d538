//! `GET /v1/events`: every committed change as a server-sent event, its `seq` as the id.
//!
//! A listener that names the last id it has seen gets everything after it, on any node, without a
//! gap and without a repeat: ids are dense, and the same on every node. An id that this node has
//! not reached waits. Without an id the stream begins with the next change.

use super::super::docs::{Answer, Docs, LAST_SEEN, Tag, of, text};
use super::super::query::Parameters;
use super::super::{FrontState, SEQ};
use super::bell::Seat;
use super::stream::{self, COMMENT, COMMENT_INTERVAL};
use super::tail::Next;
use crate::metrics::Listener;
use crate::problem::{Kind, Problem};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream::unfold;
use std::sync::Arc;
use stock::Seq;
use tokio::time::timeout;

static LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

pub(in super::super) const SHOW: Docs = Docs {
    id: "events",
    tag: Tag::Live,
    summary: "Every committed change, as server-sent events",
    notes: "A stream without an end. Each event's id is its `seq`, its type the `change`, and its \
            data an `EventView`. Who names the last id seen goes on after it, on any node, with \
            no gap and no repeat; an id ahead of this node waits. Without one it begins with the \
            next change.",
    parameters: &[&[text("after", "Begin after this change.", of::<Seq>()), LAST_SEEN]],
    body: None,
    answers: &[Answer::new(
        StatusCode::OK,
        "The stream. `Flashnode-Seq` says after which change it begins.",
        stream::CONTENT,
    )],
    problems: &[&[
        Kind::InvalidQuery,
        Kind::InvalidValue,
        Kind::InvalidHeader,
        Kind::EventsGone,
        Kind::TooManyListeners,
    ]],
};

/// `GET /v1/events`.
pub(in super::super) async fn show(
    state: Arc<FrontState>,
    request: Request,
) -> Result<Response, Problem> {
    let parameters = Parameters::of_write(request.uri(), &["after"])?;
    let after = match last_event_id(request.headers())? {
        // A browser that comes back asks the same URL again, and says in the header how far it is.
        Some(id) => Some(id),
        None => parameters.number("after")?,
    };
    let newest = || state.replica.read(stock::Machine::seq);
    let begins = after.map_or_else(newest, Seq);
    let first = match state.live.tail.after(begins).await {
        Ok(Next::Gone { oldest }) => return Err(gone(oldest)),
        Ok(next) => next,
        Err(error) => return Err(Problem::internal("read the events", &error)),
    };
    let seat = state.live.bell.sit(Listener::Events)?;
    let listening = Listening { state, seat, after: begins, first: Some(first) };
    let text = unfold(listening, |mut listening| async move {
        let text = listening.next().await?;
        Some((text, listening))
    });
    let mut response = stream::response(text);
    let headers = response.headers_mut();
    // Where the stream begins, so that it can be gone on with before its first event.
    headers.insert(&SEQ, HeaderValue::from(begins.0));
    Ok(response)
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(id) = headers.get(&LAST_EVENT_ID) else {
        return Ok(None);
    };
    let digits = id.to_str().ok().filter(|id| id.bytes().all(|byte| byte.is_ascii_digit()));
    let id = digits.and_then(|id| id.parse().ok()).ok_or_else(|| {
        let why = "Last-Event-ID: it is the `seq` of the last event seen, a whole number.";
        Problem::new(Kind::InvalidHeader, why)
    })?;
    Ok(Some(id))
}

fn gone(oldest: Seq) -> Problem {
    let from = oldest.0 - 1;
    let detail = format!(
        "This node gives events from {oldest} on. Go on after {from}, or start from `/v1/export`."
    );
    Problem::new(Kind::EventsGone, detail)
}

/// One listener's place in the feed.
struct Listening {
    state: Arc<FrontState>,
    seat: Seat,
    /// The last event that was written.
    after: Seq,
    /// What was found before the answer began.
    first: Option<Next>,
}

impl Listening {
    /// What is written next. None when the stream ends: the node shuts down or is fenced, or the
    /// listener has fallen behind what the feed still gives. It comes back with its last id, and
    /// is told why.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if self.seat.closing() || self.state.replica.fenced().is_some() {
                return None;
            }
            let next = match self.first.take() {
                Some(first) => Ok(first),
                None => self.state.live.tail.after(self.after).await,
            };
            match next {
                Ok(Next::Text { text, last }) => {
                    self.after = last;
                    return Some(text);
                }
                Ok(Next::Nothing) => {}
                Ok(Next::Gone { .. }) => return None,
                Err(error) => {
                    tracing::error!("the events after {} cannot be read: {error}", self.after);
                    return None;
                }
            }
            match timeout(COMMENT_INTERVAL, self.seat.after(self.after)).await {
                Ok(true) => {}
                Ok(false) => return None,
                Err(_silence) => return Some(Bytes::from_static(COMMENT)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(id: &'static [u8]) -> Result<Option<u64>, Problem> {
        let mut headers = HeaderMap::new();
        headers.insert(&LAST_EVENT_ID, HeaderValue::from_bytes(id).unwrap());
        last_event_id(&headers)
    }

    #[test]
    fn the_last_id_is_a_number_or_refused() {
        assert_eq!(read(b"17").unwrap(), Some(17));
        assert_eq!(last_event_id(&HeaderMap::new()).unwrap(), None);
        for id in [&b""[..], b"-1", b"+1", b"x", b"18446744073709551616", b"\xff"] {
            assert_eq!(read(id).unwrap_err().kind(), Kind::InvalidHeader, "{id:?}");
        }
    }
}
