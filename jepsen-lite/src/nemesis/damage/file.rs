//! What is done to a damaged node's files, and what they had promised before.
//!
//! Owns: where the log and its mark are in a node's directory, what of the log a start reads, and
//! the mark's bytes. Called by `damage`.
//!
//! sled writes its file in segments, in any order, and uses them again; nearly all of an older file
//! is dead. A start reads what was written last. So that is where damage goes: elsewhere it would
//! mostly hit nothing that anybody misses. What is newer than sled's last checkpoint is in the
//! journal (`journal`), and what sled has lost since is filed from there again; so damage is to
//! both.

use super::journal;
use crate::nemesis::MARK_FILE;
use rand::Rng;
use rand::rngs::StdRng;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// sled's data file in a node's directory.
const DATA_FILE: &str = "db-dir/db";
/// Bytes of one of sled's segments, as the nodes set it.
const SEGMENT_BYTES: u64 = 512 * 1024;
/// A segment begins with a checksum; then how many bytes of log came before it, masked.
const PLACE_AT: u64 = 4;
const PLACE_MASK: u64 = i64::MAX as u64;
/// The most bytes that a log has had.
const PLACE_MAX: u64 = 1 << 48;
/// How many of the segments that were written last are damaged.
const DAMAGED_SEGMENTS: usize = 2;
/// Bytes that are flipped, one right after the other: a sector.
pub(super) const FLIPPED_BYTES: usize = 512;
/// From one flipped sector to the next: no record that follows is spared by being short.
pub(super) const FLIPPED_EVERY: u64 = 16 * 1024;
/// What the mark begins with; then flags, of which the first says that an index is there.
const MARK_MAGIC: &[u8] = b"FNM1";
const MARK_HAS_INDEX: u8 = 1;
const MARK_FLAGS_AT: usize = 4;
const MARK_INDEX_AT: usize = 24;

/// Changes the log; says what was done, or nothing when it holds nothing.
pub(super) type Damage = fn(dir: &Path, random: &mut StdRng) -> io::Result<Option<String>>;

/// Flips many sectors of what was written last.
pub(super) fn flip(dir: &Path, random: &mut StdRng) -> io::Result<Option<String>> {
    let in_sled = flip_in(&dir.join(DATA_FILE), random)?;
    let in_journal = journal::flip(dir, random)?;
    Ok(in_sled.into_iter().chain(in_journal).reduce(|one, other| format!("{one}; {other}")))
}

/// Cuts the end off, and with it some of what was written last.
pub(super) fn cut(dir: &Path, random: &mut StdRng) -> io::Result<Option<String>> {
    match journal::cut(dir, random)? {
        Some(done) => Ok(Some(done)),
        None => cut_in(&dir.join(DATA_FILE), random),
    }
}

/// The last entry that the node's directory holds for certain: all up to it was synced. None when
/// it has synced none, or its mark is not what is known here.
pub(super) fn synced_up_to(dir: &Path) -> io::Result<Option<u64>> {
    let mark = std::fs::read(dir.join(MARK_FILE))?;
    let has_index = mark.get(MARK_FLAGS_AT).is_some_and(|flags| flags & MARK_HAS_INDEX != 0);
    let index = mark.get(MARK_INDEX_AT..).and_then(|bytes| bytes.first_chunk());
    let index = index.filter(|_| has_index && mark.starts_with(MARK_MAGIC));
    Ok(index.map(|bytes| u64::from_le_bytes(*bytes)))
}

fn flip_in(path: &Path, random: &mut StdRng) -> io::Result<Option<String>> {
    let file = File::options().read(true).write(true).open(path)?;
    let (mut flipped, phase) = (0, random.random_range(0..FLIPPED_EVERY));
    let written_last = written_last(&file)?;
    for segment in &written_last {
        let mut at = segment + phase;
        while at + FLIPPED_BYTES as u64 <= segment + SEGMENT_BYTES {
            flipped += u32::from(flip_sector(&file, at)?);
            at += FLIPPED_EVERY;
        }
    }
    file.sync_all()?;
    let end = end_of_content(&file)?;
    let what = || {
        let places: Vec<String> = written_last.iter().map(ToString::to_string).collect();
        format!("{flipped} sectors flipped in the segments at {} of {end}", places.join(" and "))
    };
    Ok((flipped > 0).then(what))
}

/// Flips what is there, if it is anything but zeros.
pub(super) fn flip_sector(file: &File, at: u64) -> io::Result<bool> {
    let mut bytes = [0; FLIPPED_BYTES];
    let count = file.read_at(&mut bytes, at)?;
    let holds_something = bytes[..count].iter().any(|byte| *byte != 0);
    if holds_something {
        bytes[..count].iter_mut().for_each(|byte| *byte ^= 0xa5);
        file.write_all_at(&bytes[..count], at)?;
    }
    Ok(holds_something)
}

fn cut_in(path: &Path, random: &mut StdRng) -> io::Result<Option<String>> {
    let file = File::options().read(true).write(true).open(path)?;
    let end = end_of_content(&file)?;
    if end == 0 {
        return Ok(None);
    }
    // All of the newest segment, or, where there is no other, some of it.
    let newest = written_last(&file)?.first().copied().filter(|begin| *begin > 0);
    let left = random.random_range(0..newest.unwrap_or(end));
    file.set_len(left)?;
    file.sync_all()?;
    Ok(Some(format!("cut to {left} bytes of {end}")))
}

/// Where the segments begin that were written last, the newest first.
fn written_last(file: &File) -> io::Result<Vec<u64>> {
    let mut segments = Vec::new();
    let end = file.metadata()?.len();
    for begin in (0..end).step_by(SEGMENT_BYTES as usize) {
        let mut masked = [0; size_of::<u64>()];
        if file.read_at(&mut masked, begin + PLACE_AT)? < masked.len() {
            continue;
        }
        let place = u64::from_le_bytes(masked) ^ PLACE_MASK;
        if place < PLACE_MAX && place.is_multiple_of(SEGMENT_BYTES) {
            segments.push((place, begin));
        }
    }
    segments.sort_unstable_by(|one, other| other.cmp(one));
    Ok(segments.into_iter().take(DAMAGED_SEGMENTS).map(|(_, begin)| begin).collect())
}

/// Where the last byte is that is not zero: sled's file ends with room for what comes next.
fn end_of_content(file: &File) -> io::Result<u64> {
    let mut end = file.metadata()?.len();
    let mut block = vec![0; 64 * 1024];
    while end > 0 {
        let begin = end.saturating_sub(block.len() as u64);
        let bytes = &mut block[..(end - begin) as usize];
        file.read_exact_at(bytes, begin)?;
        if let Some(last) = bytes.iter().rposition(|byte| *byte != 0) {
            return Ok(begin + last as u64 + 1);
        }
        end = begin;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    /// A file as sled's: the third segment was written first, then the first, then the second.
    fn file() -> (tempfile::NamedTempFile, Vec<u8>) {
        let segment = SEGMENT_BYTES as usize;
        let mut bytes = vec![7; 3 * segment];
        for (begin, place) in [(2, 0), (0, SEGMENT_BYTES), (1, 2 * SEGMENT_BYTES)] {
            let header = begin * segment + PLACE_AT as usize;
            bytes[header..header + 8].copy_from_slice(&(place ^ PLACE_MASK).to_le_bytes());
        }
        // Little was written to the newest.
        bytes[segment + segment / 4..2 * segment].fill(0);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &bytes).unwrap();
        (file, bytes)
    }

    #[test]
    fn damage_is_to_what_was_written_last() {
        let segment = SEGMENT_BYTES as usize;
        for seed in 0..50 {
            let mut random = StdRng::seed_from_u64(seed);
            let (damaged, before) = file();
            flip_in(damaged.path(), &mut random).unwrap().unwrap();
            let after = std::fs::read(damaged.path()).unwrap();
            assert_eq!(after.len(), before.len());
            for newest in 0..2 {
                let range = newest * segment..(newest + 1) * segment;
                assert!(after[range.clone()] != before[range], "seed {seed}, segment {newest}");
            }
            assert!(after[2 * segment..] == before[2 * segment..], "seed {seed}");
            let (damaged, _) = file();
            cut_in(damaged.path(), &mut random).unwrap().unwrap();
            assert!(damaged.path().metadata().unwrap().len() < SEGMENT_BYTES, "seed {seed}");
        }
    }

    #[test]
    fn an_empty_file_is_not_said_to_be_damaged() {
        let mut random = StdRng::seed_from_u64(1);
        let empty = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(flip_in(empty.path(), &mut random).unwrap(), None);
        assert_eq!(cut_in(empty.path(), &mut random).unwrap(), None);
    }
    /// The bytes of a mark of this build: entry 300 of term 7 and node 2.
    #[test]
    fn a_mark_tells_its_index() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(MARK_FILE);
        let mut mark = vec![0; 52];
        mark[..4].copy_from_slice(b"FNM1");
        mark[8] = 7;
        mark[16] = 2;
        mark[24..32].copy_from_slice(&300_u64.to_le_bytes());
        std::fs::write(&path, &mark).unwrap();
        assert_eq!(synced_up_to(dir.path()).unwrap(), None, "it says that there is no entry");
        mark[4] = 1;
        std::fs::write(&path, &mark).unwrap();
        assert_eq!(synced_up_to(dir.path()).unwrap(), Some(300));
        for torn in [&mark[..20], &[b"FNM9", &mark[4..]].concat()] {
            std::fs::write(&path, torn).unwrap();
            assert_eq!(synced_up_to(dir.path()).unwrap(), None);
        }
    }
}
