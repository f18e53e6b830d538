//! A node whose clock is one hour off: as a follower and as the leader it does nothing to log time.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends at what it cannot do without")]

mod scene;

use client::BuyAnswer;
use client::cluster::Launch;
use scene::{PATIENCE, Scene, until};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use stock::NodeId;
use stock::api::{ClusterView, OrderView};

/// A buy and its order take a moment; an hour is more.
const NEAR: Duration = Duration::from_secs(30);
/// Log time that must pass to say that it runs.
const RUNS_ON: Duration = Duration::from_secs(1);
const HOUR_MS: i64 = 3_600_000;
/// Between a clock's true offset and what the others make of it.
const OFF_MS_MARGIN: u64 = 5_000;

/// libfaketime, where distributions put it.
fn library() -> Option<PathBuf> {
    let architectures = std::fs::read_dir("/usr/lib").ok()?;
    let place = |dir: std::fs::DirEntry| dir.path().join("faketime/libfaketimeMT.so.1");
    let found = architectures.flatten().map(place).find(|path| path.is_file());
    if found.is_none() {
        let why = "libfaketime is not installed (Debian package faketime)";
        assert!(std::env::var_os("FLASHNODE_NO_SKIPS").is_none(), "{why}");
        eprintln!("skipped: {why}");
    }
    found
}

/// A start with a wall clock that is off; the monotonic clock stays.
fn with_clock(library: &PathBuf, off: &str) -> Launch {
    let set = |name: &str, value: OsString| (name.to_owned(), value);
    let env = vec![
        set("LD_PRELOAD", library.into()),
        set("FAKETIME", off.into()),
        set("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
        set("DONT_FAKE_MONOTONIC", "1".into()),
    ];
    Launch { args: Vec::new(), env }
}

/// What libfaketime leaves in shared memory when this process is killed; removed at the end.
struct SharedMemory(u32);

impl Drop for SharedMemory {
    fn drop(&mut self) {
        let Self(pid) = self;
        for name in [format!("faketime_shm_{pid}"), format!("sem.faketime_sem_{pid}")] {
            // A process that ended by itself has removed it.
            let _ = std::fs::remove_file(Path::new("/dev/shm").join(name));
        }
    }
}

async fn get<T: serde::de::DeserializeOwned>(scene: &Scene, node: NodeId, path: &str) -> T {
    let url = format!("http://{}{path}", scene.cluster.node(node).http);
    let answer = reqwest::get(&url).await.expect("an answer").error_for_status();
    answer.expect("it is found").json().await.expect("the contract's body")
}

/// Buys one unit; log time of the order, and by how much this test's clock differs from it.
async fn stamped(scene: &Scene, user: &str) -> (Duration, Duration) {
    let leader = scene.leader().await;
    let BuyAnswer::Accepted { order, .. } = scene.buy_at(leader, user).await else {
        panic!("{user} buys nothing");
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let path = format!("/v1/orders/{}", order.order_id);
    let order: OrderView = get(scene, leader, &path).await;
    let log_time = Duration::from_millis(order.at_ms);
    (log_time, now.abs_diff(log_time))
}

/// Log time is right, and it runs.
async fn assert_right(scene: &Scene, when: &str) {
    let (first, off) = stamped(scene, &format!("{when}-first")).await;
    assert!(off < NEAR, "{when}: log time is off by {off:?}");
    let buyers = AtomicU32::new(0);
    until(&format!("log time to run: {when}"), || async {
        let user = format!("{when}-{}", buyers.fetch_add(1, Relaxed));
        let (log_time, off) = stamped(scene, &user).await;
        assert!(off < NEAR, "{when}: log time is off by {off:?}");
        (log_time >= first + RUNS_ON).then_some(())
    })
    .await;
}

async fn offs_reported(scene: &Scene, asked: NodeId, wrong: NodeId, off_ms: i64) {
    let others = format!("node {asked} to report the clock of node {wrong}");
    until(&others, || async {
        let view: ClusterView = get(scene, asked, "/v1/cluster").await;
        let told = |id| view.nodes.iter().find(|node| node.id == id)?.clock_off_ms;
        (told(wrong)?.abs_diff(off_ms) < OFF_MS_MARGIN).then_some(())
    })
    .await;
}

/// Who asks a node whose clock is off, and does not stand in the clock's way, is told how long to
/// wait by the others' clocks.
async fn assert_waits_are_right(scene: &Scene, wrong: NodeId) {
    const OPENS_IN: Duration = Duration::from_secs(900);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let opens = u64::try_from((now + OPENS_IN).as_millis()).expect("before long");
    let opens = stock::api::Timestamp::from_ms(opens).expect("an instant");
    let base = format!("http://{}/v1", scene.cluster.node(wrong).http);
    let client = reqwest::Client::new();
    let product = serde_json::json!({"name": "Later", "stock": 1, "starts_at": opens.to_string()});
    let put = client.put(format!("{base}/products/later")).json(&product).send().await;
    assert_eq!(put.expect("an answer").status(), 201);
    let buy = serde_json::json!({"product_id": "later", "user_id": "early"});
    let refused = client.post(format!("{base}/buys")).json(&buy).send().await.expect("an answer");
    assert_eq!(refused.status(), 409);
    let wait = refused.headers()["retry-after"].to_str().expect("seconds");
    let wait = Duration::from_secs(wait.parse().expect("seconds"));
    assert!(wait <= OPENS_IN && wait > OPENS_IN / 2, "it says {wait:?} of {OPENS_IN:?}");
}

/// Makes a node the leader, by asking whoever leads instead to go.
async fn make_leader(scene: &mut Scene, wanted: NodeId) {
    for _ in 0..20 {
        let leader = scene.leader().await;
        if leader == wanted {
            return;
        }
        scene.cluster.terminate(leader).expect("it runs");
        scene.cluster.wait_exit(leader, PATIENCE).await.expect("it hands over and ends");
        scene.cluster.start_node(leader).expect("it starts again");
        scene.cluster.wait_ready(PATIENCE).await.expect("it is back");
    }
    panic!("node {wanted} never led");
}

async fn play(off: &str, off_ms: i64) {
    let Some(library) = library() else { return };
    let mut scene = Scene::open_for_failover(1_000, &[]).await;
    let wrong = scene.follower().await;
    assert_right(&scene, "all-clocks-right").await;

    scene.cluster.kill(wrong).expect("it runs");
    let launch = with_clock(&library, off);
    scene.cluster.launch(wrong, &launch).expect("it starts with another clock");
    let _left_behind = scene.cluster.node(wrong).pid().map(SharedMemory);
    scene.cluster.wait_ready(PATIENCE).await.expect("it is back");
    let leader = scene.leader().await;
    for asked in [leader, wrong] {
        scene.says(asked, &format!("the clock of node {wrong} is ")).await;
        offs_reported(&scene, asked, wrong, off_ms).await;
    }
    assert_right(&scene, "wrong-follower").await;
    assert_waits_are_right(&scene, wrong).await;

    make_leader(&mut scene, wrong).await;
    assert_right(&scene, "wrong-leader").await;

    // The next leader starts from where log time is.
    scene.cluster.kill(wrong).expect("it runs");
    assert_right(&scene, "next-leader").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_one_hour_ahead_does_nothing() {
    play("+1h", HOUR_MS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_one_hour_behind_does_nothing() {
    play("-1h", -HOUR_MS).await;
}
