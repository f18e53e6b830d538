//! The target RabbitMQ: each change as a persistent message of one durable queue.
//!
//! **At least once, in order, under an id that never changes.** A batch is published on one
//! channel; the cursor is moved once the broker has confirmed every message of it. A kill between
//! the two has the batch published again: a consumer that remembers the last `message_id` it has
//! worked on knows what it has seen.
//!
//! A queue is exclusive to a connection for as long as the broker has not let go of it. The sink
//! holds one as a lock, so what a killed runner had sent is in the queue before the next runner
//! publishes, and none comes between. A runner that stands still says nothing, and the broker lets
//! go of it after two heartbeats.
//!
//! At most `UNCONFIRMED_MAX` messages are on the way unconfirmed: after a failure no more come
//! again, and one that the broker refuses has no more than those behind it.

use crate::cursor::Delivery;
use crate::message::{CONTENT_TYPE, Message};
use crate::target::TargetError;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::FieldTable;
use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, ErrorKind};
use std::time::Duration;
use tokio::time::timeout;

/// What a persistent message says.
const PERSISTENT: u8 = 2;
/// How long a connection, or the confirmations of a run of messages, may take.
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// How long the end of one may take.
const CLOSE_MAX: Duration = Duration::from_secs(2);
/// Messages that are sent before their confirmations are waited for. The broker syncs its disk for
/// all of them at once, every tenth of a second or so, so fewer would cost what they leave out.
const UNCONFIRMED_MAX: usize = 2_000;
/// Between two signs of life, in seconds, unless the URL says otherwise (`?heartbeat=`).
const HEARTBEAT_S: u16 = 10;

/// The longest name of a queue, of the 255 that AMQP has, beside `.sink`.
const QUEUE_BYTES_MAX: usize = 250;

/// See the module.
pub struct RabbitMq {
    uri: AMQPUri,
    queue: String,
    open: Option<(Connection, Channel)>,
}

impl RabbitMq {
    /// Into this queue of the broker at an `amqp://` URL; nothing is connected yet.
    ///
    /// # Errors
    /// In words, when the URL or the queue's name cannot be used.
    pub fn new(url: &str, queue: &str) -> Result<Self, String> {
        // Never with the URL, which may have a password.
        let bad = |why: &str| {
            format!("the URL is no broker: {why}; use amqp://USER:PASSWORD@HOST:5672/VHOST")
        };
        let mut uri: AMQPUri = url.parse().map_err(|why: String| bad(&why))?;
        // The client library would speak in the clear, and send the password.
        if uri.scheme == AMQPScheme::AMQPS {
            let why =
                "amqps:// is not built in: use amqp:// to a broker or a TLS proxy on this host";
            return Err(why.to_owned());
        }
        if uri.authority.host.is_empty() {
            return Err(bad("it has no host"));
        }
        let plain = queue.bytes().all(|byte| byte.is_ascii_graphic()) && !queue.starts_with("amq.");
        if queue.is_empty() || queue.len() > QUEUE_BYTES_MAX || !plain {
            let rule = format!(
                "use visible characters, at most {QUEUE_BYTES_MAX}, that do not begin with amq."
            );
            return Err(format!("the queue {queue:?} is none; {rule}"));
        }
        uri.query.heartbeat.get_or_insert(HEARTBEAT_S);
        Ok(Self { uri, queue: queue.to_owned(), open: None })
    }

    async fn connection(&self) -> Result<(Connection, Channel), TargetError> {
        let uri = self.uri.clone();
        let connected = Connection::connect_uri(uri, ConnectionProperties::default()).await;
        let connection = connected.map_err(|why| lost(&why))?;
        let channel = connection.create_channel().await.map_err(|why| lost(&why))?;
        let lock = format!("{}.sink", self.queue);
        let exclusive = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
        let kept = channel.queue_declare(lock.into(), exclusive, FieldTable::default()).await;
        kept.map_err(|why| if is_kept(&why) { TargetError::Moved } else { lost(&why) })?;
        self.prepare(&channel).await.map_err(|why| lost(&why))?;
        Ok((connection, channel))
    }

    async fn prepare(&self, channel: &Channel) -> Result<(), lapin::Error> {
        let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        channel.queue_declare(self.queue.as_str().into(), durable, FieldTable::default()).await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await
    }

    async fn publish(&self, channel: &Channel, messages: &[Message]) -> Result<(), TargetError> {
        // A message for which there is no queue comes back: somebody has deleted it.
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let mut confirms = Vec::with_capacity(messages.len());
        for message in messages {
            let properties = BasicProperties::default()
                .with_message_id(message.id.as_str().into())
                .with_type(message.kind.as_str().into())
                .with_content_type(CONTENT_TYPE.into())
                .with_delivery_mode(PERSISTENT);
            let body = &message.json;
            let queue = self.queue.as_str().into();
            let confirm =
                channel.basic_publish("".into(), queue, options, body.as_bytes(), properties).await;
            confirms.push(confirm.map_err(|why| lost(&why))?);
        }
        for (confirm, message) in confirms.into_iter().zip(messages) {
            match confirm.await.map_err(|why| lost(&why))? {
                Confirmation::Ack(None) => {}
                other => {
                    let why = format!("RabbitMQ did not take message {}: {other:?}", message.id);
                    return Err(TargetError::Lost(why));
                }
            }
        }
        Ok(())
    }
}

impl Delivery for RabbitMq {
    fn identity(&self) -> String {
        let (host, port) = (&self.uri.authority.host, self.uri.authority.port);
        format!("amqp://{host}:{port}/{}/{}", self.uri.vhost, self.queue)
    }

    async fn connect(&mut self) -> Result<(), TargetError> {
        if let Some((old, _)) = self.open.take() {
            close(old).await;
        }
        let connected = timeout(ANSWER_MAX, self.connection()).await;
        let connected = connected.map_err(|_| lost(&"no connection in time"))?;
        self.open = Some(connected?);
        Ok(())
    }

    fn fitting(&self, messages: &[Message]) -> usize {
        messages.len().min(UNCONFIRMED_MAX)
    }

    async fn deliver(&mut self, messages: &[Message]) -> Result<(), TargetError> {
        let Some((connection, channel)) = self.open.take() else {
            return Err(lost(&"it is not connected"));
        };
        let published = timeout(ANSWER_MAX, self.publish(&channel, messages)).await;
        if let Err(why) = published.unwrap_or_else(|_| Err(lost(&"no confirmation in time"))) {
            close(connection).await;
            return Err(why);
        }
        self.open = Some((connection, channel));
        Ok(())
    }
}

/// Gives the lock back before this runner asks for it again.
async fn close(connection: Connection) {
    // One that is broken is closed by the broker, now or when it hears nothing more.
    let _closed = timeout(CLOSE_MAX, connection.close(200, "".into())).await;
}

/// Whether another connection has the exclusive queue.
fn is_kept(why: &lapin::Error) -> bool {
    let locked = AMQPErrorKind::Soft(AMQPSoftError::RESOURCELOCKED);
    matches!(why.kind(), ErrorKind::ProtocolError(told) if *told.kind() == locked)
}

fn lost(why: &dyn std::fmt::Display) -> TargetError {
    TargetError::Lost(format!("RabbitMQ: {why}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test ends at what it cannot go on without")]

    use super::*;

    #[test]
    fn an_identity_has_no_password() {
        for (url, identity) in [
            ("amqp://u:pw@a.b:7/shop?heartbeat=3", "amqp://a.b:7/shop/queue"),
            ("amqp://a.b/%2f", "amqp://a.b:5672///queue"),
        ] {
            let broker = RabbitMq::new(url, "queue");
            assert_eq!(broker.map(|broker| broker.identity()).unwrap(), identity);
        }
    }

    #[test]
    fn what_cannot_be_used_is_said_before_anything_is_connected() {
        for url in ["", "a.b", "http://a.b", "amqps://u:pw@a.b/", "amqp://u:pw@a:port/"] {
            let why = RabbitMq::new(url, "queue").err().unwrap();
            assert!(why.contains("use amqp://") && !why.contains("pw"), "{url}: {why}");
        }
        for queue in ["", "amq.events", "two words", &"q".repeat(251)] {
            assert!(RabbitMq::new("amqp://a", queue).is_err(), "{queue}");
        }
    }
}
