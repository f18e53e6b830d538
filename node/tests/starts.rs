//! Starts that must not go on, each with a message that says what to do; and starts that must.

#![allow(clippy::expect_used, reason = "a test ends at what it cannot do without")]

mod scene;

use client::cluster::ProcessCluster;
use rustix::fs::{CWD, FileType, Mode, OFlags};
use scene::{PATIENCE, Scene, binary, options};
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::net::TcpListener;
use std::process::{Command, Output};
use stock::NodeId;
use tokio::net::TcpStream;

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
    let mut scene = Scene::open_for_failover(10, &[]).await;
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
    let mut scene = Scene::open_for_failover(10_000, &[]).await;
    let follower = scene.follower().await;
    let dir = scene.cluster.node(follower).dir.clone();
    // A copy of the whole directory, as a backup or a rolled-back disk would have it.
    scene.cluster.kill(follower).expect("it runs");
    let old = dir.with_extension("old");
    scene::copy_dir(&dir, &old);
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

/// A follower that hears its leader and can ask it nothing sells nothing: it says so, and is not
/// ready, so that nobody is sent to it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_address_of_the_leader_is_told() {
    let mut scene = Scene::open_for_failover(10, &[]).await;
    let (leader, follower) = scene.leader_and_follower().await;
    let right = scene.cluster.node(leader).peer.clone();
    // Where nobody is, and where buyers are answered.
    let wrongs = [format!("127.0.0.1:{}", free_port()), scene.cluster.node(leader).http.clone()];
    let client = scene.cluster.client().expect("a client");
    let position = usize::try_from(follower.0 - 1).expect("a small id");
    for wrong in wrongs {
        scene.cluster.kill(follower).expect("it runs");
        scene.cluster.detour(follower, leader, wrong.clone());
        scene.cluster.start_node(follower).expect("it starts");
        let is_asked_at = format!("cannot be asked at {wrong}");
        scene::until("a node that is not ready to say why", || async {
            let readiness = client.readiness(position).await.ok()?;
            readiness.reason.filter(|why| why.contains(&is_asked_at))
        })
        .await;
        scene::until("its log to say so", || async {
            scene.log(follower).contains(&is_asked_at).then_some(())
        })
        .await;
    }
    scene.cluster.kill(follower).expect("it runs");
    scene.cluster.detour(follower, leader, right);
    scene.cluster.start_node(follower).expect("it starts");
    scene.cluster.wait_ready(PATIENCE).await.expect("now it is");
}

/// A node listens once it can answer: a client that a restoring node kept waiting would try no
/// other one meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_reads_its_snapshot_takes_no_connections_yet() {
    /// What a pipe holds, so that the whole snapshot can be given at once.
    const PIPE_BYTES: usize = 64 * 1024;
    let mut scene =
        Scene::open_for_failover(1_000, &["--snapshot-entries", "20", "--keep-entries", "5"]).await;
    let storm = scene.storm(100, 1);
    scene.audit(storm).await;
    let follower = scene.follower().await;
    let (path, http) = {
        let node = scene.cluster.node(follower);
        (node.dir.join("snapshot"), node.http.clone())
    };
    scene::until("a snapshot", || async { path.is_file().then_some(()) }).await;
    scene.cluster.kill(follower).expect("it runs");
    // The node reads its snapshot from a pipe, and so for as long as this test likes.
    let snapshot = std::fs::read(&path).expect("a snapshot");
    assert!(snapshot.len() < PIPE_BYTES, "{} bytes", snapshot.len());
    std::fs::remove_file(&path).expect("it goes");
    let owner = Mode::RUSR | Mode::WUSR;
    rustix::fs::mknodat(CWD, &path, FileType::Fifo, owner, 0).expect("a pipe");
    scene.cluster.start_node(follower).expect("it starts");
    let pipe = scene::until("the node to read its snapshot", || async {
        // An error as long as nobody reads.
        rustix::fs::open(&path, OFlags::WRONLY | OFlags::NONBLOCK, Mode::empty()).ok()
    })
    .await;
    let told = TcpStream::connect(&http).await.map_err(|error| error.kind());
    assert_eq!(told.err(), Some(ErrorKind::ConnectionRefused), "it does not answer yet");
    File::from(pipe).write_all(&snapshot).expect("it takes it");
    scene.cluster.wait_ready(PATIENCE).await.expect("it goes on");
    TcpStream::connect(&http).await.expect("now it listens");
    scene.assert_equal_states().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_crash_of_sled_leaves_behind_is_no_obstacle() {
    let mut scene = Scene::open_for_failover(10_000, &[]).await;
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
