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
use crate::target::{TargetError, explained};
use async_nats::header::{NATS_EXPECTED_LAST_MESSAGE_ID, NATS_MESSAGE_ID};
use async_nats::jetstream::{self, Context, stream};
use async_nats::{Client, ConnectOptions, HeaderMap, ServerAddr};
use std::fmt::Display;
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::timeout;

/// How long a connection, or all answers to what is delivered at once, may take.
const ANSWER_MAX: Duration = Duration::from_secs(20);
/// Messages that are sent before their answers are waited for.
const IN_FLIGHT_MAX: usize = 256;

/// Messages that are delivered before the cursor moves, within [`ANSWER_MAX`].
const AT_ONCE_MAX: usize = 2_000;

/// See the module.
pub struct Nats {
    server: ServerAddr,
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
    /// as `flashnode.ordered`. The stream is made when there is none, in files. With `tls_roots`
    /// there is TLS, whatever the URL says. Nothing is connected yet.
    ///
    /// # Errors
    /// In words, when the URL, the stream or the subject cannot be used.
    pub fn new(
        url: &str,
        (stream, subject): (&str, &str),
        tls_roots: Option<PathBuf>,
    ) -> Result<Self, String> {
        // Never with the URL, which may have a password.
        let bad = |why: &dyn Display| {
            format!("the URL is no NATS server: {why}; use nats://HOST:4222 or tls://HOST:4222")
        };
        let server: ServerAddr = url.parse().map_err(|why| bad(&why))?;
        if !["nats", "tls"].contains(&server.scheme()) {
            return Err(bad(&format_args!("{}:// is none", server.scheme())));
        }
        // Of `nats//host` the client library makes the host `nats` with a path.
        if server.host().is_empty() || !["", "/"].contains(&server.clone().into_inner().path()) {
            return Err(bad(&"it is not a host with a port"));
        }
        let plain = |name: &str, but: &str| {
            !name.is_empty()
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_graphic() && !but.contains(char::from(byte)))
        };
        if !plain(stream, ".*>/\\") {
            let rule = "use visible characters without . * > / and \\";
            return Err(format!("the stream {stream:?} is none; {rule}"));
        }
        if !subject.split('.').all(|token| plain(token, "*>")) {
            let rule = "use words of visible characters with a full stop between them, no * or >";
            return Err(format!("the subject {subject:?} is none; {rule}"));
        }
        let (stream, subject) = (stream.to_owned(), subject.to_owned());
        Ok(Self { server, stream, subject, tls_roots, open: None })
    }

    async fn connection(&self) -> Result<Open, TargetError> {
        let mut options =
            ConnectOptions::new().connection_timeout(ANSWER_MAX).max_reconnects(Some(1));
        if let Some(roots) = &self.tls_roots {
            // Or a server that says that it has no TLS would be spoken to in the clear.
            options = options.add_root_certificates(roots.clone()).require_tls(true);
        }
        let client = options.connect(&self.server).await.map_err(|why| lost(&why))?;
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
                let body = message.json.clone().into();
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
    fn identity(&self) -> String {
        let (host, port) = (self.server.host(), self.server.port());
        format!("nats://{host}:{port}/{}/{}", self.stream, self.subject)
    }

    async fn connect(&mut self) -> Result<(), TargetError> {
        if let Some(old) = self.open.take() {
            // What it has not sent must not be sent later; whether that works is the same to us.
            let _ = timeout(ANSWER_MAX, old.client.drain()).await;
        }
        let connected = timeout(ANSWER_MAX, self.connection()).await;
        self.open = Some(connected.map_err(|_| lost(&"no connection in time"))??);
        Ok(())
    }

    fn fitting(&self, messages: &[Message]) -> usize {
        messages.len().min(AT_ONCE_MAX)
    }

    async fn deliver(&mut self, messages: &[Message]) -> Result<(), TargetError> {
        let Some(mut open) = self.open.take() else { return Err(lost(&"it is not connected")) };
        let published = timeout(ANSWER_MAX, self.publish(&mut open, messages)).await;
        published.map_err(|_| lost(&"no answer in time"))??;
        self.open = Some(open);
        Ok(())
    }
}

fn lost(why: &dyn Display) -> TargetError {
    TargetError::Lost(format!("NATS: {}", explained(why)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test ends at what it cannot go on without")]

    use super::*;

    fn of(url: &str, stream: &str, subject: &str) -> Result<Nats, String> {
        Nats::new(url, (stream, subject), None)
    }

    #[test]
    fn an_identity_has_no_password() {
        let nats = of("nats://u:pw@a.b", "STREAM", "subject");
        assert_eq!(nats.map(|nats| nats.identity()).unwrap(), "nats://a.b:4222/STREAM/subject");
    }

    #[test]
    fn what_cannot_be_used_is_said_before_anything_is_connected() {
        for url in ["a.b", "a.b:4222", "tls://a.b", "nats://[::1]:4222"] {
            assert!(of(url, "S", "a.b").is_ok(), "{url}");
        }
        for url in ["", "nats://", "nats//a.b", "http://a.b", "ws://a.b", "nats://u:pw@a.b:port"] {
            let why = of(url, "S", "a").err().unwrap();
            assert!(why.contains("use nats://") && !why.contains("pw"), "{url}: {why}");
        }
        for (stream, subject) in [("", "a"), ("A.B", "a"), ("A B", "a"), ("A", ""), ("A", "a..b")] {
            assert!(of("nats://a", stream, subject).is_err(), "{stream} {subject}");
        }
        assert!(of("nats://a", "A", "a.>").is_err());
    }
}
