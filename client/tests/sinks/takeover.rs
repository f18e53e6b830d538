//! Two runners of one sink: the one that writes is stopped for a while, as when its machine hangs,
//! and the other goes on. Nothing is doubled when the first one comes back.

use super::brokers::Broker as _;
use super::files::lines;
use super::postgres::Copy;
use super::program::{code, stderr, stdout};
use super::scene::{PATIENCE, Scene, Seen, Sink, once, until};
use super::servers::{Nats, RabbitMq};
use super::webhook::{Receiver, SECRET};
use stock::{Seq, Sku};

/// Of each of the storms, of which one runs while a runner is stopped, and one when it comes back.
const BUYERS: u64 = 2_000;
/// What is delivered at once.
const BATCH: u64 = 100;

/// Two runners of a sink, and what they carry.
struct Rivals {
    runners: [Sink; 2],
    sku: Sku,
}

impl Rivals {
    async fn start(scene: &Scene, args: &[&str]) -> Self {
        let sku = scene.sell("drop", 3 * BUYERS).await;
        let nodes = scene.nodes();
        let args = [args, &["--nodes", &nodes]].concat();
        let log = |name: &str| scene.cluster.dir().join(name);
        let runners = ["first.log", "second.log"].map(|name| Sink::start(&args, log(name)));
        Self { runners, sku }
    }

    fn told(&self) -> String {
        self.runners.iter().map(|runner| runner.told() + "--\n").collect()
    }

    /// Waits until one of them stands by, while there is something to write.
    async fn one_stands_by(&self, scene: &Scene) -> usize {
        let (storm, _) = scene.storm(&self.sku, BUYERS);
        let standing =
            until("one of two to stand by", async || self.runners.iter().position(Sink::stands_by))
                .await;
        storm.await.unwrap();
        standing
    }

    /// Stops the one that writes until the other one has taken over, and both are at it again.
    async fn take_turns(&mut self, scene: &Scene) {
        let standing = self.one_stands_by(scene).await;
        let (other, writer) = (&self.runners[standing], &self.runners[1 - standing]);
        writer.pause();
        let (storm, _) = scene.storm(&self.sku, BUYERS);
        until("the other to take over", async || (!other.stands_by()).then_some(())).await;
        storm.await.unwrap();
        writer.resume();
        self.one_stands_by(scene).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_writer_of_a_database_doubles_no_row() {
    let Some(copy) = Copy::open(&[]).await else { return };
    let to = copy.server.url();
    let args = ["postgres", "--to", &to, "--batch", "100"];
    let mut rivals = Rivals::start(&copy.scene, &args).await;
    rivals.take_turns(&copy.scene).await;
    let verified = copy.verify(PATIENCE.as_secs()).await;
    let told = format!("{}{}{}", stdout(&verified), stderr(&verified), rivals.told());
    assert_eq!(code(&verified), 0, "{told}");
    copy.assert_same_orders().await;
    assert!(rivals.runners.iter_mut().all(Sink::runs), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_writer_of_a_stream_doubles_no_message() {
    let Some(server) = Nats::start().await else { return };
    let scene = Scene::open(&[]).await;
    let (to, batch) = (server.url(), BATCH.to_string());
    let mut rivals = Rivals::start(&scene, &["nats", "--to", &to, "--batch", &batch]).await;
    rivals.take_turns(&scene).await;
    let (newest, mut seen) = (scene.newest().await, Seen::default());
    server.drain(&mut seen, |seen| seen.newest() >= newest.0).await;
    assert_eq!(seen.again(), 0, "{}", rivals.told());
    assert!(rivals.runners.iter_mut().all(Sink::runs), "{}", rivals.told());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_writer_of_a_queue_loses_its_lock() {
    let Some(server) = RabbitMq::start().await else { return };
    let scene = Scene::open(&[]).await;
    // Two heartbeats late it is let go of.
    let (to, batch) = (format!("{}?heartbeat=2", server.url()), BATCH.to_string());
    let mut rivals = Rivals::start(&scene, &["rabbitmq", "--to", &to, "--batch", &batch]).await;
    rivals.take_turns(&scene).await;
    let (newest, mut seen) = (scene.newest().await, Seen::default());
    server.drain(&mut seen, |seen| seen.newest() >= newest.0).await;
    assert!(seen.again() <= 2 * BATCH, "{} came again: {}", seen.again(), rivals.told());
    assert!(rivals.runners.iter_mut().all(Sink::runs), "{}", rivals.told());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_sender_sends_no_more_than_what_was_under_way_again() {
    let scene = Scene::open(&[]).await;
    let (url, receiver) = Receiver::kind().start().await;
    let batch = BATCH.to_string();
    let args = ["webhook", "--url", &url, "--secret", SECRET, "--batch", &batch];
    let mut rivals = Rivals::start(&scene, &args).await;
    rivals.take_turns(&scene).await;
    let newest = scene.newest().await;
    until("the last change", async || {
        (receiver.lock().unwrap().seen.newest() >= newest.0).then_some(())
    })
    .await;
    // One batch each time that both were at it: at the start, when it was stopped, and after.
    let again = receiver.lock().unwrap().seen.again();
    assert!(again <= 6 * BATCH, "{again} of {newest} came again: {}", rivals.told());
    assert!(rivals.runners.iter_mut().all(Sink::runs), "{}", rivals.told());
}

/// Files are kept by whoever has locked them for as long as it lives, stopped or not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_writer_of_files_keeps_them_until_it_dies() {
    let scene = Scene::open(&[]).await;
    let dir = scene.cluster.dir().join("events");
    let dir_text = dir.display().to_string();
    let args = ["files", "--dir", &dir_text, "--rotate-mib", "1"];
    let mut rivals = Rivals::start(&scene, &args).await;
    let standing = rivals.one_stands_by(&scene).await;
    rivals.runners[1 - standing].pause();
    scene.rush(&rivals.sku, BUYERS).await;
    let newest = scene.newest().await;
    assert!(rivals.runners[standing].stands_by(), "{}", rivals.told());
    rivals.runners[1 - standing].kill();
    until("the other to write the rest", async || {
        (rivals.runners[standing].position() >= newest.0).then_some(())
    })
    .await;
    rivals.runners[standing].kill();
    let nodes = scene.nodes();
    once(&[&args[..], &["--nodes", &nodes]].concat()).await;
    let lines = lines(&dir);
    assert!(lines.len() as u64 >= newest.0, "{} of {newest}", lines.len());
    let ids = lines.iter().map(|line| line["id"].as_str().unwrap().parse::<u64>().unwrap());
    assert!(ids.eq(1..=lines.len() as u64), "every change, once, in order");
}

/// `--once` is about the target, and it does not matter who brings it so far.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn once_ends_beside_a_runner_that_does_its_work() {
    let scene = Scene::open(&[]).await;
    let sku = scene.sell("drop", BUYERS).await;
    scene.rush(&sku, BUYERS).await;
    let (url, receiver) = Receiver::kind().start().await;
    let (nodes, dir) = (scene.nodes(), scene.cluster.dir().join("events").display().to_string());
    let files = ["files", "--dir", &dir, "--nodes", &nodes];
    let webhook = ["webhook", "--url", &url, "--secret", SECRET, "--nodes", &nodes];
    for (args, log) in [(&files[..], "files.log"), (&webhook[..], "webhook.log")] {
        let mut other = Sink::start(args, scene.cluster.dir().join(log));
        let ended = tokio::time::timeout(PATIENCE, once(args)).await;
        ended.unwrap_or_else(|_| panic!("it hangs beside {}", other.told()));
        assert!(other.runs(), "{}", other.told());
    }
    let seen = receiver.lock().unwrap().seen.newest();
    assert!(Seq(seen) >= Seq(BUYERS), "{seen}");
}
