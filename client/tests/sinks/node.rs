//! The sinks inside nodes: they move with the leader.

use super::brokers::Broker as _;
use super::files::lines;
use super::postgres::Copy;
use super::program::{beside, code, stderr, stdout};
use super::scene::{PATIENCE, Scene, Seen, buyers, until};
use super::servers::{Nats, Postgres, RabbitMq, Server as _};
use super::webhook::{Receiver, SECRET};
use serde_json::Value;
use std::path::Path;
use stock::NodeId;

/// A `cluster.toml` without nodes, which are told by flags.
fn config(dir: &Path, text: &str) -> String {
    let file = dir.join("cluster.toml");
    std::fs::write(&file, text).unwrap();
    file.display().to_string()
}

/// The nodes on which this sink is at work, and those on which it is refused.
async fn at_work(scene: &Scene, sink: &str) -> (Vec<NodeId>, Vec<NodeId>) {
    let (mut running, mut refused) = (Vec::new(), Vec::new());
    for node in 0..3 {
        let Ok(metrics) = scene.client.metrics(node).await else { continue };
        let says = |what: &str| {
            let expected = format!("flashnode_sink_{what}{{sink=\"{sink}\"}} 1");
            metrics.lines().any(|line| line == expected)
        };
        let id = NodeId(node as u64 + 1);
        running.extend(says("running").then_some(id));
        refused.extend(says("refused").then_some(id));
    }
    (running, refused)
}

/// Waits until this sink is at work on the leader, and nowhere else.
async fn until_at_work(scene: &Scene, sink: &str) -> NodeId {
    until("the sink to be at work on the leader alone", async || {
        let leader = scene.cluster.leader().await.ok()?;
        (at_work(scene, sink).await.0 == [leader]).then_some(leader)
    })
    .await
}

/// What `flashctl status` says of the sinks.
async fn status(scene: &Scene) -> Vec<Value> {
    let status = beside(&["status", "--json", "--nodes", &scene.nodes()]).await;
    let view: Value = serde_json::from_str(&stdout(&status)).unwrap();
    view["sinks"].as_array().cloned().unwrap_or_default()
}

/// Waits until this sink is shown as this says; returns it.
async fn until_shown(scene: &Scene, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
    until(what, async || status(scene).await.into_iter().find(|sink| is_it(sink))).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sink_in_a_node_moves_when_that_node_dies() {
    let Some(mut server) = Postgres::start().await else { return };
    let dir = tempfile::tempdir().unwrap();
    let text = format!("[sink]\npostgres = {:?}\n", server.url());
    let mut scene = Scene::open(&["--config", &config(dir.path(), &text)]).await;
    let buyers = buyers();
    let sku = scene.sell("drop", buyers - buyers / 10).await;
    let (storm, progress) = scene.storm(&sku, buyers);
    for step in 1..=5 {
        let due = buyers * step / 10;
        until("more orders", async || (progress.accepted_count() > due).then_some(())).await;
        if step == 3 {
            server.kill();
            server.start_again().await;
        } else {
            let leader = scene.leader().await;
            scene.replace(leader).await;
        }
    }
    storm.await.unwrap();
    let copy = Copy { scene, server };
    let verified = copy.verify(PATIENCE.as_secs()).await;
    assert_eq!(code(&verified), 0, "{}{}", stdout(&verified), stderr(&verified));
    copy.assert_same_orders().await;

    // It is at work on the leader, says so, and has nothing left to do.
    let newest = copy.scene.newest().await;
    let leader = until_at_work(&copy.scene, "postgres").await;
    let shown = until_shown(&copy.scene, "the sink to be shown", |sink| {
        let position = sink["position"].as_u64().unwrap();
        sink["name"] == "postgres" && position >= newest.0 && sink["lag_events"] == 0
    })
    .await;
    assert_eq!(shown["node"], leader.0, "{shown}");
    let target = shown["target"].as_str().unwrap();
    assert!(target.starts_with("postgres://127.0.0.1:") && target.ends_with("/postgres/flashnode"));
}

/// Every other kind, at once, while the leader, where all of them run, is killed again and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_sink_moves_when_its_node_dies() {
    let Some(mut server) = Nats::start().await else { return };
    let Some(mut broker) = RabbitMq::start().await else { return };
    let (url, receiver) = Receiver::default().start().await;
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("secret");
    std::fs::write(&secret, format!("{SECRET}\n")).unwrap();
    let events = dir.path().join("events");
    let (secret, dir_text) = (secret.display().to_string(), events.display().to_string());
    let text = format!(
        "[[sink]]\nkind = \"webhook\"\nname = \"shop\"\nurl = {url:?}\nsecret_file = {secret:?}\n\
         batch = 100\n\
         [[sink]]\nkind = \"nats\"\nto = {:?}\n\
         [[sink]]\nkind = \"rabbitmq\"\nto = {:?}\n\
         [[sink]]\nkind = \"files\"\ndir = {dir_text:?}\nrotate_mib = 1\n",
        server.url(),
        broker.url()
    );
    let mut scene = Scene::open(&["--config", &config(dir.path(), &text)]).await;
    let buyers = buyers();
    let sku = scene.sell("drop", buyers - buyers / 10).await;
    let (storm, progress) = scene.storm(&sku, buyers);
    for step in 1..=5 {
        let due = buyers * step / 10;
        until("more orders", async || (progress.accepted_count() > due).then_some(())).await;
        if step == 3 {
            server.kill();
            broker.kill();
            server.start_again().await;
            broker.start_again().await;
        } else {
            // The death of the leader is that of all sinks, each in the middle of its work.
            let leader = until("a leader", async || scene.cluster.leader().await.ok()).await;
            scene.replace(leader).await;
        }
    }
    storm.await.unwrap();
    let newest = scene.newest().await;
    until("the receiver to hear of the last change", async || {
        (receiver.lock().unwrap().seen.newest() >= newest.0).then_some(())
    })
    .await;
    broker.drain(&mut Seen::default(), |seen| seen.newest() >= newest.0).await;
    let mut seen = Seen::default();
    server.drain(&mut seen, |seen| seen.newest() >= newest.0).await;
    assert_eq!(seen.again(), 0, "the server has dropped what came again");

    // Each is at work on the leader alone, and shows that nothing is left to do.
    for (sink, of) in
        [("shop", "http://"), ("nats", "nats://"), ("rabbitmq", "amqp://"), ("files", "file://")]
    {
        let leader = until_at_work(&scene, sink).await;
        let shown = until_shown(&scene, "all to be shown", |shown| {
            shown["name"] == sink && shown["lag_events"] == 0
        })
        .await;
        assert_eq!(shown["node"], leader.0, "{shown}");
        assert!(shown["target"].as_str().unwrap().starts_with(of), "{shown}");
    }
    let lines = lines(&events);
    let ids = lines.iter().map(|line| line["id"].as_str().unwrap().parse::<u64>().unwrap());
    // Holds have run out meanwhile.
    assert!(lines.len() as u64 >= newest.0, "{} of {newest}", lines.len());
    assert!(ids.eq(1..=lines.len() as u64), "every change, once, in order, in one directory");
}

/// What PostgreSQL refuses is no reason to seem up to date: the lag grows, and it is said.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_that_is_refused_says_so_and_lags() {
    let Some(server) = Postgres::start().await else { return };
    let dir = tempfile::tempdir().unwrap();
    let url = server.url();
    let nowhere = format!("{}/nowhere", url.strip_suffix("/postgres").unwrap());
    let text = format!("[sink]\nkind = \"postgres\"\nto = {nowhere:?}\n");
    let scene = Scene::open(&["--config", &config(dir.path(), &text)]).await;
    let sku = scene.sell("drop", 1_000).await;
    until("it to be refused", async || {
        let leader = scene.cluster.leader().await.ok()?;
        (at_work(&scene, "postgres").await == (vec![], vec![leader])).then_some(())
    })
    .await;
    let shown = until_shown(&scene, "it to be shown", |sink| sink["refused"] == true).await;
    let before = shown["lag_events"].as_u64().unwrap();
    assert!(before > 0, "{shown}");
    scene.rush(&sku, 500).await;
    let newest = scene.newest().await;
    let shown = until_shown(&scene, "the lag to grow", |sink| sink["refused"] == true).await;
    assert_eq!(shown["lag_events"], newest.0, "{shown}");
    assert!(shown["lag_ms"].as_u64().is_some(), "{shown}");
    // The database is made, and all of it is carried there.
    server.client().await.batch_execute("CREATE DATABASE nowhere").await.unwrap();
    until_at_work(&scene, "postgres").await;
    until_shown(&scene, "nothing to be left", |sink| {
        sink["refused"] == false && sink["lag_events"] == 0
    })
    .await;
}

/// Those that run elsewhere are shown by their cursors, or by what they report.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sinks_elsewhere_are_shown_by_their_cursors_and_reports() {
    let scene = Scene::open(&[]).await;
    let sku = scene.sell("drop", 100).await;
    let (url, _receiver) = Receiver::kind().start().await;
    let (nodes, events) = (scene.nodes(), scene.cluster.dir().join("events"));
    let events = events.display().to_string();
    let (of_webhook, of_files) = (
        ["sink", "webhook", "--url", &url, "--secret", SECRET, "--once", "--nodes", &nodes],
        ["sink", "files", "--dir", &events, "--once", "--nodes", &nodes],
    );
    for args in [&of_webhook[..], &of_files[..]] {
        let output = beside(args).await;
        assert_eq!(code(&output), 0, "{}", stderr(&output));
    }
    let stood = scene.newest().await;
    scene.rush(&sku, 50).await;
    let newest = scene.newest().await;
    let sinks = status(&scene).await;
    let seen: Vec<_> = sinks.iter().map(|sink| (&sink["known_by"], &sink["position"])).collect();
    let stood = Value::from(stood.0);
    assert_eq!(seen, [(&"report".into(), &stood), (&"cursor".into(), &stood)], "{sinks:?}");
    for sink in &sinks {
        assert_eq!(sink["lag_events"], 50, "{sink}");
        assert!(sink["lag_ms"].as_u64().is_some(), "{sink}");
    }
    assert_eq!(newest.0 - 50, stood.as_u64().unwrap());
    assert!(sinks[0]["target"].as_str().unwrap().ends_with(&events), "{sinks:?}");
    let words = stdout(&beside(&["status", "--nodes", &nodes]).await);
    for part in ["reported.file-", "reported", "webhook", &url] {
        assert!(words.contains(part.trim_start_matches("http://")), "{part}: {words}");
    }
}
