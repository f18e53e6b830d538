//! The change feed, the export and the stock levels, through real HTTP against a real three-node
//! cluster.

#![allow(clippy::expect_used, reason = "a test ends at what it cannot do without")]

mod scene;

use client::cluster::Launch;
use futures_util::StreamExt;
use reqwest::{Method, Response};
use scene::http::{Ask, Caller};
use scene::{PATIENCE, Scene, until};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use stock::Seq;
use stock::api::{ChangeView, EventView, ExportLine};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// A server-sent event stream that is being read.
struct Stream {
    answer: Response,
    unread: String,
}

impl Stream {
    async fn open(caller: &Caller, node: usize, after: Option<u64>) -> Self {
        let mut request = caller.http.get(format!("http://{}/v1/events", caller.nodes[node]));
        if let Some(after) = after {
            request = request.header("last-event-id", after.to_string());
        }
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Self { answer, unread: String::new() }
    }

    /// The next event; none when the stream has ended.
    async fn next(&mut self) -> Option<EventView> {
        loop {
            if let Some((block, rest)) = self.unread.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.unread = rest;
                let field = |name: &str| {
                    block.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")))
                };
                let Some(data) = field("data") else { continue };
                let event: EventView = serde_json::from_str(data).expect("an event");
                assert_eq!(field("id"), Some(event.seq.to_string().as_str()), "{block}");
                assert_eq!(field("event"), Some(event.change.name()), "{block}");
                return Some(event);
            }
            let chunk = tokio::time::timeout(PATIENCE, self.answer.chunk()).await;
            let chunk = chunk.expect("the stream goes on").ok().flatten()?;
            self.unread.push_str(std::str::from_utf8(&chunk).expect("whole characters"));
        }
    }

    async fn up_to(&mut self, seq: u64) -> Vec<EventView> {
        let mut events = Vec::new();
        while events.last().is_none_or(|event: &EventView| event.seq < Seq(seq)) {
            events.push(self.next().await.expect("the stream goes on"));
        }
        events
    }
}

/// Stock levels as they come over a WebSocket.
struct Levels(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Levels {
    async fn open(node: &str) -> Self {
        let (stream, _) = connect_async(format!("ws://{node}/ws")).await.expect("an upgrade");
        Self(stream)
    }

    /// The next level: a product and its stock.
    async fn next(&mut self) -> (String, u64) {
        loop {
            let message = tokio::time::timeout(PATIENCE, self.0.next()).await;
            let message = message.expect("the levels go on").expect("it is open").expect("it is");
            if let Message::Text(text) = message {
                let level: Value = serde_json::from_str(&text).expect("JSON");
                let product = level["product_id"].as_str().expect("a product").to_owned();
                return (product, level["stock"].as_u64().expect("a level"));
            }
        }
    }
}

fn seqs(events: &[EventView]) -> Vec<u64> {
    events.iter().map(|event| event.seq.0).collect()
}

async fn buy(caller: &Caller, node: usize, user: &str) -> u64 {
    let wants = json!({"product_id": "sneaker", "user_id": user});
    let bought = caller.buy(node, &wants, &[]).await;
    assert_eq!(bought.status, 201, "{}", bought.body);
    bought.body["seq"].as_u64().expect("a seq")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_resumes_on_any_node_without_a_gap_or_a_repeat() {
    let mut scene = Scene::open(1_000, &[]).await;
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
    let mut scene = Scene::open(1_000, &[]).await;
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
    let mut scene = Scene::open(10, &[]).await;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_is_the_whole_state_at_one_seq() {
    let scene = Scene::open(100, &[]).await;
    let caller = Caller::new(&scene.cluster);
    let mut cancelled = 0;
    for buyer in 0..5 {
        cancelled = buy(&caller, buyer % 3, &format!("u{buyer}")).await;
    }
    let wants = json!({"product_id": "sneaker", "user_id": "holder", "quantity": 2}).to_string();
    let headers = [("content-type", "application/json")];
    let ask = Ask { body: Some(&wants), headers: &headers };
    let held = caller.call(1, Method::POST, "/v1/holds", ask).await;
    assert_eq!(held.status, 201, "{}", held.body);
    let cancel = format!("/v1/orders/{cancelled}/cancel");
    let last = caller.call(0, Method::POST, &cancel, Ask::default()).await;
    assert_eq!(last.status, 200, "{}", last.body);
    let (answer, text) = caller.text(2, Method::GET, "/v1/export", Ask::default()).await;
    assert_eq!(answer.status, 200);
    let lines: Vec<ExportLine> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line of the contract"))
        .collect();
    let Some(ExportLine::Head { seq, .. }) = lines.first() else {
        unreachable!("it begins with its head: {text}")
    };
    assert_eq!(answer.header("flashnode-seq"), seq.to_string());
    assert_eq!(seq.0, last.body["seq"].as_u64().expect("a seq"), "a linearizable read");
    let mut counts = BTreeMap::new();
    for line in &lines {
        let name = match line {
            ExportLine::Head { .. } => "head",
            ExportLine::Product(product) => {
                assert_eq!((product.sold, product.held, product.available), (4, 2, 94));
                "product"
            }
            ExportLine::Hold(_) => "hold",
            ExportLine::Order(order) => {
                assert_eq!(order.cancelled, order.order_id.0 == cancelled);
                "order"
            }
            ExportLine::End { lines: before } => {
                assert_eq!(*before, lines.len() as u64 - 1);
                "end"
            }
        };
        *counts.entry(name).or_insert(0) += 1;
    }
    let expected = [("end", 1), ("head", 1), ("hold", 1), ("order", 5), ("product", 1)];
    assert_eq!(counts, BTreeMap::from(expected));
    assert!(matches!(lines.last(), Some(ExportLine::End { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn levels_come_over_a_websocket() {
    let scene = Scene::open(100, &[]).await;
    let caller = Caller::new(&scene.cluster);
    let plain = caller.get(0, "/ws").await;
    assert_eq!((plain.status, plain.kind()), (400, "/problems/invalid-header"));
    for node in 0..3 {
        let mut levels = Levels::open(&caller.nodes[node]).await;
        let (product, mut stock) = levels.next().await;
        assert_eq!(product, "sneaker", "who connects is told every level");
        for buyer in 0..3 {
            buy(&caller, (node + 1) % 3, &format!("u{node}-{buyer}")).await;
        }
        let left = caller.get(node, "/v1/products/sneaker").await.body["available"].clone();
        while json!(stock) != left {
            let next = levels.next().await.1;
            assert!(next <= stock, "the stock only falls here: {stock}, then {next}");
            stock = next;
        }
    }
    until("the listeners to be gone from the metrics", || async {
        let (_, text) = caller.text(0, Method::GET, "/metrics", Ask::default()).await;
        text.contains("flashnode_listeners{feed=\"levels\"} 0").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn older_events_are_gone_clearly_and_an_export_begins_anew() {
    // Five segments, of which a mebibyte is one and two stay in memory.
    const BUYS: usize = 80_000;
    // Events are sealed into segments with a snapshot.
    let args = ["--events-mib", "1", "--snapshot-entries", "10", "--keep-entries", "10"];
    let scene = Scene::open(1_000_000, &args).await;
    let caller = Caller::new(&scene.cluster);
    for call in 0..BUYS / 10_000 {
        let buy = |buyer| {
            json!({"product_id": "sneaker", "user_id": format!("u{call}-{buyer}"),
                                 "request_id": format!("r{call}-{buyer}")})
        };
        let buys: Vec<Value> = (0..10_000).map(buy).collect();
        let body = Value::from(buys).to_string();
        let headers = [("content-type", "application/json")];
        let ask = Ask { body: Some(&body), headers: &headers };
        let bought = caller.call(0, Method::POST, "/v1/buys/batch", ask).await;
        assert_eq!(bought.status, 200, "{}", bought.body);
    }
    let gone = until("the first events to be gone", || async {
        let ask = Ask { body: None, headers: &[("last-event-id", "0")] };
        let url = format!("http://{}/v1/events?after=0", caller.nodes[1]);
        let head = caller.http.get(url).send().await.expect("an answer").status();
        if head != 410 {
            return None;
        }
        Some(caller.call(1, Method::GET, "/v1/events", ask).await)
    })
    .await;
    assert_eq!(gone.kind(), "/problems/events-gone", "{}", gone.body);
    let detail = gone.body["detail"].as_str().expect("words");
    let words = detail.split_once("Go on after ").expect("a place").1;
    let from: u64 = words.split_once(',').expect("more words").0.parse().expect("a number");
    assert!(from > 0 && detail.contains("/v1/export"), "{detail}");
    let mut stream = Stream::open(&caller, 1, Some(from)).await;
    assert_eq!(stream.next().await.expect("an event").seq.0, from + 1);

    let (_, text) = caller.text(1, Method::GET, "/v1/export", Ask::default()).await;
    let orders = text.lines().filter(|line| line.starts_with("{\"line\":\"order\"")).count();
    assert_eq!(orders, BUYS, "an export has every order");
    assert!(text.trim_end().ends_with(&format!("\"lines\":{}}}", text.lines().count() - 1)));
}
