//! The feed over memory and files, as a reader sees it.

use super::*;
use crate::snapshot::SnapshotStore;
use crate::types::LogId;
use openraft::impls::leader_id_adv::LeaderId;
use openraft::storage::RaftSnapshotBuilder;
use stock::{Attempt, Batch, Command, Envelope, NodeId, RequestId, Requester, Rules, Sku, Terms};

/// Changes in one batch; log time moves by as many milliseconds.
const BATCH: u64 = 512;
const SEGMENT: u64 = crate::segment::SEGMENT_EVENTS as u64;

struct Stage {
    dir: tempfile::TempDir,
    reader: EventReader,
    snapshots: SnapshotStore,
    entries: u64,
}

impl Stage {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let segments = Arc::new(SegmentStore::open(dir.path()).unwrap());
        let applied = Applied::new(Arc::clone(&segments));
        let snapshots = SnapshotStore::open(dir.path(), Arc::clone(&segments), &applied).unwrap();
        Self { dir, reader: EventReader { applied, segments }, snapshots, entries: 0 }
    }

    /// Applies so many batches; each change is a restock of one unit.
    fn apply(&mut self, batches: u64) {
        for _ in 0..batches {
            let first = self.entries * BATCH;
            let commands = (first..first + BATCH).map(command).collect();
            let batch = Batch { stamp_ms: first + BATCH, commands };
            let leader_id = LeaderId { term: 1, node_id: NodeId(1) };
            self.reader.applied.apply_batch(
                LogId { leader_id, index: self.entries },
                Rules::NEWEST,
                &batch,
            );
            self.entries += 1;
        }
    }

    /// Seals what is full, and frees it from memory.
    async fn snapshot(&self) {
        let applied = self.reader.applied.clone();
        let mut builder = crate::snapshot::SnapshotBuilder::new(self.snapshots.clone(), applied);
        builder.build_snapshot().await.unwrap();
    }

    async fn read(&self, after: u64, max: usize, limits: FeedLimits) -> Feed {
        self.reader.read(Seq(after), max, limits).await.unwrap()
    }

    /// Follows the feed from a place to its end.
    async fn follow(&self, after: u64, max: usize) -> Vec<u64> {
        let mut seqs = Vec::new();
        let mut at = after;
        loop {
            let Feed::Events(events) = self.read(at, max, FeedLimits::default()).await else {
                panic!("nothing is gone or ahead at {at}");
            };
            let Some(last) = events.last() else {
                return seqs;
            };
            at = last.seq.0;
            seqs.extend(events.iter().map(|event| event.seq.0));
        }
    }
}

fn command(nth: u64) -> Envelope {
    let sku = Sku::new("tee").unwrap();
    let command = if nth == 0 {
        Command::CreateProduct(Box::new(Terms::plain(sku, "", 1)))
    } else {
        Command::Restock { sku, quantity: 1 }
    };
    let request_id = RequestId::new(format!("r{nth}")).unwrap();
    Envelope { requester: Requester::Operator, request_id, attempt: Attempt::First, command }
}

#[tokio::test]
async fn it_has_no_gap_and_no_repeat_wherever_the_events_are() {
    let mut stage = Stage::new();
    // Five segments and a half, of which memory keeps two and the rest.
    stage.apply(5 * SEGMENT / BATCH + 16);
    stage.snapshot().await;
    let newest = 5 * SEGMENT + 16 * BATCH;
    let middle = 3 * SEGMENT;
    for after in [0, 1, SEGMENT - 1, SEGMENT, middle - 1, middle, middle + 1, newest - 1, newest] {
        // Not a divisor of a segment, so that pages end anywhere.
        let max = 3_001 + usize::try_from(after).unwrap() % 5;
        let expected: Vec<u64> = (after + 1..=newest).collect();
        assert_eq!(stage.follow(after, max).await, expected, "after {after}, {max} at once");
    }
    assert!(matches!(stage.reader.applied.events_after(Seq(0), 1), Found::Sealed { .. }));
}

#[tokio::test]
async fn what_is_not_there_yet_is_ahead() {
    let mut stage = Stage::new();
    assert_eq!(stage.read(0, 10, FeedLimits::default()).await, Feed::Events(Vec::new()));
    stage.apply(1);
    let newest = Seq(BATCH);
    assert_eq!(stage.read(BATCH, 10, FeedLimits::default()).await, Feed::Events(Vec::new()));
    assert_eq!(stage.read(BATCH + 1, 10, FeedLimits::default()).await, Feed::Ahead { newest });
    assert_eq!(stage.read(u64::MAX, 10, FeedLimits::default()).await, Feed::Ahead { newest });
}

#[tokio::test]
async fn limits_end_the_feed_at_whole_segments() {
    let mut stage = Stage::new();
    stage.apply(6 * SEGMENT / BATCH);
    stage.snapshot().await;
    let bytes: Vec<u64> = stage.reader.segments.list().iter().map(|one| one.bytes).collect();
    let newest_four: u64 = bytes[2..].iter().sum();
    let by_bytes = FeedLimits { bytes: Some(newest_four), age: None };
    let oldest = Seq(2 * SEGMENT + 1);
    assert_eq!(stage.read(2 * SEGMENT - 1, 1, by_bytes).await, Feed::Gone { oldest });
    assert!(matches!(stage.read(2 * SEGMENT, 1, by_bytes).await, Feed::Events(_)));
    // Log time moves by one millisecond a change, so this is three segments and a bit.
    let age = Some(std::time::Duration::from_millis(3 * SEGMENT));
    let by_age = FeedLimits { bytes: None, age };
    let oldest = Seq(2 * SEGMENT + 1);
    assert_eq!(stage.read(0, 1, by_age).await, Feed::Gone { oldest });
    // What is in memory is read whatever the limits.
    let nothing = FeedLimits { bytes: Some(0), age: None };
    assert!(matches!(stage.read(5 * SEGMENT, 1, nothing).await, Feed::Events(_)));
    let oldest = Seq(6 * SEGMENT + 1);
    assert_eq!(stage.read(0, 1, nothing).await, Feed::Gone { oldest });
}

#[tokio::test]
async fn an_export_is_of_one_seq_whatever_is_applied_meanwhile() {
    let mut stage = Stage::new();
    stage.apply(SEGMENT / BATCH + 3);
    let (hot, mut export) = stage
        .reader
        .applied
        .read(|machine| (machine.hot_state(), Export::new(machine, stage.reader.clone())));
    let seq = export.seq.0;
    let mut read = Vec::new();
    while let Some(events) = export.next_events().await.unwrap() {
        read.extend(events);
        stage.apply(1);
        stage.snapshot().await;
    }
    assert_eq!(read.len() as u64, seq);
    let restored = stock::Machine::restore(hot, read.into_iter()).unwrap();
    assert_eq!(restored.state_hash(), export.state_hash);
}

#[tokio::test]
async fn a_damaged_record_is_an_error_and_no_gap() {
    let mut stage = Stage::new();
    stage.apply(4 * SEGMENT / BATCH);
    stage.snapshot().await;
    let dir = stage.dir.path().join("segments");
    let mut files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|file| file.unwrap()).collect();
    files.sort_by_key(std::fs::DirEntry::file_name);
    let mut bytes = std::fs::read(files[0].path()).unwrap();
    let middle = bytes.len() * 3 / 4;
    bytes[middle] ^= 1;
    std::fs::write(files[0].path(), bytes).unwrap();
    let mut at = 0;
    let error = loop {
        match stage.reader.read(Seq(at), FEED_EVENTS_MAX, FeedLimits::default()).await {
            Ok(Feed::Events(events)) => at = events.last().unwrap().seq.0,
            Ok(other) => panic!("{other:?}"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert!(at < SEGMENT, "the damage is in the first segment");
}
