//! What no client of a library sends: pipelines cut anywhere, noise, silence; and what one waits
//! for.

use super::scene::{PATIENCE, Scene, buy, until};
use super::{RESP, key};
use client::{BuyAnswer, Client, Timeouts, new_request_id};
use std::time::Duration;
use stock::NodeId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

struct Raw(TcpStream);

impl Raw {
    async fn open(scene: &Scene, node: u64) -> Self {
        let address = &scene.cluster.node(NodeId(node)).resp;
        Self(TcpStream::connect(address).await.expect("a connection"))
    }

    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.expect("it takes them");
    }

    /// Sends commands in one piece.
    async fn pipeline(&mut self, lines: &[&str]) {
        self.send(encoded_all(lines)).await;
    }

    /// Reads as many bytes as this has, which must be this.
    async fn says(&mut self, expected: &str) {
        let mut bytes = vec![0; expected.len()];
        let read = timeout(PATIENCE, self.0.read_exact(&mut bytes)).await;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert!(matches!(read, Ok(Ok(_))), "{read:?} after {text:?}, not {expected:?}");
        assert_eq!(text, expected);
    }

    /// Reads until this has come.
    async fn comes_to(&mut self, expected: &str) {
        let mut text = String::new();
        while !text.ends_with(expected) {
            let byte = timeout(PATIENCE, self.0.read_u8()).await;
            match byte {
                Ok(Ok(byte)) => text.push(char::from(byte)),
                other => panic!("{other:?} after {text:?}, not {expected:?}"),
            }
        }
    }

    /// All that comes until the node closes.
    async fn rest(&mut self) -> String {
        let mut bytes = Vec::new();
        let read = timeout(PATIENCE, self.0.read_to_end(&mut bytes)).await;
        assert!(matches!(read, Ok(Ok(_))), "{read:?}");
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

fn encoded_all(lines: &[&str]) -> Vec<u8> {
    lines.iter().flat_map(|line| encoded(line)).collect()
}

fn encoded(line: &str) -> Vec<u8> {
    let words: Vec<&str> = line.split(' ').collect();
    let mut text = format!("*{}\r\n", words.len());
    for word in words {
        text = format!("{text}${}\r\n{word}\r\n", word.len());
    }
    text.into_bytes()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipeline_is_answered_in_order_and_sees_itself() {
    let scene = Scene::open(1, &RESP).await;
    for node in 1..=3 {
        let mut raw = Raw::open(&scene, node).await;
        let lines = [
            "SET tee 2",
            "GET tee",
            "DECR tee",
            "DECR tee",
            "DECR tee",
            "INCR tee",
            "DECR tee",
            "SET tee 7",
            "SET tee 5",
            "MGET tee cap",
            "DEL tee",
            "GET tee",
            "SET tee 1 NX",
            "EXISTS tee tee",
            "NOPE",
            "DEL tee",
        ];
        let expected = "+OK\r\n$1\r\n2\r\n:1\r\n:0\r\n-SOLDOUT tee has none left\r\n:1\r\n:0\r\n\
            +OK\r\n+OK\r\n*2\r\n$1\r\n5\r\n$-1\r\n:1\r\n$-1\r\n+OK\r\n:2\r\n\
            -ERR unknown command 'NOPE', with args beginning with: \r\n:1\r\n";
        raw.pipeline(&lines).await;
        raw.says(expected).await;
        // The same in pieces of three bytes.
        for piece in encoded_all(&lines).chunks(3) {
            raw.send(piece).await;
        }
        raw.says(expected).await;
    }
    // Increments of one key that come together are one command; each is answered its own count.
    let mut raw = Raw::open(&scene, 3).await;
    let seq = scene.client.products_after(None).await.expect("a read").seq;
    raw.pipeline(&["INCR mug", "INCRBY pen 5", "INCRBY mug 4", "INCR pen", "INCR mug"]).await;
    raw.says(":1\r\n:5\r\n:5\r\n:6\r\n:6\r\n").await;
    let after = scene.client.products_after(None).await.expect("a read").seq;
    assert_eq!(after.0, seq.0 + 2, "two changes");
    // A transaction is refused as a whole: libraries send it in one piece.
    raw.pipeline(&["MULTI", "INCR mug", "GET mug", "EXEC", "GET mug"]).await;
    raw.says(&"-ERR MULTI is not supported here, so nothing was done\r\n".repeat(3)).await;
    raw.says("-ERR unknown command 'EXEC', with args beginning with: \r\n$1\r\n6\r\n").await;
    // Many decrements of one key are as many orders, however many are sent at once.
    let mut raw = Raw::open(&scene, 2).await;
    raw.pipeline(&["SET cap 1500"]).await;
    raw.says("+OK\r\n").await;
    raw.pipeline(&vec!["DECR cap"; 2_000]).await;
    let sold: Vec<String> = (0..1500).rev().map(|left| format!(":{left}\r\n")).collect();
    raw.says(&sold.concat()).await;
    raw.says(&"-SOLDOUT cap has none left\r\n".repeat(500)).await;
    let product = scene.client.product(&key("cap")).await.expect("it is there");
    assert_eq!((product.sold, product.available), (1500, 0));
}

/// However many reads it would be, a pipeline that is sent in one go is a batch or two: of a
/// counter's increments, as many changes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_increments_in_one_go_are_few_entries() {
    const KEY: &str = "counter:of:some:length";
    let scene = Scene::open(1, &RESP).await;
    for node in 1..=3 {
        let mut raw = Raw::open(&scene, node).await;
        raw.pipeline(&[&format!("SET {KEY} 0")]).await;
        raw.says("+OK\r\n").await;
        let seq = scene.client.products_after(None).await.expect("a read").seq;
        raw.pipeline(&vec![format!("INCR {KEY}").as_str(); 1_000]).await;
        let counted: Vec<String> = (1..=1_000).map(|count| format!(":{count}\r\n")).collect();
        raw.says(&counted.concat()).await;
        let changes = scene.client.products_after(None).await.expect("a read").seq.0 - seq.0;
        eprintln!(
            "1,000 increments of {} bytes: {changes} changes",
            encoded(&format!("INCR {KEY}")).len()
        );
        assert!(changes <= 5, "{changes} changes");
    }
}

/// More keys than one segment has writes: what reads one of the last waits for all of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_of_many_keys_is_over_before_what_follows() {
    let scene = Scene::open(1, &RESP).await;
    let mut raw = Raw::open(&scene, 2).await;
    let keys: Vec<String> = (0..600).map(|at| format!("k{at}")).collect();
    let sets: Vec<String> = keys.iter().map(|key| format!("SET {key} 3")).collect();
    raw.pipeline(&sets.iter().map(String::as_str).collect::<Vec<_>>()).await;
    raw.says(&"+OK\r\n".repeat(keys.len())).await;
    let delete = format!("DEL {}", keys.join(" "));
    raw.pipeline(&[&delete, "GET k599", "GET k0"]).await;
    raw.says(":600\r\n$-1\r\n$-1\r\n").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn noise_is_a_protocol_error_and_ends_the_connection() {
    let scene = Scene::open(1, &RESP).await;
    let deep = "*1\r\n".repeat(10_000);
    let large = format!("*2\r\n$4\r\nECHO\r\n$65000\r\n{}", "x".repeat(70_000));
    for noise in [
        "GET / HTTP/1.1\r\nHost: shop\r\n\r\n",
        "PING\r\n",
        "*-1\r\n",
        "*1\r\n$-1\r\n",
        "*99999999\r\n",
        "*1\r\n$99999999\r\n",
        "\0\0\0\0",
        &deep,
        &large,
    ] {
        let mut raw = Raw::open(&scene, 1).await;
        raw.pipeline(&["PING"]).await;
        // What came before it is answered.
        let _closed_early = raw.0.write_all(noise.as_bytes()).await;
        let said = raw.rest().await;
        let start: String = noise.chars().take(30).collect();
        assert!(said.starts_with("+PONG\r\n-ERR Protocol error: "), "{start:?}: {said:?}");
    }
    // A request that never ends is not waited for; whoever is idle meanwhile is, and has then as
    // long for a request as anybody, however it is cut.
    let mut idle = Raw::open(&scene, 1).await;
    idle.pipeline(&["PING"]).await;
    idle.says("+PONG\r\n").await;
    let mut raw = Raw::open(&scene, 1).await;
    raw.send("*2\r\n$3\r\nGET").await;
    assert_eq!(raw.rest().await, "");
    for byte in [encoded("PING"), encoded("SET tee 3")].concat() {
        idle.send([byte]).await;
        tokio::task::yield_now().await;
    }
    idle.says("+PONG\r\n+OK\r\n").await;
    let mut raw = Raw::open(&scene, 1).await;
    raw.pipeline(&["QUIT", "SET tee 1"]).await;
    assert_eq!(raw.rest().await, "+OK\r\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn levels_are_told_to_subscribers_of_both_versions() {
    let scene = Scene::open(3, &RESP).await;
    let (mut two, mut three) = (Raw::open(&scene, 2).await, Raw::open(&scene, 3).await);
    two.pipeline(&["SUBSCRIBE stock:sneaker"]).await;
    two.says("*3\r\n$9\r\nsubscribe\r\n$13\r\nstock:sneaker\r\n:1\r\n").await;
    two.says("*3\r\n$7\r\nmessage\r\n$13\r\nstock:sneaker\r\n$1\r\n3\r\n").await;
    two.pipeline(&["GET sneaker"]).await;
    two.says("-ERR Can't execute this: only SUBSCRIBE / UNSUBSCRIBE / PING / QUIT").await;
    three.pipeline(&["HELLO 3"]).await;
    three.says("%7\r\n$6\r\nserver\r\n$9\r\nflashnode\r\n").await;
    three.pipeline(&["SUBSCRIBE stock:sneaker", "GET sneaker"]).await;
    three.comes_to("message\r\n$13\r\nstock:sneaker\r\n$1\r\n3\r\n").await;
    scene.client.buy(&buy("ann"), &client::new_request_id()).await;
    three.says(">3\r\n$7\r\nmessage\r\n$13\r\nstock:sneaker\r\n$1\r\n2\r\n").await;
    two.says(" are allowed in this context\r\n").await;
    two.says("*3\r\n$7\r\nmessage\r\n$13\r\nstock:sneaker\r\n$1\r\n2\r\n").await;
    two.pipeline(&["UNSUBSCRIBE", "GET sneaker"]).await;
    two.says("*3\r\n$11\r\nunsubscribe\r\n$13\r\nstock:sneaker\r\n:0\r\n$1\r\n2\r\n").await;
}

/// Without a majority nothing is done, and each command says so; a write that was sent to a leader
/// that died is unknown.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_done_and_what_nobody_knows_are_told_apart() {
    let args = [RESP[0], RESP[1], "--deadline-ms", "1000"];
    let mut scene = Scene::open_for_failover(5, &args).await;
    let leader = scene.leader().await;
    let others: Vec<NodeId> = (1..=3).map(NodeId).filter(|id| *id != leader).collect();
    let mut at_leader = Raw::open(&scene, leader.0).await;
    at_leader.pipeline(&["DECR sneaker"]).await;
    at_leader.says(":4\r\n").await;
    for id in &others {
        scene.cluster.kill(*id).expect("it runs");
    }
    // It still believes to lead: this is proposed, and never decided.
    at_leader.pipeline(&["DECR sneaker"]).await;
    at_leader.says("-UNKNOWN the outcome is unknown: it may or may not have been done\r\n").await;
    at_leader.pipeline(&["GET sneaker"]).await;
    at_leader.says("-TRYAGAIN nothing was read: ").await;
    scene.cluster.kill(leader).expect("it runs");
    // Alone from its start, a node knows of no leader: nothing is proposed.
    scene.cluster.start_node(others[0]).expect("it starts");
    until("it to listen", || async {
        TcpStream::connect(&scene.cluster.node(others[0]).resp).await.ok()
    })
    .await;
    let mut alone = Raw::open(&scene, others[0].0).await;
    alone.pipeline(&["INCR sneaker"]).await;
    alone.says("-TRYAGAIN nothing was done: there was no leader in time\r\n").await;
    for id in [leader, others[1]] {
        scene.cluster.start_node(id).expect("it starts again");
    }
    scene.cluster.wait_ready(PATIENCE).await.expect("they are back");
    let product = scene.client.product(&key("sneaker")).await.expect("it is there");
    // One yes and one unknown: one or two orders, and no increment.
    assert!(matches!((product.sold, product.stocked), (1 | 2, 5)), "{product:?}");
}

/// What is under way when a node is told to end is answered, and so is what had come by then; then
/// its connections close.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_ends_answers_what_is_under_way_and_closes() {
    let args = [RESP[0], RESP[1], "--deadline-ms", "30000"];
    let mut scene = Scene::open_for_failover(5, &args).await;
    let leader = scene.leader().await;
    let others: Vec<NodeId> = (1..=3).map(NodeId).filter(|id| *id != leader).collect();
    let mut idle = Raw::open(&scene, leader.0).await;
    idle.pipeline(&["PING"]).await;
    idle.says("+PONG\r\n").await;
    let mut busy = Raw::open(&scene, leader.0).await;
    for id in &others {
        scene.cluster.pause(*id).expect("it runs");
    }
    // Nobody can decide the first now. The second waits behind it in the connection.
    busy.pipeline(&["DECR sneaker"]).await;
    until("it to be proposed", || async {
        let metrics =
            scene.client.metrics(usize::try_from(leader.0 - 1).expect("a small id")).await;
        metrics.ok()?.contains("\nflashnode_proposals_in_flight 1").then_some(())
    })
    .await;
    busy.pipeline(&["PING"]).await;
    scene.cluster.terminate(leader).expect("it runs");
    until("it to take no connection any more", || async {
        TcpStream::connect(&scene.cluster.node(leader).resp).await.err()
    })
    .await;
    assert_eq!(idle.rest().await, "");
    for id in &others {
        scene.cluster.resume(*id).expect("it is paused");
    }
    // Who leads next may have been asked too late to say.
    let unknown = "-UNKNOWN the outcome is unknown: it may or may not have been done\r\n+PONG\r\n";
    let said = busy.rest().await;
    assert!(said == ":4\r\n+PONG\r\n" || said == unknown, "{said:?}");
    scene.cluster.wait_exit(leader, Duration::from_secs(20)).await.expect("it ends");
    let product = scene.client.product(&key("sneaker")).await.expect("it is there");
    assert!(product.sold == 1 || said == unknown && product.sold == 0, "{product:?}: {said:?}");
}

/// This listener's connections are counted apart from those of HTTP, and one too many is told so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_bounded_apart_from_those_of_http() {
    let args = [RESP[0], RESP[1], "--resp-max-connections", "3", "--max-connections", "50"];
    let scene = Scene::open(5, &args).await;
    let mut open = Vec::new();
    for _ in 0..3 {
        let mut raw = Raw::open(&scene, 1).await;
        raw.pipeline(&["PING"]).await;
        raw.says("+PONG\r\n").await;
        open.push(raw);
    }
    for lines in [&["PING", "INCR sneaker"][..], &[]] {
        let mut refused = Raw::open(&scene, 1).await;
        // What it sends at once does not keep the word from it.
        let _closed_early = refused.0.write_all(&encoded_all(lines)).await;
        assert_eq!(refused.rest().await, "-ERR max number of clients reached\r\n");
    }
    // HTTP has room, and what was refused was not done.
    let product = scene.client.product(&key("sneaker")).await.expect("it is there");
    assert_eq!(product.available, 5);
    // Whoever goes makes room.
    open.pop();
    until("a place", || async {
        let mut raw = Raw::open(&scene, 1).await;
        raw.0.write_all(&encoded("PING")).await.ok()?;
        let mut said = [0; 7];
        raw.0.read_exact(&mut said).await.ok()?;
        (&said == b"+PONG\r\n").then_some(())
    })
    .await;
}

/// More writes than the mailbox holds, from few connections: none is shed, nor is a buyer over
/// HTTP.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pipelines_leave_room_in_the_mailbox() {
    const CONNECTIONS: usize = 60;
    const KEYS: usize = 1_000;
    let args = [RESP[0], RESP[1], "--deadline-ms", "60000"];
    let scene = Scene::open(1_000_000, &args).await;
    let leader = scene.leader().await;
    // One that waits for longer than the node does.
    let timeouts = Timeouts { attempt: PATIENCE * 2, ..Timeouts::default() };
    let patient = Client::with_timeouts(scene.cluster.addresses(), timeouts).expect("addresses");
    let at = usize::try_from(leader.0 - 1).expect("a small id");
    let mut raws = Vec::new();
    for _ in 0..CONNECTIONS {
        raws.push(Raw::open(&scene, leader.0).await);
    }
    for (at, raw) in raws.iter_mut().enumerate() {
        let keys: Vec<String> = (0..KEYS).map(|key| format!("k{at}-{key}")).collect();
        raw.pipeline(&[&format!("DEL {}", keys.join(" "))]).await;
    }
    let all = async {
        for raw in &mut raws {
            raw.says(":0\r\n").await;
        }
    };
    tokio::pin!(all);
    for buyer in 0.. {
        let (wants, request) = (buy(&format!("buyer-{buyer}")), new_request_id());
        tokio::select! {
            () = &mut all => break,
            answer = patient.buy_once(at, &wants, &request, 1) => {
                assert!(matches!(answer, BuyAnswer::Accepted { .. }), "{answer:?}");
            }
        }
    }
}
