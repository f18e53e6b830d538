//! What is in a queue of RabbitMQ.

use super::brokers::Broker;
use super::scene::{PATIENCE, Seen};
use super::servers::RabbitMq;
use futures_util::StreamExt as _;
use lapin::ConnectionProperties;
use lapin::options::{BasicAckOptions, BasicConsumeOptions};
use lapin::types::FieldTable;

impl Broker for RabbitMq {
    const TARGET: &'static str = "rabbitmq";

    fn url(&self) -> String {
        Self::url(self)
    }

    async fn drain(&self, seen: &mut Seen, enough: impl Fn(&Seen) -> bool) {
        let connection =
            lapin::Connection::connect(&Self::url(self), ConnectionProperties::default())
                .await
                .unwrap();
        let channel = connection.create_channel().await.unwrap();
        let consumer = channel.basic_consume(
            "flashnode.events".into(),
            "test".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        );
        let mut consumer = consumer.await.unwrap();
        while !enough(seen) {
            let next = tokio::time::timeout(PATIENCE, consumer.next()).await;
            let next = next.unwrap_or_else(|_| panic!("nothing comes after {}", seen.newest()));
            let message = next.unwrap().unwrap();
            let id = message.properties.message_id().as_ref().unwrap().as_str().to_owned();
            let event: serde_json::Value = serde_json::from_slice(&message.data).unwrap();
            assert_eq!(event["id"], id);
            seen.take(&id);
            message.ack(BasicAckOptions::default()).await.unwrap();
        }
        connection.close(200, "".into()).await.unwrap();
    }
}
