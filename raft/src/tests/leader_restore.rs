//! The divergence that openraft's `enable_leader_restore` (on by default) causes, and that our
//! configuration does not have it.
//!
//! A leader answers once a majority has flushed, and that may be its followers alone. If it then
//! loses its own unflushed tail and restarts before anyone campaigns, "restored" leadership
//! resumes the same term with a shorter log, and new entries take the log ids of acknowledged ones.
//! Followers cannot tell the two apart: same term, same index, other content.

use crate::replica::LEADER_RESTORE;
use crate::store::LogStore;
use crate::{ForwardedFrame, Proposed, Replica, ReplicaConfig};
use openraft::storage::{RaftLogReader, RaftLogStorage};
use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;
use stock::{
    Attempt, Batch, Command, Envelope, NodeId, Outcome, Quantity, RequestId, Requester, Sku, Terms,
    UserId,
};
use tokio::sync::mpsc;
use tokio::time::Instant;

const PATIENCE: Duration = Duration::from_secs(30);
/// Acknowledged entries whose flush the leader loses.
const LOST_ENTRIES: u64 = 3;

#[derive(Debug, PartialEq, Eq)]
enum End {
    /// All replicas hold the same state, and every acknowledged order.
    Whole,
    /// Replicas differ, or an acknowledged order is gone.
    Broken,
}

/// One test for both, because the setting is one for the process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_lost_its_unflushed_tail_does_not_resume_its_term() {
    assert_eq!(play().await, End::Whole, "with our configuration");
    LEADER_RESTORE.store(true, Ordering::Relaxed);
    let end = play().await;
    LEADER_RESTORE.store(false, Ordering::Relaxed);
    assert_eq!(end, End::Broken, "openraft's default is the bug that this test must see");
}

async fn play() -> End {
    let dir = tempfile::tempdir().expect("a directory");
    let peers = peers();
    let mut replicas = Vec::new();
    for id in peers.keys() {
        replicas.push(open(*id, &peers, dir.path()).await);
    }
    let leader = leader_of(&replicas).await;
    let mut acknowledged = BTreeSet::new();
    assert!(propose(&replicas[leader], create()).await.is_some(), "the sale opens");
    for buyer in 0..10 {
        let orders = propose(&replicas[leader], buy(&format!("before-{buyer}"))).await;
        acknowledged.insert((orders.expect("an order"), format!("before-{buyer}")));
    }
    level(&replicas).await;

    // The leader dies with its newest entries unflushed: they are on the followers' disks only.
    let id = replicas[leader].id();
    replicas[leader].close().await;
    let old = replicas.remove(leader);
    drop(old);
    cut_tail(&dir.path().join(id.to_string()), id).await;
    replicas.push(open(id, &peers, dir.path()).await);

    let leader = leader_of(&replicas).await;
    for buyer in 0..10 {
        let name = format!("after-{buyer}");
        match propose(&replicas[leader], buy(&name)).await {
            Some(order) => {
                acknowledged.insert((order, name));
            }
            None => return End::Broken,
        }
    }
    let end = judge(&replicas, &acknowledged).await;
    for replica in replicas {
        replica.close().await;
    }
    end
}

fn peers() -> BTreeMap<NodeId, String> {
    let held: Vec<TcpListener> =
        (0..3).map(|_| TcpListener::bind("127.0.0.1:0").expect("a port")).collect();
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
        // Nobody campaigns before the old leader is back.
        election_min: Duration::from_secs(3),
        election_max: Duration::from_secs(4),
        snapshot_entries: 10_000,
        keep_entries: 1_000,
    };
    let started = Instant::now();
    loop {
        match Replica::open(config.clone(), forwarded.clone()).await {
            Ok(replica) => return replica,
            // The old listener's connections may take a moment to close.
            Err(error) => assert!(started.elapsed() < PATIENCE, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn leader_of(replicas: &[Replica]) -> usize {
    until("a leader", || {
        replicas.iter().position(|replica| {
            let status = replica.status();
            status.role == crate::Role::Leader && status.ready.is_ok()
        })
    })
    .await
}

async fn level(replicas: &[Replica]) {
    until("level replicas", || {
        let applied: BTreeSet<u64> = replicas.iter().map(|one| one.status().applied).collect();
        (applied.len() == 1).then_some(())
    })
    .await;
}

async fn until<T>(what: &str, look: impl Fn() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(started.elapsed() < PATIENCE, "waited for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Cuts off the newest entries, as a power cut before their flush would have.
async fn cut_tail(dir: &Path, id: NodeId) {
    let mut store = LogStore::open(dir, id).expect("the store opens");
    let last = store.get_log_state().await.expect("a state").last_log_id.expect("entries");
    let kept = last.index - LOST_ENTRIES;
    let entry = store.try_get_log_entries(kept..=kept).await.expect("readable").remove(0);
    store.save_committed(Some(entry.log_id)).await.expect("saved");
    store.truncate_after(Some(entry.log_id)).await.expect("cut");
    store.close().await;
}

fn envelope(requester: Requester, command: Command) -> Envelope {
    let name = format!("{requester:?}").replace(['"', ' ', '(', ')'], "");
    let request_id = RequestId::new(name).expect("a valid id");
    Envelope { requester, request_id, attempt: Attempt::First, command }
}

fn sku() -> Sku {
    Sku::new("tee").expect("a valid id")
}

fn create() -> Envelope {
    let product = Terms::plain(sku(), "Tee", 1_000);
    envelope(Requester::Operator, Command::CreateProduct(Box::new(product)))
}

fn buy(user: &str) -> Envelope {
    let user = UserId::new(user).expect("a valid id");
    envelope(Requester::User(user), Command::Buy { sku: sku(), quantity: Quantity::ONE })
}

/// The order's number, or the product's; none when it was not decided.
async fn propose(replica: &Replica, command: Envelope) -> Option<u64> {
    let started = Instant::now();
    while started.elapsed() < PATIENCE {
        let mut batch = Batch { stamp_ms: 0, commands: vec![command.clone()] };
        match replica.propose(&mut batch, Instant::now() + PATIENCE).await {
            Proposed::Decided(replies) => {
                let accepted = matches!(
                    replies[0].outcome,
                    Outcome::Bought { .. } | Outcome::ProductCreated(_)
                );
                return accepted.then_some(replies[0].seq.0);
            }
            Proposed::NotProposed => tokio::time::sleep(Duration::from_millis(10)).await,
            Proposed::Unknown => return None,
        }
    }
    None
}

/// Do all replicas agree, and does each hold every acknowledged order?
async fn judge(replicas: &[Replica], acknowledged: &BTreeSet<(u64, String)>) -> End {
    let started = Instant::now();
    let agree = || {
        let states: BTreeSet<(u64, u128)> = replicas
            .iter()
            .map(Replica::status)
            .map(|status| (status.applied, status.state_hash))
            .collect();
        states.len() == 1
    };
    // A replica that differs stays different: three seconds are plenty for one that only lags.
    while !agree() {
        if started.elapsed() > Duration::from_secs(3) {
            return End::Broken;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let holds = |replica: &Replica, order: u64, buyer: &str| {
        let event = replica.event(stock::Seq(order)).ok().flatten();
        event.is_some_and(|event| match event.change {
            stock::Change::Ordered(order) => order.user.as_str() == buyer,
            _ => false,
        })
    };
    let whole = replicas
        .iter()
        .all(|replica| acknowledged.iter().all(|(order, buyer)| holds(replica, *order, buyer)));
    if whole { End::Whole } else { End::Broken }
}
