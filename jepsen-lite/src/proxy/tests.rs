//! Each fault of the network on plain sockets: an echo server behind a link.

use super::*;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use stock::NodeId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

const SEED: u64 = 7;
/// Long enough for a starved machine, short enough to end a test that hangs.
const PATIENCE: Duration = Duration::from_secs(60);
/// A time in which anything that flows would have flowed.
const A_WHILE: Duration = Duration::from_millis(150);

/// A server that echoes what it reads, and tells of it here.
async fn echo() -> (String, mpsc::UnboundedReceiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (tell, said) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let tell = tell.clone();
            tokio::spawn(async move {
                let mut bytes = vec![0; 64 * 1024];
                while let Ok(count @ 1..) = stream.read(&mut bytes).await {
                    let _ = tell.send(bytes[..count].to_vec());
                    if stream.write_all(&bytes[..count]).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    (address, said)
}

async fn linked() -> (Link, mpsc::UnboundedReceiver<Vec<u8>>) {
    let (address, said) = echo().await;
    (Link::open(address, SEED).await.unwrap(), said)
}

async fn say(stream: &mut TcpStream, words: &[u8]) -> std::io::Result<()> {
    stream.write_all(words).await?;
    let mut answer = vec![0; words.len()];
    stream.read_exact(&mut answer).await?;
    assert_eq!(answer, words, "bytes were changed on the way");
    Ok(())
}

async fn in_time<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it comes about in time")
}

async fn hangs<T>(what: impl Future<Output = T>) -> bool {
    tokio::time::timeout(A_WHILE, what).await.is_err()
}

#[tokio::test]
async fn bytes_pass_in_order_and_the_end_is_passed_on() {
    let (link, _said) = linked().await;
    let mut stream = TcpStream::connect(link.address()).await.unwrap();
    let words: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let (mut input, mut output) = stream.split();
    let mut answer = Vec::new();
    let send = async {
        output.write_all(&words).await.unwrap();
        output.shutdown().await.unwrap();
    };
    in_time(async { tokio::join!(send, input.read_to_end(&mut answer)) }).await.1.unwrap();
    assert!(answer == words, "{} bytes of {} came back", answer.len(), words.len());
}

#[tokio::test]
async fn a_cut_holds_what_is_under_way_and_lets_it_arrive_when_healed() {
    let (link, mut said) = linked().await;
    let mut stream = TcpStream::connect(link.address()).await.unwrap();
    in_time(say(&mut stream, b"before")).await.unwrap();
    assert_eq!(said.recv().await.unwrap(), b"before");
    link.set(Way::Forward, |traffic| traffic.flow = Flow::Cut);
    stream.write_all(b"during").await.unwrap();
    assert!(hangs(said.recv()).await, "bytes crossed a cut");
    link.set(Way::Forward, |traffic| traffic.flow = Flow::Pass);
    assert_eq!(in_time(said.recv()).await.unwrap(), b"during");
}

#[tokio::test]
async fn a_cut_of_the_way_back_lets_the_question_through_and_holds_the_answer() {
    let (link, mut said) = linked().await;
    let mut stream = TcpStream::connect(link.address()).await.unwrap();
    in_time(say(&mut stream, b"before")).await.unwrap();
    assert_eq!(said.recv().await.unwrap(), b"before");
    link.set(Way::Back, |traffic| traffic.flow = Flow::Cut);
    stream.write_all(b"during").await.unwrap();
    assert_eq!(in_time(said.recv()).await.unwrap(), b"during");
    let mut answer = [0; 6];
    assert!(hangs(stream.read(&mut answer)).await, "an answer crossed a cut");
    link.set(Way::Back, |traffic| traffic.flow = Flow::Pass);
    in_time(stream.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"during");
}

#[tokio::test]
async fn a_connection_opened_over_a_cut_hangs_until_healed() {
    for way in [Way::Forward, Way::Back] {
        let (link, mut said) = linked().await;
        link.set(way, |traffic| traffic.flow = Flow::Cut);
        let mut waits = TcpStream::connect(link.address()).await.unwrap();
        waits.write_all(b"waits").await.unwrap();
        let mut gives_up = TcpStream::connect(link.address()).await.unwrap();
        gives_up.write_all(b"gives up").await.unwrap();
        drop(gives_up);
        assert!(hangs(said.recv()).await, "bytes crossed a cut {way:?}");
        link.set(way, |traffic| traffic.flow = Flow::Pass);
        assert_eq!(in_time(said.recv()).await.unwrap(), b"waits");
        assert!(hangs(said.recv()).await, "a handshake completed that nobody waited for");
    }
}

#[tokio::test]
async fn a_cut_takes_no_more_than_its_bounds() {
    let (link, _said) = linked().await;
    let mut stream = TcpStream::connect(link.address()).await.unwrap();
    in_time(say(&mut stream, b"before")).await.unwrap();
    link.set(Way::Forward, |traffic| {
        traffic.delay = Delay { least: PATIENCE, jitter: Duration::ZERO };
    });
    let block = vec![0; 1024 * 1024];
    let mut taken = 0;
    while let Ok(written) = tokio::time::timeout(A_WHILE, stream.write(&block)).await {
        taken += written.unwrap();
        assert!(taken < 64 * block.len(), "the link holds without bounds");
    }
}

#[tokio::test]
async fn a_delay_delays_both_ways_and_keeps_the_order() {
    let (link, mut said) = linked().await;
    let least = Duration::from_millis(60);
    for way in [Way::Forward, Way::Back] {
        let delay = Delay { least, jitter: Duration::from_millis(40) };
        link.set(way, |traffic| traffic.delay = delay);
    }
    let mut stream = TcpStream::connect(link.address()).await.unwrap();
    let asked = Instant::now();
    in_time(say(&mut stream, b"0")).await.unwrap();
    assert!(asked.elapsed() >= 2 * least, "back after {:?}", asked.elapsed());
    let mut sent = Vec::new();
    for number in 0..50_u8 {
        stream.write_all(&[number]).await.unwrap();
        sent.push(number);
        tokio::task::yield_now().await;
    }
    let mut answer = vec![0; sent.len()];
    in_time(stream.read_exact(&mut answer)).await.unwrap();
    assert_eq!(answer, sent, "jitter swapped bytes");
    let first = said.recv().await.unwrap();
    assert_eq!(first, b"0");
}

#[tokio::test]
async fn loss_resets_some_connections_and_not_all_the_same_with_each_seed() {
    let mut broken_at: BTreeSet<Vec<usize>> = BTreeSet::new();
    for seed in [1, 2] {
        let (address, _said) = echo().await;
        let link = Link::open(address, seed).await.unwrap();
        let loss = Loss { resets_permille: 100, ..Loss::default() };
        link.set(Way::Forward, |traffic| traffic.loss = loss);
        let mut lengths = Vec::new();
        for _ in 0..10 {
            let mut stream = TcpStream::connect(link.address()).await.unwrap();
            let mut count = 0;
            while count < 200 && in_time(say(&mut stream, b"word")).await.is_ok() {
                count += 1;
            }
            lengths.push(count);
        }
        assert!(lengths.iter().any(|count| (1..200).contains(count)), "{lengths:?}");
        broken_at.insert(lengths);
    }
    assert_eq!(broken_at.len(), 2, "two seeds broke the same connections: {broken_at:?}");
}

#[tokio::test]
async fn loss_stalls_and_nothing_is_missing() {
    let (link, _said) = linked().await;
    let stall = Duration::from_millis(30);
    let loss = Loss { stalls_permille: 500, stall, resets_permille: 0 };
    link.set(Way::Forward, |traffic| traffic.loss = loss);
    let mut stream = TcpStream::connect(link.address()).await.unwrap();
    let mut stalled = 0;
    for _ in 0..20 {
        let asked = Instant::now();
        in_time(say(&mut stream, b"word")).await.unwrap();
        stalled += usize::from(asked.elapsed() >= stall);
    }
    assert!(stalled > 0, "nothing was stalled");
}

#[tokio::test]
async fn a_node_that_is_down_resets_its_callers() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = nobody.local_addr().unwrap().to_string();
    drop(nobody);
    let link = Link::open(address, SEED).await.unwrap();
    let mut stream = TcpStream::connect(link.address()).await.unwrap();
    assert!(in_time(say(&mut stream, b"anyone?")).await.is_err());
}

/// The links of three echo servers.
async fn network() -> Network {
    let mut nodes = Vec::new();
    for id in 1..=3 {
        let (address, _) = echo().await;
        nodes.push((NodeId(id), address));
    }
    Network::between(&nodes, SEED).await.unwrap()
}

/// How long an answer takes over a link that passes. A starved machine may need several questions.
async fn answered(network: &Network, from: NodeId, to: NodeId) -> Duration {
    in_time(async {
        loop {
            if let Some(taken) = network.probe(from, to).await {
                return taken;
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_network_is_cut_between_two_nodes_whoever_connected() {
    let network = network().await;
    let (one, two, three) = (NodeId(1), NodeId(2), NodeId(3));
    assert_eq!(network.detours().count(), 6);
    answered(&network, one, two).await;
    network.cut(one, two);
    assert!(network.probe(one, two).await.is_none(), "what 1 asks 2 does not arrive");
    assert!(network.probe(two, one).await.is_none(), "what 1 answers 2 does not arrive");
    // 1 and 3 are not concerned.
    answered(&network, one, three).await;
    network.heal();
    answered(&network, one, two).await;
    answered(&network, two, one).await;
    let delay = Delay { least: Duration::from_millis(50), jitter: Duration::ZERO };
    network.slow(two, three, delay);
    let taken = answered(&network, three, two).await;
    assert!(taken >= delay.least, "answered after {taken:?}");
}
