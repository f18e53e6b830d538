//! One HTTP call to one node, and how far it got.
//!
//! Owns: the request's headers, the size limit on what comes back, and the line between "surely
//! not sent" and "lost on the way". Never does: retry. A repeated request must carry a decision
//! about its attempt number, which is `settle`'s. Called by `api` and `settle`.

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, IF_MATCH, RETRY_AFTER};
use reqwest::{Method, Url};
use std::time::Duration;
use stock::api::{
    HEADER_ATTEMPT, HEADER_IDEMPOTENCY_KEY, HEADER_LEADER, HEADER_NODE, HEADER_REPLAYED,
};
use stock::{NodeId, Seq};

/// The largest answer that is read: 10,000 results of a batch with the longest ids, of which each
/// is below 1 KiB.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// What to ask.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) body: Option<&'a str>,
    /// What the body is.
    pub(crate) content: Content,
    pub(crate) attempt: Option<Attempt<'a>>,
    /// The version that an update is meant for.
    pub(crate) if_match: Option<Seq>,
    pub(crate) timeout: Duration,
}

/// What a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// One JSON document.
    Json,
    /// A JSON document a line.
    Lines,
}

/// The identity of a numbered attempt.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attempt<'a> {
    pub(crate) key: &'a HeaderValue,
    pub(crate) number: u32,
}

/// How far a call got.
#[derive(Debug)]
pub(crate) enum Exchange {
    /// The node's answer, whole.
    Answered(Answered),
    /// No connection came about, so the node has not seen a byte of it.
    NotSent { why: String },
    /// It was, or may have been, sent, and the connection broke before a whole answer came.
    Lost { why: String },
    /// It was, or may have been, sent, and no whole answer came in time.
    Silent { why: String },
}

/// A whole answer.
#[derive(Debug, Default)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) node: Option<NodeId>,
    pub(crate) leader: Option<NodeId>,
    pub(crate) replayed: bool,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) body: Vec<u8>,
}

/// Makes the call, once.
pub(crate) async fn make(http: &reqwest::Client, call: Call<'_>) -> Exchange {
    let mut request = http.request(call.method, call.url).timeout(call.timeout);
    if let Some(body) = call.body {
        let content_type = match call.content {
            Content::Json => "application/json",
            Content::Lines => "application/x-ndjson",
        };
        request = request
            .header(CONTENT_TYPE, HeaderValue::from_static(content_type))
            .body(body.to_owned());
    }
    if let Some(attempt) = call.attempt {
        request = request
            .header(HEADER_IDEMPOTENCY_KEY, attempt.key)
            .header(HEADER_ATTEMPT, HeaderValue::from(attempt.number));
    }
    if let Some(version) = call.if_match {
        request = request.header(IF_MATCH, format!("\"{version}\""));
    }
    let mut response = match request.send().await {
        Ok(response) => response,
        // Connecting comes before the first byte; everything later may have reached the node.
        Err(error) if error.is_connect() || error.is_builder() => {
            return Exchange::NotSent { why: in_words(&error) };
        }
        Err(error) => return unanswered(&error),
    };
    let mut answered = Answered {
        status: response.status().as_u16(),
        node: node_id(response.headers(), HEADER_NODE),
        leader: node_id(response.headers(), HEADER_LEADER),
        replayed: response.headers().get(HEADER_REPLAYED).is_some_and(|value| value == "true"),
        retry_after: retry_after(response.headers()),
        body: Vec::new(),
    };
    loop {
        match response.chunk().await {
            Ok(None) => return Exchange::Answered(answered),
            Ok(Some(chunk)) if answered.body.len() + chunk.len() > ANSWER_BYTES_MAX => {
                return Exchange::Lost {
                    why: format!("it answered over {ANSWER_BYTES_MAX} bytes"),
                };
            }
            Ok(Some(chunk)) => answered.body.extend_from_slice(&chunk),
            Err(error) => return unanswered(&error),
        }
    }
}

fn unanswered(error: &reqwest::Error) -> Exchange {
    let why = in_words(error);
    if error.is_timeout() { Exchange::Silent { why } } else { Exchange::Lost { why } }
}

fn node_id(headers: &HeaderMap, name: &str) -> Option<NodeId> {
    headers.get(name)?.to_str().ok()?.parse().ok().map(NodeId)
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok().map(Duration::from_secs)
}

/// The innermost cause, which is what a person can act on ("Connection refused").
pub(crate) fn in_words(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return if error.is_connect() { "no connection in time" } else { "no answer in time" }
            .into();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
