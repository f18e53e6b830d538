//! Clients that are slow, silent or many. Each costs the node a bounded time and little memory,
//! and nobody else anything.

use super::scene::http::Caller;
use super::scene::{PATIENCE, Scene, raw, until};
use super::{DEADLINE, state};
use client::BuyAnswer;
use std::time::{Duration, Instant};
use stock::NodeId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long a head may take, and what a busy machine adds.
const HEAD_TIME: Duration = Duration::from_secs(15);
/// How long a client may take nothing of its answer.
const WRITE_STALL: Duration = Duration::from_secs(10);
pub(super) const SLACK: Duration = Duration::from_secs(10);
/// How long a body may take: see [`DEADLINE`].
const BODY_TIME: Duration = Duration::from_millis(3_500);

pub(super) async fn timed<T>(what: impl Future<Output = T>) -> (T, Duration) {
    let started = Instant::now();
    (what.await, started.elapsed())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_byte_a_second() {
    let scene = Scene::open(5, &DEADLINE).await;
    let before = state(&scene).await;
    let nodes = scene.cluster.addresses();
    let valid = br#"{"product_id":"sneaker","user_id":"ann"}"#;
    let whole = raw::request("POST", "/v1/buys", valid);
    let second = Duration::from_secs(1);
    let head = whole.len() - valid.len();
    let slow_head = timed(raw::drip(&nodes[0], b"", &whole, second));
    let slow_body = timed(raw::drip(&nodes[1], &whole[..head], valid, second));
    let silent = timed(raw::drip(&nodes[2], b"", b"", second));
    let (slow_head, slow_body, silent) = tokio::join!(slow_head, slow_body, silent);

    let (answer, took) = slow_head;
    assert_eq!(answer.status, 0, "closed without an answer: {answer:?}");
    assert!(took >= Duration::from_secs(14) && took < HEAD_TIME + SLACK, "{took:?}");
    let (answer, took) = slow_body;
    assert_eq!((answer.status, answer.kind()), (408, "request-timeout"), "{answer:?}");
    assert!(took < BODY_TIME + SLACK, "{took:?}");
    let (answer, took) = silent;
    assert_eq!(answer.status, 0, "closed without an answer: {answer:?}");
    assert!(took < HEAD_TIME + SLACK, "{took:?}");
    assert_eq!(state(&scene).await, before, "nothing changed");
}

fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a size");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
}

/// Asks for a page again and again on one connection, and never reads: the connection is closed.
async fn never_reads(address: String) -> Duration {
    let mut tcp = TcpStream::connect(&address).await.expect("the node listens");
    let ask = b"GET /metrics HTTP/1.1\r\nhost: h\r\n\r\n".repeat(50);
    let started = Instant::now();
    // Once the node does not take any more either, its patience counts.
    while tcp.write_all(&ask).await.is_ok() {
        assert!(started.elapsed() < PATIENCE, "the node goes on for ever");
    }
    started.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn never_reading_holds_no_memory_and_no_buyer() {
    const CLIENTS: u64 = 32;
    const KIB_MAX: u64 = 1024;
    let scene = Scene::open(500, &[]).await;
    let node = NodeId(1);
    let pid = scene.cluster.node(node).pid().expect("it runs");
    let address = scene.cluster.addresses()[0].clone();
    let before = resident_kib(pid);
    let silent: Vec<_> = (0..CLIENTS).map(|_| tokio::spawn(never_reads(address.clone()))).collect();
    // Buyers at the same node meanwhile.
    let mut slowest = Duration::ZERO;
    let mut peak = before;
    let mut buyer = 0;
    while silent.iter().any(|client| !client.is_finished()) {
        buyer += 1;
        let (answer, took) = timed(scene.buy_at(node, &format!("u{buyer}"))).await;
        assert!(matches!(answer, BuyAnswer::Accepted { .. }), "{answer:?}");
        slowest = slowest.max(took);
        peak = peak.max(resident_kib(pid));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for client in silent {
        let took = client.await.expect("it is cut off");
        assert!(took < WRITE_STALL + SLACK * 3, "{took:?}");
    }
    let grown = peak.saturating_sub(before) / CLIENTS;
    println!("{CLIENTS} clients that never read: {grown} KiB each at the peak");
    println!("{buyer} buys meanwhile, the slowest took {slowest:?}");
    assert!(grown < KIB_MAX, "{grown} KiB for each client that does not read");
    // Behind a client that does not read, a buy would wait for as long as that one is borne with.
    assert!(slowest < WRITE_STALL, "{slowest:?}");
}

/// What a node says to a client that has asked nothing.
async fn told_unasked(address: &str) -> Option<String> {
    let mut tcp = TcpStream::connect(address).await.ok()?;
    let mut answer = String::new();
    let told = tcp.read_to_string(&mut answer);
    let told = tokio::time::timeout(Duration::from_millis(200), told).await;
    matches!(told, Ok(Ok(1..))).then_some(answer)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_connection_too_many_is_told_so() {
    const ROOM: usize = 40;
    let scene = Scene::open(5, &["--max-connections", "40"]).await;
    let caller = Caller::new(&scene.cluster);
    let address = scene.cluster.addresses()[1].clone();
    let before = state(&scene).await;
    // The harness's own clients hold some of the places already, so this fills the node.
    let mut idle = Vec::new();
    for _ in 0..ROOM {
        idle.push(TcpStream::connect(&address).await.expect("the node listens"));
    }
    let answer = until("the node to be full", || told_unasked(&address)).await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains("retry-after: 1\r\n"), "{answer}");
    assert!(answer.contains("\"type\":\"/problems/too-many-connections\""), "{answer}");
    // The other nodes are not concerned, and this one neither once there is room.
    assert_eq!(caller.get(0, "/v1/products/sneaker").await.status, 200);
    for mut tcp in idle {
        let _gone = tcp.shutdown().await;
    }
    // All of them, and not just the first: as long as some are left, whoever asks may come too late.
    until("room again", || async {
        let asked = caller.http.get(format!("http://{address}/metrics")).send().await.ok()?;
        let text = asked.text().await.ok()?;
        let open = text.lines().find_map(|line| line.strip_prefix("flashnode_http_connections "));
        let open: usize = open?.parse().expect("a count");
        (open < ROOM / 2).then_some(())
    })
    .await;
    let sold = scene.buy_at(NodeId(2), "ann").await;
    assert!(matches!(sold, BuyAnswer::Accepted { .. }), "{sold:?}");
    assert_eq!(before.seq.0 + 1, state(&scene).await.seq.0, "one buy, and nothing else");
}
