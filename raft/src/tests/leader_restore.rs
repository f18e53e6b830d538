//! The divergence that openraft's `enable_leader_restore` (on by default) causes, and that our
//! configuration does not have it.
//!
//! A leader answers once a majority has flushed, and that may be its followers alone. If it then
//! loses its own unflushed tail and restarts before anyone campaigns, "restored" leadership
//! resumes the same term with a shorter log, and new entries take the log ids of acknowledged ones.
//! Followers cannot tell the two apart: same term, same index, other content.

use super::scene::{PATIENCE, Peers, buy, create, leader_of, propose, until};
use crate::Replica;
use crate::detector;
use crate::replica::LEADER_RESTORE;
use crate::store::LogStore;
use openraft::storage::{RaftLogReader, RaftLogStorage};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;
use stock::{Envelope, NodeId, Outcome};
use tokio::time::Instant;

/// Nobody campaigns before the old leader is back.
const ELECTION_MIN: Duration = Duration::from_secs(3);
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
    detector::IS_OFF.store(true, Ordering::Relaxed);
    assert_eq!(play().await, End::Whole, "with our configuration");
    LEADER_RESTORE.store(true, Ordering::Relaxed);
    let end = play().await;
    LEADER_RESTORE.store(false, Ordering::Relaxed);
    detector::IS_OFF.store(false, Ordering::Relaxed);
    assert_eq!(end, End::Broken, "openraft's default is the bug that this test must see");
}

async fn play() -> End {
    let dir = tempfile::tempdir().expect("a directory");
    let peers = Peers::new(3);
    let mut replicas = Vec::new();
    for id in peers.addresses.keys() {
        replicas.push(peers.open(*id, dir.path(), ELECTION_MIN).await);
    }
    let leader = leader_of(&replicas).await;
    let mut acknowledged = BTreeSet::new();
    assert!(accepted(&replicas[leader], create()).await.is_some(), "the sale opens");
    for buyer in 0..10 {
        let orders = accepted(&replicas[leader], buy(&format!("before-{buyer}"))).await;
        acknowledged.insert((orders.expect("an order"), format!("before-{buyer}")));
    }
    level(&replicas).await;

    // The leader dies with its newest entries unflushed: they are on the followers' disks only.
    let id = replicas[leader].id();
    replicas[leader].close().await;
    let old = replicas.remove(leader);
    drop(old);
    cut_tail(&dir.path().join(id.to_string()), id).await;
    replicas.push(peers.open(id, dir.path(), ELECTION_MIN).await);

    let leader = leader_of(&replicas).await;
    for buyer in 0..10 {
        let name = format!("after-{buyer}");
        match accepted(&replicas[leader], buy(&name)).await {
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

async fn level(replicas: &[Replica]) {
    until("level replicas", || {
        let applied: BTreeSet<u64> = replicas.iter().map(|one| one.status().applied).collect();
        (applied.len() == 1).then_some(())
    })
    .await;
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

/// The order's number, or the product's; none when it was not decided.
async fn accepted(replica: &Replica, command: Envelope) -> Option<u64> {
    let reply = propose(replica, &command).await?;
    let accepted = matches!(reply.outcome, Outcome::Bought { .. } | Outcome::ProductCreated(_));
    accepted.then_some(reply.seq.0)
}

/// Do all replicas agree, and does each hold every acknowledged order?
async fn judge(replicas: &[Replica], acknowledged: &BTreeSet<(u64, String)>) -> End {
    let started = Instant::now();
    let states = || -> BTreeSet<(u64, u128)> {
        let all = replicas.iter().map(Replica::status);
        all.map(|status| (status.applied, status.state_hash)).collect()
    };
    loop {
        let states = states();
        if states.len() == 1 {
            break;
        }
        // Replicas that differ at one entry stay different. One that only lags gets there.
        let applied: BTreeSet<u64> = states.iter().map(|(applied, _)| *applied).collect();
        if applied.len() == 1 || started.elapsed() > PATIENCE {
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
