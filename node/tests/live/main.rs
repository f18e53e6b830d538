//! The change feed, the export and the stock levels, through real HTTP against a real three-node
//! cluster.

#![allow(clippy::expect_used, reason = "a test ends at what it cannot do without")]

mod crowd;
mod export;
mod feed;
mod levels;
#[path = "../scene/mod.rs"]
mod scene;

use client::batch::{BatchBuy, Form};
use client::{BuyAnswer, BuyOutcome};
use reqwest::{Method, Response};
use scene::http::{Ask, Caller};
use scene::{PATIENCE, Scene};
use serde_json::json;
use stock::api::EventView;
use stock::{RequestId, Seq};

/// A server-sent event stream that is being read.
struct Stream {
    answer: Response,
    unread: String,
}

impl Stream {
    async fn open(caller: &Caller, node: usize, last_id: Option<u64>) -> Self {
        Self::open_after(caller, node, None, last_id).await
    }

    async fn open_after(
        caller: &Caller,
        node: usize,
        after: Option<u64>,
        last_id: Option<u64>,
    ) -> Self {
        let query = after.map_or(String::new(), |after| format!("?after={after}"));
        let url = format!("http://{}/v1/events{query}", caller.nodes[node]);
        let mut request = caller.http.get(url);
        if let Some(id) = last_id {
            request = request.header("last-event-id", id.to_string());
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

fn seqs(events: &[EventView]) -> Vec<u64> {
    events.iter().map(|event| event.seq.0).collect()
}

async fn buy(caller: &Caller, node: usize, user: &str) -> u64 {
    let wants = json!({"product_id": "sneaker", "user_id": user});
    let bought = caller.buy(node, &wants, &[]).await;
    assert_eq!(bought.status, 201, "{}", bought.body);
    bought.body["seq"].as_u64().expect("a seq")
}

/// So many buys in one call, each by someone new, and settled. Returns the newest of the orders.
async fn buy_batch(scene: &Scene, name: &str, count: usize) -> u64 {
    let buy = |buyer| {
        let request = RequestId::new(format!("{name}-{buyer}")).expect("an id");
        BatchBuy { request, buy: scene::buy(&format!("{name}-{buyer}")) }
    };
    let buys: Vec<BatchBuy> = (0..count).map(buy).collect();
    let order = |outcome: BuyOutcome| match outcome.answer {
        BuyAnswer::Accepted { order, .. } => Some(order.order_id.0),
        _ => None,
    };
    let settled = scene.client.buy_batch(&buys, Form::Array).await;
    let orders: Option<Vec<u64>> = settled.into_iter().map(order).collect();
    orders.and_then(|all| all.into_iter().max()).expect("all won")
}

/// How many listeners of a kind a node has, as its metrics say.
async fn listeners(caller: &Caller, node: usize, feed: &str) -> u64 {
    let (_, text) = caller.text(node, Method::GET, "/metrics", Ask::default()).await;
    let name = format!("flashnode_listeners{{feed=\"{feed}\"}} ");
    let line = text.lines().find_map(|line| line.strip_prefix(&name)).expect("the metric");
    line.parse().expect("a number")
}
