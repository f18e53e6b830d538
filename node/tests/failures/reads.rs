//! Reads of what is damaged on the asked node.

use super::ending::metric;
use super::{Scene, buy, json, others, position, post, until};
use crate::scene::PATIENCE;
use crate::scene::http::Caller;
use serde_json::Value;
use std::cell::Cell;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use stock::NodeId;

/// An order whose segment file is damaged on one node is that node's 500, which tells nobody what
/// is in the file; the others answer, and so does the node where it needs no file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_history_is_an_internal_error_of_that_node() {
    const BUYS: usize = 20_000;
    const CALL: usize = 5_000;
    let args = ["--snapshot-entries", "10", "--keep-entries", "1", "--deadline-ms", "60000"];
    let mut scene = Scene::open(1_000_000, &args).await;
    let caller = Caller::new(&scene.cluster);
    let asked = scene.follower().await;
    let segment = || first_segment(&scene, asked);
    let items = |call: usize| -> Value {
        let item = |at| {
            let id = format!("{call}-{at}");
            json!({"request_id": id, "product_id": "sneaker", "user_id": id})
        };
        (0..CALL).map(item).collect()
    };
    for call in 0..BUYS / CALL {
        let answer = post(&caller, position(asked), "/v1/buys/batch", &items(call)).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let items = answer.body.as_array().expect("an item for each");
        let other = items.iter().find(|item| item["status"] != json!(201));
        assert_eq!((items.len(), other), (CALL, None), "each is sold");
    }
    let path = until("the first segment to be sealed", || async { segment() }).await;
    // What a node that runs keeps in memory, it reads from the file after a start, once a snapshot
    // names that: what follows the snapshot is applied anew.
    let sealed_at = metric(&caller, position(asked), "flashnode_raft_applied_index").await;
    let more = Cell::new(0);
    until("a snapshot behind it", || async {
        let user = format!("more-{}", more.replace(more.get() + 1));
        let answer = post(&caller, position(asked), "/v1/buys", &buy(&user)).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        let purged = metric(&caller, position(asked), "flashnode_raft_purged_index").await;
        (purged >= sealed_at).then_some(())
    })
    .await;
    scene.cluster.terminate(asked).expect("it runs");
    scene.cluster.wait_exit(asked, PATIENCE).await.expect("it ends");
    scene.cluster.start_node(asked).expect("it starts");
    scene.cluster.wait_ready(PATIENCE).await.expect("it comes back");

    let whole = caller.get(position(asked), "/v1/orders/100").await;
    assert_eq!(whole.status, 200, "{}", whole.body);
    let bytes = std::fs::read(&path).expect("a segment");
    let file = std::fs::File::options().write(true).open(&path).expect("a segment");
    file.write_all_at(&vec![0xA5; bytes.len() - 100], 50).expect("room");

    let damaged = caller.get(position(asked), "/v1/orders/200").await;
    assert_eq!((damaged.status, damaged.kind()), (500, "/problems/internal"), "{}", damaged.body);
    assert!(!damaged.body.to_string().contains("segment"), "{}", damaged.body);
    scene.says(asked, "read the history").await;
    for id in others(asked) {
        let order = caller.get(position(id), "/v1/orders/200").await;
        assert_eq!((order.status, &order.body["order_id"]), (200, &json!(200)), "{}", order.body);
    }
    let product = caller.get(position(asked), "/v1/products/sneaker").await;
    let sold = json!(BUYS + more.get());
    assert_eq!((product.status, &product.body["sold"]), (200, &sold), "{}", product.body);
}

fn first_segment(scene: &Scene, node: NodeId) -> Option<PathBuf> {
    let files = std::fs::read_dir(scene.cluster.node(node).dir.join("segments")).ok()?;
    files
        .flatten()
        .map(|file| file.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "segment"))
}
