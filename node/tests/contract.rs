//! The HTTP contract through real HTTP against a real three-node cluster: each row that exists.

#![allow(clippy::expect_used, reason = "a test ends at what it cannot do without")]

mod scene;

use futures_util::future::join_all;
use reqwest::Method;
use scene::Scene;
use scene::http::{Ask, Caller};
use serde_json::{Value, json};
use stock::NodeId;

fn wants(user: &str, quantity: u64) -> Value {
    json!({"product_id": "sneaker", "user_id": user, "quantity": quantity})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_buy_and_its_replays_at_every_node() {
    let scene = Scene::open(10, &[]).await;
    let caller = Caller::new(&scene.cluster);
    let key = [("idempotency-key", "\"k-1\"")];
    let first = caller.buy(0, &wants("ann", 2), &key).await;
    assert_eq!(first.status, 201, "{}", first.body);
    let order = first.body["order_id"].as_u64().expect("an order id");
    assert_eq!(first.header("location"), format!("/v1/orders/{order}"));
    assert_eq!(first.header("flashnode-node"), "1");
    assert_eq!(first.header("flashnode-seq"), order.to_string());
    assert_eq!(
        (first.body["remaining"].as_u64(), first.header("idempotent-replayed")),
        (Some(8), "")
    );
    for node in 0..3 {
        let again = caller.buy(node, &wants("ann", 2), &[("idempotency-key", "k-1")]).await;
        assert_eq!((again.status, again.header("idempotent-replayed")), (201, "true"));
        assert_eq!(again.body["order_id"].as_u64(), Some(order), "quoted and bare are one key");
        let other = caller.buy(node, &wants("ann", 3), &key).await;
        assert_eq!((other.status, other.kind()), (422, "/problems/key-reused"));
        let view = caller.get(node, &format!("/v1/orders/{order}")).await;
        assert_eq!((view.status, &view.body["request_id"]), (200, &json!("k-1")));
        let found = caller.get(node, "/v1/orders?user_id=ann&request_id=k-1").await;
        assert_eq!(found.body["orders"].as_array().map(Vec::len), Some(1));
        let none = caller.get(node, "/v1/orders?user_id=bob&request_id=k-1").await;
        assert_eq!(none.body["orders"].as_array().map(Vec::len), Some(0), "keys belong to users");
        let product = caller.get(node, "/v1/products/sneaker").await;
        assert_eq!(product.body["available"].as_u64(), Some(8), "linearizable at node {node}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_and_their_words() {
    let scene = Scene::open(3, &[]).await;
    let caller = Caller::new(&scene.cluster);
    let json_type = [("content-type", "application/json")];
    let put = |path: &'static str, body: &'static str| {
        let ask = Ask { body: Some(body), headers: &json_type };
        caller.call(1, Method::PUT, path, ask)
    };
    assert_eq!(put("/v1/products/sneaker", r#"{"name":"Sneaker","stock":3}"#).await.status, 200);
    let differs = put("/v1/products/sneaker", r#"{"name":"Sneaker","stock":4}"#).await;
    assert_eq!((differs.status, differs.kind()), (409, "/problems/product-differs"));
    let limited = put("/v1/products/tee", r#"{"name":"T","stock":9,"per_user_limit":1}"#).await;
    assert_eq!(limited.status, 201);
    let tee = |user: &str| json!({"product_id": "tee", "user_id": user});
    assert_eq!(caller.buy(2, &tee("ann"), &[]).await.status, 201);
    let limit = caller.buy(2, &tee("ann"), &[]).await;
    assert_eq!((limit.status, limit.kind()), (409, "/problems/limit-reached"));

    let unknown = caller.buy(0, &json!({"product_id": "none", "user_id": "ann"}), &[]).await;
    assert_eq!((unknown.status, unknown.kind()), (404, "/problems/unknown-product"));
    let many = caller.buy(1, &wants("ann", 4), &[]).await;
    assert_eq!((many.status, many.kind()), (409, "/problems/insufficient"));
    assert_eq!(many.body["remaining"].as_u64(), Some(3));
    assert_eq!(caller.buy(1, &wants("ann", 3), &[]).await.status, 201);
    for node in 0..3 {
        let gone = caller.buy(node, &wants("bob", 1), &[]).await;
        assert_eq!((gone.status, gone.kind()), (410, "/problems/sold-out"), "node {node}");
        assert_eq!(gone.header("cache-control"), "no-store");
        assert_eq!(gone.header("content-type"), "application/problem+json");
        let page = caller.get(node, gone.kind()).await;
        assert_eq!(page.status, 200, "a problem's type is a page of the node");
    }
    // A refusal on a first attempt is forgotten: after a restock the same key wins.
    let key = [("idempotency-key", "again")];
    assert_eq!(caller.buy(0, &wants("cy", 1), &key).await.status, 410);
    let later = [("idempotency-key", "later"), ("flashnode-attempt", "2")];
    assert_eq!(caller.buy(0, &wants("cy", 1), &later).await.status, 410);
    let ask = Ask { body: Some(r#"{"quantity":5}"#), headers: &json_type };
    let restock = caller.call(2, Method::POST, "/v1/products/sneaker/restock", ask).await;
    assert_eq!(restock.status, 200);
    assert_eq!(caller.buy(1, &wants("cy", 1), &key).await.status, 201);
    // A later attempt's refusal is final.
    assert_eq!(caller.buy(1, &wants("cy", 1), &later).await.status, 410);
    let ask = Ask { body: Some(r#"{"quantity":-5}"#), headers: &json_type };
    let back = caller.call(2, Method::POST, "/v1/products/sneaker/restock", ask).await;
    let told = (back.status, back.kind());
    assert_eq!(
        told,
        (409, "/problems/restock-out-of-range"),
        "only what is available: {}",
        back.body
    );
    let available = caller.get(0, "/v1/products/sneaker").await.body["available"].clone();
    assert_eq!(back.body["remaining"], available, "it says how many are: {}", back.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_requests_change_nothing() {
    let scene = Scene::open(5, &[]).await;
    let caller = Caller::new(&scene.cluster);
    let before = caller.get(0, "/v1/products/sneaker").await.body;
    let long = "x".repeat(129);
    for (body, status) in [
        ("", 400),
        ("{", 400),
        ("[]", 400),
        (r#"{"product_id":"sneaker"}"#, 400),
        (r#"{"product_id":"sneaker","user_id":null}"#, 400),
        (r#"{"product_id":"sneaker","user_id":7}"#, 400),
        (r#"{"product_id":"sneaker","user_id":"a","extra":1}"#, 400),
        (r#"{"product_id":"sneaker","user_id":"a","quantity":0}"#, 422),
        (r#"{"product_id":"sneaker","user_id":"a","quantity":-1}"#, 422),
        (r#"{"product_id":"sneaker","user_id":"a","quantity":1e30}"#, 422),
        (r#"{"product_id":"sneaker","user_id":"a","quantity":1000001}"#, 422),
        (r#"{"product_id":"sneaker","user_id":""}"#, 422),
        (r#"{"product_id":"snea/ker","user_id":"a"}"#, 422),
        (&format!(r#"{{"product_id":"sneaker","user_id":"{long}"}}"#), 422),
        (&format!(r#"{{"product_id":"sneaker","user_id":"{}"}}"#, "y".repeat(70_000)), 413),
    ] {
        let ask = Ask { body: Some(body), headers: &[("content-type", "application/json")] };
        let answer = caller.call(1, Method::POST, "/v1/buys", ask).await;
        let shown: String = body.chars().take(80).collect();
        assert_eq!(answer.status, status, "{shown}: {}", answer.body);
        assert!(answer.body["detail"].is_string(), "{shown}: {}", answer.body);
    }
    let good = wants("a", 1);
    for (headers, status) in [
        ([("idempotency-key", "")], 400),
        ([("idempotency-key", long.as_str())], 400),
        ([("flashnode-attempt", "none")], 400),
        ([("flashnode-attempt", "0")], 400),
        ([("flashnode-attempt", "2")], 400),
        ([("idempotency-key", "two words")], 400),
        ([("idempotency-key", "\"half")], 400),
    ] {
        let answer = caller.buy(2, &good, &headers).await;
        let told = (answer.status, answer.kind());
        assert_eq!(told, (status, "/problems/invalid-header"), "{headers:?}: {}", answer.body);
    }
    let text = good.to_string();
    let ask = Ask { body: Some(&text), headers: &[("content-type", "text/plain")] };
    let not_json = caller.call(0, Method::POST, "/v1/buys", ask).await;
    let told = (not_json.status, not_json.kind());
    assert_eq!(told, (415, "/problems/unsupported-media-type"), "{}", not_json.body);
    let wrong_method = caller.call(0, Method::DELETE, "/v1/buys", Ask::default()).await;
    let told = (wrong_method.status, wrong_method.kind());
    assert_eq!(told, (405, "/problems/method-not-allowed"), "{}", wrong_method.body);
    assert_eq!(wrong_method.header("allow"), "POST");
    assert_eq!(caller.get(0, "/v1/nothing").await.status, 404);
    assert_eq!(caller.get(0, "/v1/orders/999").await.status, 404);
    assert_eq!(caller.get(0, "/v1/products/none").await.status, 404);
    assert_eq!(caller.get(0, "/v1/products/sneaker").await.body, before, "nothing changed");
    for path in ["/livez", "/readyz", "/readyz?verbose", "/metrics", "/v1/cluster"] {
        assert_eq!(caller.get(2, path).await.status, 200, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_are_as_current_as_they_ask() {
    let mut scene = Scene::open_for_failover(100, &["--deadline-ms", "4000"]).await;
    let caller = Caller::new(&scene.cluster);
    for buyer in 0..9_usize {
        let bought = caller.buy(buyer % 3, &wants(&format!("u{buyer}"), 1), &[]).await;
        let seq = bought.body["seq"].as_u64().expect("a seq");
        // One's own write, at another node, which may hear of it later.
        let path = format!("/v1/products/sneaker?consistency=stale&min_seq={seq}");
        let read = caller.get((buyer + 1) % 3, &path).await;
        assert_eq!(read.status, 200, "{}", read.body);
        let told: u64 = read.header("flashnode-seq").parse().expect("a seq");
        assert!(told >= seq && read.body["sold"].as_u64() > Some(buyer as u64), "{}", read.body);
    }
    // The next change is not there yet, and nor is one far ahead.
    let now = caller.get(1, "/v1/products/sneaker").await.header("flashnode-seq").parse::<u64>();
    let waits = [now.expect("a seq") + 1, 1_000_000].map(async |min_seq| {
        let path = format!("/v1/products/sneaker?consistency=stale&min_seq={min_seq}");
        (min_seq, caller.get(0, &path).await)
    });
    for (min_seq, ahead) in join_all(waits).await {
        assert_eq!((ahead.status, ahead.kind()), (503, "/problems/lagging"), "{min_seq}");
        assert!(ahead.header("retry-after").parse::<u64>().is_ok_and(|s| s >= 1));
    }

    // Without a majority nothing is decided or confirmed, and what was applied is still told.
    let leader = scene.leader().await;
    let asked = (1..=3).map(NodeId).find(|id| *id != leader).expect("a follower");
    let node = usize::try_from(asked.0 - 1).expect("a small id");
    for id in (1..=3).map(NodeId).filter(|id| *id != asked) {
        scene.cluster.kill(id).expect("it runs");
    }
    // Asked after both are gone, so no leader can have got it.
    let late = wants("late", 1);
    let read = caller.get(node, "/v1/products/sneaker");
    let (answer, read) = tokio::join!(caller.buy(node, &late, &[]), read);
    assert_eq!((answer.status, answer.kind()), (503, "/problems/no-leader"), "{}", answer.body);
    let wait = answer.header("retry-after").parse::<u64>();
    assert!(wait.is_ok_and(|s| s >= 1), "{}", answer.body);
    let kinds = ["/problems/no-leader", "/problems/read-timeout"];
    assert!(read.status == 503 && kinds.contains(&read.kind()), "{}", read.body);
    assert!(read.header("retry-after").parse::<u64>().is_ok_and(|s| s >= 1));
    let stale = caller.get(node, "/v1/products/sneaker?consistency=stale").await;
    assert_eq!((stale.status, &stale.body["sold"]), (200, &json!(9)), "{}", stale.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_node_knows_the_cluster() {
    let scene = Scene::open(5, &[]).await;
    let caller = Caller::new(&scene.cluster);
    let leader = scene.leader().await.0;
    for node in 0..3 {
        let view = caller.get(node, "/v1/cluster").await;
        assert_eq!((view.status, &view.body["node"]), (200, &json!(node + 1)), "{}", view.body);
        assert_eq!(view.body["leader"], json!(leader), "{}", view.body);
        let nodes = view.body["nodes"].as_array().expect("a list");
        assert_eq!(nodes.len(), 3, "{}", view.body);
        for (told, id) in nodes.iter().zip(1..) {
            let role = if id == leader { "leader" } else { "follower" };
            assert_eq!((&told["id"], &told["role"]), (&json!(id), &json!(role)), "{told}");
            for number in ["term", "last_log", "committed", "applied", "lag", "seq"] {
                assert!(told[number].is_u64(), "{number}: {told}");
            }
        }
    }
}
