//! The target RabbitMQ: each change as a persistent message of one durable queue.
//!
//! **At least once, in order, under an id that never changes.** A batch is published on one
//! channel; the cursor is moved once the broker has confirmed every message of it. A kill between
//! the two has the batch published again: a consumer that remembers the last `message_id` it has
//! worked on knows what it has seen.
//!
//! A queue is exclusive to a connection for as long as the broker has not let go of it. The sink
//! holds one as a lock, so what a killed runner had sent is in the queue before the next runner
//! publishes, and none comes between.

use crate::cursor::Delivery;
use crate::message::{CONTENT_TYPE, Message};
use crate::target::TargetError;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use std::time::Duration;
use tokio::time::timeout;

/// What a persistent message says.
const PERSISTENT: u8 = 2;
/// How long a connection, or the confirmation of a batch, may take.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// See the module.
pub struct RabbitMq {
    url: String,
    queue: String,
    open: Option<(Connection, Channel)>,
}

impl RabbitMq {
    /// Into this queue of the broker at an `amqp://` URL; nothing is connected yet.
    pub fn new(url: &str, queue: &str) -> Self {
        Self { url: url.to_owned(), queue: queue.to_owned(), open: None }
    }

    async fn connection(&self) -> Result<(Connection, Channel), lapin::Error> {
        let connection = Connection::connect(&self.url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        let lock = format!("{}.sink", self.queue);
        let exclusive = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
        channel.queue_declare(lock.into(), exclusive, FieldTable::default()).await?;
        let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        channel.queue_declare(self.queue.as_str().into(), durable, FieldTable::default()).await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok((connection, channel))
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
            let body = message.json.to_string();
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
    async fn connect(&mut self) -> Result<(), TargetError> {
        self.open = None;
        let connected = timeout(ANSWER_MAX, self.connection()).await;
        let connected = connected.map_err(|_| lost(&"no connection in time"))?;
        self.open = Some(connected.map_err(|why| lost(&why))?);
        Ok(())
    }

    async fn deliver(&mut self, messages: &[Message]) -> Result<(), TargetError> {
        let Some((connection, channel)) = self.open.take() else {
            return Err(lost(&"it is not connected"));
        };
        let published = timeout(ANSWER_MAX, self.publish(&channel, messages)).await;
        published.map_err(|_| lost(&"no confirmation in time"))??;
        self.open = Some((connection, channel));
        Ok(())
    }
}

fn lost(why: &dyn std::fmt::Display) -> TargetError {
    TargetError::Lost(format!("RabbitMQ: {why}"))
}
