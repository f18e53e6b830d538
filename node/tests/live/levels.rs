//! Stock levels, as server-sent events and over a WebSocket.

use super::scene::http::{Ask, Caller};
use super::scene::{PATIENCE, Scene, until};
use super::{buy, buy_batch, listeners};
use futures_util::StreamExt;
use reqwest::{Method, Response};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use stock::Sku;
use stock::api::PutProduct;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// How levels are listened to.
#[derive(Debug, Clone, Copy)]
enum Over {
    Events,
    Socket,
}

/// Stock levels as they come.
pub(crate) enum Levels {
    Events { answer: Response, unread: String },
    Socket(WebSocketStream<MaybeTlsStream<TcpStream>>),
}

impl Levels {
    async fn open(over: Over, node: &str) -> Self {
        match over {
            Over::Events => Self::events(node).await,
            Over::Socket => {
                let (stream, _) =
                    connect_async(format!("ws://{node}/ws")).await.expect("an upgrade");
                Self::Socket(stream)
            }
        }
    }

    pub(crate) async fn events(node: &str) -> Self {
        let answer = reqwest::get(format!("http://{node}/v1/levels")).await.expect("an answer");
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Self::Events { answer, unread: String::new() }
    }

    /// The next message, as text.
    async fn text(&mut self) -> String {
        match self {
            Self::Socket(socket) => loop {
                let message = socket.next().await.expect("it is open").expect("it is");
                if let Message::Text(text) = message {
                    return text.to_string();
                }
            },
            Self::Events { answer, unread } => loop {
                if let Some((block, rest)) = unread.split_once("\n\n") {
                    let data = block.strip_prefix("data: ").map(str::to_owned);
                    *unread = rest.into();
                    match data {
                        Some(data) => return data,
                        None => continue,
                    }
                }
                let chunk = answer.chunk().await.expect("it is open").expect("it is");
                unread.push_str(std::str::from_utf8(&chunk).expect("whole characters"));
            },
        }
    }

    /// The next level: a product and its stock.
    pub(crate) async fn next(&mut self) -> (String, u64) {
        let text = tokio::time::timeout(PATIENCE, self.text()).await.expect("the levels go on");
        let level: Value = serde_json::from_str(&text).expect("JSON");
        let product = level["product_id"].as_str().expect("a product").to_owned();
        (product, level["stock"].as_u64().expect("a level"))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn levels_come_over_a_websocket() {
    let scene = Scene::open(100, &[]).await;
    let caller = Caller::new(&scene.cluster);
    let plain = caller.get(0, "/ws").await;
    assert_eq!((plain.status, plain.kind()), (400, "/problems/invalid-header"));
    levels_are_told(&caller, Over::Socket).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn levels_come_as_events() {
    let scene = Scene::open(100, &[]).await;
    let caller = Caller::new(&scene.cluster);
    let odd = caller.get(0, "/v1/levels?of=sneaker").await;
    assert_eq!((odd.status, odd.kind()), (400, "/problems/invalid-query"));
    levels_are_told(&caller, Over::Events).await;
}

async fn levels_are_told(caller: &Caller, over: Over) {
    for node in 0..3 {
        let mut levels = Levels::open(over, &caller.nodes[node]).await;
        let (product, mut stock) = levels.next().await;
        assert_eq!(product, "sneaker", "who connects is told every level");
        for buyer in 0..3 {
            buy(caller, (node + 1) % 3, &format!("u{node}-{buyer}")).await;
        }
        let left = caller.get(node, "/v1/products/sneaker").await.body["available"].clone();
        while json!(stock) != left {
            let next = levels.next().await.1;
            assert!(next <= stock, "the stock only falls here: {stock}, then {next}");
            stock = next;
        }
        // What the next one is told first is not what the first one was.
        let mut second = Levels::open(over, &caller.nodes[node]).await;
        assert_eq!(second.next().await, ("sneaker".to_owned(), stock));
    }
    until("the listeners to be gone from the metrics", || async {
        (listeners(caller, 0, "levels").await == 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_is_told_in_few_levels_and_the_last_is_right() {
    a_burst_is_told(Over::Socket).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_is_told_in_few_events_and_the_last_is_right() {
    a_burst_is_told(Over::Events).await;
}

/// A product that is put on sale while somebody listens is a level like any other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_to_many_products_is_told_each_once() {
    const PRODUCTS: usize = 100;
    let scene = Scene::open(7, &[]).await;
    let caller = Caller::new(&scene.cluster);
    let mut early = Levels::events(&caller.nodes[1]).await;
    assert_eq!(early.next().await, ("sneaker".to_owned(), 7));
    let mut wanted = BTreeMap::from([("sneaker".to_owned(), 7)]);
    for product in 0..PRODUCTS {
        let (id, stock) = (format!("product-{product}"), product as u64 + 1);
        let put = PutProduct { name: id.clone(), stock, ..PutProduct::default() };
        let sku = Sku::new(&*id).expect("a valid id");
        scene.client.create_product(&sku, &put).await.expect("it is put on sale");
        wanted.insert(id, stock);
    }
    let mut told = BTreeMap::from([("sneaker".to_owned(), 7)]);
    while told != wanted {
        let (product, stock) = early.next().await;
        assert_eq!(told.insert(product.clone(), stock), None, "{product} was told twice");
    }
    let mut late = Levels::events(&caller.nodes[1]).await;
    let mut told = BTreeMap::new();
    for _ in 0..=PRODUCTS {
        told.extend([late.next().await]);
    }
    assert_eq!(told, wanted);
}

async fn a_burst_is_told(over: Over) {
    const CHANGES: u64 = 30_000;
    /// A product is told at most so often.
    const APART: Duration = Duration::from_millis(100);
    let scene = Scene::open(CHANGES, &[]).await;
    let caller = Caller::new(&scene.cluster);
    // More time than passes between the node's first look and its last, on whatever machine.
    let began = Instant::now();
    let mut levels = Levels::open(over, &caller.nodes[2]).await;
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
