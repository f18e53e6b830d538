//! What is in a stream of NATS JetStream.

use super::brokers::Broker;
use super::scene::{PATIENCE, Seen};
use super::servers::Nats;
use async_nats::jetstream;
use async_nats::jetstream::consumer::{AckPolicy, pull};
use futures_util::StreamExt as _;

impl Broker for Nats {
    const TARGET: &'static str = "nats";

    fn url(&self) -> String {
        Self::url(self)
    }

    async fn drain(&self, seen: &mut Seen, enough: impl Fn(&Seen) -> bool) {
        let client = async_nats::connect(Self::url(self)).await.unwrap();
        let stream = jetstream::new(client).get_stream("FLASHNODE").await.unwrap();
        let config = pull::Config { ack_policy: AckPolicy::None, ..pull::Config::default() };
        let consumer = stream.create_consumer(config).await.unwrap();
        let mut messages = consumer.messages().await.unwrap();
        while !enough(seen) {
            let next = tokio::time::timeout(PATIENCE, messages.next()).await;
            let next = next.unwrap_or_else(|_| panic!("nothing comes after {}", seen.newest()));
            let message = next.unwrap().unwrap();
            let id =
                message.headers.as_ref().unwrap().get("Nats-Msg-Id").unwrap().as_str().to_owned();
            let event: serde_json::Value = serde_json::from_slice(&message.payload).unwrap();
            assert_eq!(event["id"], id);
            seen.take(&id);
        }
    }
}
