//! Batch buys through real HTTP against a real three-node cluster.

#![allow(clippy::expect_used, reason = "a test ends at what it cannot do without")]

mod scene;

use reqwest::Method;
use scene::Scene;
use scene::http::{Answer, Ask, Caller};
use serde_json::{Value, json};
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PATH: &str = "/v1/buys/batch";

async fn batch(caller: &Caller, node: usize, content_type: &str, body: &str) -> Answer {
    let headers = [("content-type", content_type)];
    caller.call(node, Method::POST, PATH, Ask { body: Some(body), headers: &headers }).await
}

fn item(key: &str, user: &str, quantity: u64) -> Value {
    json!({"request_id": key, "product_id": "sneaker", "user_id": user, "quantity": quantity})
}

fn statuses(answer: &Answer) -> Vec<u64> {
    let items = answer.body.as_array().expect("an array");
    items.iter().map(|item| item["status"].as_u64().expect("a status")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_item_has_its_own_outcome() {
    let scene = Scene::open(5, &[]).await;
    let caller = Caller::new(&scene.cluster);
    let body = json!([
        item("a", "ann", 2),
        item("a", "ann", 2),
        item("a", "ann", 3),
        {"request_id": "b", "product_id": "sneaker"},
        item("c", "", 1),
        7,
        {"request_id": "d", "product_id": "none", "user_id": "bob"},
        item("a", "bob", 1),
        item("e", "bob", 9),
        {"request_id": "f", "product_id": "sneaker", "user_id": "cy", "quantity": 2, "attempt": 2},
        item("g", "dan", 1),
    ]);
    let first = batch(&caller, 1, "application/json", &body.to_string()).await;
    assert_eq!(first.status, 200, "{}", first.body);
    assert_eq!(first.header("flashnode-node"), "2");
    let told = statuses(&first);
    assert_eq!(told[..3], [201, 201, 422], "{}", first.body);
    assert_eq!(told[3..7], [400, 422, 400, 404], "{}", first.body);
    assert_eq!(told[7], 201);
    // What the applied state refuses is read and not proposed, so it may be looked at once the
    // others have taken what was left.
    assert!(matches!(told[8], 409 | 410), "{}", first.body);
    assert_eq!((told[9], told[10]), (201, 410), "{}", first.body);
    let order = &first.body[0]["order"]["order_id"];
    assert_eq!(&first.body[1]["order"]["order_id"], order, "one key, one order");
    assert_eq!(first.body[1]["replayed"], json!(true));
    assert_eq!(first.body[10]["problem"]["type"], json!("/problems/sold-out"));
    assert_eq!(first.body[10]["request_id"], json!("g"));
    // The same again at another node, as lines: what won is replayed, what was refused stays so.
    let lines: Vec<String> = body.as_array().expect("items").iter().map(Value::to_string).collect();
    let headers = [("content-type", "application/x-ndjson")];
    let ask = Ask { body: Some(&lines.join("\n")), headers: &headers };
    let (again, text) = caller.text(2, Method::POST, PATH, ask).await;
    assert_eq!(again.header("content-type"), "application/x-ndjson");
    let results: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(results.len(), lines.len());
    for (result, told) in results.iter().zip(&told) {
        // With nothing left, what was too much is sold out.
        let want = if *told == 409 { 410 } else { *told };
        assert_eq!(result["status"], json!(want), "{text}");
        if *told == 201 {
            assert_eq!(result["replayed"], json!(true), "{result}");
        }
    }
    assert_eq!(&results[0]["order"]["order_id"], order);
    let product = caller.get(0, "/v1/products/sneaker").await.body;
    assert_eq!((&product["sold"], &product["available"]), (&json!(5), &json!(0)));
    scene.assert_equal_states().await;
}

/// An item's attempt is its own: a later one's refusal is final, a first one's is forgotten.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_later_attempt_in_a_batch_is_final() {
    let scene = Scene::open(0, &[]).await;
    let caller = Caller::new(&scene.cluster);
    let attempt = |key: &str, attempt: u32| {
        let mut item = item(key, "ann", 1);
        item["attempt"] = json!(attempt);
        item
    };
    let body = json!([attempt("first", 1), attempt("later", 2), attempt("last", 4_294_967_295)]);
    let refused = batch(&caller, 0, "application/json", &body.to_string()).await;
    assert_eq!(statuses(&refused), [410, 410, 410], "{}", refused.body);
    let restock = Ask { body: Some(r#"{"quantity":9}"#), headers: &[] };
    let restock = caller.call(1, Method::POST, "/v1/products/sneaker/restock", restock).await;
    assert_eq!(restock.status, 200, "{}", restock.body);
    for node in 0..3 {
        let again = batch(&caller, node, "application/json", &body.to_string()).await;
        assert_eq!(statuses(&again), [201, 410, 410], "{}", again.body);
        let replayed: Vec<_> = [0, 1, 2].map(|at| again.body[at]["replayed"].clone()).to_vec();
        assert_eq!(replayed, [json!(node > 0), json!(true), json!(true)], "{}", again.body);
        // Alone it is answered as in a batch.
        let key = [("idempotency-key", "later")];
        let wants = json!({"product_id": "sneaker", "user_id": "ann", "quantity": 1});
        let alone = caller.buy(node, &wants, &key).await;
        assert_eq!((alone.status, alone.header("idempotent-replayed")), (410, "true"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_batch_changes_nothing() {
    let scene = Scene::open(5, &[]).await;
    let caller = Caller::new(&scene.cluster);
    let one = item("k", "ann", 1).to_string();
    let too_many = format!("[{}]", vec![one.as_str(); 10_001].join(","));
    let huge = format!("[{}]", " ".repeat(7 * 1024 * 1024));
    for (content_type, body, status, kind) in [
        ("application/json", "", 400, "invalid-json"),
        ("application/json", "{}", 400, "invalid-field"),
        ("application/json", "null", 400, "invalid-field"),
        ("application/json", "[{]", 400, "invalid-json"),
        ("application/json", &one, 400, "invalid-field"),
        ("application/json", &"[".repeat(5_000), 400, "invalid-json"),
        ("application/json", &too_many, 413, "too-large"),
        ("application/json", &huge, 413, "too-large"),
        ("text/csv", &one, 415, "unsupported-media-type"),
    ] {
        let answer = batch(&caller, 0, content_type, body).await;
        let told = (answer.status, answer.kind());
        assert_eq!(told, (status, format!("/problems/{kind}").as_str()), "{}", answer.body);
    }
    let none = batch(&caller, 1, "application/json", "[]").await;
    assert_eq!((none.status, none.body), (200, json!([])));
    assert_eq!(caller.get(2, "/v1/products/sneaker").await.body["sold"], json!(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_in_one_call_at_every_node() {
    const CALL: u64 = 10_000;
    let scene = Scene::open(25_000, &["--deadline-ms", "60000"]).await;
    let caller = Caller::new(&scene.cluster);
    let body = |node: u64| {
        let items: Vec<Value> =
            (0..CALL).map(|i| item(&format!("{node}-{i}"), &format!("u{node}-{i}"), 1)).collect();
        Value::from(items).to_string()
    };
    let (one, two, three) = (body(1), body(2), body(3));
    let started = Instant::now();
    let answers = tokio::join!(
        batch(&caller, 0, "application/json", &one),
        batch(&caller, 1, "application/json", &two),
        batch(&caller, 2, "application/json", &three),
    );
    let took = started.elapsed();
    let told: Vec<u64> =
        [&answers.0, &answers.1, &answers.2].into_iter().flat_map(statuses).collect();
    let of = |status| told.iter().filter(|told| **told == status).count();
    println!("30,000 buys in three calls, {} won, in {took:?}", of(201));
    assert_eq!((told.len(), of(201), of(410)), (30_000, 25_000, 5_000));
    let product = caller.get(0, "/v1/products/sneaker").await.body;
    assert_eq!((&product["sold"], &product["available"]), (&json!(25_000), &json!(0)));
    scene.assert_equal_states().await;
}

/// Whoever sends a body slowly takes no place from whoever sends it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_callers_hold_up_nobody() {
    let scene = Scene::open(5, &[]).await;
    let caller = Caller::new(&scene.cluster);
    let mut slow = Vec::new();
    for _ in 0..16 {
        let mut tcp = TcpStream::connect(&caller.nodes[0]).await.expect("the node listens");
        let head = format!(
            "POST {PATH} HTTP/1.1\r\nhost: flashnode\r\ncontent-type: application/json\r\n\
             content-length: 6000000\r\nexpect: 100-continue\r\n\r\n"
        );
        tcp.write_all(head.as_bytes()).await.expect("the head is sent");
        // The node says so when it begins to read the body.
        let mut told = [0; 25];
        tcp.read_exact(&mut told).await.expect("an interim answer");
        assert_eq!(&told, b"HTTP/1.1 100 Continue\r\n\r\n");
        tcp.write_all(b"[").await.expect("a byte is sent");
        slow.push(tcp);
    }
    let body = json!([item("a", "ann", 2)]).to_string();
    let answer = batch(&caller, 0, "application/json", &body).await;
    assert_eq!((answer.status, statuses(&answer)), (200, vec![201]), "{}", answer.body);
    drop(slow);
}
