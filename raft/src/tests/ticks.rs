//! Ticks: a sale opens and ends on time where nobody asks, also under the next leader, and nothing
//! is written while nothing is due.

use crate::{ForwardedFrame, Proposed, Replica, ReplicaConfig, Role};
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use stock::{Attempt, Batch, Command, Envelope, NodeId, RequestId, Requester, Sku, Terms};
use tokio::sync::mpsc;
use tokio::time::Instant;

const PATIENCE: Duration = Duration::from_secs(30);
const LOOK_INTERVAL: Duration = Duration::from_millis(5);
/// From the product's creation to its opening, and on to its end.
const STEP_MS: u64 = 2_000;
/// A tick may be seen this late on a starved machine.
const LATE_MS_MAX: u64 = 1_000;
/// How long nothing must be written.
const QUIET: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_leader_ticks_when_something_is_due_and_only_then() {
    let dir = tempfile::tempdir().expect("a directory");
    let peers = peers(1);
    let replica = open(NodeId(1), &peers, dir.path()).await;
    until("a leader", || leads(&replica)).await;
    let due = create(&replica).await;
    let mut last = replica.status().last_log;
    for due_ms in due {
        let ticked_ms = until("a tick", || {
            let now = replica.status().last_log;
            assert!(now <= last + 1, "{} entries instead of one tick", now - last);
            (now > last).then(now_ms)
        })
        .await;
        assert!(ticked_ms >= due_ms, "due at {due_ms}, ticked at {ticked_ms}");
        assert!(ticked_ms <= due_ms + LATE_MS_MAX, "due at {due_ms}, ticked at {ticked_ms}");
        println!("a tick was seen {} ms after it was due", ticked_ms - due_ms);
        last += 1;
    }
    let quiet_since = Instant::now();
    while quiet_since.elapsed() < QUIET {
        assert_eq!(replica.status().last_log, last, "nothing is due, and nothing is written");
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
    assert_eq!(replica.read(stock::Machine::next_due_ms), None);
    replica.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_leader_ticks() {
    let dir = tempfile::tempdir().expect("a directory");
    let peers = peers(3);
    let mut replicas = Vec::new();
    for id in peers.keys() {
        replicas.push(open(*id, &peers, dir.path()).await);
    }
    let place = until("a leader", || replicas.iter().position(|one| leads(one).is_some())).await;
    let [starts_ms, _] = create(&replicas[place]).await;
    replicas.remove(place).close().await;
    let opened = |replica: &Replica| replica.read(stock::Machine::log_time_ms) >= starts_ms;
    until("both to open the sale", || replicas.iter().all(opened).then_some(())).await;
    assert!(now_ms() >= starts_ms, "it opened early");
    for replica in replicas {
        replica.close().await;
    }
}

fn peers(nodes: usize) -> BTreeMap<NodeId, String> {
    let held: Vec<TcpListener> =
        (0..nodes).map(|_| TcpListener::bind("127.0.0.1:0").expect("a port")).collect();
    let address = |listener: &TcpListener| listener.local_addr().expect("an address").to_string();
    (1..).map(NodeId).zip(held.iter().map(address)).collect()
}

async fn open(id: NodeId, peers: &BTreeMap<NodeId, String>, dir: &Path) -> Replica {
    let (forwarded, frames) = mpsc::channel::<ForwardedFrame>(1);
    // Nobody forwards here; the receiver only has to live as long as the replica.
    std::mem::forget(frames);
    let config = ReplicaConfig {
        id,
        peers: peers.clone(),
        http: String::new(),
        data: dir.join(id.to_string()),
        heartbeat: Duration::from_millis(100),
        election_min: Duration::from_millis(300),
        election_max: Duration::from_millis(600),
        snapshot_entries: 10_000,
        keep_entries: 1_000,
    };
    Replica::open(config, forwarded).await.expect("it opens")
}

fn leads(replica: &Replica) -> Option<()> {
    let status = replica.status();
    (status.role == Role::Leader && status.ready.is_ok()).then_some(())
}

/// A product that opens in a while and ends a while later; says when.
async fn create(replica: &Replica) -> [u64; 2] {
    let starts_ms = now_ms() + STEP_MS;
    let due = [starts_ms, starts_ms + STEP_MS];
    let sku = Sku::new("tee").expect("a valid id");
    let terms = Terms {
        starts_at_ms: Some(due[0]),
        ends_at_ms: Some(due[1]),
        ..Terms::plain(sku, "Tee", 10)
    };
    let envelope = Envelope {
        requester: Requester::Operator,
        request_id: RequestId::new("create").expect("a valid id"),
        attempt: Attempt::First,
        command: Command::CreateProduct(Box::new(terms)),
    };
    let mut batch = Batch { stamp_ms: 0, commands: vec![envelope] };
    let proposed = replica.propose(&mut batch, Instant::now() + PATIENCE).await;
    assert!(matches!(proposed, Proposed::Decided(_)), "{proposed:?}");
    due
}

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    u64::try_from(now.as_millis()).expect("this millennium")
}

async fn until<T>(what: &str, look: impl Fn() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(started.elapsed() < PATIENCE, "waited for {what}");
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}
