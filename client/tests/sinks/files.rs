//! Every change in files, whatever is killed.

use super::program::{beside, code, stderr};
use super::scene::{Scene, Sink, buyers};
use super::servers::NoServer;
use serde_json::Value;
use std::path::Path;

/// All lines, in order.
pub(crate) fn lines(dir: &Path) -> Vec<Value> {
    let mut files: Vec<_> =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.retain(|path| path.extension().is_some_and(|kind| kind == "ndjson"));
    assert!(files.len() > 1, "{files:?} were not rotated");
    let text: String = files.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_killed_the_files_have_every_change_once() {
    let mut scene = Scene::open(&[]).await;
    let buyers = buyers();
    let sku = scene.sell("drop", buyers - buyers / 10).await;
    let (nodes, dir) = (scene.nodes(), scene.cluster.dir().join("events"));
    let dir_text = dir.display().to_string();
    let args = ["files", "--dir", &dir_text, "--rotate-mib", "1", "--nodes", &nodes];
    let mut sinks = [Sink::start(&args, scene.cluster.dir().join("sink.log"))];
    let (storm, progress) = scene.storm(&sku, buyers);
    scene.kill_in_turn((&progress, buyers), &mut sinks, &mut NoServer).await;
    storm.await.unwrap();
    let orders = scene.orders().await;
    sinks[0].kill();
    // What is left, to its end.
    let output = beside(&[
        "sink",
        "files",
        "--once",
        "--dir",
        &dir_text,
        "--rotate-mib",
        "1",
        "--nodes",
        &nodes,
    ])
    .await;
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let lines = lines(&dir);
    let ids = lines.iter().map(|line| line["id"].as_str().unwrap().parse::<u64>().unwrap());
    assert!(ids.eq(1..=lines.len() as u64), "every change, once, in order");
    let ordered: Vec<&Value> =
        lines.iter().filter(|line| line["type"] == "flashnode.ordered").collect();
    assert!(ordered.len() >= orders.len());
    for (line, order) in ordered.iter().zip(&orders) {
        assert_eq!(line["data"]["order_id"], order.order_id.0);
        assert_eq!(line["data"]["request_id"], order.request_id.as_str());
    }

    let csv = scene.cluster.dir().join("orders.csv");
    let output =
        beside(&["sink", "csv", "--out", &csv.display().to_string(), "--nodes", &nodes]).await;
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let text = std::fs::read_to_string(csv).unwrap();
    let ids =
        text.lines().skip(1).map(|line| line.split(',').next().unwrap().parse::<u64>().unwrap());
    assert!(ids.eq(scene.orders().await.iter().map(|order| order.order_id.0)), "{text}");
}
