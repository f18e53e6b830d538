//! Snapshots saved, installed and opened, on real files.

use super::*;
use crate::types::LogId;
use openraft::impls::leader_id_adv::LeaderId;
use stock::{
    Attempt, Batch, Command, Envelope, NodeId, Quantity, RequestId, Requester, Rules, Sku, Terms,
    UserId,
};

fn log_id(index: u64) -> LogId {
    LogId { leader_id: LeaderId { term: 1, node_id: NodeId(1) }, index }
}

fn create(sku: &str) -> Batch {
    let sku = Sku::new(sku).unwrap();
    let request_id = RequestId::new(sku.as_str()).unwrap();
    let command = Command::CreateProduct(Box::new(Terms::plain(sku, "", 1)));
    let (requester, attempt) = (Requester::Operator, Attempt::First);
    Batch { stamp_ms: 1, commands: vec![Envelope { requester, request_id, attempt, command }] }
}

/// openraft may build a snapshot while it installs a newer one and purges the log up to that:
/// the older must not take the newer one's place, on disk or in memory.
#[test]
fn a_snapshot_that_was_overtaken_takes_no_place() {
    let dir = tempfile::tempdir().unwrap();
    let segments = Arc::new(SegmentStore::open(dir.path()).unwrap());
    let applied = Applied::new(Arc::clone(&segments));
    let store = SnapshotStore::open(dir.path(), Arc::clone(&segments), &applied).unwrap();
    applied.apply_batch(log_id(0), Rules::NEWEST, &create("first"));
    let older = applied.copy();
    applied.apply_batch(log_id(1), Rules::NEWEST, &create("second"));
    let newer = store.save(applied.copy()).unwrap();
    let answered = store.save(older).unwrap();
    assert_eq!(answered.meta, newer.meta, "the builder hands out what is in place");
    assert_eq!(store.current().unwrap().meta, newer.meta);

    let reopened = Applied::new(Arc::clone(&segments));
    SnapshotStore::open(dir.path(), segments, &reopened).unwrap();
    assert_eq!(reopened.position().0, Some(log_id(1)));
    assert_eq!(reopened.mark().state_hash, applied.mark().state_hash);
}

/// Buys in one entry.
const BATCH: u64 = 512;
const SEGMENT: u64 = SEGMENT_EVENTS as u64;

/// A replica without Raft.
struct Node {
    dir: tempfile::TempDir,
    applied: Applied,
    snapshots: SnapshotStore,
    entries: u64,
}

impl Node {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let segments = Arc::new(SegmentStore::open(dir.path()).unwrap());
        let applied = Applied::new(Arc::clone(&segments));
        let snapshots = SnapshotStore::open(dir.path(), segments, &applied).unwrap();
        Self { dir, applied, snapshots, entries: 0 }
    }

    fn apply(&mut self, batch: &Batch) {
        self.applied.apply_batch(log_id(self.entries), Rules::NEWEST, batch);
        self.entries += 1;
    }

    /// Puts a product on sale, and sells so many units to as many users.
    fn sell(&mut self, units: u64) {
        if self.entries == 0 {
            let mut batch = create("tee");
            let terms = Terms::plain(Sku::new("tee").unwrap(), "", 1_000_000);
            batch.commands[0].command = Command::CreateProduct(Box::new(terms));
            self.apply(&batch);
        }
        let first = self.seq() + 1;
        let seqs: Vec<u64> = (first..first + units).collect();
        for seqs in seqs.chunks(BATCH as usize) {
            let commands = seqs.iter().map(|seq| buy(&format!("user-{seq}"))).collect();
            self.apply(&Batch { stamp_ms: seqs[0], commands });
        }
    }

    fn seq(&self) -> u64 {
        self.applied.mark().seq.0
    }

    fn save(&self) -> Arc<Manifest> {
        self.snapshots.save(self.applied.copy()).unwrap()
    }

    /// Has the segments of a snapshot, as a node that fetched them.
    fn fetch(&self, from: &Self, manifest: &Manifest) {
        let held = self.snapshots.segments.list();
        for wanted in manifest.segments.iter().filter(|wanted| !held.contains(wanted)) {
            let bytes = from.snapshots.segments.raw(wanted.first_seq).unwrap();
            self.snapshots.segments.install_raw(wanted, &bytes).unwrap();
        }
    }

    async fn install(&mut self, manifest: &Arc<Manifest>) -> io::Result<u64> {
        let folded = self.snapshots.install(&self.applied, Arc::clone(manifest)).await?;
        self.entries = manifest.meta.last_log_id.map_or(0, |last| last.index + 1);
        Ok(folded)
    }

    /// Its state is the other's, to the last order, and hashes as it says.
    fn assert_equals(&self, other: &Self) {
        assert_eq!(self.applied.position().0, other.applied.position().0);
        let [hot, others] = [self, other].map(|node| node.applied.read(Machine::hot_state));
        assert_eq!(hot, others);
        self.applied.read(|machine| {
            assert_eq!(machine.recompute_hash(), machine.state_hash());
            other.applied.read(|others| assert_eq!(machine.chain(), others.chain()));
            for seq in (2..=self.seq()).step_by(997) {
                let user = UserId::new(format!("user-{seq}")).unwrap();
                let key = RequestId::new(format!("key-user-{seq}")).unwrap();
                assert_eq!(machine.order_of(&user, &key), Some(Seq(seq)));
                assert!(machine.orders_of(&user, Seq(0)).eq([Seq(seq)]));
            }
        });
        for seq in [1, 2, SEGMENT, SEGMENT + 1, self.seq()].map(Seq) {
            let [event, others] = [self, other].map(|node| node.applied.event(seq).unwrap());
            assert_eq!(event, others);
        }
    }
}

fn buy(user: &str) -> Envelope {
    Envelope {
        requester: Requester::User(UserId::new(user).unwrap()),
        request_id: RequestId::new(format!("key-{user}")).unwrap(),
        attempt: Attempt::First,
        command: Command::Buy { sku: Sku::new("tee").unwrap(), quantity: Quantity::ONE },
    }
}

/// What an install costs is what is new since the last, however long the history is.
#[tokio::test]
async fn an_install_folds_each_event_once() {
    let (mut leader, mut follower) = (Node::new(), Node::new());
    let mut last = 0;
    // Within a segment, to its very end, over the next, and without any event.
    for units in [SEGMENT + 99, 40, SEGMENT - 140, 2 * SEGMENT + 7, 0] {
        leader.sell(units);
        // An entry without a change: a snapshot of the same `seq` may be newer.
        leader.apply(&Batch { stamp_ms: 1, commands: Vec::new() });
        let manifest = leader.save();
        follower.fetch(&leader, &manifest);
        let folded = follower.install(&manifest).await.unwrap();
        assert_eq!(folded, leader.seq() - last, "events after {last}");
        last = leader.seq();
        follower.assert_equals(&leader);
        // It applies what comes next, and restarts from what it installed.
        follower.sell(10);
        leader.sell(10);
        follower.assert_equals(&leader);
        last += 10;
        let segments = Arc::new(SegmentStore::open(follower.dir.path()).unwrap());
        let reopened = Applied::new(Arc::clone(&segments));
        SnapshotStore::open(follower.dir.path(), segments, &reopened).unwrap();
        assert_eq!(reopened.mark().state_hash, manifest.hot.state_hash);
    }
    // One that is further than the snapshot does not go back by its own events.
    let current = leader.snapshots.current().unwrap();
    assert_eq!(follower.install(&current).await.unwrap(), last - 10);
}

/// A state that the snapshot does not come from: what is installed is the snapshot all the same.
#[tokio::test]
async fn a_replica_of_another_history_is_rebuilt_from_the_first_event() {
    let (mut leader, mut follower) = (Node::new(), Node::new());
    leader.sell(SEGMENT + 5);
    follower.sell(SEGMENT - 100);
    let stranger = Batch { stamp_ms: SEGMENT - 100, commands: vec![buy("stranger")] };
    follower.apply(&stranger);
    let manifest = leader.save();
    follower.fetch(&leader, &manifest);
    assert_eq!(follower.install(&manifest).await.unwrap(), leader.seq());
    follower.assert_equals(&leader);
}

/// An install that fails, and one that ends with the process before the manifest is in place,
/// leave the state and the directory as they were.
#[tokio::test]
async fn an_install_that_breaks_off_changes_nothing() {
    let (mut leader, mut follower) = (Node::new(), Node::new());
    leader.sell(50);
    let manifest = leader.save();
    follower.install(&manifest).await.unwrap();
    let before = follower.applied.read(Machine::hot_state);

    leader.sell(SEGMENT);
    let manifest = leader.save();
    let error = follower.install(&manifest).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound, "its segment was not fetched: {error}");
    let mut wrong = Manifest::clone(&manifest);
    wrong.hot.state_hash ^= 1;
    follower.fetch(&leader, &manifest);
    let error = follower.install(&Arc::new(wrong)).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
    assert_eq!(follower.applied.read(Machine::hot_state), before);
    assert_eq!(follower.applied.read(Machine::recompute_hash), before.state_hash);

    std::fs::write(follower.dir.path().join("snapshot.tmp"), b"half").unwrap();
    let segments = Arc::new(SegmentStore::open(follower.dir.path()).unwrap());
    let reopened = Applied::new(Arc::clone(&segments));
    SnapshotStore::open(follower.dir.path(), segments, &reopened).unwrap();
    assert_eq!(reopened.read(Machine::hot_state), before);
    assert_eq!(follower.install(&manifest).await.unwrap(), leader.seq() - before.seq.0);
    follower.assert_equals(&leader);
}
