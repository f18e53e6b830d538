//! The target NATS JetStream: each change as a message of one stream.
//!
//! **At least once, in order, under an id that never changes**, and once where the server still
//! remembers the id: `Nats-Msg-Id` is the `seq`, so within the stream's window for duplicates
//! (two minutes unless it was made with another) a message that comes again is dropped.
//!
//! Order is the server's to keep: each message after the first of a connection names the one that
//! must be the stream's last (`Nats-Expected-Last-Msg-Id`). So the stream must be the sink's own.

use crate::cursor::Delivery;
use crate::message::{CONTENT_TYPE, Message};
use crate::target::TargetError;
use async_nats::header::{NATS_EXPECTED_LAST_MESSAGE_ID, NATS_MESSAGE_ID};
use async_nats::jetstream::{self, Context, stream};
use async_nats::{Client, ConnectOptions, HeaderMap};
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::timeout;

/// How long a connection, or the answers to a run of messages, may take.
const ANSWER_MAX: Duration = Duration::from_secs(20);
/// Messages that are sent before their answers are waited for.
const IN_FLIGHT_MAX: usize = 256;

/// See the module.
pub struct Nats {
    url: String,
    stream: String,
    subject: String,
    tls_roots: Option<PathBuf>,
    open: Option<Open>,
}

struct Open {
    client: Client,
    context: Context,
    /// The id of the message that this connection has sent last.
    last: Option<String>,
}

impl Nats {
    /// Into this stream of the server at a `nats://` or `tls://` URL, under `SUBJECT.CHANGE`, such
    /// as `flashnode.ordered`. The stream is made when there is none, in files.
    pub fn new(url: &str, (stream, subject): (&str, &str), tls_roots: Option<PathBuf>) -> Self {
        let (url, stream, subject) = (url.to_owned(), stream.to_owned(), subject.to_owned());
        Self { url, stream, subject, tls_roots, open: None }
    }

    async fn connection(&self) -> Result<Open, TargetError> {
        let mut options =
            ConnectOptions::new().connection_timeout(ANSWER_MAX).max_reconnects(Some(1));
        if let Some(roots) = &self.tls_roots {
            options = options.add_root_certificates(roots.clone());
        }
        let client = options.connect(&self.url).await.map_err(|why| lost(&why))?;
        let mut context = jetstream::new(client.clone());
        context.set_timeout(ANSWER_MAX);
        let config = stream::Config {
            name: self.stream.clone(),
            subjects: vec![format!("{}.>", self.subject)],
            ..stream::Config::default()
        };
        context.get_or_create_stream(config).await.map_err(|why| lost(&why))?;
        Ok(Open { client, context, last: None })
    }

    async fn publish(&self, open: &mut Open, messages: &[Message]) -> Result<(), TargetError> {
        for run in messages.chunks(IN_FLIGHT_MAX) {
            let mut answers = Vec::with_capacity(run.len());
            for message in run {
                let mut headers = HeaderMap::new();
                headers.insert(NATS_MESSAGE_ID, message.id.as_str());
                headers.insert("content-type", CONTENT_TYPE);
                if let Some(last) = &open.last {
                    headers.insert(NATS_EXPECTED_LAST_MESSAGE_ID, last.as_str());
                }
                let name = message.kind.rsplit('.').next().unwrap_or_default();
                let subject = format!("{}.{name}", self.subject);
                let body = message.json.to_string().into();
                let sent = open.context.publish_with_headers(subject, headers, body).await;
                answers.push(sent.map_err(|why| lost(&why))?);
                open.last = Some(message.id.clone());
            }
            for answer in answers {
                // One that was stored before says so, and is as good.
                answer.await.map_err(|why| lost(&why))?;
            }
        }
        Ok(())
    }
}

impl Delivery for Nats {
    async fn connect(&mut self) -> Result<(), TargetError> {
        if let Some(old) = self.open.take() {
            // What it has not sent must not be sent later; whether that works is the same to us.
            let _ = timeout(ANSWER_MAX, old.client.drain()).await;
        }
        let connected = timeout(ANSWER_MAX, self.connection()).await;
        self.open = Some(connected.map_err(|_| lost(&"no connection in time"))??);
        Ok(())
    }

    async fn deliver(&mut self, messages: &[Message]) -> Result<(), TargetError> {
        let Some(mut open) = self.open.take() else { return Err(lost(&"it is not connected")) };
        let published = timeout(ANSWER_MAX, self.publish(&mut open, messages)).await;
        published.map_err(|_| lost(&"no answer in time"))??;
        self.open = Some(open);
        Ok(())
    }
}

fn lost(why: &dyn std::fmt::Display) -> TargetError {
    TargetError::Lost(format!("NATS: {why}"))
}
