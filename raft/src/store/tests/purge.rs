//! Purges are logical at once and physical in small steps; and no blob file ever appears.

use super::super::removal::{PURGE_KEYS_MAX, Purge, purge_steps};
use super::*;
use std::time::{Duration, Instant};

fn blob_files(dir: &TempDir) -> usize {
    std::fs::read_dir(dir.path().join("db-dir/blobs")).unwrap().count()
}

/// Waits until no purged key is left.
async fn purged_physically(store: &LogStore) {
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let (log, purged) = {
            let state = store.shared.state();
            (state.log.clone().unwrap(), state.purged.unwrap())
        };
        let left = log.range(..record::key(purged.index + 1, 0)).next();
        if left.is_none() {
            return;
        }
        assert!(Instant::now() < deadline, "keys are left: {left:?}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn fill(store: &mut LogStore, indexes: std::ops::Range<u64>) {
    for start in indexes.clone().step_by(1000) {
        let end = (start + 1000).min(indexes.end);
        append(store, (start..end).map(|index| entry(1, index, 10)).collect()).await;
    }
}

#[test]
fn a_step_removes_at_most_64_keys_and_stops_at_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let (disk, _) = Disk::open(dir.path(), NODE).unwrap();
    for index in 0..500 {
        disk.sled.log.insert(record::key(index, 0), b"").unwrap();
        disk.sled.log.insert(record::key(index, 1), b"").unwrap();
    }
    let mut purge = Some(Purge::up_to(300));
    let mut left = disk.sled.log.len();
    let mut steps = 0;
    while let Some(step) = purge.take() {
        purge = step.step(&disk.sled.log).unwrap();
        let removed = left - disk.sled.log.len();
        assert!(removed <= PURGE_KEYS_MAX && (removed == PURGE_KEYS_MAX || purge.is_none()));
        left -= removed;
        steps += 1;
    }
    assert_eq!(left, 2 * 199, "301..500 stay");
    assert_eq!(steps, (2 * 301_usize).div_ceil(PURGE_KEYS_MAX));
    assert_eq!(&disk.sled.log.first().unwrap().unwrap().0[..], record::key(301, 0));
}

#[test]
fn a_groups_purge_is_bounded_by_the_group_and_outruns_it() {
    for keys in [0, 1, 64, 128, 1000, 4096] {
        let removed = purge_steps(keys) * PURGE_KEYS_MAX;
        assert!(removed > keys, "the log would outgrow the purge at {keys}");
        assert!(removed <= 2 * keys + 2 * PURGE_KEYS_MAX, "{keys} keys, {removed} removed");
    }
}

#[tokio::test]
async fn appends_go_on_while_50_000_entries_are_purged() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&dir);
    fill(&mut store, 0..50_000).await;
    store.purge(log_id(1, 49_999)).await.unwrap();
    assert!(all(&mut store).await.is_empty(), "purged at once for every reader");
    let state = store.get_log_state().await.unwrap();
    assert_eq!(state.last_purged_log_id, Some(log_id(1, 49_999)));
    assert_eq!(state.last_log_id, Some(log_id(1, 49_999)));

    let log = store.shared.state().log.clone().unwrap();
    let first_index = || record::parse_key(&log.first().unwrap().unwrap().0).unwrap().0;
    append(&mut store, vec![entry(1, 50_000, 10)]).await;
    // Between appends the purge goes on by itself, so only the first can tell.
    assert!(first_index() < 49_000, "the append waited for the purge: {}", first_index());
    for index in 50_001..50_020 {
        append(&mut store, vec![entry(1, index, 10)]).await;
    }
    purged_physically(&store).await;
    assert_eq!(all(&mut store).await.len(), 20);
    let mut copy = open(&killed(&dir));
    purged_physically(&copy).await;
    let log = copy.shared.state().log.clone().unwrap();
    assert_eq!(record::parse_key(&log.first().unwrap().unwrap().0).unwrap().0, 50_000);
    assert_eq!(all(&mut copy).await.len(), 20);
}

#[tokio::test]
async fn a_purge_that_a_crash_interrupted_is_finished() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&dir);
    fill(&mut store, 0..5000).await;
    store.purge(log_id(1, 3999)).await.unwrap();
    append(&mut store, vec![entry(1, 5000, 10)]).await;
    let copy = killed(&dir);
    let mut store = open(&copy);
    assert_eq!(store.get_log_state().await.unwrap().last_purged_log_id, Some(log_id(1, 3999)));
    let kept = all(&mut store).await;
    assert_eq!((kept.len(), kept[0].log_id), (1001, log_id(1, 4000)));
    purged_physically(&store).await;
    assert_eq!(all(&mut store).await, kept);
}

#[tokio::test]
async fn a_purge_beyond_the_log_starts_it_anew() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&dir);
    append(&mut store, entries(1, 0..10)).await;
    // A snapshot was installed.
    store.purge(log_id(4, 1000)).await.unwrap();
    append(&mut store, entries(4, 1001..1003)).await;
    store.purge(log_id(2, 500)).await.unwrap();
    let copy = killed(&dir);
    store.close().await;
    for dir in [dir, copy] {
        let mut store = open(&dir);
        let state = store.get_log_state().await.unwrap();
        assert_eq!(state.last_purged_log_id, Some(log_id(4, 1000)));
        assert_eq!(state.last_log_id, Some(log_id(4, 1002)));
        assert_eq!(all(&mut store).await, entries(4, 1001..1003));
        purged_physically(&store).await;
    }
}

#[tokio::test]
async fn large_entries_never_become_blob_files_and_purges_free_the_space() {
    const ENTRIES: u64 = 2000;
    const BYTES: usize = 256 * 1024;
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&dir);
    for start in (0..ENTRIES).step_by(8) {
        let batch = (start..start + 8).map(|index| entry(1, index, BYTES)).collect();
        append(&mut store, batch).await;
        assert_eq!(blob_files(&dir), 0, "after entry {start}");
        if start >= 200 && start % 40 == 0 {
            store.purge(log_id(1, start - 100)).await.unwrap();
        }
    }
    let keep = ENTRIES - 100;
    store.purge(log_id(1, keep - 1)).await.unwrap();
    purged_physically(&store).await;
    store.close().await;
    let file_bytes = std::fs::metadata(dir.path().join("db-dir/db")).unwrap().len();
    assert!(file_bytes < 300 << 20, "{} MiB after {ENTRIES} entries", file_bytes >> 20);
    let mut store = open(&dir);
    assert_eq!(blob_files(&dir), 0);
    for index in keep..ENTRIES {
        let found = store.limited_get_log_entries(index, index + 1).await.unwrap();
        assert_eq!(found, [entry(1, index, BYTES)]);
    }
}
