//! The change feed, followed over any node.
//!
//! Owns: the place in the feed, and the way on to the next node when one falls silent. Because
//! ids are dense and the same on every node, nothing is missed and nothing comes twice. Never
//! does: interpret a change. Called by `flashctl watch` and by whoever keeps a copy of the stock.

use crate::call::in_words;
use crate::{Client, ClientError};
use reqwest::Response;
use std::time::{Duration, Instant};
use stock::Seq;
use stock::api::{EventView, HEADER_SEQ, Problem};

/// A live stream says something at least every 15 s; a silent one is given up.
const SILENCE_MAX: Duration = Duration::from_secs(25);
/// Before the next node is asked when one does not answer.
const NEXT_NODE_PAUSE: Duration = Duration::from_millis(50);
/// The largest event: twenty products with the longest ids are below 8 KiB.
const EVENT_BYTES_MAX: usize = 1 << 20;

/// A place in the feed of committed changes.
#[derive(Debug)]
pub struct Events<'c> {
    client: &'c Client,
    node: usize,
    /// The last change that is behind; none while the first node has not said where it begins.
    after: Option<Seq>,
    stream: Option<Response>,
    unread: Vec<u8>,
}

impl Client {
    /// Follows the changes after `after`, which is 0 for all of them; without it, from the next
    /// change on. Nothing is connected yet.
    pub fn events(&self, after: Option<Seq>) -> Events<'_> {
        let node = self.nodes.awake_from(self.nodes.next());
        Events { client: self, node, after, stream: None, unread: Vec::new() }
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
                        self.unread.extend_from_slice(&bytes);
                        None
                    }
                    Ok(Ok(None)) => Some("it ended the stream".to_owned()),
                    Ok(Err(error)) => Some(in_words(&error)),
                    Err(_) => Some("it fell silent".to_owned()),
                },
            };
            let Some(why) = why else {
                silent_since = Instant::now();
                continue;
            };
            let why = format!("{}: {why}", self.client.address(self.node));
            self.leave();
            if silent_since.elapsed() > self.client.timeouts.give_up {
                return Err(ClientError::Unavailable { why });
            }
            tokio::time::sleep(NEXT_NODE_PAUSE).await;
        }
    }

    /// Goes on with the next node; what was read of an event half-way is told again.
    fn leave(&mut self) {
        self.stream = None;
        self.unread.clear();
        self.node = self.client.nodes.awake_from(self.node + 1);
    }

    /// Asks this node; says why it does not tell.
    async fn connect(&mut self) -> Result<Option<String>, ClientError> {
        let url = self.client.nodes.at(self.node).url("v1/events")?;
        let mut request = self.client.http.get(url);
        if let Some(after) = self.after {
            request = request.header("last-event-id", after.to_string());
        }
        let sent = tokio::time::timeout(self.client.timeouts.attempt, request.send()).await;
        let stream = match sent {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Ok(Some(in_words(&error))),
            Err(_) => return Ok(Some("no answer in time".to_owned())),
        };
        let status = stream.status().as_u16();
        if status != 200 {
            let problem: Option<Problem> = stream.json().await.ok();
            return match problem {
                Some(problem) if status < 500 => Err(ClientError::Refused(Box::new(problem))),
                Some(problem) => Ok(Some(problem.detail)),
                None => Ok(Some(format!("it answered {status}"))),
            };
        }
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
        loop {
            let Some(end) = self.unread.windows(2).position(|two| two == b"\n\n") else {
                if self.unread.len() > EVENT_BYTES_MAX {
                    return Err(nonsense(format!("an event has over {EVENT_BYTES_MAX} bytes")));
                }
                return Ok(None);
            };
            let block: Vec<u8> = self.unread.drain(..end + 2).collect();
            let data =
                block.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"data: "));
            // A comment has no data.
            let Some(data) = data else { continue };
            let event = serde_json::from_slice(data);
            return event.map(Some).map_err(|why| nonsense(format!("an event is none: {why}")));
        }
    }
}
