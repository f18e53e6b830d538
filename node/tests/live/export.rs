//! The export, and the feed's far end that sends its listeners there.

use super::scene::http::{Ask, Caller};
use super::scene::{Scene, until};
use super::{Stream, buy, buy_batch};
use reqwest::Method;
use serde_json::json;
use std::collections::BTreeMap;
use stock::CursorTarget;
use stock::api::ExportLine;

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
    let body = Some(r#"{"expected": null, "position": 3, "target": "nats://a"}"#);
    let ask = Ask { body, headers: &[("content-type", "application/json")] };
    let moved = caller.call(1, Method::PUT, "/v1/cursors/sink", ask).await;
    assert_eq!(moved.status, 200, "{}", moved.body);
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
            ExportLine::Debt { .. } => "debt",
            ExportLine::Cursor { name, position, target } => {
                let target = target.as_ref().map(CursorTarget::as_str);
                assert_eq!((name.as_str(), *position, target), ("sink", 3, Some("nats://a")));
                "cursor"
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
    let expected =
        [("cursor", 1), ("end", 1), ("head", 1), ("hold", 1), ("order", 5), ("product", 1)];
    assert_eq!(counts, BTreeMap::from(expected));
    assert!(matches!(lines.last(), Some(ExportLine::End { .. })));
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
        buy_batch(&scene, &format!("call-{call}"), 10_000).await;
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
