//! Stock levels over a WebSocket.

use super::scene::http::{Ask, Caller};
use super::scene::{PATIENCE, Scene, until};
use super::{buy, buy_batch};
use futures_util::StreamExt;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

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
        // What the next one is told first is not what the first one was.
        let mut second = Levels::open(&caller.nodes[node]).await;
        assert_eq!(second.next().await, ("sneaker".to_owned(), stock));
    }
    until("the listeners to be gone from the metrics", || async {
        let (_, text) = caller.text(0, Method::GET, "/metrics", Ask::default()).await;
        text.contains("flashnode_listeners{feed=\"levels\"} 0").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_is_told_in_few_levels_and_the_last_is_right() {
    const CHANGES: u64 = 30_000;
    /// A product is told at most so often.
    const APART: Duration = Duration::from_millis(100);
    let scene = Scene::open(CHANGES, &[]).await;
    let caller = Caller::new(&scene.cluster);
    // More time than passes between the node's first look and its last, on whatever machine.
    let began = Instant::now();
    let mut levels = Levels::open(&caller.nodes[2]).await;
    let bought = async {
        for call in 0..CHANGES / 10_000 {
            buy_batch(&scene, &format!("burst-{call}"), 10_000).await;
        }
    };
    let told = async {
        let mut told = Vec::new();
        while told.last() != Some(&0) {
            told.push(levels.next().await.1);
        }
        told
    };
    let (told, ()) = tokio::join!(told, bought);
    let looks_max = began.elapsed().as_millis() / APART.as_millis() + 2;
    println!("{CHANGES} changes were told in {} levels", told.len());
    assert!(told.len() as u128 <= looks_max, "{} levels, {looks_max} looks", told.len());
    assert!(told.len() as u64 * 20 < CHANGES, "{} levels of {CHANGES} changes", told.len());
    assert!(told.windows(2).all(|two| two[1] < two[0]), "the stock only falls here: {told:?}");
    // It was the last: whatever changes now is the next that is told.
    let restock = json!({"quantity": 5}).to_string();
    let headers = [("content-type", "application/json")];
    let ask = Ask { body: Some(&restock), headers: &headers };
    let restocked = caller.call(1, Method::POST, "/v1/products/sneaker/restock", ask).await;
    assert_eq!(restocked.status, 200, "{}", restocked.body);
    assert_eq!(levels.next().await, ("sneaker".to_owned(), 5));
}
