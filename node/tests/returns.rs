//! Directories that must not come back as they are: an older copy, and one of other nodes.

#![allow(clippy::expect_used, reason = "a test ends at what it cannot do without")]

mod scene;

use scene::{PATIENCE, Scene};
use std::process::Command;
use stock::NodeId;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_copy_of_a_directory_is_refused_and_comes_back_wiped() {
    let mut scene = Scene::open_for_failover(10_000, &[]).await;
    let follower = scene.follower().await;
    let dir = scene.cluster.node(follower).dir.clone();
    scene.cluster.kill(follower).expect("it runs");
    let old = dir.with_extension("old");
    scene::copy_dir(&dir, &old);
    scene.cluster.start_node(follower).expect("it starts again");
    scene.cluster.wait_ready(PATIENCE).await.expect("it is back");
    let storm = scene.storm(500, 8);
    scene.audit(storm).await;
    scene.cluster.wait_level(PATIENCE).await.expect("all have the orders");
    // A backup put back: its mark is as old as it is, so the directory fits together.
    scene.cluster.kill(follower).expect("it runs");
    std::fs::remove_dir_all(&dir).expect("the directory goes");
    std::fs::rename(&old, &dir).expect("the old one takes its place");
    scene.cluster.start_node(follower).expect("the process starts");
    let status = scene.cluster.wait_exit(follower, PATIENCE).await.expect("it stops by itself");
    assert!(!status.success());
    let log = scene.log(follower);
    assert!(log.contains("this directory is older than it was"), "{log}");
    scene.cluster.wipe(follower).expect("its directory goes");
    scene.cluster.start_node(follower).expect("it starts with nothing");
    scene.cluster.wait_ready(PATIENCE).await.expect("it comes back");
    scene.assert_equal_states().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_keeps_to_its_nodes() {
    let mut scene = Scene::open_for_failover(10, &[]).await;
    let ids: Vec<NodeId> = scene.cluster.nodes().iter().map(|node| node.id).collect();
    for id in &ids {
        scene.cluster.kill(*id).expect("it runs");
    }
    let node = scene.cluster.node(ids[0]);
    let peer = |id: NodeId| format!("{id}={}", scene.cluster.node(id).peer);
    let alone = peer(ids[0]);
    let another = format!("{},{},4=127.0.0.1:1", peer(ids[0]), peer(ids[1]));
    for peers in [alone, another] {
        let output = Command::new(scene.cluster.binary())
            .args(["--id", "1", "--peers", &peers, "--http", &node.http, "--data"])
            .arg(&node.dir)
            .output()
            .expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned()
            + &String::from_utf8_lossy(&output.stdout);
        assert!(!output.status.success(), "{said}");
        assert!(said.contains("a cluster of nodes 1, 2, 3, and --peers names"), "{said}");
    }
    for id in &ids {
        scene.cluster.start_node(*id).expect("it starts");
    }
    scene.cluster.wait_ready(PATIENCE).await.expect("nothing was spoilt");
}
