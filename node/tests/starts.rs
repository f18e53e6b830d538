//! Starts that must not go on, each with a message that says what to do; and starts that must.

#![allow(clippy::expect_used, reason = "a test ends at what it cannot do without")]

mod scene;

use client::cluster::ProcessCluster;
use scene::{PATIENCE, Scene, binary, options};
use std::net::TcpListener;
use std::process::{Command, Output};
use stock::NodeId;

/// Runs a node that is expected to refuse; it ends by itself.
fn refused(args: &[&str]) -> String {
    let output: Output = Command::new(binary()).args(args).output().expect("flashnode runs");
    assert!(!output.status.success(), "it started: {args:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

fn peers_of(cluster: &ProcessCluster) -> String {
    let peers: Vec<String> =
        cluster.nodes().iter().map(|node| format!("{}={}", node.id, node.peer)).collect();
    peers.join(",")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_start_says_whom_it_waits_for() {
    let _turn = scene::ONE_AT_A_TIME.lock().await;
    let mut cluster = ProcessCluster::prepare(options(&[])).expect("ports and directories");
    for id in [1, 2] {
        cluster.start_node(NodeId(id)).expect("it starts");
    }
    let third = cluster.nodes()[2].peer.clone();
    for id in [1, 2] {
        let log = cluster.node(NodeId(id)).log.clone();
        let words = format!("waiting for node 3 ({third}) to form the cluster");
        scene::until("a node to name the missing one", || async {
            std::fs::read_to_string(&log).unwrap_or_default().contains(&words).then_some(())
        })
        .await;
    }
    cluster.start_node(NodeId(3)).expect("it starts");
    cluster.wait_ready(PATIENCE).await.expect("now it forms");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_has_one_process_one_node_and_one_cluster() {
    let mut scene = Scene::open(10, &[]).await;
    let peers = peers_of(&scene.cluster);
    let dir = scene.cluster.nodes()[0].dir.display().to_string();
    let http = format!("127.0.0.1:{}", free_port());

    let second = refused(&["--id", "1", "--peers", &peers, "--http", &http, "--data", &dir]);
    assert!(second.contains("in use") || second.contains("another"), "{second}");

    let same_http = scene.cluster.nodes()[0].http.clone();
    let taken = refused(&["--id", "1", "--peers", &peers, "--http", &same_http, "--data", &dir]);
    assert!(taken.contains("cannot listen on"), "{taken}");

    let id = NodeId(1);
    scene.cluster.kill(id).expect("it runs");
    let other = refused(&["--id", "2", "--peers", &peers, "--http", &http, "--data", &dir]);
    assert!(other.contains("node 1"), "{other}");

    // A node of another cluster that is pointed at these peers.
    let stranger = Scene::second_cluster().await;
    let strange_dir = stranger.nodes()[0].dir.display().to_string();
    drop_processes(stranger);
    let mixed = refused(&["--id", "1", "--peers", &peers, "--http", &http, "--data", &strange_dir]);
    assert!(mixed.contains("belongs to cluster"), "{mixed}");
    let _ = std::fs::remove_dir_all(strange_dir);

    scene.cluster.start_node(id).expect("the right one starts");
    scene.cluster.wait_ready(PATIENCE).await.expect("nothing was harmed");
    scene.assert_equal_states().await;
}

/// Ends the processes, keeps the directories.
fn drop_processes(mut cluster: ProcessCluster) {
    let ids: Vec<NodeId> = cluster.nodes().iter().map(|node| node.id).collect();
    for id in ids {
        cluster.kill(id).expect("it runs");
    }
    let _dir = cluster.keep();
}

impl Scene {
    /// Another cluster beside this one, formed and ready.
    async fn second_cluster() -> ProcessCluster {
        let mut cluster = ProcessCluster::start(options(&[])).expect("nodes start");
        cluster.wait_ready(PATIENCE).await.expect("it forms");
        cluster
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_behind_its_mark_stops_and_comes_back_wiped() {
    let mut scene = Scene::open(10_000, &[]).await;
    let follower = scene.follower().await;
    let dir = scene.cluster.node(follower).dir.clone();
    // A copy of the whole directory, as a backup or a rolled-back disk would have it.
    scene.cluster.kill(follower).expect("it runs");
    let old = dir.with_extension("old");
    copy_dir(&dir, &old);
    scene.cluster.start_node(follower).expect("it starts again");
    scene.cluster.wait_ready(PATIENCE).await.expect("it is back");
    let storm = scene.storm(500, 8);
    scene.audit(storm).await;
    scene.cluster.wait_level(PATIENCE).await.expect("all have the orders");
    scene.cluster.kill(follower).expect("it runs");
    // The disk lost what was synced since: old files, but the mark of now.
    let mark = std::fs::read(dir.join("durable.mark")).expect("a mark");
    std::fs::remove_dir_all(&dir).expect("the directory goes");
    std::fs::rename(&old, &dir).expect("the old one takes its place");
    std::fs::write(dir.join("durable.mark"), mark).expect("the mark of now");
    scene.cluster.start_node(follower).expect("the process starts");
    let status = scene.cluster.wait_exit(follower, PATIENCE).await.expect("it stops by itself");
    assert!(!status.success());
    let log = scene.log(follower);
    assert!(log.contains("durable.mark"), "{log}");
    // As wiped it is let in again and gets everything.
    scene.cluster.wipe(follower).expect("its directory goes");
    scene.cluster.start_node(follower).expect("it starts with nothing");
    scene.cluster.wait_ready(PATIENCE).await.expect("it comes back");
    scene.assert_equal_states().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_crash_of_sled_leaves_behind_is_no_obstacle() {
    let mut scene = Scene::open(10_000, &[]).await;
    let storm = scene.storm(300, 8);
    scene.audit(storm).await;
    let follower = scene.follower().await;
    scene.cluster.kill(follower).expect("it runs");
    let sled = scene.cluster.node(follower).dir.join("db-dir");
    std::fs::write(sled.join("snap.0000000000000001.generating"), b"half a snapshot")
        .expect("a leftover");
    scene.cluster.start_node(follower).expect("it starts");
    scene.cluster.wait_ready(PATIENCE).await.expect("it is not bothered");
    scene.assert_equal_states().await;
}

fn copy_dir(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).expect("a directory");
    for entry in std::fs::read_dir(from).expect("a listing").flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("a copy");
        }
    }
}
