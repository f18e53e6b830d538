//! The client: one method a call of the HTTP contract.
//!
//! Owns: paths, queries, deadlines. Reads are asked of node after node until one answers, since a
//! read can be repeated freely; commands go through `settle`. Never does: cache an answer. Called
//! by `flashctl`, `storm`, `audit`, `cluster` and tests.

use crate::ClientError;
use crate::answer::{self, Answer, BuyAnswer};
use crate::call::{self, Call, Content, Exchange};
use crate::nodes::Nodes;
use crate::reads::Reads;
use crate::settle::{BuyOutcome, Command, Route, Settled, Settler, Target};
use reqwest::Method;
use reqwest::header::HeaderValue;
use serde::de::DeserializeOwned;
use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};
use stock::RequestId;
use stock::api::{BuyAccepted, ClusterView, PostBuy};
use uuid::Uuid;

/// The pause between rounds of reads that no node answered.
const READ_PAUSE: Duration = Duration::from_millis(50);
/// A node that takes so long to say that it cannot read has no quorum: for a while reads begin at
/// the others.
const SLOW_REFUSAL: Duration = Duration::from_secs(1);
/// Idle connections kept to one node: a storm's whole concurrency may go to it.
const IDLE_CONNECTIONS_MAX: usize = 4096;

/// How long things may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// To connect to a node.
    pub connect: Duration,
    /// One attempt, from sending to the last byte of the answer. One second more than a node's
    /// own deadline of 5 s by default, so that the node gets to say 503 or 504 itself.
    pub attempt: Duration,
    /// As long as nothing can have been proposed, no attempt begins later than this after the
    /// first; nor does a read, once each node was asked.
    pub give_up: Duration,
    /// Once an attempt is unknown, later ones go on for this long after the first: long enough
    /// for two silent nodes in a row.
    pub settle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(1),
            attempt: Duration::from_secs(6),
            give_up: Duration::from_secs(5),
            settle: Duration::from_secs(20),
        }
    }
}

/// A client of one cluster. Nodes are named by their position in the list it was made with.
#[derive(Debug)]
pub struct Client {
    pub(crate) http: reqwest::Client,
    pub(crate) nodes: Arc<Nodes>,
    pub(crate) timeouts: Timeouts,
    pub(crate) reads: Reads,
}

impl Client {
    /// A client of these nodes (`HOST:PORT` or `http://HOST:PORT`), with default timeouts.
    ///
    /// # Errors
    /// [`ClientError::BadAddress`] or [`ClientError::NoNodes`]; nothing is connected yet.
    pub fn new(nodes: Vec<String>) -> Result<Self, ClientError> {
        Self::with_timeouts(nodes, Timeouts::default())
    }

    /// A client with other timeouts.
    ///
    /// # Errors
    /// As [`Client::new`].
    #[allow(clippy::needless_pass_by_value, reason = "callers hand over what they collected")]
    pub fn with_timeouts(nodes: Vec<String>, timeouts: Timeouts) -> Result<Self, ClientError> {
        let nodes = Arc::new(Nodes::parse(&nodes)?);
        let http = reqwest::Client::builder()
            // A proxy of the environment would blur "refused" and "lost".
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(timeouts.connect)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .tcp_nodelay(true)
            .http1_only()
            .build()
            .map_err(ClientError::Http)?;
        Ok(Self { http, nodes, timeouts, reads: Reads::default() })
    }

    /// How many nodes this client knows; their positions are 0 up to this.
    pub fn nodes_count(&self) -> usize {
        self.nodes.len()
    }

    /// The `host:port` of the node at a position.
    ///
    /// # Panics
    /// When there is no such position.
    pub fn address(&self, node: usize) -> &str {
        &self.nodes.at(node).address
    }

    /// The positions of the nodes that gave no answer when this client last asked them.
    pub fn silent_nodes(&self) -> Vec<usize> {
        self.nodes.silent()
    }

    /// Buys, over as many attempts and nodes as it takes within the deadline.
    pub async fn buy(&self, buy: &PostBuy, request: &RequestId) -> BuyOutcome {
        self.buy_from_attempt(buy, request, 1).await
    }

    /// Goes on with a buy of which attempts up to `first_attempt - 1` have no known outcome.
    ///
    /// # Panics
    /// When `first_attempt` is 0.
    pub async fn buy_from_attempt(
        &self,
        buy: &PostBuy,
        request: &RequestId,
        first_attempt: u32,
    ) -> BuyOutcome {
        let (body, key) = (json(buy), key_of(request));
        let body = Some(body.as_str());
        let command = Command { target: Target::Buys, body, key: &key, first_attempt };
        self.settler()
            .settle::<BuyAccepted>(&command, Route::Hinted(self.nodes.next()))
            .await
            .into()
    }

    /// One attempt at one node, for callers that number attempts themselves.
    pub async fn buy_once(
        &self,
        node: usize,
        buy: &PostBuy,
        request: &RequestId,
        attempt: u32,
    ) -> BuyAnswer {
        let (body, key) = (json(buy), key_of(request));
        let (target, body) = (Target::Buys, Some(body.as_str()));
        let command = Command { target, body, key: &key, first_attempt: attempt };
        let exchange = self.settler().attempt(&command, node, attempt).await;
        self.settler().notice(node, &exchange);
        answer::read::<BuyAccepted>(exchange).into()
    }

    /// A buy whose body and key are written already: the storm's way, without detours.
    pub(crate) async fn buy_raw(&self, body: &str, key: &HeaderValue, route: Route) -> BuyOutcome {
        let (target, body) = (Target::Buys, Some(body));
        let command = Command { target, body, key, first_attempt: 1 };
        self.settler().settle::<BuyAccepted>(&command, route).await.into()
    }

    /// The cluster as this node sees it.
    ///
    /// # Errors
    /// [`ClientError::Unavailable`] when it does not answer.
    pub async fn cluster(&self, node: usize) -> Result<ClusterView, ClientError> {
        self.ask_one(node, Method::GET, "v1/cluster", None).await
    }

    /// Sends a command under one request id until it is settled.
    pub(crate) async fn command<T: DeserializeOwned>(
        &self,
        target: Target<'_>,
        body: Option<&str>,
        request: &RequestId,
    ) -> Settled<T> {
        self.command_from(1, target, body, request).await
    }

    /// Goes on with a command of which attempts before `first_attempt` have no known outcome.
    pub(crate) async fn command_from<T: DeserializeOwned>(
        &self,
        first_attempt: u32,
        target: Target<'_>,
        body: Option<&str>,
        request: &RequestId,
    ) -> Settled<T> {
        let key = key_of(request);
        let command = Command { target, body, key: &key, first_attempt };
        self.settler().settle(&command, Route::Hinted(self.nodes.next())).await
    }

    /// Sends a command on this route until it is settled: the storm's way.
    pub(crate) async fn command_on<T: DeserializeOwned>(
        &self,
        route: Route,
        target: Target<'_>,
        body: Option<&str>,
        request: &RequestId,
    ) -> Settled<T> {
        let key = key_of(request);
        let command = Command { target, body, key: &key, first_attempt: 1 };
        self.settler().settle(&command, route).await
    }

    pub(crate) fn settler(&self) -> Settler<'_> {
        Settler { http: &self.http, nodes: &self.nodes, timeouts: self.timeouts }
    }

    /// Asks node after node what may be repeated, until one answers or the time is over.
    pub(crate) async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&str>,
    ) -> Result<T, ClientError> {
        let deadline = Instant::now() + self.timeouts.give_up;
        let path = if method == Method::GET { self.reads.on(path) } else { path.into() };
        let mut node = self.nodes.awake_from(self.nodes.next());
        for tried in 1.. {
            let asked_at = Instant::now();
            match self.ask_one(node, method.clone(), &path, body).await {
                // One node without a quorum may take all the time there is to say so.
                Err(ClientError::Unavailable { .. })
                    if tried < self.nodes.len() || Instant::now() < deadline => {}
                settled => return settled,
            }
            if asked_at.elapsed() > SLOW_REFUSAL {
                self.nodes.rest(node, self.timeouts.attempt);
            }
            if tried % self.nodes.len() == 0 {
                tokio::time::sleep(READ_PAUSE).await;
            }
            node = self.nodes.awake_from(node + 1);
        }
        unreachable!("the deadline ends the loop")
    }

    pub(crate) async fn ask_one<T: DeserializeOwned>(
        &self,
        node: usize,
        method: Method,
        path: &str,
        body: Option<&str>,
    ) -> Result<T, ClientError> {
        let exchange = self.exchange(node, method, path, body, self.timeouts.attempt).await;
        self.settler().notice(node, &exchange);
        match answer::read(exchange) {
            Answer::Done { body, .. } => Ok(body),
            Answer::Refused { problem } => Err(ClientError::Refused(Box::new(problem))),
            Answer::NotProposed { why, .. } | Answer::Unknown { why } => {
                let why = format!("{}: {why}", self.address(node));
                Err(ClientError::Unavailable { why })
            }
        }
    }

    pub(crate) async fn exchange(
        &self,
        node: usize,
        method: Method,
        path: &str,
        body: Option<&str>,
        timeout: Duration,
    ) -> Exchange {
        match self.nodes.at(node).url(path) {
            Ok(url) => {
                let (content, attempt, if_match) = (Content::Json, None, None);
                let call = Call { method, url, body, content, attempt, if_match, timeout };
                call::make(&self.http, call).await
            }
            Err(error) => Exchange::NotSent { why: error.to_string() },
        }
    }
}

/// A fresh request id: a UUIDv7, so that ids sort by when they were made.
pub fn new_request_id() -> RequestId {
    let text = Uuid::now_v7().to_string();
    RequestId::new(text).unwrap_or_else(|error| unreachable!("a UUID is a request id: {error}"))
}

/// A key goes bare, but for one that would read as a quoted string (RFC 9651) and so is quoted.
pub(crate) fn key_of(request: &RequestId) -> HeaderValue {
    let bare = request.as_str();
    let text: Cow<'_, str> = if bare.starts_with('"') {
        format!("\"{}\"", bare.replace('\\', "\\\\").replace('"', "\\\"")).into()
    } else {
        bare.into()
    };
    HeaderValue::from_str(&text)
        .unwrap_or_else(|error| unreachable!("visible ASCII is a header value: {error}"))
}

pub(crate) fn json<T: serde::Serialize>(body: &T) -> String {
    serde_json::to_string(body)
        .unwrap_or_else(|error| unreachable!("contract types are always JSON: {error}"))
}

/// Percent-encodes what has a meaning of its own in a query.
pub(crate) fn query_text(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~' | b':') {
            encoded.push(byte.into());
        } else {
            // Writing to a String cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_keep_their_meaning() {
        assert_eq!(query_text("a-1_b.c~d:e"), "a-1_b.c~d:e");
        assert_eq!(query_text("a&b=c d#e%+"), "a%26b%3Dc%20d%23e%25%2B");
    }

    #[test]
    fn keys_that_begin_with_a_quote_are_quoted() {
        for (id, header) in [("k-1", "k-1"), ("a\"b", "a\"b"), (r#""a\b"#, r#""\"a\\b""#)] {
            assert_eq!(key_of(&RequestId::new(id).unwrap()), header);
        }
    }

    #[test]
    fn request_ids_are_fresh_and_sorted() {
        let (first, second) = (new_request_id(), new_request_id());
        assert!(first < second, "{first} {second}");
    }
}
