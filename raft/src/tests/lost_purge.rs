//! A follower dies between its snapshot, which it has acknowledged, and the purge of its log.
//!
//! Found by a run of `jepsen-lite` (three nodes, all nemeses, seed 31, a kill right after a
//! catch-up by snapshot): the leader had the acknowledgement of the snapshot's index, the log ended
//! before it, and the node took its directory for an older copy and did not start.

use super::scene::{Peers, buy, create, leader_of, propose, until};
use crate::{Replica, Role};
use std::path::Path;
use std::time::Duration;

/// Nobody campaigns while the follower is away.
const ELECTION_MIN: Duration = Duration::from_secs(3);
/// What a directory's log is: sled's files and the mark.
const LOG_FILES: [&str; 2] = ["db-dir", "durable.mark"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_ends_before_its_snapshot_has_lost_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let peers = Peers::new(3);
    let mut replicas = Vec::new();
    for id in peers.addresses.keys() {
        replicas.push(peers.open(*id, dir.path(), ELECTION_MIN).await);
    }
    let leader = leader_of(&replicas).await;
    propose(&replicas[leader], &create()).await.expect("the sale opens");
    level(&replicas).await;
    let absent = (leader + 1) % replicas.len();
    let id = replicas[absent].id();
    replicas.remove(absent).close().await;
    let home = dir.path().join(id.to_string());
    let aside = dir.path().join("aside");
    copy_log(&home, &aside);

    // What it misses is purged, so it comes back by a snapshot, and nothing follows that.
    let leader = leader_of(&replicas).await;
    for buyer in 0..20 {
        propose(&replicas[leader], &buy(&format!("buyer-{buyer}"))).await.expect("an order");
    }
    purge_all(&replicas[leader]).await;
    let returned = peers.open(id, dir.path(), ELECTION_MIN).await;
    replicas.push(returned);
    level(&replicas).await;
    let snapshot = replicas[2].shared().snapshots.current();
    assert!(snapshot.is_some(), "it has caught up by a snapshot");

    // The crash: the snapshot stays, the log is as it was before.
    replicas.pop().expect("the one that returned").close().await;
    copy_log(&aside, &home);
    replicas.push(peers.open(id, dir.path(), ELECTION_MIN).await);
    level(&replicas).await;
    for replica in replicas {
        replica.close().await;
    }
}

/// Snapshots the leader's state and purges its whole log.
async fn purge_all(leader: &Replica) {
    assert_eq!(leader.status().role, Role::Leader);
    let raft = leader.shared().raft().expect("it runs");
    let last = leader.status().applied;
    raft.trigger().snapshot().await.expect("it runs");
    until("the snapshot", || {
        let current = leader.shared().snapshots.current()?;
        (current.meta.last_log_id?.index >= last).then_some(())
    })
    .await;
    raft.trigger().purge_log(last).await.expect("it runs");
    until("the purge", || {
        leader
            .shared()
            .look(|metrics| metrics.purged.is_some_and(|at| at.index >= last))?
            .then_some(())
    })
    .await;
}

async fn level(replicas: &[Replica]) {
    until("level replicas", || {
        let mut states = replicas.iter().map(Replica::status);
        let first = states.next()?;
        states
            .all(|one| (one.applied, one.state_hash) == (first.applied, first.state_hash))
            .then_some(())
    })
    .await;
}

/// Puts one directory's log in the place of another's.
fn copy_log(from: &Path, to: &Path) {
    for name in LOG_FILES {
        let target = to.join(name);
        if target.is_dir() {
            std::fs::remove_dir_all(&target).expect("it goes");
        }
        copy(&from.join(name), &target);
    }
}

fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        std::fs::create_dir_all(to).expect("a directory");
        for entry in std::fs::read_dir(from).expect("a listing").flatten() {
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    } else {
        std::fs::create_dir_all(to.parent().expect("a directory above")).expect("a directory");
        std::fs::copy(from, to).expect("a copy");
    }
}
