//! The change feed: resumed on any node, ahead of it, and to its end.

use super::scene::http::{Ask, Caller};
use super::scene::{PATIENCE, Scene};
use super::{Stream, buy, seqs};
use client::cluster::Launch;
use reqwest::Method;
use stock::Seq;
use stock::api::ChangeView;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_resumes_on_any_node_without_a_gap_or_a_repeat() {
    let mut scene = Scene::open_for_failover(1_000, &[]).await;
    let caller = Caller::new(&scene.cluster);
    let mut last = 0;
    for buyer in 0..20 {
        last = buy(&caller, buyer % 3, &format!("early-{buyer}")).await;
    }
    // All of it, from the first change on, is the same on every node.
    let mut all = Vec::new();
    for node in 0..3 {
        let mut stream = Stream::open(&caller, node, Some(0)).await;
        all.push(stream.up_to(last).await);
    }
    assert_eq!(seqs(&all[0]), (1..=last).collect::<Vec<u64>>());
    assert!(all.iter().all(|one| *one == all[0]), "the nodes tell different histories");
    assert!(matches!(all[0][0].change, ChangeView::ProductCreated { .. }));

    // Without an id it begins with the next change.
    let mut new = Stream::open(&caller, 0, None).await;
    let bought = buy(&caller, 1, "first-heard").await;
    let heard = new.next().await.expect("an event");
    assert!(heard.seq.0 > last && heard.seq.0 <= bought, "{heard:?}");

    // A listener hears the first changes of a storm; its node dies; another node goes on.
    let storm = scene.storm(1_000, 8);
    let victim = scene.leader().await;
    let place = usize::try_from(victim.0 - 1).expect("a small id");
    let mut stream = Stream::open(&caller, place, Some(last)).await;
    let mut heard = stream.up_to(last + 50).await;
    scene.cluster.kill(victim).expect("it runs");
    while let Some(event) = stream.next().await {
        heard.push(event);
    }
    storm.sold(500).await;
    scene.cluster.launch(victim, &Launch::default()).expect("it starts again");
    storm.progress.stop();
    let _ = scene.audit(storm).await;
    let end = caller.get((place + 1) % 3, "/v1/products/sneaker").await;
    let end: u64 = end.header("flashnode-seq").parse().expect("a seq");
    let from = heard.last().expect("events").seq.0;
    let mut stream = Stream::open(&caller, (place + 1) % 3, Some(from)).await;
    heard.extend(stream.up_to(end).await);
    assert_eq!(seqs(&heard), (last + 1..=end).collect::<Vec<u64>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_typed_client_goes_on_with_another_node() {
    let mut scene = Scene::open_for_failover(1_000, &[]).await;
    let caller = Caller::new(&scene.cluster);
    let client = std::sync::Arc::clone(&scene.client);
    let mut events = client.events(Some(Seq(0)));
    let mut last = 0;
    for buyer in 0..6 {
        last = buy(&caller, buyer % 3, &format!("u{buyer}")).await;
    }
    let mut seen = vec![events.next().await.expect("an event").seq.0];
    // Whichever node tells now, it dies.
    for node in scene.cluster.nodes().iter().map(|node| node.id).collect::<Vec<_>>() {
        scene.cluster.kill(node).expect("it runs");
        scene.cluster.launch(node, &Launch::default()).expect("it starts again");
        scene.cluster.wait_ready(PATIENCE).await.expect("it is back");
        last = buy(&caller, 0, &format!("after-{node}")).await;
        while seen.last().is_none_or(|seq| *seq < last) {
            seen.push(events.next().await.expect("another node goes on").seq.0);
        }
    }
    assert_eq!(seen, (1..=last).collect::<Vec<u64>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_ahead_waits_and_a_bad_one_is_refused() {
    let scene = Scene::open(10, &[]).await;
    let caller = Caller::new(&scene.cluster);
    let first = buy(&caller, 0, "ann").await;
    let mut ahead = Stream::open(&caller, 1, Some(first + 1)).await;
    let skipped = buy(&caller, 0, "ben").await;
    let told = buy(&caller, 0, "cem").await;
    assert_eq!(skipped, first + 1);
    assert_eq!(ahead.next().await.expect("an event").seq.0, told);
    // Whoever cannot set a header says it in the query; the header, which browsers send by
    // themselves when they come back, goes before it.
    for (after, id, next) in [(0, None, 1), (first, None, first + 1), (0, Some(first), first + 1)] {
        let mut stream = Stream::open_after(&caller, 2, Some(after), id).await;
        assert_eq!(stream.next().await.expect("an event").seq.0, next, "{after} {id:?}");
    }
    for (path, id, kind) in [
        ("/v1/events", "x", "/problems/invalid-header"),
        ("/v1/events?after=x", "", "/problems/invalid-query"),
        ("/v1/events?consistency=stale", "", "/problems/invalid-query"),
    ] {
        let headers = if id.is_empty() { vec![] } else { vec![("last-event-id", id)] };
        let ask = Ask { body: None, headers: &headers };
        let refused = caller.call(0, Method::GET, path, ask).await;
        assert_eq!((refused.status, refused.kind()), (400, kind), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_asked_to_end_ends_its_streams() {
    let mut scene = Scene::open_for_failover(10, &[]).await;
    let caller = Caller::new(&scene.cluster);
    let node = scene.follower().await;
    let place = usize::try_from(node.0 - 1).expect("a small id");
    let mut stream = Stream::open(&caller, place, Some(0)).await;
    stream.next().await.expect("the product");
    scene.cluster.terminate(node).expect("it runs");
    while stream.next().await.is_some() {}
    let status = scene.cluster.wait_exit(node, PATIENCE).await.expect("it ends");
    assert!(status.success(), "{status}");
    let log = std::fs::read_to_string(&scene.cluster.node(node).log).expect("a log");
    assert!(!log.contains("still open"), "a listener kept the node from ending: {log}");
}
