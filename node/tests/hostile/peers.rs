//! Whoever reaches the port that is for the other nodes: slow, silent, too large or too many. Each
//! costs a bounded time, and the cluster sells on.

use super::connections::{SLACK, timed};
use super::scene::{PATIENCE, Scene, raw};
use super::state;
use client::BuyAnswer;
use std::time::Duration;
use stock::NodeId;
use tokio::net::TcpStream;

/// How long a head may take, so also how long a connection may idle.
const HEAD_TIME: Duration = Duration::from_secs(30);
/// How long a body may take.
const FRAME_TIME: Duration = Duration::from_secs(10);
/// How long the greeting of a line may take.
const GREETING_TIME: Duration = Duration::from_secs(5);
const GREETING: &[u8] = b"\xf1FNLINE1";
const FRAME_BYTES_MAX: usize = 8 * 1024 * 1024;
const CONNECTIONS_MAX: usize = 512;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_hangs_at_a_peers_port_is_cut_off() {
    let scene = Scene::open(5, &[]).await;
    let before = state(&scene).await;
    let peers: Vec<&str> = scene.cluster.nodes().iter().map(|node| node.peer.as_str()).collect();
    let body = [0; 60];
    let whole = raw::request("POST", "/peer/hello", &body);
    let second = Duration::from_secs(1);
    let head = &whole[..whole.len() - body.len()];
    let slow_head = timed(raw::drip(peers[0], b"", &whole, second));
    let slow_body = timed(raw::drip(peers[1], head, &body, second));
    let slow_greeting = timed(raw::drip(peers[0], b"", GREETING, second));
    let silent = timed(raw::drip(peers[2], b"", b"", second));
    let (slow_head, slow_body, slow_greeting, silent) =
        tokio::join!(slow_head, slow_body, slow_greeting, silent);
    for (what, time, (answer, took)) in [
        ("a slow head", HEAD_TIME, slow_head),
        ("silence", HEAD_TIME, silent),
        ("a slow greeting", GREETING_TIME, slow_greeting),
    ] {
        assert_eq!(answer.status, 0, "closed without an answer: {what}: {answer:?}");
        assert!(took + second >= time && took < time + SLACK, "{what}: {took:?}");
    }
    let (answer, took) = slow_body;
    assert_eq!(answer.status, 408, "{answer:?}");
    assert!(took >= FRAME_TIME && took < FRAME_TIME + SLACK, "{took:?}");

    let long = format!("/{}", "p".repeat(100_000));
    let large = vec![0; FRAME_BYTES_MAX + 1];
    for (what, path, body, status) in [
        ("a large body", "/peer/hello", &large[..], 413),
        ("as large as may be, of another format", "/peer/hello", &large[1..], 200),
        ("no frame", "/peer/hello", b"", 400),
        ("no route", "/peer/none", b"", 404),
        ("a large head", &long, b"", 431),
    ] {
        let answer = raw::exchange(peers[1], &raw::request("POST", path, body)).await;
        assert_eq!(answer.status, status, "{what}: {answer:?}");
    }
    assert_eq!(state(&scene).await, before, "nothing changed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_at_a_peers_port_stop_no_sale() {
    let mut scene = Scene::open_for_failover(5, &[]).await;
    let follower = scene.follower().await;
    let address = scene.cluster.node(follower).peer.clone();
    let mut idle = Vec::new();
    // The other nodes hold some of the places already.
    for _ in 0..CONNECTIONS_MAX {
        idle.push(TcpStream::connect(&address).await.expect("the node listens"));
    }
    for (user, node) in (1..=3).map(NodeId).filter(|node| *node != follower).enumerate() {
        let sold = scene.buy_at(node, &format!("u{user}")).await;
        assert!(matches!(sold, BuyAnswer::Accepted { .. }), "at node {node}: {sold:?}");
    }
    drop(idle);
    scene.cluster.wait_ready(PATIENCE).await.expect("the node is as it was");
    let sold = scene.buy_at(follower, "last").await;
    assert!(matches!(sold, BuyAnswer::Accepted { .. }), "{sold:?}");
    scene.assert_equal_states().await;
}
