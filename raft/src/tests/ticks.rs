//! Ticks: a sale opens and ends on time where nobody asks, also under the next leader, and nothing
//! is written while nothing is due.

use super::scene::{Peers, leader_of, propose, until};
use crate::Replica;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use stock::{Attempt, Command, Envelope, NodeId, Outcome, Reply, RequestId, Requester, Sku, Terms};
use tokio::time::Instant;

const LOOK_INTERVAL: Duration = Duration::from_millis(5);
const ELECTION_MIN: Duration = Duration::from_secs(1);
/// From the product's creation to its opening, and on to its end.
const STEP_MS: u64 = 4_000;
/// A tick may be seen this late on a starved machine; later it would be the next one's turn.
const LATE_MS_MAX: u64 = STEP_MS - 500;
/// How long nothing must be written.
const QUIET: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_leader_ticks_when_something_is_due_and_only_then() {
    let dir = tempfile::tempdir().expect("a directory");
    let peers = Peers::new(1);
    let replica = peers.open(NodeId(1), dir.path(), ELECTION_MIN).await;
    leader_of(std::slice::from_ref(&replica)).await;
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
    let peers = Peers::new(3);
    let mut replicas = Vec::new();
    for id in peers.addresses.keys() {
        replicas.push(peers.open(*id, dir.path(), ELECTION_MIN).await);
    }
    let place = leader_of(&replicas).await;
    let [starts_ms, _] = create(&replicas[place]).await;
    replicas.remove(place).close().await;
    let opened = |replica: &Replica| replica.read(stock::Machine::log_time_ms) >= starts_ms;
    until("both to open the sale", || replicas.iter().all(opened).then_some(())).await;
    assert!(now_ms() >= starts_ms, "it opened early");
    for replica in replicas {
        replica.close().await;
    }
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
    let reply = propose(replica, &envelope).await;
    assert!(matches!(reply, Some(Reply { outcome: Outcome::ProductCreated(_), .. })), "{reply:?}");
    due
}

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    u64::try_from(now.as_millis()).expect("this millennium")
}
