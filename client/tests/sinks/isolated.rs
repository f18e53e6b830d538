//! A node that is cut off from the others, and lives: nobody waits for it.

use super::postgres::Copy;
use super::program::{code, stderr, stdout};
use super::scene::{PATIENCE, Scene, Sink, until};
use super::servers::Postgres;
use client::cluster::ProcessCluster;
use std::sync::Arc;
use stock::NodeId;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// The links between the nodes, of which those of one can be cut.
struct Links {
    cut: watch::Sender<Option<NodeId>>,
}

impl Links {
    async fn lay(cluster: &mut ProcessCluster) -> Self {
        let (cut, _) = watch::channel(None);
        for from in (1..=3).map(NodeId) {
            for to in (1..=3).map(NodeId).filter(|to| *to != from) {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let address = listener.local_addr().unwrap().to_string();
                let target = cluster.node(to).peer.clone();
                tokio::spawn(join(listener, target, (from, to), cut.subscribe()));
                cluster.detour(from, to, address);
            }
        }
        Self { cut }
    }

    /// Cuts a node off: its connections break, and none comes about.
    fn cut(&self, id: Option<NodeId>) {
        self.cut.send_replace(id);
    }
}

async fn join(
    listener: TcpListener,
    target: String,
    (from, to): (NodeId, NodeId),
    cut: watch::Receiver<Option<NodeId>>,
) {
    let target: Arc<str> = target.into();
    loop {
        let (mut near, _) = listener.accept().await.unwrap();
        let (target, mut cut) = (Arc::clone(&target), cut.clone());
        tokio::spawn(async move {
            let is_cut = move |cut: &Option<NodeId>| *cut == Some(from) || *cut == Some(to);
            let passing = async {
                if let Ok(mut far) = TcpStream::connect(&*target).await {
                    let _ended = copy_bidirectional(&mut near, &mut far).await;
                }
            };
            tokio::select! {
                biased;
                _ = cut.wait_for(is_cut) => {}
                () = passing => {}
            }
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_leaves_a_node_that_is_cut_off() {
    let Some(server) = Postgres::start().await else { return };
    let (scene, links) = Scene::open_with(&[], Links::lay).await;
    let sku = scene.sell("drop", 10_000).await;
    let copy = Copy { scene, server };
    let addresses = copy.scene.cluster.addresses();
    let to = copy.server.url();
    let sinks: Vec<Sink> = (0..3)
        .map(|first| {
            let mut nodes = addresses.clone();
            nodes.rotate_left(first);
            let (schema, nodes) = (format!("copy{first}"), nodes.join(","));
            let args = ["postgres", "--to", &to, "--schema", &schema, "--nodes", &nodes];
            Sink::start(&args, copy.scene.cluster.dir().join(format!("{schema}.log")))
        })
        .collect();
    copy.scene.rush(&sku, 1_000).await;
    let position = async |first: usize| {
        let position = format!("SELECT position FROM copy{first}.position");
        let row = copy.server.client().await.query_one(&position, &[]).await.ok()?;
        Some(row.get::<_, i64>(0))
    };
    let caught_up = async |what: &str| {
        let newest = i64::try_from(copy.scene.newest().await.0).unwrap();
        for (first, sink) in sinks.iter().enumerate() {
            until(&format!("{what}: {}", sink.told()), async || {
                (position(first).await? >= newest).then_some(())
            })
            .await;
        }
    };
    caught_up("the first orders").await;
    // Whichever node a sink reads from, its turn comes.
    for cut in 1..=3 {
        links.cut(Some(NodeId(cut)));
        copy.scene.rush(&sku, 1_000).await;
        caught_up("what a node that is cut off does not tell").await;
        links.cut(None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_cut_off_gives_its_sink_up() {
    let Some(server) = Postgres::start().await else { return };
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("cluster.toml");
    std::fs::write(&file, format!("[sink]\npostgres = {:?}\n", server.url())).unwrap();
    let config = file.display().to_string();
    let (scene, links) = Scene::open_with(&["--config", &config], Links::lay).await;
    let sku = scene.sell("drop", 10_000).await;
    scene.rush(&sku, 1_000).await;
    let at_work = async || {
        let mut nodes = Vec::new();
        for node in 0..3 {
            let metrics = scene.client.metrics(node).await.ok()?;
            if metrics.lines().any(|line| line == "flashnode_sink_running{sink=\"postgres\"} 1") {
                nodes.push(NodeId(node as u64 + 1));
            }
        }
        Some(nodes)
    };
    let only = async |what: &str| {
        until(what, async || match at_work().await?[..] {
            [node] => Some(node),
            _ => None,
        })
        .await
    };
    let first = only("the sink to be at work").await;
    // It is not told that another one leads.
    links.cut(Some(first));
    let second =
        until("the sink to be at work elsewhere, and there alone", async || {
            match at_work().await?[..] {
                [node] if node != first => Some(node),
                _ => None,
            }
        })
        .await;
    scene.rush(&sku, 1_000).await;
    links.cut(None);
    scene.rush(&sku, 1_000).await;
    let copy = Copy { scene, server };
    let verified = copy.verify(PATIENCE.as_secs()).await;
    let told = format!("{}{} {first} {second}", stdout(&verified), stderr(&verified));
    assert_eq!(code(&verified), 0, "{told}");
}
