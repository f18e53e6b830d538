//! Rate limits through real HTTP against a real three-node cluster: spreading clicks over nodes,
//! addresses or keys gains nothing, and a refused click leaves nothing behind.
//!
//! Quotas are per hour, so that none comes free while a test runs.

#![allow(clippy::expect_used, reason = "a test ends at what it cannot do without")]

mod scene;

use client::cluster::Launch;
use reqwest::Method;
use scene::http::{Answer, Ask, Caller};
use scene::{PATIENCE, Scene, until};
use serde_json::{Value, json};
use std::time::Instant;
use stock::NodeId;

const HOUR_MS: u64 = 3_600_000;

fn buy(user: &str) -> Value {
    json!({"product_id": "sneaker", "user_id": user, "quantity": 1})
}

fn position(id: NodeId) -> usize {
    usize::try_from(id.0 - 1).expect("a small id")
}

/// Clicks as often as there are answers wanted, at one node after the other.
async fn clicks(caller: &Caller, user: &str, headers: &[(&str, &str)], count: usize) -> Vec<u16> {
    let mut told = Vec::new();
    for click in 0..count {
        told.push(caller.buy(click % 3, &buy(user), headers).await.status);
    }
    told
}

async fn post(caller: &Caller, node: usize, path: &str, body: &Value) -> Answer {
    let body = body.to_string();
    let headers = [("content-type", "application/json")];
    caller.call(node, Method::POST, path, Ask { body: Some(&body), headers: &headers }).await
}

/// The last log entry of each node, once all have the same.
async fn last_entry(scene: &Scene) -> u64 {
    let views = scene.cluster.wait_level(PATIENCE).await.expect("the nodes become level");
    views[0].applied
}

/// The sum over the nodes of a counter's series.
async fn counted(caller: &Caller, series: &str) -> u64 {
    let mut sum = 0;
    for node in 0..3 {
        let (_, text) = caller.text(node, Method::GET, "/metrics", Ask::default()).await;
        let line = text.lines().find_map(|line| line.strip_prefix(series)).expect("the series");
        sum += line.trim().parse::<u64>().expect("a number");
    }
    sum
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spreading_clicks_over_nodes_gains_nothing() {
    let scene = Scene::open(100, &["--rate-limit-per-user", "4/hour"]).await;
    let caller = Caller::new(&scene.cluster);
    assert_eq!(clicks(&caller, "ann", &[], 6).await, [201, 201, 201, 201, 429, 429]);
    assert_eq!(clicks(&caller, "bob", &[], 1).await, [201], "each user has a limit of one's own");

    // Nor does asking in other ways: holds, baskets, batches and drop-in routes count as one.
    let cy = |click: usize| {
        let caller = &caller;
        let user = json!("cy");
        async move {
            let items = json!([{"product_id": "sneaker", "quantity": 1}]);
            match click {
                0 => post(caller, 0, "/v1/buys", &json!({"user_id": user, "items": items})).await,
                1 => post(caller, 1, "/v1/holds", &json!({"user_id": user, "items": items})).await,
                2 => {
                    let drop_in = json!({"user_id": user, "product_id": "sneaker"});
                    post(caller, 2, "/api/buy", &drop_in).await
                }
                _ => {
                    let path = "/api/flash-sale/buy?userId=cy&productId=sneaker";
                    caller.call(click % 3, Method::POST, path, Ask::default()).await
                }
            }
        }
    };
    let mut told = Vec::new();
    for click in 0..5 {
        told.push(cy(click).await.status);
    }
    assert_eq!(told, [201, 201, 202, 202, 429]);
    for click in 0..4 {
        assert_eq!(cy(click).await.status, 429, "{click}");
    }
    // What a click began may be finished, and what is no click is not counted.
    let hold = caller.get(0, "/v1/holds?user_id=cy").await.body["holds"][0]["hold_id"].clone();
    let path = format!("/v1/holds/{hold}/confirm");
    assert_eq!(post(&caller, 1, &path, &json!({"user_id": "cy"})).await.status, 201);
    for node in 0..3 {
        let more =
            post(&caller, node, "/v1/products/sneaker/restock", &json!({"quantity": 1})).await;
        assert_eq!(more.status, 200, "{}", more.body);
    }
    assert_eq!(counted(&caller, "flashnode_rate_limited_total{limit=\"user\"}").await, 2 + 1 + 4);
    assert_eq!(counted(&caller, "flashnode_rate_limited_total{limit=\"address\"}").await, 0);
    scene.assert_equal_states().await;
}

/// Whoever lost is counted as whoever won: a "sold out" is a read on any node otherwise.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clicks_at_a_sold_out_product_are_counted_too() {
    let scene = Scene::open(1, &["--rate-limit-per-user", "3/hour"]).await;
    let caller = Caller::new(&scene.cluster);
    assert_eq!(clicks(&caller, "ann", &[], 1).await, [201]);
    let before = last_entry(&scene).await;
    assert_eq!(clicks(&caller, "bob", &[], 6).await, [410, 410, 410, 429, 429, 429]);
    assert_eq!(last_entry(&scene).await, before, "refusals are no entries");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_click_says_when_and_leaves_nothing() {
    let scene = Scene::open(100, &["--rate-limit-per-user", "2/hour"]).await;
    let caller = Caller::new(&scene.cluster);
    let began = Instant::now();
    for (node, left) in [(0, 1), (1, 0)] {
        let answer = caller.buy(node, &buy("ann"), &[]).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        assert_eq!(answer.header("ratelimit-policy"), r#""user";q=2;w=3600"#);
        // Two an hour is one in half an hour, and that runs from the first click on.
        let since_first = if left == 1 { 0 } else { began.elapsed().as_secs() };
        let told = answer.header("ratelimit");
        let wait = told.strip_prefix(&format!("\"user\";r={left};t="));
        let wait_s: u64 = wait.expect(told).parse().expect("seconds");
        assert!((1800 - since_first..=1800).contains(&wait_s), "{told}, after {since_first} s");
    }
    let before = last_entry(&scene).await;
    for node in 0..3 {
        let answer = caller.buy(node, &buy("ann"), &[("idempotency-key", "late")]).await;
        assert_eq!((answer.status, answer.kind()), (429, "/problems/rate-limited"));
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.header("ratelimit-policy"), r#""user";q=2;w=3600"#);
        let wait_ms = answer.body["retry_after_ms"].as_u64().expect("how long");
        assert!((1..=HOUR_MS / 2).contains(&wait_ms), "{wait_ms}");
        let seconds = wait_ms.div_ceil(1000);
        assert_eq!(answer.header("retry-after"), seconds.to_string());
        assert_eq!(answer.header("ratelimit"), format!("\"user\";r=0;t={seconds}"));
        assert_eq!(caller.get(node, answer.kind()).await.status, 200, "a type is a page");
        let path = "/api/flash-sale/buy?userId=ann&productId=sneaker";
        let (answer, text) = caller.text(node, Method::POST, path, Ask::default()).await;
        assert_eq!((answer.status, text.as_str()), (429, "Too many clicks"));
        assert!(answer.header("content-type").starts_with("text/plain"));
        assert!(answer.header("retry-after").parse::<u64>().is_ok_and(|s| (1..=1800).contains(&s)));
        let drop_in = json!({"user_id": "ann", "product_id": "sneaker"});
        let answer = post(&caller, node, "/api/buy", &drop_in).await;
        assert_eq!((answer.status, answer.kind()), (429, "/problems/rate-limited"));
        assert_eq!(answer.header("ratelimit-policy"), r#""user";q=2;w=3600"#);
    }
    assert_eq!(last_entry(&scene).await, before, "a refused click is no log entry");
    let product = caller.get(0, "/v1/products/sneaker").await.body;
    assert_eq!(product["sold"], json!(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_decided_key_is_free_and_a_later_attempt_is_not_starved() {
    let scene = Scene::open(100, &["--rate-limit-per-user", "2/hour"]).await;
    let caller = Caller::new(&scene.cluster);
    let won = [("idempotency-key", "won")];
    assert_eq!(clicks(&caller, "ann", &won, 1).await, [201]);
    assert_eq!(clicks(&caller, "ann", &[], 2).await, [201, 429]);
    for node in 0..3 {
        let again = caller.buy(node, &buy("ann"), &won).await;
        assert_eq!((again.status, again.header("idempotent-replayed")), (201, "true"));
        assert_eq!(again.header("ratelimit"), "", "it was not counted");
    }
    // Its first attempt was answered 504, say. Now all clicks are used up, and it can be settled.
    let lost = [("idempotency-key", "lost"), ("flashnode-attempt", "2")];
    let settled = caller.buy(0, &buy("ann"), &lost).await;
    assert_eq!(settled.status, 201, "{}", settled.body);
    assert_eq!(settled.header("ratelimit-policy"), r#""user-later";q=2;w=3600"#);
    // But later attempts are no way around the limit.
    let other = |key| [("idempotency-key", key), ("flashnode-attempt", "2")];
    assert_eq!(clicks(&caller, "ann", &other("other"), 1).await, [201]);
    assert_eq!(clicks(&caller, "ann", &other("third"), 3).await, [429, 429, 429]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_item_of_a_batch_is_a_click_of_its_user() {
    let args = ["--rate-limit-per-user", "2/hour", "--rate-limit-per-ip", "5/hour"];
    let scene = Scene::open(100, &args).await;
    let caller = Caller::new(&scene.cluster);
    let item = |key: usize, user: &str| {
        let mut item = buy(user);
        item["request_id"] = json!(format!("k{key}"));
        item
    };
    let users = ["ann", "ann", "ann", "bob", "bob", "cy", "dan"];
    let items: Vec<Value> = users.iter().enumerate().map(|(key, user)| item(key, user)).collect();
    let follower = position(scene.follower().await);
    let answer = post(&caller, follower, "/v1/buys/batch", &Value::from(items)).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.header("ratelimit"), "", "it would be of many users");
    let results = answer.body.as_array().expect("results");
    let told: Vec<u64> = results.iter().filter_map(|result| result["status"].as_u64()).collect();
    assert_eq!(told, [201, 201, 429, 201, 201, 201, 429], "{}", answer.body);
    assert_eq!(results[2]["problem"]["type"], json!("/problems/rate-limited"));
    assert!(results[6]["problem"]["retry_after_ms"].as_u64().is_some_and(|ms| ms > 0));
    assert_eq!(counted(&caller, "flashnode_rate_limited_total{limit=\"user\"}").await, 1);
    assert_eq!(counted(&caller, "flashnode_rate_limited_total{limit=\"address\"}").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counters_start_anew_at_a_failover() {
    let mut scene = Scene::open_for_failover(100, &["--rate-limit-per-user", "2/hour"]).await;
    let caller = Caller::new(&scene.cluster);
    assert_eq!(clicks(&caller, "ann", &[], 3).await, [201, 201, 429]);
    let old = scene.leader().await;
    scene.cluster.kill(old).expect("the leader dies");
    let left: Vec<usize> = (0..3).filter(|node| *node != position(old)).collect();
    for node in &left {
        until("the next leader", || async {
            let known = caller.get(*node, "/livez").await.header("flashnode-leader").to_owned();
            (known != "none" && known != old.to_string()).then_some(())
        })
        .await;
    }
    let mut told = Vec::new();
    for node in [left[0], left[1], left[0], left[1]] {
        told.push(caller.buy(node, &buy("ann"), &[]).await.status);
    }
    assert_eq!(told, [201, 201, 429, 429], "a new quota, and one for all nodes");
    scene.cluster.start_node(old).expect("the node starts");
    scene.cluster.wait_ready(PATIENCE).await.expect("it comes back");
    let again = caller.buy(position(old), &buy("ann"), &[]).await;
    assert_eq!(again.status, 429, "it leads no more, and counts nothing itself");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trusted_proxy_names_the_client() {
    let args = ["--rate-limit-per-ip", "2/hour", "--trusted-proxies", "127.0.0.0/8,10.0.0.0/8"];
    let scene = Scene::open(100, &args).await;
    let caller = Caller::new(&scene.cluster);
    let table: &[(&str, &[u16])] = &[
        ("192.0.2.1", &[201, 201, 429]),
        ("192.0.2.2", &[201, 201, 429]),
        // A client's own claim stands to the left of what the proxy saw.
        ("203.0.113.9, 192.0.2.1", &[429]),
        ("192.0.2.77, 192.0.2.2, 10.4.4.4", &[429]),
        ("2001:db8:1:2::1", &[201]),
        ("2001:db8:1:2:ffff::99", &[201, 429]),
        ("2001:db8:1:3::1", &[201]),
        // What is no address is the proxy's own, however it is spelt.
        ("nonsense", &[201]),
        ("192.0.2.5, \"<script>\"", &[201]),
        (",,,", &[429]),
        ("1.1.1.1%00, 999.1.2.3", &[429]),
        ("", &[429]),
    ];
    for (number, (chain, want)) in table.iter().enumerate() {
        for (click, want) in want.iter().enumerate() {
            let user = format!("u{number}-{click}");
            let headers = [("x-forwarded-for", *chain)];
            let answer = caller.buy((number + click) % 3, &buy(&user), &headers).await;
            assert_eq!(answer.status, *want, "{chain:?}, click {click}: {}", answer.body);
            assert!(answer.header("ratelimit-policy").contains(r#""address";q=2;w=3600"#));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forged_forwarding_is_not_believed() {
    let args = ["--rate-limit-per-ip", "3/hour", "--drop-in-product", "sneaker"];
    let scene = Scene::open(100, &args).await;
    let caller = Caller::new(&scene.cluster);
    let mut told = Vec::new();
    for click in 0..6 {
        let (user, claim) = (format!("u{click}"), format!("192.0.2.{click}"));
        let headers = [("x-forwarded-for", claim.as_str()), ("forwarded", "for=192.0.2.200")];
        told.push(caller.buy(click % 3, &buy(&user), &headers).await.status);
    }
    assert_eq!(told, [201, 201, 201, 429, 429, 429]);
    // Nobody is named here, so only the address is counted.
    let beli = caller.call(0, Method::POST, "/beli", Ask::default()).await;
    assert_eq!((beli.status, beli.kind()), (429, "/problems/rate-limited"), "{}", beli.body);
    assert!(beli.header("retry-after").parse::<u64>().is_ok_and(|s| (1..=1200).contains(&s)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leaders_limits_decide() {
    let mut scene = Scene::open(100, &[]).await;
    let caller = Caller::new(&scene.cluster);
    assert_eq!(clicks(&caller, "ann", &[], 6).await, [201; 6], "no limit by default");
    // One node gets a limit, and the lead.
    let limited = scene.follower().await;
    let args = ["--rate-limit-per-user", "2/hour"].map(str::to_owned).to_vec();
    let launch = Launch { args, ..Launch::default() };
    scene.cluster.kill(limited).expect("it stops");
    scene.cluster.launch(limited, &launch).expect("it starts");
    scene.cluster.wait_ready(PATIENCE).await.expect("it comes back");
    let at = position(limited);
    assert_eq!(caller.buy(at, &buy("bob"), &[]).await.header("ratelimit"), "", "it does not lead");
    assert_eq!(clicks(&caller, "bob", &[], 6).await, [201; 6], "the leader counts nothing");
    while scene.leader().await != limited {
        let leader = scene.leader().await;
        scene.cluster.terminate(leader).expect("a signal");
        scene.cluster.wait_exit(leader, PATIENCE).await.expect("it hands over and ends");
        scene.cluster.start_node(leader).expect("it starts");
        scene.cluster.wait_ready(PATIENCE).await.expect("it comes back");
    }
    // A node without a limit learns within half a second that this leader counts.
    let caller = &caller;
    for (round, node) in (0..3).filter(|node| *node != at).enumerate() {
        let user = format!("probe{round}");
        until(&format!("node {} to pass clicks on", node + 1), || {
            let user = user.clone();
            async move {
                let answer = caller.buy(node, &buy(&user), &[]).await;
                (!answer.header("ratelimit").is_empty()).then_some(())
            }
        })
        .await;
    }
    assert_eq!(clicks(caller, "cy", &[], 6).await, [201, 201, 429, 429, 429, 429]);
}

/// The clicks' way to the leader keeps every promise that the commands' way does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leader_dies_in_a_storm_of_counted_clicks() {
    let args = ["--rate-limit-per-user", "1000/s", "--rate-limit-per-ip", "1000000/s"];
    scene::the_leader_dies_in_a_storm(&args).await;
}
