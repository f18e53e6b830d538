//! The journal alone, and what it does for the store: half by half, and after a power cut.

use super::super::journal::{FILE_NAME, FrameNo, HALF_BYTES, Journal};
use super::*;
use std::fs::File;
use std::os::unix::fs::FileExt;

/// A new journal in which frames of these sizes were written, with turns where they are needed.
fn journal_of(dir: &TempDir, body_bytes: &[usize]) -> Journal {
    Journal::create(dir.path()).unwrap();
    let (mut journal, frames) = Journal::open(dir.path(), FrameNo(0)).unwrap();
    assert!(frames.is_empty());
    for (at, bytes) in body_bytes.iter().enumerate() {
        if !journal.has_room(*bytes) {
            journal.turn();
        }
        journal.write(&vec![at as u8 + 1; *bytes]).unwrap();
    }
    journal
}

fn numbers(dir: &TempDir, filed: u64) -> Result<Vec<u64>, StoreError> {
    let (journal, frames) = Journal::open(dir.path(), FrameNo(filed))?;
    let numbers: Vec<u64> = frames.iter().map(|frame| frame.number.0).collect();
    assert_eq!(journal.last().0, numbers.last().copied().unwrap_or(filed));
    for frame in &frames {
        assert!(frame.body.iter().all(|byte| *byte == frame.number.0 as u8), "{}", frame.number.0);
    }
    Ok(numbers)
}

fn overwrite(dir: &TempDir, at: usize, bytes: &[u8]) {
    let file = File::options().write(true).open(dir.path().join(FILE_NAME)).unwrap();
    file.write_all_at(bytes, at as u64).unwrap();
}

const THIRD: usize = HALF_BYTES / 3;

#[test]
fn frames_come_back_in_order_from_both_halves() {
    let dir = tempfile::tempdir().unwrap();
    // 1 and 2 in the first half, 3 and 4 in the second, 5 over 1 in the first.
    journal_of(&dir, &[THIRD, THIRD, THIRD, THIRD, THIRD]);
    assert_eq!(numbers(&dir, 2).unwrap(), [3, 4, 5]);
    assert_eq!(numbers(&dir, 4).unwrap(), [5]);
    assert_eq!(numbers(&dir, 5).unwrap(), [0; 0]);
    // sled is an older copy: what it lacks was overwritten.
    let error = numbers(&dir, 1).unwrap_err();
    assert!(error.to_string().contains("lacks what follows frame 1"), "{error}");
}

#[test]
fn only_the_last_frame_may_be_broken() {
    let sizes = [10, 5000, 33, 70_000, 8];
    let dir = tempfile::tempdir().unwrap();
    journal_of(&dir, &sizes);
    let mut at = 0;
    for (before, size) in (0..).zip(sizes) {
        let copy = killed(&dir);
        overwrite(&copy, at + 20 + size / 2, b"\xa5");
        let found = numbers(&copy, 0);
        if before + 1 < sizes.len() as u64 {
            let error = found.unwrap_err();
            assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
            assert!(error.to_string().contains(&format!("frame {}", before + 1)), "{error}");
        } else {
            assert_eq!(found.unwrap(), [1, 2, 3, 4], "a torn write");
        }
        at += (20 + size).next_multiple_of(8);
    }
}

#[test]
fn a_journal_that_is_cut_or_gone_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    journal_of(&dir, &[10]);
    let file = File::options().write(true).open(dir.path().join(FILE_NAME)).unwrap();
    file.set_len(HALF_BYTES as u64 + 7).unwrap();
    assert!(matches!(numbers(&dir, 0), Err(StoreError::Corrupt { .. })));
    std::fs::remove_file(dir.path().join(FILE_NAME)).unwrap();
    assert!(matches!(numbers(&dir, 0), Err(StoreError::Corrupt { .. })));
}

/// More than both halves hold, through a store, with a kill at every turn and between them.
#[tokio::test]
async fn what_fills_the_halves_many_times_over_is_all_there() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&dir);
    let per_append = 100_000;
    let appends = 5 * HALF_BYTES / per_append;
    for index in 0..appends as u64 {
        append(&mut store, vec![entry(1, index, per_append)]).await;
        if index % 19 == 0 {
            let mut copy = open(&killed(&dir));
            assert_eq!(last(&mut copy).await, Some(log_id(1, index)));
            let found = copy.limited_get_log_entries(index, index + 1).await.unwrap();
            assert_eq!(found, [entry(1, index, per_append)]);
        }
    }
    store.close().await;
    let mut store = open(&dir);
    for index in 0..appends as u64 {
        let found = store.limited_get_log_entries(index, index + 1).await.unwrap();
        assert_eq!(found, [entry(1, index, per_append)]);
    }
}

/// A start may itself be killed: filing again what was filed before must change nothing.
#[tokio::test]
async fn filing_again_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&dir);
    append(&mut store, entries(1, 0..30)).await;
    store.truncate_after(Some(log_id(1, 9))).await.unwrap();
    append(&mut store, entries(2, 10..25)).await;
    store.purge(log_id(1, 4)).await.unwrap();
    append(&mut store, entries(2, 25..40)).await;
    let journal_then = std::fs::read(dir.path().join(FILE_NAME)).unwrap();
    store.close().await;
    // sled has everything. As if its checkpoint had been lost, and only that.
    tamper(&dir, |disk| {
        let none = super::super::meta::encode_number(0);
        drop(disk.sled.meta.insert(super::super::disk::KEY_FILED, none).unwrap());
    });
    std::fs::write(dir.path().join(FILE_NAME), journal_then).unwrap();
    let mut store = open(&dir);
    let expected: Vec<Entry> = entries(1, 5..10).into_iter().chain(entries(2, 10..40)).collect();
    assert_eq!(all(&mut store).await, expected);
}
