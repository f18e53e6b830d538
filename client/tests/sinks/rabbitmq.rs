//! Every change in a queue of RabbitMQ, at least once and in order, whatever is killed.

use super::scene::{Scene, Seen, Sink, buyers, until};
use super::servers::RabbitMq;
use futures_util::StreamExt as _;
use lapin::ConnectionProperties;
use lapin::options::{BasicAckOptions, BasicConsumeOptions};
use lapin::types::FieldTable;
use stock::NodeId;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_killed_the_queue_has_every_change_in_order() {
    let Some(mut server) = RabbitMq::start().await else { return };
    let mut scene = Scene::open(&[]).await;
    let buyers = buyers();
    let sku = scene.sell("drop", buyers - buyers / 10).await;
    let args = ["rabbitmq", "--to", &server.url(), "--nodes", &scene.nodes()];
    let mut sink = Sink::start(&args, scene.cluster.dir().join("sink.log"));
    let (storm, progress) = scene.storm(&sku, buyers);
    for (step, what) in (1..).zip(["sink", "server", "node", "sink", "server", "sink"]) {
        let due = buyers * step / 10;
        until("more orders", async || (progress.accepted_count() > due).then_some(())).await;
        match what {
            "sink" => {
                sink.kill();
                sink.start_again();
            }
            "server" => {
                server.kill();
                server.start_again().await;
            }
            _ => scene.replace(NodeId(1)).await,
        }
    }
    storm.await.unwrap();
    let newest = scene.newest().await;
    let connection =
        lapin::Connection::connect(&server.url(), ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let consumer = channel.basic_consume(
        "flashnode.events".into(),
        "test".into(),
        BasicConsumeOptions::default(),
        FieldTable::default(),
    );
    let mut consumer = consumer.await.unwrap();
    let mut seen = Seen::default();
    while seen.newest() < newest.0 {
        let next = tokio::time::timeout(super::scene::PATIENCE, consumer.next()).await;
        let next = next.unwrap_or_else(|_| panic!("{}: {}", seen.newest(), sink.told()));
        let message = next.unwrap().unwrap();
        let id = message.properties.message_id().as_ref().unwrap().as_str().to_owned();
        let event: serde_json::Value = serde_json::from_slice(&message.data).unwrap();
        assert_eq!(event["id"], id);
        seen.take(&id);
        message.ack(BasicAckOptions::default()).await.unwrap();
    }
    eprintln!("{newest} changes, {} messages came again", seen.again());
}
