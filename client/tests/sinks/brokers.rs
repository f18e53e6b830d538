//! Every change at a broker, in order, whatever is killed.

use super::scene::{Scene, Seen, Sink, buyers};
use super::servers::{Nats, RabbitMq, Server};
use stock::Seq;

/// A server that keeps messages.
pub(crate) trait Broker: Server {
    /// The target of `flashctl sink`.
    const TARGET: &'static str;

    fn url(&self) -> String;

    /// Takes its messages from the first on, until that is enough.
    async fn drain(&self, seen: &mut Seen, enough: impl Fn(&Seen) -> bool);
}

/// What a broker has after a storm in which everything was killed, and the newest change.
async fn after_kills<B: Broker>(mut broker: B) -> (Seen, Seq) {
    let mut scene = Scene::open(&[]).await;
    let buyers = buyers();
    let sku = scene.sell("drop", buyers - buyers / 10).await;
    let (to, nodes) = (broker.url(), scene.nodes());
    let args = [B::TARGET, "--to", &to, "--nodes", &nodes];
    let mut sinks = [Sink::start(&args, scene.cluster.dir().join("sink.log"))];
    let (storm, progress) = scene.storm(&sku, buyers);
    scene.kill_in_turn((&progress, buyers), &mut sinks, &mut broker).await;
    storm.await.unwrap();
    let (newest, mut seen) = (scene.newest().await, Seen::default());
    broker.drain(&mut seen, |seen| seen.newest() >= newest.0).await;
    (seen, newest)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_killed_the_queue_has_every_change_in_order() {
    let Some(server) = RabbitMq::start().await else { return };
    let (seen, newest) = after_kills(server).await;
    eprintln!("{newest} changes, {} messages came again", seen.again());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_killed_the_stream_has_every_change_in_order() {
    let Some(server) = Nats::start().await else { return };
    let (seen, newest) = after_kills(server).await;
    // Within the window of two minutes, the server has dropped what came again.
    assert_eq!(seen.again(), 0, "{newest} changes");
}
