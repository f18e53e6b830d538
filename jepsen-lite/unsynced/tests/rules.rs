//! What is durable, where only the exact order of beginnings and ends can show it.

#![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;
use std::sync::Arc;
use unsynced::tracker::{Clock, Outcome, Tracker};
use unsynced::{Loss, undo};

struct Stage {
    root: tempfile::TempDir,
    clock: Arc<Clock>,
    tracker: Tracker,
    file: File,
}

impl Stage {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("dir");
        std::fs::create_dir(&dir).unwrap();
        std::fs::write(dir.join("file"), "old").unwrap();
        let clock = Arc::new(Clock::default());
        let journal = root.path().join("journal");
        let tracker = Tracker::open(&journal, &dir, Arc::clone(&clock)).unwrap();
        let file = OpenOptions::new().read(true).write(true).open(dir.join("file")).unwrap();
        Self { root, clock, tracker, file }
    }

    fn journal(&self) -> PathBuf {
        self.root.path().join("journal")
    }

    fn write(&mut self, bytes: &[u8]) {
        let started = self.tracker.write_begins(&self.file, 0, bytes.len() as u64).unwrap();
        self.file.write_all_at(bytes, 0).unwrap();
        self.tracker.ended(started, Outcome::Made).unwrap();
    }

    fn sync(&mut self) {
        let began = self.clock.now();
        self.tracker.synced(self.file.metadata().unwrap().ino(), began).unwrap();
    }

    /// What is left after a power cut that takes all it can.
    fn cut(self) -> String {
        self.cut_with(Loss::All, 0)
    }

    /// What is left after a power cut.
    fn cut_with(self, loss: Loss, seed: u64) -> String {
        let journal = self.journal();
        let Self { root, tracker, .. } = self;
        drop(tracker);
        undo(&journal, loss, seed).unwrap();
        std::fs::read_to_string(root.path().join("dir/file")).unwrap()
    }
}

#[test]
fn a_write_that_a_sync_overlaps_is_not_safe() {
    let mut stage = Stage::new();
    let started = stage.tracker.write_begins(&stage.file, 0, 3).unwrap();
    let began = stage.clock.now();
    stage.file.write_all_at(b"new", 0).unwrap();
    stage.tracker.ended(started, Outcome::Made).unwrap();
    // The sync ends after the write did, and still says nothing of it.
    stage.tracker.synced(stage.file.metadata().unwrap().ino(), began).unwrap();
    assert_eq!(stage.cut(), "old");
}

#[test]
fn a_write_that_was_complete_is_safe() {
    let mut stage = Stage::new();
    stage.write(b"new");
    stage.sync();
    stage.write(b"two");
    assert_eq!(stage.cut(), "new");
}

#[test]
fn a_power_cut_takes_something_where_it_can_whatever_the_seed() {
    for loss in [Loss::All, Loss::Subset, Loss::Suffix] {
        for seed in 0..50 {
            let mut stage = Stage::new();
            stage.write(b"new");
            stage.sync();
            stage.write(b"two");
            assert_eq!(stage.cut_with(loss, seed), "new", "{loss:?}, seed {seed}");
        }
    }
}

/// One file is never synced, another after each write, as a mark beside a log.
#[test]
fn the_journal_stays_small() {
    let mut stage = Stage::new();
    let other = stage.root.path().join("dir/other");
    let other = OpenOptions::new().read(true).write(true).create_new(true).open(other).unwrap();
    let block = vec![7; 4096];
    for round in 0..20_000_u32 {
        let started = stage.tracker.write_begins(&other, 0, 4096).unwrap();
        other.write_all_at(&block, 0).unwrap();
        stage.tracker.ended(started, Outcome::Made).unwrap();
        let began = stage.clock.now();
        stage.tracker.synced(other.metadata().unwrap().ino(), began).unwrap();
        stage.write(&round.to_le_bytes()[..3]);
    }
    let length = stage.journal().metadata().unwrap().len();
    assert!(length < 17 * 1024 * 1024, "{length} bytes of journal after 80 MB of writes");
    let (root, journal) = (stage.root.path().to_owned(), stage.journal());
    let Stage { root: _keep, tracker, .. } = stage;
    drop(tracker);
    let undone = undo(&journal, Loss::All, 0).unwrap();
    assert!(undone.changes_lost <= unsynced::tracker::FILE_CHANGES_MAX, "{undone}");
    assert_eq!(std::fs::read(root.join("dir/other")).unwrap(), block);
}

#[test]
fn a_journal_in_use_or_missing_is_an_error() {
    let stage = Stage::new();
    let missing = undo(&stage.root.path().join("no"), Loss::All, 0).unwrap_err();
    assert_eq!(missing.kind(), std::io::ErrorKind::NotFound);
    let in_use = undo(&stage.journal(), Loss::All, 0).unwrap_err();
    assert_eq!(in_use.kind(), std::io::ErrorKind::ResourceBusy);
}
