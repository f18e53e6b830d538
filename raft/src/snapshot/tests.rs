//! Snapshots saved, installed and opened, on real files.

mod golden;

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

fn collected(applied: &Applied, copy: StateCopy) -> Collected {
    Collected::of(applied, copy).unwrap()
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
    let newer = store.save(&applied, collected(&applied, applied.copy())).unwrap();
    let answered = store.save(&applied, collected(&applied, older)).unwrap();
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

    /// Another process on its directory.
    fn restarted(self) -> Self {
        let segments = Arc::new(SegmentStore::open(self.dir.path()).unwrap());
        let applied = Applied::new(Arc::clone(&segments));
        let snapshots = SnapshotStore::open(self.dir.path(), segments, &applied).unwrap();
        let entries = applied.position().0.map_or(0, |last| last.index + 1);
        Self { dir: self.dir, applied, snapshots, entries }
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

    fn save(&self) -> Manifest {
        let collected = collected(&self.applied, self.applied.copy());
        self.snapshots.save(&self.applied, collected).unwrap().decode().unwrap()
    }

    /// Has the segments of a snapshot, as a node that fetched them.
    fn fetch(&self, from: &Self, manifest: &Manifest) {
        let held = self.snapshots.segments.list();
        for wanted in manifest.segments.iter().filter(|wanted| !held.contains(wanted)) {
            let bytes = from.snapshots.segments.raw(wanted.first_seq).unwrap();
            self.snapshots.segments.install_raw(wanted, &bytes).unwrap();
        }
    }

    /// Returns how many events it took.
    async fn install(&mut self, manifest: &Manifest) -> io::Result<u64> {
        let encoded = manifest.encode().unwrap();
        let installed = self.snapshots.install(&self.applied, encoded).await?;
        assert_eq!(installed.seq, manifest.hot.seq);
        self.entries = manifest.meta.last_log_id.map_or(0, |last| last.index + 1);
        Ok(installed.folded)
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

/// Many products and stored outcomes: a copy is of its moment, whatever is applied before it is
/// encoded, and its file leads back to it.
#[test]
fn a_snapshot_is_of_the_moment_of_its_copy() {
    const PRODUCTS: u64 = 1_500;
    const DAY_MS: u64 = 24 * 60 * 60 * 1_000;
    let mut node = Node::new();
    let create = |nth: u64| Envelope {
        requester: Requester::Operator,
        request_id: RequestId::new(format!("create-{nth}")).unwrap(),
        attempt: Attempt::First,
        command: Command::CreateProduct(Box::new(Terms::plain(
            Sku::new(format!("p{nth}")).unwrap(),
            "",
            5,
        ))),
    };
    let buy_of = |nth: u64| Envelope {
        command: Command::Buy {
            sku: Sku::new(format!("p{nth}")).unwrap(),
            quantity: Quantity::ONE,
        },
        ..buy(&format!("user-{nth}"))
    };
    node.apply(&Batch { stamp_ms: 1, commands: (0..PRODUCTS).map(create).collect() });
    let (copy, then) = (node.applied.copy(), node.applied.read(Machine::hot_state));
    let mark = node.applied.mark();
    node.apply(&Batch { stamp_ms: 2, commands: (0..PRODUCTS).step_by(7).map(buy_of).collect() });
    // A day later the outcomes are forgotten, and others are stored.
    let later = (PRODUCTS..PRODUCTS + 300).map(create).collect();
    node.apply(&Batch { stamp_ms: 3 + DAY_MS, commands: later });

    let saved = node.snapshots.save(&node.applied, collected(&node.applied, copy)).unwrap();
    assert_eq!(saved.decode().unwrap().hot, then);
    let (reopened, _) = reopen(node.dir.path()).unwrap();
    assert_eq!(reopened.mark().state_hash, mark.state_hash);
    assert_eq!(reopened.read(Machine::hot_state), then);
}

/// What is full is in its file before any snapshot, and not in memory any more; the snapshot of a
/// moment before has the events of that moment, wherever they are by now.
#[test]
fn segments_are_sealed_as_they_fill() {
    let mut node = Node::new();
    node.sell(SEGMENT + 99);
    let then = node.applied.copy();
    let (seq, hash) = (then.hot.seq(), node.applied.mark().state_hash);
    node.sell(4 * SEGMENT);
    node.snapshots.seal_full(&node.applied).unwrap();
    assert_eq!(node.snapshots.segments.list().len(), 5);
    assert_eq!(digest_files(node.dir.path()).len(), 5);
    let in_memory = node.applied.full_after(Seq(0));
    assert_eq!(in_memory[0][0].seq, Seq(3 * SEGMENT + 1), "two chunks stay for readers");
    assert_eq!(in_memory.len(), 2);

    let saved = node.snapshots.save(&node.applied, collected(&node.applied, then)).unwrap();
    let manifest = saved.decode().unwrap();
    assert_eq!(manifest.segments.len(), 1);
    let partial: Vec<u64> = manifest.partial.iter().map(|event| event.seq.0).collect();
    assert_eq!(partial, (SEGMENT + 1..=seq.0).collect::<Vec<_>>());
    let (reopened, _) = reopen(node.dir.path()).unwrap();
    assert_eq!(reopened.mark().state_hash, hash);
}

/// The thread seals without being asked, and a chunk that fills while it works is not left.
#[tokio::test]
async fn the_sealer_follows_what_fills() {
    let mut node = Node::new();
    let sealing = tokio::spawn(sealer::run(node.snapshots.clone(), node.applied.clone()));
    let mut sold = 0;
    for segments in [1, 3, 1] {
        tokio::task::yield_now().await;
        node.sell(segments * SEGMENT);
        sold += segments as usize;
        while node.snapshots.segments.list().len() < sold {
            tokio::task::yield_now().await;
        }
    }
    sealing.abort();
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
    let current = leader.snapshots.current().unwrap().decode().unwrap();
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
    let error = follower.install(&wrong).await.unwrap_err();
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

/// The directory's state and how many segments were digested on the way.
fn reopen(dir: &Path) -> io::Result<(Applied, u64)> {
    let segments = Arc::new(SegmentStore::open(dir)?);
    let applied = Applied::new(Arc::clone(&segments));
    let snapshots = SnapshotStore::open(dir, segments, &applied)?;
    Ok((applied, snapshots.digests.made()))
}

fn digest_files(dir: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(dir.join("digests")).unwrap();
    let mut files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    files
}

/// A restart reads what was made when the segments were full, and makes what is missing.
#[test]
fn a_restart_digests_no_event_twice() {
    let mut node = Node::new();
    for units in [SEGMENT / 2, 2 * SEGMENT, SEGMENT] {
        node.sell(units);
        node.save();
    }
    let dir = node.dir.path();
    let hot = node.applied.read(Machine::hot_state);
    let reopened = |made: u64| {
        let (applied, digested) = reopen(dir).unwrap();
        assert_eq!(digested, made);
        assert_eq!(applied.read(Machine::hot_state), hot);
        assert_eq!(applied.read(Machine::recompute_hash), hot.state_hash);
        node.applied.read(|machine| {
            applied.read(|other| assert_eq!(machine.chain(), other.chain()));
        });
    };
    reopened(0);
    let files = digest_files(dir);
    assert_eq!(files.len(), 3);
    // As a build without digests left it; then of one that is missing.
    std::fs::remove_dir_all(dir.join("digests")).unwrap();
    reopened(3);
    reopened(0);
    std::fs::remove_file(&files[1]).unwrap();
    reopened(1);
    reopened(0);
    for at in [0, 9, 12, 15, 40, 9_999] {
        let mut bytes = std::fs::read(&files[2]).unwrap();
        bytes[at] ^= 1;
        std::fs::write(&files[2], bytes).unwrap();
        reopened(1);
    }
    std::fs::write(&files[0], b"FNDIG").unwrap();
    reopened(1);
    assert_eq!(digest_files(dir), files);
}

/// Also where a batch is of two segments; but one in which this process began is hashed anew.
#[test]
fn a_segment_that_was_applied_here_is_digested_by_its_traces() {
    let made = |node: &Node| (node.snapshots.digests.made(), node.snapshots.digests.traced());
    let digests = |node: &Node| -> Vec<Vec<u8>> {
        let files = digest_files(node.dir.path()).into_iter();
        files.map(|file| std::fs::read(file).unwrap()).collect()
    };
    let mut node = Node::new();
    node.sell(2 * SEGMENT + 100);
    node.save();
    assert_eq!(made(&node), (2, 2));
    let mut node = node.restarted();
    node.sell(2 * SEGMENT);
    node.save();
    assert_eq!(made(&node), (2, 1));
    let traced = digests(&node);
    std::fs::remove_dir_all(node.dir.path().join("digests")).unwrap();
    let node = node.restarted();
    assert_eq!(made(&node), (4, 0));
    assert_eq!(digests(&node), traced);
}

/// Digests that are sound, but say something else than the segments: the hash knows.
#[test]
fn a_digest_of_another_history_is_not_believed() {
    let (mut node, mut other) = (Node::new(), Node::new());
    node.sell(SEGMENT + 7);
    other.sell(50);
    other.apply(&Batch { stamp_ms: 51, commands: vec![buy("stranger")] });
    other.sell(SEGMENT);
    let segment = node.save().segments[0].clone();
    other.save();
    let [file, theirs] = [&node, &other].map(|node| digest_files(node.dir.path())[0].clone());
    // As if it were of this segment, and its checksum right: the header has both apart.
    let mut bytes = std::fs::read(theirs).unwrap();
    bytes[10..14].copy_from_slice(&segment.crc32.to_le_bytes());
    std::fs::write(&file, bytes).unwrap();
    let (applied, _) = reopen(node.dir.path()).unwrap();
    assert_eq!(applied.read(Machine::hot_state), node.applied.read(Machine::hot_state));
    assert_eq!(digest_files(node.dir.path()), Vec::<PathBuf>::new(), "they are made anew");
    assert_eq!(reopen(node.dir.path()).unwrap().1, 1);
}

/// A restart that reads digests still stops at a segment that is damaged.
#[test]
fn a_damaged_segment_stops_a_restart() {
    let mut node = Node::new();
    node.sell(2 * SEGMENT);
    node.save();
    let path = node.dir.path().join("segments").join("00000000000000000001.segment");
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let error = reopen(node.dir.path()).err().unwrap();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
}
