//! Every change in a stream of NATS JetStream, in order, whatever is killed.

use super::scene::{PATIENCE, Scene, Seen, Sink, buyers, until};
use super::servers::Nats;
use async_nats::jetstream;
use async_nats::jetstream::consumer::{AckPolicy, pull};
use futures_util::StreamExt as _;
use stock::NodeId;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_killed_the_stream_has_every_change_in_order() {
    let Some(mut server) = Nats::start().await else { return };
    let mut scene = Scene::open(&[]).await;
    let buyers = buyers();
    let sku = scene.sell("drop", buyers - buyers / 10).await;
    let args = ["nats", "--to", &server.url(), "--nodes", &scene.nodes()];
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
    let client = async_nats::connect(server.url()).await.unwrap();
    let stream = jetstream::new(client).get_stream("FLASHNODE").await.unwrap();
    let config = pull::Config { ack_policy: AckPolicy::None, ..pull::Config::default() };
    let consumer = stream.create_consumer(config).await.unwrap();
    let mut messages = consumer.messages().await.unwrap();
    let mut seen = Seen::default();
    while seen.newest() < newest.0 {
        let next = tokio::time::timeout(PATIENCE, messages.next()).await;
        let next = next.unwrap_or_else(|_| panic!("{}: {}", seen.newest(), sink.told()));
        let message = next.unwrap().unwrap();
        let id = message.headers.as_ref().unwrap().get("Nats-Msg-Id").unwrap().as_str().to_owned();
        let event: serde_json::Value = serde_json::from_slice(&message.payload).unwrap();
        assert_eq!(event["id"], id);
        seen.take(&id);
    }
    // Within the window of two minutes, the server has dropped what came again.
    assert_eq!(seen.again(), 0, "{newest} changes");
}
