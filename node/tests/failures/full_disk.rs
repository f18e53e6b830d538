//! A leader whose disk is full: it sells nothing, says so, and still tells what it knows. Each node
//! has a small file system of its own, which takes root to mount.

use super::scene::http::{Answer, Ask, Caller};
use super::scene::{CALM, ONE_AT_A_TIME, PATIENCE, options, until};
use super::{JSON, buy, orders, others, position, post};
use client::cluster::ProcessCluster;
use reqwest::Method;
use serde_json::json;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use stock::NodeId;

/// Twice what a node keeps in reserve, and what a node that has sold little writes.
const SIZE: &str = "size=96m";
/// A node keeps 32 MiB in reserve; what else it writes meanwhile needs some of the rest.
const LEFT_BYTES: u64 = 16 * 1024 * 1024;
const PIECE: &[u8] = &[1; 64 * 1024];

/// The mounted file systems; unmounted when they are dropped.
struct Disks(Vec<PathBuf>);

impl Disks {
    /// One for each node; none, said aloud, where none can be mounted.
    fn mount(dir: &Path) -> Option<Self> {
        let mut disks = Self(Vec::new());
        for id in 1..=3 {
            let path = dir.join(format!("disk-{id}"));
            std::fs::create_dir(&path).expect("a directory");
            let mut mount = Command::new("mount");
            mount.args(["-t", "tmpfs", "-o", SIZE, "flashnode-test"]).arg(&path);
            let done = mount.output().expect("mount runs");
            if !done.status.success() {
                let why = String::from_utf8_lossy(&done.stderr).into_owned();
                let why = format!("no small disk can be mounted, run it as root: {why}");
                assert!(std::env::var_os("FLASHNODE_NO_SKIPS").is_none(), "{why}");
                eprintln!("skipped: {why}");
                return None;
            }
            disks.0.push(path);
        }
        Some(disks)
    }

    fn of(&self, id: NodeId) -> &Path {
        &self.0[position(id)]
    }

    /// Fills a node's disk up to less than its reserve.
    fn fill(&self, id: NodeId) -> PathBuf {
        let filler = self.of(id).join("filler");
        let mut file = std::fs::File::create(&filler).expect("a file");
        let free = || {
            let disk = rustix::fs::statvfs(self.of(id)).expect("it is mounted");
            disk.f_bavail * disk.f_frsize
        };
        while free() > LEFT_BYTES {
            file.write_all(PIECE).expect("there is room for it");
        }
        filler
    }
}

impl Drop for Disks {
    fn drop(&mut self) {
        for path in &self.0 {
            // Lazily: it goes when the last file in it is closed.
            let done = Command::new("umount").arg("-l").arg(path).status();
            if !done.is_ok_and(|status| status.success()) {
                eprintln!("{} stays mounted", path.display());
            }
        }
    }
}

fn is_full(answer: &Answer) {
    let told = (answer.status, answer.kind());
    assert_eq!(told, (503, "/problems/storage-full"), "{}", answer.body);
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("retry-after"), "5");
    assert_eq!(answer.body["retry_after_ms"], json!(5_000));
}

/// Whatever would be written, and however it is asked for.
async fn everything_says_so(caller: &Caller, node: usize, hold: &str, order: u64) {
    for (path, body) in [
        ("/v1/buys", json!({"user_id": "late", "items": [{"product_id": "sneaker"}]})),
        ("/v1/holds", buy("late")),
        (&format!("/v1/holds/{hold}/confirm"), json!({"user_id": "ann"})),
        (&format!("/v1/orders/{order}/cancel"), json!({"user_id": "ann"})),
        ("/v1/products/sneaker/restock", json!({"quantity": 1})),
        ("/api/buy", buy("late")),
    ] {
        is_full(&post(caller, node, path, &body).await);
    }
    let ask = Ask { body: Some(r#"{"name":"Tee","stock":3}"#), headers: &[JSON] };
    is_full(&caller.call(node, Method::PUT, "/v1/products/tee", ask).await);
    let ask = Ask { body: Some(r#"{"name":"Shoe"}"#), headers: &[JSON] };
    is_full(&caller.call(node, Method::PATCH, "/v1/products/sneaker", ask).await);
    let release = format!("/v1/holds/{hold}?user_id=ann");
    is_full(&caller.call(node, Method::DELETE, &release, Ask::default()).await);
    let item = json!([{"request_id": "b-1", "product_id": "sneaker", "user_id": "late"}]);
    let batch = post(caller, node, "/v1/buys/batch", &item).await;
    let result = &batch.body[0];
    assert_eq!((batch.status, &result["status"]), (200, &json!(503)), "{}", batch.body);
    assert_eq!(result["problem"]["type"], json!("/problems/storage-full"), "{result}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_stops_the_sale_and_nothing_else() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let dir = tempfile::tempdir().expect("a directory");
    let Some(disks) = Disks::mount(dir.path()) else { return };
    let args = [&CALM[..], &["--deadline-ms", "4000"]].concat();
    let started = ProcessCluster::prepare(options(&args));
    let mut cluster = started.expect("ports and directories");
    for id in (1..=3).map(NodeId) {
        cluster.place(id, disks.of(id).join("data"));
        cluster.start_node(id).expect("it starts");
    }
    cluster.wait_ready(PATIENCE).await.expect("the cluster forms");
    let caller = Caller::new(&cluster);
    let ask = Ask { body: Some(r#"{"name":"Sneaker","stock":100}"#), headers: &[JSON] };
    assert_eq!(caller.call(0, Method::PUT, "/v1/products/sneaker", ask).await.status, 201);
    let held = post(&caller, 1, "/v1/holds", &buy("ann")).await;
    let hold_id = held.body["hold_id"].to_string();
    let bought = post(&caller, 2, "/v1/buys", &buy("ann")).await;
    let order = bought.body["order_id"].as_u64().expect("an order");

    let leader = cluster.leader().await.expect("somebody leads");
    let node = position(leader);
    let filler = disks.fill(leader);
    until("the disk to be found full", || async {
        let ready = caller.get(node, "/readyz?verbose").await;
        let found = ready.body["reason"] == json!("its disk is nearly full");
        (found && ready.status == 503).then_some(())
    })
    .await;
    let key = [("idempotency-key", "k-1")];
    let full = caller.buy(node, &buy("bob"), &key).await;
    is_full(&full);
    let said = caller.get(node, full.kind()).await;
    assert_eq!(said.status, 200, "a type is a page");
    everything_says_so(&caller, node, &hold_id, order).await;
    // Whoever asks a follower hears that nobody took it: that is as sure.
    let elsewhere = caller.buy(position(others(leader)[0]), &buy("cy"), &[]).await;
    let told = (elsewhere.status, elsewhere.kind());
    assert_eq!(told, (503, "/problems/no-leader"), "{}", elsewhere.body);
    for at in 0..3 {
        let read = caller.get(at, "/v1/products/sneaker").await;
        assert_eq!(read.status, 200, "reads go on: {}", read.body);
    }

    let sold = caller.get(0, "/v1/products/sneaker").await.body["sold"].clone();
    std::fs::remove_file(filler).expect("the filler goes");
    until("selling to go on", || async {
        let answer = caller.buy(node, &buy("bob"), &key).await;
        (answer.status == 201).then_some(())
    })
    .await;
    let after = caller.get(0, "/v1/products/sneaker").await.body["sold"].clone();
    assert_eq!(after.as_u64(), sold.as_u64().map(|sold| sold + 1), "nothing came in between");
    assert_eq!(orders(&caller, "bob", "k-1").await, 1);
    for (user, key) in [("late", "b-1"), ("cy", elsewhere.header("idempotency-key"))] {
        assert_eq!(orders(&caller, user, key).await, 0, "it was surely not proposed");
    }
    drop(cluster);
    drop(disks);
}
