//! Data directories of a three-node cluster that an older build wrote, before rules had numbers:
//! this build opens them, comes to the state that they were left in, and sells on.
//!
//! `rules-one.tar.gz` has each node's directory: a snapshot's manifest, and a log that goes on from
//! there. The processes were killed; what they had said is in [`LEFT`].

#![allow(clippy::expect_used, reason = "a test ends at what it cannot do without")]

#[path = "../scene/mod.rs"]
mod scene;

use client::cluster::ProcessCluster;
use client::verify::Verified;
use reqwest::Method;
use scene::http::{Answer, Ask, Caller};
use scene::{ONE_AT_A_TIME, PATIENCE, options, until};
use serde_json::{Value, json};
use std::io::Write;
use std::process::{Command, Stdio};
use stock::NodeId;

const ARCHIVE: &[u8] = include_bytes!("rules-one.tar.gz");

/// What the nodes said before they were killed.
struct Left {
    seq: u64,
    /// What the first node knows to be committed without asking anybody, and its state there, as
    /// the build that wrote it had it.
    alone: (u64, &'static str),
    orders: u64,
    receipt: &'static str,
    basket: u64,
    open_hold: u64,
    confirmed_hold: u64,
    released_hold: u64,
    expired_hold: u64,
}

const LEFT: Left = Left {
    seq: 75,
    alone: (74, "c2eb07f13419b926df037ef9489d0d3c"),
    orders: 63,
    receipt: "ed51883709ebdec27ca61abdb79d705d",
    basket: 4,
    open_hold: 6,
    confirmed_hold: 7,
    released_hold: 9,
    expired_hold: 11,
};

/// Three nodes of this build, none of which runs, on the old directories.
fn unpacked() -> ProcessCluster {
    let cluster = ProcessCluster::prepare(options(&[])).expect("ports and a directory");
    let at = cluster.dir();
    let mut tar = Command::new("tar");
    tar.args(["-xzf", "-", "-C"]).arg(at).stdin(Stdio::piped());
    let mut tar = tar.spawn().expect("tar runs");
    let mut input = tar.stdin.take().expect("a pipe");
    input.write_all(ARCHIVE).expect("it reads");
    drop(input);
    assert!(tar.wait().expect("it ends").success());
    for node in cluster.nodes() {
        let old = at.join("old").join(format!("node-{}", node.id));
        std::fs::rename(old, &node.dir).expect("it takes its place");
    }
    cluster
}

async fn send(
    caller: &Caller,
    (method, path): (Method, &str),
    body: Option<Value>,
    headers: &[(&str, &str)],
) -> Answer {
    let text = body.map(|body| body.to_string());
    let mut all = vec![("content-type", "application/json")];
    all.extend_from_slice(headers);
    caller.call(1, method, path, Ask { body: text.as_deref(), headers: &all }).await
}

/// What a node alone, with nobody to ask, makes of its directory.
async fn assert_replayed(caller: &Caller) {
    let path = "/v1/export?consistency=stale";
    until("the log to be replayed", || async {
        let sent =
            caller.http.get(format!("http://{}{path}", caller.nodes[0])).send().await.ok()?;
        let text = sent.text().await.ok()?;
        let head: Value = serde_json::from_str(text.lines().next()?).ok()?;
        let (seq, hash) = LEFT.alone;
        if head["seq"] != json!(seq) {
            return None;
        }
        assert_eq!(head["state_hash"], json!(hash), "{head}");
        Some(())
    })
    .await;
}

/// Keys of orders that were made before are known, and answered as they were. The day for which
/// others are known is over, also by the log time of whoever leads now; so is the open hold's
/// deadline, and once it has expired log time has moved on.
async fn assert_known(caller: &Caller) {
    for (hold, state) in [
        (LEFT.open_hold, "expired"),
        (LEFT.confirmed_hold, "confirmed"),
        (LEFT.released_hold, "released"),
        (LEFT.expired_hold, "expired"),
    ] {
        let path = format!("/v1/holds/{hold}");
        until(&format!("hold {hold} to be {state}"), || async {
            (caller.get(2, &path).await.body["state"] == json!(state)).then_some(())
        })
        .await;
    }
    let items = json!([{"product_id": "tee", "quantity": 2}, {"product_id": "cap"}]);
    let basket = json!({"user_id": "ann", "items": items});
    let key = [("idempotency-key", "ann-basket")];
    let again = send(caller, (Method::POST, "/v1/buys"), Some(basket), &key).await;
    assert_eq!((again.status, again.header("idempotent-replayed")), (201, "true"));
    assert_eq!(again.body["order_id"], json!(LEFT.basket), "{}", again.body);
    let late = json!({"user_id": "cy", "product_id": "mug"});
    let key = [("idempotency-key", "cy-late"), ("flashnode-attempt", "2")];
    let again = send(caller, (Method::POST, "/v1/buys"), Some(late), &key).await;
    assert_eq!((again.status, again.kind()), (410, "/problems/sold-out"), "{}", again.body);
    let more = json!({"quantity": 10});
    let key = [("idempotency-key", "restock")];
    let path = "/v1/products/cap/restock";
    send(caller, (Method::POST, path), Some(more), &key).await;
    let cap = caller.get(0, "/v1/products/cap").await.body;
    // It had 50: the key is as new.
    assert_eq!((&cap["stocked"], &cap["name"]), (&json!(60), &json!("Cap")), "{cap}");
    let order = caller.get(2, &format!("/v1/orders/{}", LEFT.basket)).await.body;
    assert_eq!((&order["cancelled"], &order["request_id"]), (&json!(true), &json!("ann-basket")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_cluster_comes_back_as_it_was_and_sells_on() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let mut cluster = unpacked();
    let caller = Caller::new(&cluster);
    cluster.start_node(NodeId(1)).expect("it opens what is old");
    assert_replayed(&caller).await;
    for id in [2, 3] {
        cluster.start_node(NodeId(id)).expect("it opens what is old");
    }
    cluster.wait_ready(PATIENCE).await.expect("they are a cluster again");
    let client = cluster.client().expect("addresses");
    let verified = client.verify(&[0, 1, 2]).await.expect("they can be read");
    let Verified::Sound { orders, receipt } = verified else { panic!("{verified:?}") };
    assert_eq!((orders, receipt.to_string().as_str()), (LEFT.orders, LEFT.receipt));
    assert_known(&caller).await;
    // Old and new entries in one log, and then from the start of all nodes.
    for round in 0..2 {
        for node in 0..3 {
            let user = format!("new-{round}-{node}");
            let wants = json!({"product_id": "cap", "user_id": user});
            let bought = caller.buy(node, &wants, &[]).await;
            assert_eq!(bought.status, 201, "{}", bought.body);
            assert!(bought.body["order_id"].as_u64() > Some(LEFT.seq), "{}", bought.body);
        }
        let views = cluster.wait_level(PATIENCE).await.expect("the nodes become level");
        for pair in views.windows(2) {
            assert_eq!(pair[0].state_hash, pair[1].state_hash, "states differ: {views:?}");
        }
        for id in (1..=3).map(NodeId) {
            cluster.kill(id).expect("it runs");
        }
        for id in (1..=3).map(NodeId) {
            cluster.start_node(id).expect("it starts again");
        }
        cluster.wait_ready(PATIENCE).await.expect("they come back");
    }
}
