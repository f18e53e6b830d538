//! Directories that are lost: one of three, and two of three.

#![allow(clippy::expect_used, reason = "a test ends at what it cannot do without")]

mod scene;

use client::BuyAnswer;
use scene::{PATIENCE, Scene, until};
use stock::NodeId;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wiped_follower_does_not_vote_and_comes_back_by_itself() {
    let mut scene = Scene::open_for_failover(20_000, &[]).await;
    let storm = scene.storm(20_000, 32);
    storm.sold(500).await;
    let follower = scene.follower().await;
    scene.cluster.kill(follower).expect("it runs");
    scene.cluster.wipe(follower).expect("its directory goes");
    scene.cluster.start_node(follower).expect("it starts with nothing");
    scene.says(follower, "this directory is empty").await;
    // Whoever leads then: another may, by now.
    until("a leader to say that it has caught up", || async {
        let said = |id| scene.log(id).contains("has caught up and votes again");
        (1..=3).map(NodeId).any(said).then_some(())
    })
    .await;
    scene.audit(storm).await;
    scene.cluster.wait_ready(PATIENCE).await.expect("the wiped node is ready");
    scene.assert_equal_states().await;

    // It counts again: with another node gone, the wiped one is needed for a majority.
    let leader = scene.leader().await;
    let third = if leader == follower {
        scene.follower().await
    } else {
        other_than(&scene, follower, leader)
    };
    scene.cluster.kill(third).expect("it runs");
    let answer = scene.buy_at(follower, "late").await;
    let sold_out = matches!(answer, BuyAnswer::Refused { .. });
    assert!(sold_out || matches!(answer, BuyAnswer::Accepted { .. }), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wiped_node_alone_with_a_dead_leader_forms_nothing() {
    let mut scene = Scene::open_for_failover(1_000, &["--deadline-ms", "1000"]).await;
    let storm = scene.storm(300, 8);
    scene.audit(storm).await;
    let (one, two) = scene.leader_and_follower().await;
    // The leader and the third hold the data. The leader is stopped, the follower loses all: one
    // intact directory of three is left running, and it must not sell with the empty one's vote.
    scene.cluster.kill(two).expect("it runs");
    scene.cluster.wipe(two).expect("its directory goes");
    scene.cluster.kill(one).expect("it runs");
    scene.cluster.start_node(two).expect("it starts with nothing");
    let third = other_than(&scene, one, two);
    scene.says(third, "the directory of node").await;
    for id in [two, third] {
        let answer = scene.buy_at(id, "hopeful").await;
        assert!(
            matches!(answer, BuyAnswer::NotProposed { .. } | BuyAnswer::Unknown { .. }),
            "node {id}: {answer:?}"
        );
    }
    // With the old leader back there is a majority that knows, and the wiped node gets all again.
    scene.cluster.start_node(one).expect("it starts again");
    scene.cluster.wait_ready(PATIENCE).await.expect("all are back");
    scene.assert_equal_states().await;
    let after = scene.client.product(&scene::sku()).await.expect("a read");
    assert_eq!(after.sold, 300, "nothing sold was forgotten, nothing invented");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_two_of_three_wiped_nobody_invents_a_state() {
    let mut scene = Scene::open_for_failover(1_000, &["--deadline-ms", "1000"]).await;
    let storm = scene.storm(300, 8);
    scene.audit(storm).await;
    let ids: Vec<NodeId> = scene.cluster.nodes().iter().map(|node| node.id).collect();
    for id in &ids {
        scene.cluster.kill(*id).expect("it runs");
    }
    for id in &ids[..2] {
        scene.cluster.wipe(*id).expect("its directory goes");
    }
    for id in &ids {
        scene.cluster.start_node(*id).expect("it starts");
    }
    for id in &ids[..2] {
        scene.says(*id, "only 1 of 3 nodes still have their data").await;
        scene.says(*id, "Bring back the lost directories").await;
    }
    scene.says(ids[2], "bring back its data").await;
    for id in &ids {
        let answer = scene.buy_at(*id, "hopeful").await;
        assert!(matches!(answer, BuyAnswer::NotProposed { .. }), "node {id}: {answer:?}");
    }
    let survivor = scene.client.product_stale(2, &scene::sku()).await.expect("a stale read");
    // It knows of no more than what it had noted as committed; that is still readable.
    assert!(survivor.sold <= 300, "{survivor:?}");
    until("the wiped nodes to know nothing", || async {
        scene.client.product_stale(0, &scene::sku()).await.is_err().then_some(())
    })
    .await;
}

/// The survivor still believes that it leads: it must not promise the others their votes back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_whose_followers_are_both_wiped_is_no_majority() {
    let mut scene = Scene::open_for_failover(1_000, &["--deadline-ms", "1000"]).await;
    let leader = scene.leader().await;
    let others: Vec<NodeId> =
        scene.cluster.nodes().iter().map(|node| node.id).filter(|id| *id != leader).collect();
    for id in &others {
        scene.cluster.kill(*id).expect("it runs");
        scene.cluster.wipe(*id).expect("its directory goes");
    }
    for id in &others {
        scene.cluster.start_node(*id).expect("it starts with nothing");
    }
    for id in &others {
        scene.says(*id, "only 1 of 3 nodes still have their data").await;
    }
    scene.says(leader, "bring back its data").await;
    let answer = scene.buy_at(leader, "hopeful").await;
    assert!(
        matches!(answer, BuyAnswer::NotProposed { .. } | BuyAnswer::Unknown { .. }),
        "{answer:?}"
    );
}

fn other_than(scene: &Scene, one: NodeId, two: NodeId) -> NodeId {
    let mut ids = scene.cluster.nodes().iter().map(|node| node.id);
    ids.find(|id| *id != one && *id != two).expect("three nodes")
}
