//! Directories that must not be opened, and entries that must not be believed.

use super::super::disk::{KEY_COMMITTED, KEY_IDENTITY, KEY_PURGED};
use super::super::meta;
use super::*;
use std::time::Duration;

/// A closed store with entries 0..10, of three chunks each.
async fn closed_store() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&dir);
    append(&mut store, (0..10).map(|index| entry(2, index, 9000)).collect()).await;
    store.close().await;
    dir
}

fn flip(tree: &sled::Tree, key: &[u8]) {
    let mut value = tree.get(key).unwrap().unwrap();
    let middle = value.len() / 2;
    value[middle] ^= 1;
    tree.insert(key, value).unwrap();
}

async fn assert_unreadable(dir: &TempDir, index: u64) {
    let mut store = open(dir);
    let error = store.try_get_log_entries(0..10).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
    assert!(error.to_string().contains(&format!("log entry {index} ")), "{error}");
    // A reader's finding stops the whole store.
    let failure = tokio::time::timeout(Duration::from_secs(60), store.failed()).await.unwrap();
    assert!(failure.to_string().contains(&format!("log entry {index} ")), "{failure}");
    assert!(store.save_vote(&Vote::new(1, NODE)).await.is_err());
    store.close().await;
}

#[tokio::test]
async fn a_flipped_bit_in_any_chunk_is_corruption() {
    for chunk in 0..3 {
        let dir = closed_store().await;
        tamper(&dir, |disk| flip(&disk.sled.log, &record::key(4, chunk)));
        assert_unreadable(&dir, 4).await;
    }
}

#[tokio::test]
async fn a_missing_chunk_is_corruption_and_not_the_end_of_the_log() {
    for chunk in 0..3 {
        let dir = closed_store().await;
        tamper(&dir, |disk| {
            drop(disk.sled.log.remove(record::key(4, chunk)).unwrap());
        });
        assert_unreadable(&dir, 4).await;
    }
}

#[tokio::test]
async fn a_missing_entry_is_a_hole_and_not_the_end_of_the_log() {
    let dir = closed_store().await;
    tamper(&dir, |disk| {
        (0..3).for_each(|chunk| drop(disk.sled.log.remove(record::key(4, chunk)).unwrap()));
    });
    assert_unreadable(&dir, 4).await;
}

#[tokio::test]
async fn the_last_entry_is_verified_when_opening() {
    for chunk in 0..3 {
        let dir = closed_store().await;
        tamper(&dir, |disk| flip(&disk.sled.log, &record::key(9, chunk)));
        let error = refusal(&dir);
        assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
        assert!(error.to_string().contains("log entry 9 "), "{error}");
        assert!(error.to_string().contains("move the directory away"), "{error}");
    }
}

#[tokio::test]
async fn missing_entries_after_the_purged_one_or_below_the_committed_one_are_noticed() {
    let dir = closed_store().await;
    let purged = meta::encode_log_id(&log_id(2, 3));
    tamper(&dir, |disk| {
        disk.sled.meta.insert(KEY_PURGED, purged).unwrap();
        (0..3).for_each(|chunk| drop(disk.sled.log.remove(record::key(4, chunk)).unwrap()));
    });
    assert!(refusal(&dir).to_string().contains("from 4 up to 5 are missing"));

    let dir = closed_store().await;
    let committed = meta::encode_log_id(&log_id(2, 10));
    tamper(&dir, |disk| {
        drop(disk.sled.meta.insert(KEY_COMMITTED, committed).unwrap());
    });
    assert!(refusal(&dir).to_string().contains("committed entries are missing"));
}

#[tokio::test]
async fn damaged_or_lost_small_records_are_noticed() {
    let dir = closed_store().await;
    tamper(&dir, |disk| flip(&disk.sled.identity, KEY_IDENTITY.as_bytes()));
    assert!(refusal(&dir).to_string().contains("the identity record fails its checksum"));

    let dir = closed_store().await;
    tamper(&dir, |disk| {
        drop(disk.sled.identity.remove(KEY_IDENTITY).unwrap());
    });
    assert!(refusal(&dir).to_string().contains("a log but no identity"));

    let dir = closed_store().await;
    let mut newer = vec![meta::FORMAT + 1, 1, 2, 3];
    newer.extend(crc32fast::hash(&newer).to_le_bytes());
    tamper(&dir, |disk| {
        drop(disk.sled.identity.insert(KEY_IDENTITY, newer).unwrap());
    });
    assert!(matches!(refusal(&dir), StoreError::NewerFormat { found: 2, known: 1, .. }));
}

#[tokio::test]
async fn a_leftover_of_an_interrupted_sled_snapshot_is_removed() {
    let dir = closed_store().await;
    let leftover = dir.path().join("db-dir/snap.FFFFFFFFFFFFFFFF.generating");
    std::fs::write(&leftover, b"half of a snapshot").unwrap();
    let mut store = open(&dir);
    assert!(!leftover.exists());
    assert_eq!(last(&mut store).await, Some(log_id(2, 9)));
}

#[tokio::test]
async fn a_directory_is_opened_once() {
    let dir = closed_store().await;
    let store = open(&dir);
    // sled may just be writing this; the second run must not take it for a leftover.
    let unfinished = dir.path().join("db-dir/snap.0000000000000001.generating");
    std::fs::write(&unfinished, b"being written").unwrap();
    let error = refusal(&dir);
    assert!(unfinished.exists());
    assert!(matches!(error, StoreError::InUse { .. }), "{error}");
    assert!(error.to_string().contains(&dir.path().display().to_string()), "{error}");
    store.close().await;
    drop(open(&dir));
}

#[tokio::test]
async fn a_directory_that_only_sled_has_locked_is_in_use_as_well() {
    let dir = closed_store().await;
    let sled = sled::Config::new().path(dir.path().join("db-dir")).open().unwrap();
    assert!(matches!(refusal(&dir), StoreError::InUse { .. }));
    drop(sled);
}

#[tokio::test]
async fn another_nodes_directory_is_refused() {
    let dir = closed_store().await;
    let error = LogStore::open(dir.path(), NodeId(2)).err().unwrap();
    assert!(
        matches!(error, StoreError::OtherNode { found: NODE, wanted: NodeId(2), .. }),
        "{error}"
    );
    assert!(error.to_string().contains("--id 1"), "{error}");
}

#[tokio::test]
async fn a_directory_with_a_snapshot_but_no_log_is_refused() {
    for companion in ["snapshot", "segments/00000000000000000001.segment"] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(companion);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, b"something").unwrap();
        let error = refusal(&dir);
        assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
        std::fs::remove_file(&path).unwrap();
        drop(open(&dir));
    }
}

#[tokio::test]
async fn each_directory_has_an_incarnation_of_its_own() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [one, other] = dirs.each_ref().map(|dir| open(dir).identity().incarnation);
    assert_ne!(one, other);
}

/// Overwrites a part of sled's data file, and checks that the result is an error with advice or
/// a store whose log is intact: never a panic, and never a wrong entry.
#[tokio::test]
async fn garbage_in_sleds_file_never_yields_a_wrong_log() {
    let dir = closed_store().await;
    let whole = std::fs::read(dir.path().join("db-dir/db")).unwrap();
    let expected: Vec<Entry> = (0..10).map(|index| entry(2, index, 9000)).collect();
    let mut refused = 0;
    for at in (0..whole.len()).step_by(4999) {
        let copy = killed(&dir);
        let mut bytes = whole.clone();
        let end = (at + 64).min(bytes.len());
        bytes[at..end].fill(0xA5);
        std::fs::write(copy.path().join("db-dir/db"), bytes).unwrap();
        match LogStore::open(copy.path(), NODE) {
            Err(error) => {
                assert!(error.to_string().contains("move the directory away"), "{error}");
                refused += 1;
            }
            Ok(mut store) => match store.try_get_log_entries(..).await {
                Ok(found) => assert_eq!(found, expected, "garbage at {at}"),
                Err(_) => refused += 1,
            },
        }
    }
    assert!(refused > 0, "no garbage was noticed");
}
