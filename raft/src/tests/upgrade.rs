//! Rules: a cluster goes by the newest once every node has said that it can, and not before.

use super::scene::{Peers, leader_of, propose, until};
use std::time::Duration;
use stock::{
    Attempt, Command, Envelope, Machine, NodeId, Outcome, Reply, RequestId, Requester, Rules, Sku,
    Terms,
};

const ELECTION_MIN: Duration = Duration::from_millis(1_500);

fn create(nth: u32) -> Envelope {
    let sku = Sku::new(format!("tee-{nth}")).expect("a valid id");
    Envelope {
        requester: Requester::Operator,
        request_id: RequestId::new(format!("create-{nth}")).expect("a valid id"),
        attempt: Attempt::First,
        command: Command::CreateProduct(Box::new(Terms::plain(sku, "Tee", 10))),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_nodes_go_by_the_newest_rules_with_an_entry() {
    let dir = tempfile::tempdir().expect("a directory");
    let peers = Peers::new(3);
    let mut replicas = Vec::new();
    for id in peers.addresses.keys() {
        replicas.push(peers.open(*id, dir.path(), ELECTION_MIN).await);
    }
    let leader = &replicas[leader_of(&replicas).await];
    until("the others' answers", || (leader.shared().rules() == Rules::NEWEST).then_some(())).await;
    assert_eq!(leader.read(Machine::rules), Rules::One, "nothing was proposed yet");
    let reply = propose(leader, &create(0)).await;
    assert!(matches!(reply, Some(Reply { outcome: Outcome::ProductCreated(_), .. })), "{reply:?}");
    until("all to apply it", || {
        replicas.iter().all(|one| one.read(Machine::rules) == Rules::NEWEST).then_some(())
    })
    .await;
    let hashes = replicas.iter().map(|one| one.status().state_hash);
    assert_eq!(hashes.collect::<std::collections::BTreeSet<_>>().len(), 1);
    for replica in replicas {
        replica.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_has_not_heard_from_all_stays_with_its_state() {
    let dir = tempfile::tempdir().expect("a directory");
    let peers = Peers::new(3);
    // The third is down, or of a build that has no such question.
    let asker = peers.open(NodeId(1), dir.path(), ELECTION_MIN).await;
    let other = peers.open(NodeId(2), dir.path(), ELECTION_MIN).await;
    until("an answer of the second", || asker.shared().upgrade.heard(NodeId(2)).then_some(()))
        .await;
    assert_eq!(asker.shared().rules(), Rules::One);
    let third = peers.open(NodeId(3), dir.path(), ELECTION_MIN).await;
    until("the third's", || (asker.shared().rules() == Rules::NEWEST).then_some(())).await;
    for replica in [asker, other, third] {
        replica.close().await;
    }
}
