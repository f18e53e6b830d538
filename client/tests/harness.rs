//! The process harness, with a shell script in the node's place: what it starts, it ends.
//! (`node/tests` drives it with real nodes.)

#![allow(clippy::unwrap_used, reason = "a test ends at what it cannot go on without")]

use client::cluster::{ClusterError, Options, ProcessCluster};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use stock::NodeId;
use tempfile::TempDir;

const ONE: NodeId = NodeId(1);
const TWO: NodeId = NodeId(2);

/// Long enough for a starved machine, short enough to end a test that hangs.
const PATIENCE: Duration = Duration::from_secs(60);

fn start(then: &str) -> (TempDir, ProcessCluster) {
    let dir = TempDir::new().unwrap();
    let binary = Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fake/flashnode.sh"));
    let root = Some(dir.path().join("cluster"));
    let options = Options { nodes: 2, binary, dir: root, extra_args: vec![then.into()] };
    (dir, ProcessCluster::start(options).unwrap())
}

/// The letter of `/proc/PID/stat`; `None` when there is no such process.
fn state(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(')').next()?.trim_start().chars().next()
}

fn pids(cluster: &ProcessCluster) -> Vec<u32> {
    cluster.nodes().iter().map(|node| node.pid().unwrap()).collect()
}

async fn log_of(cluster: &ProcessCluster, id: NodeId, lines: usize) -> String {
    let started = Instant::now();
    loop {
        assert!(started.elapsed() < PATIENCE, "waited {PATIENCE:?} for {lines} lines of node {id}");
        let log = std::fs::read_to_string(&cluster.node(id).log).unwrap();
        if log.lines().count() >= lines {
            return log;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn nodes_are_started_as_the_contract_says() {
    let (_dir, cluster) = start("exec sleep 600");
    let log = log_of(&cluster, TWO, 1).await;
    let [one, two] = [cluster.node(ONE), cluster.node(TWO)];
    let expected = format!(
        "args: --id 2 --peers 1={},2={} --http {} --data {} exec sleep 600\n",
        one.peer,
        two.peer,
        two.http,
        two.dir.display()
    );
    assert_eq!(log, expected);
}

#[tokio::test]
async fn dropping_the_harness_ends_every_process() {
    let (_dir, cluster) = start("exec sleep 600");
    let pids = pids(&cluster);
    assert!(pids.iter().all(|pid| state(*pid).is_some()));
    drop(cluster);
    assert!(pids.iter().all(|pid| state(*pid).is_none()), "killed and reaped");
}

#[tokio::test]
async fn a_killed_node_starts_again_as_it_was() {
    let (_dir, mut cluster) = start("exec sleep 600");
    let before = (cluster.node(ONE).http.clone(), pids(&cluster)[0]);
    log_of(&cluster, ONE, 1).await;
    cluster.kill(ONE).unwrap();
    assert!(!cluster.alive(ONE) && cluster.alive(TWO));
    assert_eq!(state(before.1), None);
    std::fs::create_dir_all(&cluster.node(ONE).dir).unwrap();
    cluster.wipe(ONE).unwrap();
    assert!(!cluster.node(ONE).dir.exists());
    cluster.start_node(ONE).unwrap();
    assert!(cluster.alive(ONE));
    assert_eq!(cluster.node(ONE).http, before.0);
    log_of(&cluster, ONE, 2).await;
}

#[tokio::test]
async fn a_paused_node_is_stopped_and_can_still_be_killed() {
    let (_dir, mut cluster) = start("exec sleep 600");
    let pid = pids(&cluster)[0];
    cluster.pause(ONE).unwrap();
    assert_eq!(state(pid), Some('T'));
    assert!(cluster.alive(ONE) && !cluster.node(ONE).answers());
    cluster.resume(ONE).unwrap();
    assert!(cluster.node(ONE).answers());
    cluster.pause(ONE).unwrap();
    cluster.kill(ONE).unwrap();
    assert_eq!(state(pid), None);
}

#[tokio::test]
async fn a_terminated_node_tells_how_it_ended() {
    let (_dir, mut cluster) = start("trap 'exit 0' TERM; echo ready; while :; do sleep 0.01; done");
    log_of(&cluster, ONE, 2).await;
    cluster.terminate(ONE).unwrap();
    let status = cluster.wait_exit(ONE, PATIENCE).await.unwrap();
    assert!(status.success(), "{status}");
    assert!(!cluster.alive(ONE));
}

#[tokio::test]
async fn a_node_that_ends_early_shows_the_end_of_its_log() {
    let (_dir, mut cluster) = start("echo 'port in use: do this' >&2; exit 7");
    let error = cluster.wait_ready(PATIENCE).await.unwrap_err();
    assert!(matches!(error, ClusterError::Exited { .. }), "{error}");
    let words = error.to_string();
    assert!(words.contains("port in use: do this") && words.contains('7'), "{words}");
}

#[tokio::test]
async fn a_node_that_is_never_ready_is_named() {
    let (_dir, mut cluster) = start("exec sleep 600");
    let error = cluster.wait_ready(Duration::from_millis(50)).await.unwrap_err();
    assert!(matches!(error, ClusterError::Deadline { .. }), "{error}");
    assert!(error.to_string().contains("node 1 (127.0.0.1:"), "{error}");
}

#[tokio::test]
async fn kept_nodes_outlive_the_harness() {
    let (_dir, cluster) = start("exec sleep 600");
    let pids = pids(&cluster);
    let root = cluster.keep();
    assert!(root.join("node-1.log").exists());
    for pid in pids {
        assert!(state(pid).is_some());
        let kill = std::process::Command::new("kill").arg("-9").arg(pid.to_string()).status();
        assert!(kill.unwrap().success());
    }
}

#[test]
fn a_missing_program_says_how_to_build_it() {
    let binary = Some(PathBuf::from("/nowhere/flashnode"));
    let error = ProcessCluster::start(Options { binary, ..Options::default() }).unwrap_err();
    assert!(error.to_string().contains("cargo build --release"), "{error}");
}
