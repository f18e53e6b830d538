//! One flipped bit in the memory of a follower, of the leader, and with a node missing: the
//! self-check finds it. Needs a build with seeded bugs.

#![cfg(feature = "mutants")]
#![allow(clippy::expect_used, clippy::panic, reason = "a test ends at what it cannot do without")]

mod scene;

use client::cluster::{Launch, ProcessCluster};
use client::{BuyAnswer, Client};
use futures_util::StreamExt;
use reqwest::Response;
use scene::{CALM, ONE_AT_A_TIME, PATIENCE, buy, options, sku, until};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use stock::NodeId;
use stock::api::PutProduct;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::MutexGuard;
use tokio::time::timeout;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// Three nodes, each with a bit that flips when it is asked to.
struct Stage {
    cluster: ProcessCluster,
    client: Client,
    buyers: AtomicU64,
    _turn: MutexGuard<'static, ()>,
}

impl Stage {
    async fn open() -> Self {
        let turn = ONE_AT_A_TIME.lock().await;
        let args = [&CALM[..], &["--resp", "{resp}"]].concat();
        let cluster = ProcessCluster::prepare(options(&args)).expect("a place to be");
        let client = cluster.client().expect("addresses");
        let mut stage = Self { cluster, client, buyers: AtomicU64::new(0), _turn: turn };
        for id in 1..=3 {
            stage.start(NodeId(id));
        }
        stage.cluster.wait_ready(PATIENCE).await.expect("the cluster forms");
        let put = PutProduct { name: "Sneaker".into(), stock: 1_000_000, ..PutProduct::default() };
        stage.client.create_product(&sku(), &put).await.expect("the sale opens");
        stage
    }

    fn trigger(&self, id: NodeId) -> PathBuf {
        self.cluster.dir().join(format!("flip-{id}"))
    }

    fn start(&mut self, id: NodeId) {
        let env = vec![
            ("FLASHNODE_MUTANT".to_owned(), "flipped-bit".into()),
            ("FLASHNODE_MUTANT_TRIGGER".to_owned(), self.trigger(id).into()),
        ];
        self.cluster.launch(id, &Launch { args: Vec::new(), env }).expect("it starts");
    }

    fn flip(&self, id: NodeId) {
        std::fs::write(self.trigger(id), b"").expect("a file");
    }

    async fn leader(&self) -> NodeId {
        self.cluster.leader().await.expect("somebody leads")
    }

    fn others(id: NodeId) -> [NodeId; 2] {
        let others: Vec<NodeId> = (1..=3).map(NodeId).filter(|other| *other != id).collect();
        [others[0], others[1]]
    }

    /// One buy at this node, by someone new.
    async fn buy_at(&self, id: NodeId) -> BuyAnswer {
        let user = format!("buyer-{}", self.buyers.fetch_add(1, Relaxed));
        let position = usize::try_from(id.0 - 1).expect("a small id");
        self.client.buy_once(position, &buy(&user), &client::new_request_id(), 1).await
    }

    /// Keeps buying at this node until its log, or another's, says this.
    async fn buys_until_said(&self, at: NodeId, who: NodeId, words: &str) {
        until(&format!("node {who} to say {words:?}"), || async {
            let _sold_or_not = self.buy_at(at).await;
            self.log(who).contains(words).then_some(())
        })
        .await;
    }

    fn log(&self, id: NodeId) -> String {
        std::fs::read_to_string(&self.cluster.node(id).log).unwrap_or_default()
    }

    /// Units sold, as this node has applied it.
    async fn sold(&self, id: NodeId) -> u64 {
        let position = usize::try_from(id.0 - 1).expect("a small id");
        self.client.product_stale(position, &sku()).await.expect("a stale read").sold
    }

    async fn status(&self, id: NodeId, path: &str) -> (u16, String) {
        let url = format!("http://{}{path}", self.cluster.node(id).http);
        let answer = reqwest::get(&url).await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("a body"))
    }

    /// It says that it is fenced, and answers nothing about the stock, stale or not.
    async fn assert_fenced(&self, id: NodeId) {
        let (status, why) = self.status(id, "/readyz?verbose").await;
        assert_eq!(status, 503, "{why}");
        assert!(why.contains("it is fenced: its state after entry"), "{why}");
        let stale = "/v1/products/sneaker?consistency=stale";
        for path in ["/v1/products", stale, "/v1/orders/2", "/v1/export", "/v1/levels", "/ws"] {
            let (status, body) = self.status(id, path).await;
            assert_eq!(status, 503, "{path}: {body}");
            assert!(body.contains("This node is fenced"), "{path}: {body}");
        }
        assert_eq!(self.status(id, "/livez").await.0, 200);
        let (_, cluster) = self.status(id, "/v1/cluster").await;
        assert!(cluster.contains("\"fenced\""), "{cluster}");
        let answer = self.buy_at(id).await;
        assert!(matches!(answer, BuyAnswer::NotProposed { .. }), "{answer:?}");
    }

    /// The way back: it does not start on its directory, but does with an empty one.
    async fn readmit(&mut self, id: NodeId) {
        self.cluster.kill(id).expect("it runs");
        std::fs::remove_file(self.trigger(id)).expect("the bit rests");
        self.start(id);
        let status = self.cluster.wait_exit(id, PATIENCE).await.expect("it stops by itself");
        assert!(!status.success());
        assert!(self.log(id).contains("is fenced: its state after entry"), "{}", self.log(id));
        self.cluster.wipe(id).expect("its directory goes");
        self.start(id);
        self.cluster.wait_ready(PATIENCE).await.expect("it comes back");
        let views = self.cluster.wait_level(PATIENCE).await.expect("the nodes become level");
        for pair in views.windows(2) {
            assert_eq!(pair[0].state_hash, pair[1].state_hash, "states differ: {views:?}");
        }
    }

    async fn assert_sells_at(&self, ids: &[NodeId]) {
        for id in ids {
            until(&format!("node {id} to sell"), || async {
                matches!(self.buy_at(*id).await, BuyAnswer::Accepted { .. }).then_some(())
            })
            .await;
        }
    }
}

/// Who listens to one node and would not go to another.
struct Listener {
    streams: [Response; 2],
    levels: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// A subscriber of the Redis protocol; its product's level does not change.
    channel: TcpStream,
}

impl Listener {
    /// Listens, and has been told something.
    async fn open(http: &str, resp: &str) -> Self {
        let (levels, _) = connect_async(format!("ws://{http}/ws")).await.expect("an upgrade");
        let listen = async |path| {
            let stream = reqwest::get(format!("http://{http}{path}")).await.expect("an answer");
            assert_eq!(stream.status(), 200, "{path}");
            stream
        };
        let streams = [listen("/v1/events?after=0").await, listen("/v1/levels").await];
        let mut channel = TcpStream::connect(resp).await.expect("a connection");
        let subscribe = b"*2\r\n$9\r\nSUBSCRIBE\r\n$10\r\nstock:none\r\n";
        channel.write_all(subscribe).await.expect("it takes it");
        channel.read_u8().await.expect("it is told");
        let mut listener = Self { streams, levels, channel };
        for stream in &mut listener.streams {
            stream.chunk().await.expect("it is told").expect("the stream goes on");
        }
        listener.levels.next().await.expect("it is told").expect("the stream goes on");
        listener
    }

    /// All streams come to an end.
    async fn ends(mut self) {
        for stream in &mut self.streams {
            let told = async { while let Ok(Some(_)) = stream.chunk().await {} };
            timeout(PATIENCE, told).await.expect("the events end");
        }
        let levels = async { while let Some(Ok(_)) = self.levels.next().await {} };
        timeout(PATIENCE, levels).await.expect("the levels end");
        let mut told = Vec::new();
        let channel = timeout(PATIENCE, self.channel.read_to_end(&mut told)).await;
        channel.expect("the channel ends").expect("and not by a reset");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_with_a_flipped_bit_is_fenced_and_the_others_sell_on() {
    let mut stage = Stage::open().await;
    let leader = stage.leader().await;
    let [follower, third] = Stage::others(leader);
    let node = stage.cluster.node(follower);
    let listener = Listener::open(&node.http, &node.resp).await;
    let mut counting = TcpStream::connect(&node.resp).await.expect("a connection");
    stage.flip(follower);
    stage.buys_until_said(leader, follower, "this node is fenced").await;
    stage.assert_fenced(follower).await;
    // Nor does it go on telling of a state that is wrong.
    listener.ends().await;
    for command in ["DECR", "GET"] {
        let asked = format!("*2\r\n$4\r\n{command:4}\r\n$7\r\nsneaker\r\n");
        let asked = asked.replace("$4\r\nGET ", "$3\r\nGET");
        counting.write_all(asked.as_bytes()).await.expect("it takes it");
        let mut said = [0; 47];
        counting.read_exact(&mut said).await.expect("an answer");
        assert_eq!(&said, b"-TRYAGAIN nothing was done: this node is fenced", "{command}");
        while counting.read_u8().await.expect("the rest") != b'\n' {}
    }
    stage.assert_sells_at(&[leader, third]).await;
    stage.readmit(follower).await;
    stage.assert_sells_at(&[follower]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_with_a_flipped_bit_steps_down_first() {
    let mut stage = Stage::open().await;
    let leader = stage.leader().await;
    stage.flip(leader);
    stage.buys_until_said(leader, leader, "this node is fenced").await;
    let log = stage.log(leader);
    let handed = log.find("handed leadership to node").expect("it stepped down");
    assert!(handed < log.find("this node is fenced").expect("it is fenced"), "{log}");
    stage.assert_fenced(leader).await;
    stage.assert_sells_at(&Stage::others(leader)).await;
    stage.readmit(leader).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_majority_that_agrees_nothing_is_sold() {
    let mut stage = Stage::open().await;
    let leader = stage.leader().await;
    let [wrong, absent] = Stage::others(leader);
    stage.cluster.kill(absent).expect("it runs");
    stage.flip(wrong);
    stage.buys_until_said(leader, leader, "none is a majority's").await;
    let sold = stage.sold(leader).await;
    for id in [leader, wrong] {
        let answer = stage.buy_at(id).await;
        assert!(!matches!(answer, BuyAnswer::Accepted { .. }), "node {id}: {answer:?}");
    }
    assert_eq!(stage.sold(leader).await, sold, "a unit was sold");
    let (status, why) = stage.status(leader, "/readyz?verbose").await;
    assert_eq!(status, 503, "{why}");
    assert!(why.contains("selling has stopped until a majority agrees"), "{why}");
    // The third knows which of the two is right.
    stage.start(absent);
    until("the wrong one to be fenced", || async {
        stage.log(wrong).contains("this node is fenced").then_some(())
    })
    .await;
    stage.assert_sells_at(&[leader, absent]).await;
    stage.readmit(wrong).await;
}
