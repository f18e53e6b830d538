//! The sink inside a node: it moves with the leader.

use super::postgres::Copy;
use super::program::{beside, code, stderr, stdout};
use super::scene::{PATIENCE, Scene, buyers, until};
use super::servers::Postgres;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sink_in_a_node_moves_when_that_node_dies() {
    let Some(mut server) = Postgres::start().await else { return };
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("cluster.toml");
    std::fs::write(&file, format!("[sink]\npostgres = {:?}\n", server.url())).unwrap();
    let mut scene = Scene::open(&["--config", &file.display().to_string()]).await;
    let buyers = buyers();
    let sku = scene.sell("drop", buyers - buyers / 10).await;
    let (storm, progress) = scene.storm(&sku, buyers);
    for step in 1..=5 {
        let due = buyers * step / 10;
        until("more orders", async || (progress.accepted_count() > due).then_some(())).await;
        if step == 3 {
            server.kill();
            server.start_again().await;
        } else {
            let leader = until("a leader", async || scene.cluster.leader().await.ok()).await;
            scene.replace(leader).await;
        }
    }
    storm.await.unwrap();
    let copy = Copy { scene, server };
    let verified = copy.verify(PATIENCE.as_secs()).await;
    assert_eq!(code(&verified), 0, "{}{}", stdout(&verified), stderr(&verified));
    copy.assert_same_orders().await;

    // It is at work on the leader, says so, and has nothing left to do.
    let nodes = copy.scene.nodes();
    until("the sink to be shown", async || {
        let leader = copy.scene.cluster.leader().await.ok()?;
        let status = beside(&["status", "--nodes", &nodes]).await;
        stdout(&status).contains(&format!("sink: at work on node {leader}, at ")).then_some(())
    })
    .await;
    let mut running = 0;
    for node in 0..3 {
        let metrics = copy.scene.client.metrics(node).await.unwrap();
        running += metrics.lines().filter(|line| *line == "flashnode_sink_running 1").count();
    }
    assert_eq!(running, 1);
}
