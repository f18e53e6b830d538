//! What readers see: entries at once, bounded reads, and one log whatever happens beneath them.

use super::super::Life;
use super::super::disk;
use super::super::state::State;
use super::*;
use futures_util::TryStreamExt;
use tokio::sync::watch;

#[tokio::test]
async fn an_entry_is_readable_when_append_returns() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&dir);
    let mut reader = store.get_log_reader().await;
    for index in 0..50 {
        let durable = begin_append(&mut store, vec![entry(1, index, 10)]).await;
        assert_eq!(all(&mut reader).await.len() as u64, index + 1);
        drop(durable);
    }
}

#[tokio::test]
async fn limited_reads_return_about_a_mebibyte_and_at_least_one_entry() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&dir);
    for index in 0..16 {
        append(&mut store, vec![entry(1, index, 256 * 1024)]).await;
    }
    store.close().await;
    let mut store = open(&dir);
    // First from sled, then partly and wholly from memory.
    for round in 0..3 {
        let end = 16 + round;
        for start in 0..end {
            let found = store.limited_get_log_entries(start, end).await.unwrap();
            assert_eq!(found[0].log_id.index, start);
            assert!((1..=5).contains(&found.len()), "{} entries", found.len());
            assert!(found.is_sorted_by_key(|entry| entry.log_id.index));
        }
        append(&mut store, vec![entry(1, end, 256 * 1024)]).await;
    }
    append(&mut store, vec![entry(1, 19, 1024 * 1024)]).await;
    assert_eq!(store.limited_get_log_entries(19, 20).await.unwrap().len(), 1);
    store.purge(log_id(1, 10)).await.unwrap();
    assert!(store.limited_get_log_entries(10, 15).await.unwrap().is_empty());
    assert_eq!(store.limited_get_log_entries(11, 12).await.unwrap().len(), 1);
}

#[tokio::test]
async fn ranges_and_streams_join_sled_and_memory() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&dir);
    append(&mut store, (0..200).map(|index| entry(1, index, 20_000)).collect()).await;
    store.close().await;
    let mut store = open(&dir);
    append(&mut store, (200..300).map(|index| entry(1, index, 20_000)).collect()).await;
    let expected: Vec<Entry> = (0..300).map(|index| entry(1, index, 20_000)).collect();
    assert_eq!(all(&mut store).await, expected);
    assert_eq!(store.try_get_log_entries(150..=250).await.unwrap(), expected[150..=250]);
    assert_eq!(store.try_get_log_entries(299..1000).await.unwrap(), expected[299..]);
    assert!(store.try_get_log_entries(300..400).await.unwrap().is_empty());
    let stream = store.entries_stream(100..290).await;
    let streamed: Vec<Entry> = stream.try_collect().await.unwrap();
    assert_eq!(streamed, expected[100..290]);
}

#[test]
fn what_is_not_durable_is_never_evicted() {
    let dir = tempfile::tempdir().unwrap();
    let (disk, found) = Disk::open(dir.path(), NODE).unwrap();
    let mut state = State::new(&found, disk.sled.log.clone());
    let durable = state.append(&entries(1, 0..10)).unwrap();
    state.append(&entries(1, 10..20)).unwrap();
    let in_memory = |state: &State| state.plan(0, u64::MAX, usize::MAX).hot.len();
    state.evict(durable, usize::MAX);
    assert_eq!(in_memory(&state), 20);
    state.evict(durable, 0);
    assert_eq!(in_memory(&state), 10, "10..20 are only in memory");

    // The same indexes again, after a truncation: the old ones were durable, these are not.
    state.truncate(Some(log_id(1, 4)));
    state.append(&entries(2, 5..8)).unwrap();
    state.evict(durable, 0);
    assert_eq!(in_memory(&state), 3);
    assert_eq!(state.plan(0, 8, usize::MAX).cold, (0, 5));
}

#[tokio::test]
async fn holes_and_overlaps_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&dir);
    append(&mut store, entries(1, 0..5)).await;
    for bad in [entries(1, 6..7), entries(1, 4..6), vec![entry(1, 5, 1), entry(1, 7, 1)]] {
        let (sender, _receiver) = TypeConfig::oneshot();
        let error = store.append(bad, IOFlushed::signal(sender)).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
    append(&mut store, entries(1, 5..6)).await;
    assert_eq!(all(&mut store).await, entries(1, 0..6));
}

#[test]
fn a_hole_in_sled_is_an_error_for_the_reader() {
    let dir = tempfile::tempdir().unwrap();
    let (disk, _) = Disk::open(dir.path(), NODE).unwrap();
    for index in [3, 4, 6] {
        for (chunk, bytes) in record::Record::of(&entry(1, index, 5000)).unwrap().chunks() {
            disk.sled.log.insert(record::key(index, chunk), bytes).unwrap();
        }
    }
    assert_eq!(disk::read(&disk.sled.log, 3, 5, usize::MAX).unwrap().len(), 2);
    assert_eq!(disk::read(&disk.sled.log, 3, 7, 1).unwrap().len(), 1, "limited before the hole");
    for (start, end) in [(3, 7), (2, 4), (6, 8), (5, 7), (9, 10)] {
        assert!(disk::read(&disk.sled.log, start, end, usize::MAX).is_err(), "{start}..{end}");
    }
    assert!(disk::read(&disk.sled.log, 3, 3, usize::MAX).unwrap().is_empty());
}

/// Readers of sled overlap truncations and purges, and still see one contiguous log.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn reads_beneath_the_tail_survive_truncations_and_purges() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&dir);
    append(&mut store, (0..400).map(|index| entry(1, index, 3000)).collect()).await;
    store.close().await;
    let mut store = open(&dir);
    let mut reader = store.clone();
    let (finished, mut reads) = watch::channel(0_u64);
    let reading = tokio::spawn(async move {
        // Until nobody wants to know any more.
        while !finished.is_closed() {
            let found = reader.try_get_log_entries(..).await.unwrap();
            for pair in found.windows(2) {
                assert_eq!(pair[0].log_id.index + 1, pair[1].log_id.index);
                assert!(pair[0].log_id.leader_id.term <= pair[1].log_id.leader_id.term);
            }
            finished.send_modify(|reads| *reads += 1);
            tokio::task::yield_now().await;
        }
    });
    for round in 1..40 {
        let keep = 399 - round * 5;
        store.truncate_after(Some(log_id(round, keep))).await.unwrap();
        let refill = keep + 1..keep + 4;
        append(&mut store, refill.map(|i| entry(round + 1, i, 3000)).collect()).await;
        store.purge(log_id(1, round * 2)).await.unwrap();
        // A read is tried again a few times: no more rounds than that may overlap one.
        let seen = *reads.borrow_and_update();
        reads.wait_for(|reads| *reads > seen).await.unwrap();
    }
    let life = store.shared.life.borrow().clone();
    assert!(matches!(life, Life::Open), "{life:?}");
    drop(reads);
    reading.await.unwrap();
    store.close().await;
}
