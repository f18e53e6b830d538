//! One buy is followed through the nodes by its request id, when the log is asked to.

#![allow(clippy::expect_used, reason = "a test ends at what it cannot do without")]

mod scene;

use scene::http::Caller;
use scene::{Scene, until};
use serde_json::{Value, json};
use stock::NodeId;

/// What a node's log says of a request: stage, words, and the whole line.
fn told(scene: &Scene, node: NodeId, request: &str) -> Vec<(String, String, Value)> {
    let lines = scene.log(node);
    let lines = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let of_it = lines.filter(|line| line["span"]["request_id"] == request);
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    of_it.map(|line| (text(&line["span"]["name"]), text(&line["message"]), line)).collect()
}

fn stages(told: &[(String, String, Value)]) -> Vec<(&str, &str)> {
    told.iter().map(|(stage, words, _)| (stage.as_str(), words.as_str())).collect()
}

fn of<'t>(told: &'t [(String, String, Value)], words: &str) -> &'t Value {
    &told.iter().find(|(_, said, _)| said == words).expect(words).2
}

const FOLLOWED: &[&str] = &["--log-level", "warn,buy=debug", "--log-format", "json"];
const APPLIED: (&str, &str) = ("apply", "applied");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_buy_at_a_follower_is_seen_at_every_stage() {
    let scene = Scene::open(1, FOLLOWED).await;
    let caller = Caller::new(&scene.cluster);
    let (leader, follower) = scene.leader_and_follower().await;
    let asked = usize::try_from(follower.0 - 1).expect("a small id");
    let buy = json!({"product_id": "sneaker", "user_id": "ann"});
    let bought = caller.buy(asked, &buy, &[("idempotency-key", "ann-1")]).await;
    assert_eq!(bought.status, 201, "{}", bought.body);
    let seq = &bought.body["seq"];

    // A follower may apply after it has answered.
    let at_follower = until("the follower to have told all", || async {
        let told = told(&scene, follower, "ann-1");
        let is_whole = stages(&told).contains(&APPLIED) && stages(&told).len() >= 6;
        is_whole.then_some(told)
    })
    .await;
    let mut in_order = stages(&at_follower);
    in_order.retain(|stage| *stage != APPLIED);
    let wanted = [
        ("request", "decoded"),
        ("wait", "sorted"),
        ("forward", "forwarded"),
        ("forward", "decided"),
        ("request", "answered"),
    ];
    assert_eq!(in_order, wanted);
    assert_eq!(of(&at_follower, "forwarded")["span"]["leader"], leader.0);
    assert_eq!(of(&at_follower, "answered")["status"], 201);

    let at_leader = told(&scene, leader, "ann-1");
    let wanted = [("propose", "proposed"), APPLIED, ("propose", "decided")];
    assert_eq!(stages(&at_leader), wanted);
    for told in [&at_follower, &at_leader] {
        for words in ["applied", "decided"] {
            let line = of(told, words);
            assert_eq!((&line["seq"], &line["outcome"]), (seq, &json!("bought")), "{line}");
        }
        assert!(told.iter().all(|(_, _, line)| line["span"]["user_id"] == "ann"), "{told:?}");
    }
    // Also the node that nobody asked has it.
    for node in [1, 2, 3].map(NodeId) {
        scene.says(node, "\"applied\"").await;
    }

    // A refusal is a read, and reaches no log entry.
    let buy = json!({"product_id": "sneaker", "user_id": "bob"});
    let refused = caller.buy(asked, &buy, &[("idempotency-key", "bob-1")]).await;
    assert_eq!(refused.status, 410, "{}", refused.body);
    let at_follower = told(&scene, follower, "bob-1");
    let wanted =
        [("request", "decoded"), ("wait", "sorted"), ("read", "decided"), ("request", "answered")];
    assert_eq!(stages(&at_follower), wanted);
    assert_eq!(of(&at_follower, "decided")["why"], "SoldOut");
    assert_eq!(of(&at_follower, "answered")["status"], 410);
    assert_eq!(stages(&told(&scene, leader, "bob-1")), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clicks_that_are_counted_and_batches_are_followed_too() {
    let scene = Scene::open(5, &[FOLLOWED, &["--rate-limit-per-user", "1/min"]].concat()).await;
    let caller = Caller::new(&scene.cluster);
    let (leader, follower) = scene.leader_and_follower().await;
    let asked = usize::try_from(follower.0 - 1).expect("a small id");
    let item = |user: &str| json!({"request_id": format!("{user}-1"), "product_id": "sneaker", "user_id": user});
    let body = json!([item("ann"), {"request_id": "no-user"}, item("bob")]).to_string();
    let ask =
        scene::http::Ask { body: Some(&body), headers: &[("content-type", "application/json")] };
    let answer = caller.call(asked, reqwest::Method::POST, "/v1/buys/batch", ask).await;
    let statuses: Vec<&Value> =
        answer.body.as_array().expect("results").iter().map(|item| &item["status"]).collect();
    assert_eq!(statuses, [201, 400, 201], "{}", answer.body);
    for request in ["ann-1", "bob-1"] {
        let at_follower = told(&scene, follower, request);
        assert_eq!(of(&at_follower, "forwarded")["frame"], 2, "both went in one frame");
        assert_eq!(of(&at_follower, "answered")["status"], 201);
        let at_leader = told(&scene, leader, request);
        let wanted = [("wait", "sorted"), ("propose", "proposed"), APPLIED, ("propose", "decided")];
        assert_eq!(stages(&at_leader), wanted);
    }
    let again = json!({"product_id": "sneaker", "user_id": "ann"});
    let limited = caller.buy(asked, &again, &[("idempotency-key", "ann-2")]).await;
    assert_eq!(limited.status, 429, "{}", limited.body);
    assert_eq!(of(&told(&scene, follower, "ann-2"), "answered")["status"], 429);
    assert_eq!(stages(&told(&scene, leader, "ann-2")), [("wait", "limited")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_told_unless_it_is_asked_for() {
    let scene = Scene::open(1, &["--log-level", "debug"]).await;
    let caller = Caller::new(&scene.cluster);
    let buy = json!({"product_id": "sneaker", "user_id": "ann"});
    let bought = caller.buy(0, &buy, &[("idempotency-key", "ann-1")]).await;
    assert_eq!(bought.status, 201, "{}", bought.body);
    scene.cluster.wait_level(scene::PATIENCE).await.expect("all have it");
    for node in [1, 2, 3].map(NodeId) {
        assert!(!scene.log(node).contains("ann-1"), "{}", scene.log(node));
    }
}
