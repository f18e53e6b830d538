//! A node that is told to stop while buyers wait for a leader: each hears what is true of its buy
//! before the connection closes.

use super::scene::http::{Ask, Caller};
use super::scene::{PATIENCE, Scene, until};
use super::{buy, orders, others, position, post};
use reqwest::Method;
use serde_json::json;
use std::sync::Arc;

/// Longer than a node takes to stop.
const DEADLINE: [&str; 2] = ["--deadline-ms", "60000"];

/// What a node's metrics say, of one without labels or with these.
pub(super) async fn metric(caller: &Caller, node: usize, name: &str) -> u64 {
    let (_, text) = caller.text(node, Method::GET, "/metrics", Ask::default()).await;
    let mut told = text.lines().filter_map(|line| line.rsplit_once(' '));
    let (_, number) = told.find(|(of, _)| *of == name).expect("a metric");
    number.parse().expect("a whole number")
}

/// Commands that a node's actor has put into batches, or is about to.
async fn commands(caller: &Caller, node: usize) -> u64 {
    let waiting = metric(caller, node, "flashnode_actor_waiting{queue=\"propose\"}").await;
    waiting + metric(caller, node, "flashnode_batch_commands_sum").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_at_a_node_that_stops_hears_that_nothing_was_proposed() {
    let mut scene = Scene::open_for_failover(100, &DEADLINE).await;
    let caller = Arc::new(Caller::new(&scene.cluster));
    let asked = scene.follower().await;
    let node = position(asked);
    for id in others(asked) {
        scene.cluster.kill(id).expect("it runs");
    }
    let before = commands(&caller, node).await;
    let waiting = ["/v1/buys", "/v1/holds", "/v1/buys/batch"].map(|path| {
        let caller = Arc::clone(&caller);
        let body = match path {
            "/v1/buys/batch" => {
                json!([{"request_id": "b-1", "product_id": "sneaker", "user_id": "ann"}])
            }
            _ => buy("ann"),
        };
        tokio::spawn(async move { post(&caller, node, path, &body).await })
    });
    until("all to wait", || async { (commands(&caller, node).await == before + 3).then_some(()) })
        .await;
    scene.cluster.terminate(asked).expect("it runs");
    let [bought, held, batch] = waiting;
    let (bought, held) = (bought.await.expect("an answer"), held.await.expect("an answer"));
    for answer in [&bought, &held] {
        let told = (answer.status, answer.kind());
        assert_eq!(told, (503, "/problems/shutting-down"), "{}", answer.body);
        assert_eq!(answer.header("content-type"), "application/problem+json");
        assert_eq!(answer.header("connection"), "close");
        assert!(answer.header("retry-after").parse::<u64>().is_ok_and(|s| s >= 1));
        assert!(answer.body["retry_after_ms"].as_u64().is_some_and(|ms| ms > 0));
    }
    let batch = batch.await.expect("an answer");
    let result = &batch.body[0];
    assert_eq!((batch.status, &result["status"]), (200, &json!(503)), "{}", batch.body);
    assert_eq!(result["problem"]["type"], json!("/problems/shutting-down"), "{result}");
    let status = scene.cluster.wait_exit(asked, PATIENCE).await.expect("it stops");
    assert!(status.success(), "{status}");

    for id in (1..=3).map(stock::NodeId) {
        scene.cluster.start_node(id).expect("it starts again");
    }
    scene.cluster.wait_ready(PATIENCE).await.expect("all are back");
    assert_eq!(caller.get(node, bought.kind()).await.status, 200, "a type is a page");
    let keys = [bought.header("idempotency-key"), held.header("idempotency-key"), "b-1"];
    for key in keys {
        assert_eq!(orders(&caller, "ann", key).await, 0, "it was surely not proposed");
    }
    let product = caller.get(0, "/v1/products/sneaker").await.body;
    assert_eq!(product["available"], json!(100), "{product}");
}

/// What was appended by a leader that nobody follows may still be decided: it must not hear of a
/// 503.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_a_proposal_hears_that_nobody_knows() {
    const ROUNDS_MAX: usize = 10;
    let mut scene = Scene::open_for_failover(100, &DEADLINE).await;
    let caller = Caller::new(&scene.cluster);
    for round in 0..ROUNDS_MAX {
        let leader = scene.leader().await;
        let user = format!("ann-{round}");
        // A connection that is open already, so that the buy comes before anybody notices.
        assert_eq!(caller.get(position(leader), "/livez").await.status, 200);
        for id in others(leader) {
            scene.cluster.pause(id).expect("it runs");
        }
        let body = buy(&user);
        let (answer, ()) = tokio::join!(caller.buy(position(leader), &body, &[]), async {
            until("the buy to be in flight", || async {
                let in_flight = metric(&caller, position(leader), "flashnode_proposals_in_flight");
                (in_flight.await == 1).then_some(())
            })
            .await;
            scene.cluster.terminate(leader).expect("it runs");
        });
        for id in others(leader) {
            scene.cluster.resume(id).expect("it was paused");
        }
        scene.cluster.wait_exit(leader, PATIENCE).await.expect("it stops");
        scene.cluster.start_node(leader).expect("it starts again");
        scene.cluster.wait_ready(PATIENCE).await.expect("all go on");
        if answer.status == 504 {
            assert_eq!(answer.kind(), "/problems/outcome-unknown", "{}", answer.body);
            assert_eq!(answer.header("connection"), "close");
            let made = answer.header("idempotency-key").to_owned();
            let key = [("idempotency-key", made.as_str()), ("flashnode-attempt", "2")];
            let settled = caller.buy(0, &body, &key).await;
            assert_eq!(settled.status, 201, "{}", settled.body);
            assert_eq!(orders(&caller, &user, &made).await, 1);
            return scene.assert_equal_states().await;
        }
        let told = (answer.status, answer.kind());
        assert_eq!(told, (503, "/problems/shutting-down"), "{}", answer.body);
    }
    panic!("no buy of {ROUNDS_MAX} was on its way when its node stopped");
}
