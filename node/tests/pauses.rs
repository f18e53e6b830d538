//! A leader that is paused past its lease, and one that is asked to go.

#![allow(clippy::expect_used, reason = "a test ends at what it cannot do without")]

mod scene;

use client::BuyAnswer;
use scene::{PATIENCE, Scene, buy, sku, until};
use std::sync::Arc;
use stock::NodeId;

/// The paused leader believes that it leads. Whatever it says after it wakes must be true *now*.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_leader_wakes_and_says_nothing_stale() {
    for round in 0..3 {
        let mut scene = Scene::open_for_failover(100, &[]).await;
        let old = scene.leader().await;
        scene.cluster.pause(old).expect("it runs");
        let new = until("another leader", || async {
            let views = scene.cluster.own_views().await;
            let leads = |view: &&stock::api::NodeView| view.role == "leader" && view.id != old;
            views.iter().flatten().find(leads).map(|view| view.id)
        })
        .await;
        // The new leader sells nearly all while the old one sleeps.
        for buyer in 0..99 {
            let answer = scene.buy_at(new, &format!("awake-{round}-{buyer}")).await;
            assert!(matches!(answer, BuyAnswer::Accepted { .. }), "{answer:?}");
        }
        // Questions wait in the old leader's sockets when it wakes, still sure that it leads.
        let position = usize::try_from(old.0 - 1).expect("a small id");
        let asked = spawn_questions(&scene, position, round);
        tokio::task::yield_now().await;
        scene.cluster.resume(old).expect("it was paused");
        let (reads, yeses) = asked.await.expect("the questions end");
        for read in reads {
            assert!(read <= 1, "a linearizable read said {read} available, 99 of 100 were sold");
        }
        assert!(yeses <= 1, "{yeses} buyers got the last unit");
        scene.cluster.wait_ready(PATIENCE).await.expect("all are ready");
        scene.assert_equal_states().await;
        let after = scene.client.product(&sku()).await.expect("a read");
        assert_eq!(after.sold, 99 + yeses, "yes means sold, and only yes");
    }
}

fn spawn_questions(
    scene: &Scene,
    position: usize,
    round: u32,
) -> tokio::task::JoinHandle<(Vec<u64>, u64)> {
    let client = Arc::clone(&scene.client);
    let address = scene.cluster.nodes()[position].http.clone();
    tokio::spawn(async move {
        let product = sku();
        let old_only = client::Client::new(vec![address]).expect("an address");
        let reads = futures_util::future::join_all((0..8).map(|_| old_only.product(&product)));
        let buys = futures_util::future::join_all((0..8).map(|buyer| {
            let (client, request) = (Arc::clone(&client), client::new_request_id());
            async move {
                let buy = buy(&format!("early-{round}-{buyer}"));
                match client.buy_once(position, &buy, &request, 1).await {
                    BuyAnswer::Accepted { .. } => 1,
                    BuyAnswer::Refused { .. } => 0,
                    // Settled under the same key, as a buyer's client would.
                    _ => match client.buy_from_attempt(&buy, &request, 2).await.answer {
                        BuyAnswer::Accepted { .. } => 1,
                        _ => 0,
                    },
                }
            }
        }));
        let (reads, buys) = tokio::join!(reads, buys);
        let available = reads.into_iter().flatten().map(|view| view.available).collect();
        (available, buys.into_iter().sum::<u64>())
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_fails_no_buy() {
    let mut scene = Scene::open_for_failover(1_000_000, &[]).await;
    let storm = scene.storm(1_000_000, 16);
    let ids: Vec<NodeId> = scene.cluster.nodes().iter().map(|node| node.id).collect();
    for id in ids {
        let sold = storm.progress.accepted_units();
        storm.sold(sold + 200).await;
        scene.cluster.terminate(id).expect("it runs");
        let status = scene.cluster.wait_exit(id, PATIENCE).await.expect("it ends");
        assert!(status.success(), "node {id} ended with {status}");
        scene.cluster.start_node(id).expect("it starts again");
        scene.cluster.wait_ready(PATIENCE).await.expect("it is ready again");
    }
    storm.progress.stop();
    let (tally, _) = scene.audit(storm).await;
    assert!(tally.unsettled.is_empty(), "{:?}", tally.unsettled);
    assert!(tally.refused.is_empty(), "{:?}", tally.refused);
    scene.assert_equal_states().await;
}
