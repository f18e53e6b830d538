//! What a cluster says when it cannot decide, through real HTTP against a real three-node cluster:
//! too much work, no room, no time, an outcome that nobody knows, and a node that should not be
//! asked, and why.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends at what it cannot do without")]

mod crowd;
mod ending;
mod full_disk;
mod reads;
#[path = "../scene/mod.rs"]
mod scene;

use client::cluster::ProcessCluster;
use futures_util::future::join_all;
use reqwest::Method;
use scene::http::{Answer, Ask, Caller};
use scene::{PATIENCE, Scene, options, raw, until};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use stock::NodeId;

const JSON: (&str, &str) = ("content-type", "application/json");

fn buy(user: &str) -> Value {
    json!({"product_id": "sneaker", "user_id": user})
}

fn position(id: NodeId) -> usize {
    usize::try_from(id.0 - 1).expect("a small id")
}

fn others(id: NodeId) -> [NodeId; 2] {
    let others: Vec<NodeId> = (1..=3).map(NodeId).filter(|other| *other != id).collect();
    [others[0], others[1]]
}

async fn post(caller: &Caller, node: usize, path: &str, body: &Value) -> Answer {
    let text = body.to_string();
    caller.call(node, Method::POST, path, Ask { body: Some(&text), headers: &[JSON] }).await
}

/// Orders of a request, as the cluster has them.
async fn orders(caller: &Caller, user: &str, key: &str) -> usize {
    let found = caller.get(0, &format!("/v1/orders?user_id={user}&request_id={key}")).await;
    found.body["orders"].as_array().expect("a list").len()
}

/// Fills a node with buys that it cannot settle, until a further one finds no room: callers that
/// go away leave what they asked for behind. Returns its key and its answer.
async fn fill(caller: &Caller, node: usize) -> (String, Answer) {
    const CALL: usize = 2_000;
    /// A call that takes longer waits for a decision, and so has asked.
    const LEAVES_AFTER: Duration = Duration::from_millis(500);
    let calls = std::cell::Cell::new(0);
    until("the mailbox to be full", || async {
        let call = calls.replace(calls.get() + 1);
        let item = |at| {
            let user = format!("fill-{call}-{at}");
            json!({"request_id": user, "product_id": "sneaker", "user_id": user})
        };
        let items: Vec<Value> = (0..CALL).map(item).collect();
        let items = Value::from(items);
        let asked = post(caller, node, "/v1/buys/batch", &items);
        let _left = tokio::time::timeout(LEAVES_AFTER, asked).await;
        let (key, one_more) = (format!("one-more-{call}"), buy("late"));
        let headers = [("idempotency-key", key.as_str())];
        let answer = caller.buy(node, &one_more, &headers);
        let answer = tokio::time::timeout(LEAVES_AFTER, answer).await.ok()?;
        Some((key, answer))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_node_says_so_and_has_proposed_nothing() {
    let mut scene = Scene::open_for_failover(1_000_000, &["--deadline-ms", "60000"]).await;
    let caller = Caller::new(&scene.cluster);
    let leader = scene.leader().await;
    for id in others(leader) {
        scene.cluster.kill(id).expect("it runs");
    }
    let (key, full) = fill(&caller, position(leader)).await;
    let says_so = |answer: &Answer| {
        assert_eq!((answer.status, answer.kind()), (503, "/problems/overloaded"));
        let wait_ms = answer.body["retry_after_ms"].as_u64().expect("how long");
        assert_eq!(answer.header("retry-after"), wait_ms.div_ceil(1_000).to_string());
        assert_eq!(answer.header("cache-control"), "no-store");
    };
    says_so(&full);
    // Whatever is asked for, and however.
    let several = json!([{"product_id": "sneaker"}]);
    for (path, body) in [
        ("/v1/buys", json!({"user_id": "late", "items": several})),
        ("/v1/holds", buy("late")),
        ("/v1/products/sneaker/restock", json!({"quantity": 1})),
        ("/api/buy", buy("late")),
    ] {
        says_so(&post(&caller, position(leader), path, &body).await);
    }
    let path = "/api/flash-sale/buy?userId=late&productId=sneaker";
    says_so(&caller.call(position(leader), Method::POST, path, Ask::default()).await);
    let read = caller.get(position(leader), "/v1/products/sneaker?consistency=stale").await;
    assert_eq!(read.status, 200, "what is a read of its own state goes on");

    for id in others(leader) {
        scene.cluster.start_node(id).expect("it starts again");
    }
    scene.cluster.wait_ready(PATIENCE).await.expect("a majority is back");
    assert_eq!(orders(&caller, "late", &key).await, 0, "it was surely not proposed");
    let headers = [("idempotency-key", key.as_str())];
    until("there to be room again", || async {
        let again = caller.buy(position(leader), &buy("late"), &headers).await;
        (again.status == 201).then_some(())
    })
    .await;
    assert_eq!(orders(&caller, "late", &key).await, 1);
    scene.assert_equal_states().await;
}

/// Pauses two nodes, the leader or those that it needs, and buys at the third until it says that
/// it does not know: a node that has noticed already that nobody decides says something else.
async fn unknown_outcome(scene: &mut Scene, caller: &Caller, at_leader: bool) -> (Answer, String) {
    const ROUNDS_MAX: usize = 10;
    for round in 0..ROUNDS_MAX {
        let leader = scene.leader().await;
        let asked = if at_leader { leader } else { scene.follower().await };
        let user = format!("ann-{at_leader}-{round}");
        // A connection that is open already, so that the buy comes before anybody notices.
        assert_eq!(caller.get(position(asked), "/livez").await.status, 200);
        for id in others(asked) {
            scene.cluster.pause(id).expect("it runs");
        }
        let answer = caller.buy(position(asked), &buy(&user), &[]).await;
        for id in others(asked) {
            scene.cluster.resume(id).expect("it was paused");
        }
        scene.cluster.wait_ready(PATIENCE).await.expect("all go on");
        if answer.status == 504 {
            return (answer, user);
        }
        assert_eq!((answer.status, answer.kind()), (503, "/problems/no-leader"), "{}", answer.body);
    }
    panic!("no buy of {ROUNDS_MAX} was on its way when its deadline passed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outcome_that_nobody_knows_is_settled_by_its_key() {
    let mut scene = Scene::open_for_failover(100, &["--deadline-ms", "2000"]).await;
    let caller = Caller::new(&scene.cluster);
    // Appended by a leader that nobody follows; sent to a leader that does not answer.
    for at_leader in [true, false] {
        let (unknown, user) = unknown_outcome(&mut scene, &caller, at_leader).await;
        assert_eq!(unknown.kind(), "/problems/outcome-unknown", "{}", unknown.body);
        assert_eq!(unknown.header("content-type"), "application/problem+json");
        assert!(unknown.header("retry-after").parse::<u64>().is_ok_and(|s| s >= 1));
        assert!(unknown.body["retry_after_ms"].as_u64().is_some_and(|ms| ms > 0));
        assert_eq!(caller.get(0, unknown.kind()).await.status, 200, "a type is a page");
        // The node made the key and tells it: nothing else settles what became of the buy.
        let made = unknown.header("idempotency-key").to_owned();
        let key = [("idempotency-key", made.as_str()), ("flashnode-attempt", "2")];
        let mut known = Vec::new();
        for node in 0..3 {
            let settled = caller.buy(node, &buy(&user), &key).await;
            assert_eq!(settled.status, 201, "{}", settled.body);
            known.push(settled.body["order_id"].clone());
        }
        assert!(known.iter().all(|order| *order == known[0]), "one order: {known:?}");
        assert_eq!(orders(&caller, &user, &made).await, 1);
    }
    scene.assert_equal_states().await;
}

/// A request has one deadline, from when it came: whoever sends it slowly waits no longer for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_request_waits_for_shares_its_time() {
    const DEADLINE: Duration = Duration::from_secs(6);
    /// Far from the deadline, and from that time and the body's together.
    const AMID: Duration = Duration::from_millis(9_500);
    let mut scene = Scene::open_for_failover(100, &["--deadline-ms", "6000"]).await;
    let asked = scene.follower().await;
    let address = scene.cluster.node(asked).http.clone();
    for id in others(asked) {
        scene.cluster.kill(id).expect("it runs");
    }
    let body = buy("ann").to_string();
    for path in ["/v1/buys", "/v1/holds", "/v1/orders/999/cancel"] {
        let body = if path.ends_with("cancel") { r#"{"user_id":"ann"}"# } else { &body };
        let request = raw::request("POST", path, body.as_bytes());
        let (at_once, last) = request.split_at(request.len() - 10);
        let began = Instant::now();
        let answer = raw::drip(&address, at_once, last, DEADLINE / 12).await;
        let took = began.elapsed();
        assert!(matches!(answer.status, 503 | 504), "{path}: {answer:?}");
        assert!(took < AMID, "{path}: {took:?}, with {DEADLINE:?} for all of it");
    }
}

/// What `/readyz?verbose` gives as the reason, once the node is not ready.
async fn not_ready(caller: &Caller, node: usize, reason: &str) {
    let what = format!("node {} not to be ready: {reason:?}", node + 1);
    let told = until(&what, || async {
        let told = caller.get(node, "/readyz?verbose").await;
        let why = told.body["reason"].as_str().unwrap_or_default();
        (told.status == 503 && why.contains(reason)).then_some(told)
    })
    .await;
    assert_eq!(told.body["ready"], json!(false), "{}", told.body);
    let plain = caller.get(node, "/readyz").await;
    assert_eq!((plain.status, plain.kind()), (503, "/problems/not-ready"), "{}", plain.body);
    assert_eq!(plain.header("content-type"), "application/problem+json");
    assert_eq!(caller.get(node, plain.kind()).await.status, 200, "a type is a page");
    assert_eq!(caller.get(node, "/livez").await.status, 200, "alive whatever the quorum");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_not_ready_says_why() {
    const ROUNDS_MAX: usize = 10;
    let turn = scene::ONE_AT_A_TIME.lock().await;
    let mut cluster = ProcessCluster::prepare(options(&[])).expect("ports and directories");
    for id in [1, 2] {
        cluster.start_node(NodeId(id)).expect("it starts");
    }
    let caller = Caller::new(&cluster);
    until("both to answer", || async {
        let alive = |node| {
            let http = &caller.http;
            let url = format!("http://{}/livez", caller.nodes[node]);
            async move { http.get(url).send().await.is_ok() }
        };
        (alive(0).await && alive(1).await).then_some(())
    })
    .await;
    not_ready(&caller, 0, "waiting for node 3").await;
    not_ready(&caller, 1, "waiting for node 3").await;
    cluster.start_node(NodeId(3)).expect("it starts");
    cluster.wait_ready(PATIENCE).await.expect("now it forms");
    let ready = caller.text(2, Method::GET, "/readyz", Ask::default()).await;
    assert_eq!((ready.0.status, ready.1.as_str()), (200, "ready\n"));

    let leader = cluster.leader().await.expect("somebody leads");
    let [follower, third] = others(leader);
    cluster.kill(third).expect("it runs");
    cluster.pause(leader).expect("it runs");
    not_ready(&caller, position(follower), "").await;
    cluster.resume(leader).expect("it was paused");
    cluster.start_node(third).expect("it starts again");
    cluster.wait_ready(PATIENCE).await.expect("a majority is back");

    let leader = cluster.leader().await.expect("somebody leads");
    for id in others(leader) {
        cluster.pause(id).expect("it runs");
    }
    not_ready(&caller, position(leader), "").await;
    for id in others(leader) {
        cluster.resume(id).expect("it was paused");
    }
    cluster.wait_ready(PATIENCE).await.expect("a majority is back");
    for _ in 0..ROUNDS_MAX {
        let leader = cluster.leader().await.expect("somebody leads");
        if answers_on(&mut cluster, leader).await {
            return drop(turn);
        }
        cluster.wait_exit(leader, PATIENCE).await.expect("it ends");
        cluster.start_node(leader).expect("it starts again");
        cluster.wait_ready(PATIENCE).await.expect("all are back");
    }
    panic!("in {ROUNDS_MAX} rounds nobody was asked in time");
}

/// A node that is told to end answers on for a second, and says why it is not ready; false when
/// this test was kept from asking in that time.
async fn answers_on(cluster: &mut ProcessCluster, node: NodeId) -> bool {
    const ANSWERS_FOR: Duration = Duration::from_secs(1);
    let address = cluster.node(node).http.clone();
    let paths = ["/readyz?verbose", "/readyz", "/problems/not-ready", "/livez"];
    let asked = paths.map(|path| raw::request("GET", path, b""));
    let told = Instant::now();
    cluster.terminate(node).expect("it runs");
    let mut is_ending = false;
    loop {
        // At once, and each on a connection of its own.
        let answers = join_all(asked.iter().map(|ask| raw::try_exchange(&address, ask))).await;
        let took = told.elapsed();
        let answers: Option<Vec<raw::RawAnswer>> = answers.into_iter().collect();
        let Some(answers) = answers else {
            assert!(took >= ANSWERS_FOR, "it answers no more after {took:?}");
            return false;
        };
        if is_ending {
            let told: Vec<(u16, &str)> =
                answers.iter().map(|answer| (answer.status, answer.kind())).collect();
            // The third is the page of the second's type.
            let page = (200, "not-ready");
            assert_eq!(told, [(503, ""), (503, "not-ready"), page, (200, "")], "{answers:?}");
            let why = answers[0].body["reason"].as_str().unwrap_or_default();
            assert!(why.contains("this node is shutting down"), "{answers:?}");
            assert_eq!(answers[0].body["ready"], json!(false), "{answers:?}");
            assert!(answers[1].head.contains("application/problem+json"), "{answers:?}");
            return true;
        }
        // What was asked beside it may still have been answered by a node that did not end.
        is_ending = answers[0].status == 503;
    }
}
