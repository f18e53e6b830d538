//! The change feed, followed over any node.
//!
//! Owns: the place in the feed, and the way on to the next node when one falls silent. Because
//! ids are dense and the same on every node, nothing is missed and nothing comes twice. Never
//! does: interpret a change. Called by `flashctl watch` and by whoever keeps a copy of the stock.

use crate::call::in_words;
use crate::lines::Lines;
use crate::{Client, ClientError};
use reqwest::Response;
use std::time::{Duration, Instant};
use stock::Seq;
use stock::api::{EventView, HEADER_SEQ};

/// A live stream says something at least every 15 s; a silent one is given up.
const SILENCE_MAX: Duration = Duration::from_secs(25);
/// Before the next node is asked when one does not answer.
const NEXT_NODE_PAUSE: Duration = Duration::from_millis(50);

/// A place in the feed of committed changes.
#[derive(Debug)]
pub struct Events<'c> {
    client: &'c Client,
    node: usize,
    /// The last change that is behind; none while the first node has not said where it begins.
    after: Option<Seq>,
    stream: Option<Response>,
    unread: Lines,
}

impl Client {
    /// Follows the changes after `after`, which is 0 for all of them; without it, from the next
    /// change on. Nothing is connected yet.
    pub fn events(&self, after: Option<Seq>) -> Events<'_> {
        self.events_at(self.nodes.next(), after)
    }

    /// The same, from the node at this position on, or those after it.
    pub fn events_at(&self, node: usize, after: Option<Seq>) -> Events<'_> {
        let node = self.nodes.awake_from(node);
        Events { client: self, node, after, stream: None, unread: Lines::default() }
    }
}

impl Events<'_> {
    /// Waits for the next change, however long it takes. Not to be gone on with once an attempt
    /// was dropped half-way: what was read of an event then counts as read.
    ///
    /// # Errors
    /// [`ClientError::Unavailable`] when no node answers in time; [`ClientError::Refused`] when
    /// the feed no longer reaches so far back.
    pub async fn next(&mut self) -> Result<EventView, ClientError> {
        let mut silent_since = Instant::now();
        loop {
            if let Some(event) = self.take()? {
                self.after = Some(event.seq);
                return Ok(event);
            }
            let why = match &mut self.stream {
                None => self.connect().await?,
                Some(stream) => match tokio::time::timeout(SILENCE_MAX, stream.chunk()).await {
                    Ok(Ok(Some(bytes))) => {
                        self.unread.push(&bytes);
                        None
                    }
                    Ok(Ok(None)) => Some(self.of_node("it ended the stream")),
                    Ok(Err(error)) => Some(self.of_node(&in_words(&error))),
                    Err(_) => Some(self.of_node("it fell silent")),
                },
            };
            let Some(why) = why else {
                silent_since = Instant::now();
                continue;
            };
            self.leave();
            if silent_since.elapsed() > self.client.timeouts.give_up {
                return Err(ClientError::Unavailable { why });
            }
            tokio::time::sleep(NEXT_NODE_PAUSE).await;
        }
    }

    /// The position of the node that tells.
    pub fn node(&self) -> usize {
        self.node
    }

    fn of_node(&self, why: &str) -> String {
        format!("{}: {why}", self.client.address(self.node))
    }

    /// Goes on with the next node; what was read of an event half-way is told again.
    fn leave(&mut self) {
        self.stream = None;
        self.unread = Lines::default();
        self.node = self.client.nodes.awake_from(self.node + 1);
    }

    /// Asks this node; says why it does not tell.
    async fn connect(&mut self) -> Result<Option<String>, ClientError> {
        let stream = match self.client.open_stream(self.node, "v1/events", self.after).await {
            Ok(stream) => stream,
            Err(ClientError::Unavailable { why }) => return Ok(Some(why)),
            Err(error) => return Err(error),
        };
        // Where it begins, so that another node can go on from there before the first event.
        let begins =
            stream.headers().get(HEADER_SEQ).and_then(|seq| seq.to_str().ok()?.parse().ok());
        self.after = self.after.or(begins.map(Seq));
        self.stream = Some(stream);
        Ok(None)
    }

    /// Takes the next event out of what was read.
    fn take(&mut self) -> Result<Option<EventView>, ClientError> {
        let nonsense = |why: String| ClientError::Unavailable { why };
        while self.unread.advance().map_err(|why| nonsense(why.to_string()))? {
            // An event's id and type are in its data too; a comment has none.
            let Some(data) = self.unread.line().strip_prefix(b"data: ") else { continue };
            let event = serde_json::from_slice(data);
            return event.map(Some).map_err(|why| nonsense(format!("an event is none: {why}")));
        }
        Ok(None)
    }
}
