//! What survives `kill -9` and power cuts, and what is noticed to be lost.

use super::super::mark::FILE_NAME;
use super::*;
use crate::types::ClusterId;
use openraft::vote::RaftVote;

const JOURNAL: &str = super::super::journal::FILE_NAME;

fn vote(term: u64) -> Vote {
    Vote::from_leader_id(RaftLeaderId::new(term, NODE), true)
}

#[tokio::test]
async fn what_was_reported_survives_a_kill_and_a_close() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&dir);
    assert!(store.is_fresh());
    let identity = store.identity();
    assert_eq!(identity.cluster, None);
    store.adopt_cluster(Some(ClusterId(7))).await.unwrap();
    store.save_vote(&vote(3)).await.unwrap();
    append(&mut store, entries(3, 0..50)).await;
    store.save_committed(Some(log_id(3, 40))).await.unwrap();
    append(&mut store, entries(3, 50..60)).await;

    let after_kill = killed(&dir);
    store.close().await;
    for dir in [after_kill, dir] {
        let mut store = open(&dir);
        assert!(!store.is_fresh());
        assert_eq!(store.identity().incarnation, identity.incarnation);
        assert_eq!(store.identity().cluster, Some(ClusterId(7)));
        assert_eq!(store.read_vote().await.unwrap(), Some(vote(3)));
        assert_eq!(store.read_committed().await.unwrap(), Some(log_id(3, 40)));
        assert_eq!(all(&mut store).await, entries(3, 0..60));
    }
}

/// A store that syncs late passes every test that only reopens after a clean close.
#[tokio::test]
async fn each_report_comes_after_its_data_is_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&dir);
    for index in 0..20 {
        store.save_vote(&vote(index + 1)).await.unwrap();
        append(&mut store, vec![entry(index + 1, index, 5000)]).await;
        let copy = killed(&dir);
        let mut copy = open(&copy);
        assert_eq!(last(&mut copy).await, Some(log_id(index + 1, index)));
        assert_eq!(copy.read_vote().await.unwrap(), Some(vote(index + 1)));
    }
}

#[tokio::test]
async fn committed_never_runs_ahead_of_the_entries_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&dir);
    for index in 0..100 {
        let durable = begin_append(&mut store, vec![entry(1, index, 3000)]).await;
        // A leader may commit by its followers' disks before its own has answered.
        store.save_committed(Some(log_id(1, index))).await.unwrap();
        if index % 7 == 0 {
            durable.await.unwrap().unwrap();
            let mut copy = open(&killed(&dir));
            let committed = copy.read_committed().await.unwrap();
            assert!(committed <= last(&mut copy).await, "{committed:?}");
        }
    }
}

#[tokio::test]
async fn committed_waits_for_the_entries_that_it_covers() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&dir);
    append(&mut store, entries(1, 0..10)).await;
    // As if entries up to 12 were still in the queue when the IO thread syncs something else.
    store.save_committed(Some(log_id(1, 12))).await.unwrap();
    store.save_vote(&vote(1)).await.unwrap();
    assert_eq!(open(&killed(&dir)).read_committed().await.unwrap(), None);
    append(&mut store, entries(1, 10..13)).await;
    let committed = open(&killed(&dir)).read_committed().await.unwrap();
    assert_eq!(committed, Some(log_id(1, 12)));
}

/// While the IO thread syncs the first operation, the others gather into one group.
#[tokio::test]
async fn the_operations_of_one_group_keep_their_order() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&dir);
    let mut expected: Vec<Entry> = Vec::new();
    for round in 0..40 {
        let (term, start) = (2 * round + 1, 8 * round);
        let mut durable = Vec::new();
        for index in start..start + 12 {
            durable.push(begin_append(&mut store, vec![entry(term, index, 50)]).await);
        }
        store.truncate_after(Some(log_id(term, start + 3))).await.unwrap();
        let replaced = (start + 4..start + 8).map(|index| entry(term + 1, index, 60));
        durable.push(begin_append(&mut store, replaced.clone().collect()).await);
        if round % 8 == 7 {
            let upto = log_id(term + 1, start + 7);
            store.purge(upto).await.unwrap();
            expected.clear();
            durable.push(begin_append(&mut store, Vec::new()).await);
        } else {
            expected.extend((start..start + 4).map(|index| entry(term, index, 50)));
            expected.extend(replaced);
        }
        for report in durable {
            report.await.unwrap().unwrap();
        }
        let mut copy = open(&killed(&dir));
        assert_eq!(all(&mut copy).await, expected, "round {round}");
        assert_eq!(last(&mut copy).await, Some(log_id(term + 1, start + 7)));
    }
}

#[tokio::test]
async fn a_store_behind_its_mark_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&dir);
    store.save_vote(&vote(3)).await.unwrap();
    append(&mut store, entries(3, 0..10)).await;
    let old = killed(&dir);
    append(&mut store, entries(3, 10..20)).await;
    let more_log = killed(&dir);
    store.save_vote(&vote(4)).await.unwrap();
    let more_vote = killed(&dir);
    store.close().await;

    for newer in [&more_log, &more_vote] {
        let lost = killed(&old);
        std::fs::copy(newer.path().join(FILE_NAME), lost.path().join(FILE_NAME)).unwrap();
        let error = refusal(&lost);
        assert!(matches!(error, StoreError::BehindMark { .. }), "{error}");
        assert!(error.to_string().contains("move the directory away"), "{error}");
    }
    // The vote alone counts, too: with the newer log, only the vote is behind.
    std::fs::copy(more_vote.path().join(FILE_NAME), more_log.path().join(FILE_NAME)).unwrap();
    assert!(matches!(refusal(&more_log), StoreError::BehindMark { .. }));
    assert_eq!(last(&mut open(&more_vote)).await, Some(log_id(3, 19)));

    // All of sled's files gone: that is a lost store, not an empty one, also without a journal.
    std::fs::remove_dir_all(old.path().join("db-dir")).unwrap();
    assert!(matches!(refusal(&old), StoreError::Corrupt { .. }));
    std::fs::remove_file(old.path().join(JOURNAL)).unwrap();
    assert!(matches!(refusal(&old), StoreError::BehindMark { .. }));
}

#[tokio::test]
async fn a_torn_mark_accuses_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&dir);
    append(&mut store, entries(3, 0..10)).await;
    let whole = std::fs::read(dir.path().join(FILE_NAME)).unwrap();
    let longer = [&whole[..], b"x"].concat();
    let mut flipped = whole.clone();
    flipped[9] ^= 0x40;
    for torn in [&whole[..20], &flipped, &longer, b"\0"] {
        let copy = killed(&dir);
        std::fs::write(copy.path().join(FILE_NAME), torn).unwrap();
        let mut store = open(&copy);
        assert_eq!(last(&mut store).await, Some(log_id(3, 9)));
        append(&mut store, entries(3, 10..11)).await;
        let mark = std::fs::read(copy.path().join(FILE_NAME)).unwrap();
        assert_eq!(mark.len(), whole.len(), "it is whole again");
        store.close().await;
    }
}

/// A power cut may take any part of what was written after the last sync, and nothing before.
#[tokio::test]
async fn an_unsynced_tail_that_is_cut_off_is_no_alarm_but_a_synced_one_is() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&dir);
    append(&mut store, entries(3, 0..10)).await;
    let synced = killed(&dir);
    // One group, so one frame: what a power cut may tear is only ever the last one.
    let group = (10..40).map(|index| entry(3, index, 700)).collect();
    append(&mut store, group).await;
    let written = killed(&dir);
    store.close().await;

    let (then, now) = (journal_bytes(&synced), journal_bytes(&written));
    let changed: Vec<usize> = (0..now.len()).filter(|&at| now[at] != then[at]).collect();
    let (first, last_changed) = (changed[0], changed[changed.len() - 1]);
    let (mut shorter, mut alarms) = (0, 0);
    for cut in (first..=last_changed).step_by(509) {
        for mark in [&synced, &written] {
            let copy = killed(&written);
            let bytes = [&now[..cut], &then[cut..]].concat();
            std::fs::write(copy.path().join(JOURNAL), bytes).unwrap();
            std::fs::copy(mark.path().join(FILE_NAME), copy.path().join(FILE_NAME)).unwrap();
            match LogStore::open(copy.path(), NODE) {
                Ok(mut store) => {
                    assert_eq!(last(&mut store).await, Some(log_id(3, 9)), "cut at {cut}");
                    assert_eq!(all(&mut store).await, entries(3, 0..10));
                    shorter += 1;
                    append(&mut store, entries(4, 10..60)).await;
                    assert_eq!(last(&mut open(&killed(&copy))).await, Some(log_id(4, 59)));
                    store.close().await;
                }
                Err(StoreError::BehindMark { .. }) => {
                    assert!(std::ptr::eq(mark, &raw const written), "false alarm at {cut}");
                    alarms += 1;
                }
                Err(error) => panic!("cut at {cut}: {error}"),
            }
        }
    }
    assert!(shorter > 5 && alarms > 5, "{shorter} opened, {alarms} alarms");
}

fn journal_bytes(dir: &TempDir) -> Vec<u8> {
    std::fs::read(dir.path().join(JOURNAL)).unwrap()
}

#[tokio::test]
async fn the_mark_is_lowered_before_a_truncation() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&dir);
    append(&mut store, entries(2, 0..10)).await;
    let before = killed(&dir);
    store.truncate_after(Some(log_id(2, 4))).await.unwrap();
    // It is durable when the call returns: a snapshot that contradicts the tail may come next.
    let truncated = killed(&dir);
    assert_eq!(last(&mut open(&truncated)).await, Some(log_id(2, 4)));

    // The crash came after the mark and before the truncation: no alarm either.
    std::fs::copy(truncated.path().join(FILE_NAME), before.path().join(FILE_NAME)).unwrap();
    assert_eq!(last(&mut open(&before)).await, Some(log_id(2, 9)));

    append(&mut store, entries(3, 5..7)).await;
    assert_eq!(last(&mut open(&killed(&dir))).await, Some(log_id(3, 6)));
}

#[tokio::test]
async fn appends_in_flight_share_a_sync() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&dir);
    let mut waiting = Vec::new();
    for index in 0..200 {
        waiting.push(begin_append(&mut store, vec![entry(1, index, 100)]).await);
    }
    for durable in waiting {
        durable.await.unwrap().unwrap();
    }
    let metrics = store.metrics();
    assert_eq!(metrics.entries_total, 200);
    assert_eq!(metrics.appended_bytes_total, 200 * 136);
    assert!(metrics.flushes_total < 150, "{metrics:?}");
    assert_eq!(metrics.flush_us_buckets.iter().sum::<u64>(), metrics.flushes_total);
    assert!(metrics.flush_us_max > 0);
    assert_eq!(store.metrics().flush_us_max, 0, "reading starts a new maximum");
    assert_eq!(all(&mut open(&killed(&dir))).await, entries(1, 0..200));
}

#[tokio::test]
async fn a_failed_sync_is_reported_to_everyone_and_never_retried() {
    let dir = tempfile::tempdir().unwrap();
    let (mut disk, found) = Disk::open(dir.path(), NODE).unwrap();
    disk.journal.break_file();
    let mut store = LogStore::start(disk, &found).unwrap();
    let durable = begin_append(&mut store, entries(1, 0..3)).await;
    assert!(durable.await.unwrap().is_err());
    let failure = store.failed().await;
    assert!(failure.to_string().contains("the log store has stopped"), "{failure}");
    assert!(store.save_vote(&vote(1)).await.is_err());
    let (sender, _receiver) = TypeConfig::oneshot();
    assert!(store.append(entries(1, 3..4), IOFlushed::signal(sender)).await.is_err());
    assert_eq!(store.metrics().flushes_total, 0);
}
