//! What no client of a library sends: pipelines cut anywhere, noise, silence; and what one waits for.

use super::scene::{PATIENCE, Scene, buy, until};
use super::{RESP, key};
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
        self.send(lines.iter().flat_map(|line| encoded(line)).collect::<Vec<u8>>()).await;
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
        let bytes: Vec<u8> = lines.iter().flat_map(|line| encoded(line)).collect();
        for piece in bytes.chunks(3) {
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
    raw.says(&"-ERR nothing was done: this listener has no transactions\r\n".repeat(3)).await;
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
    // A request that never ends is not waited for.
    let mut raw = Raw::open(&scene, 1).await;
    raw.send("*2\r\n$3\r\nGET").await;
    assert_eq!(raw.rest().await, "");
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
/// that died is unknown. At the end of a node its clients are told nothing wrong.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_done_and_what_nobody_knows_are_told_apart() {
    let args = [RESP[0], RESP[1], "--deadline-ms", "1000"];
    let mut scene = Scene::open(5, &args).await;
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

    // A node that stops closes idle connections, and ends within its time.
    let mut idle = Raw::open(&scene, others[1].0).await;
    idle.pipeline(&["PING"]).await;
    idle.says("+PONG\r\n").await;
    scene.cluster.terminate(others[1]).expect("it runs");
    assert_eq!(idle.rest().await, "");
    scene.cluster.wait_exit(others[1], Duration::from_secs(20)).await.expect("it ends");
}
