//! What is done to a damaged node's files, and what they had promised before.
//!
//! Owns: where the log and its mark are in a node's directory, and the mark's bytes. Called by
//! `damage`.

use crate::nemesis::MARK_FILE;
use rand::Rng;
use rand::rngs::StdRng;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// sled's data file in a node's directory.
const DATA_FILE: &str = "db-dir/db";
/// Bytes that are flipped, one right after the other: a sector.
const FLIPPED_BYTES: usize = 512;
/// How often to look for a place that holds something; most of a young file is empty.
const PLACES_MAX: usize = 10_000;
/// What the mark begins with; then flags, of which the first says that an index is there.
const MARK_MAGIC: &[u8] = b"FNM1";
const MARK_HAS_INDEX: u8 = 1;
const MARK_FLAGS_AT: usize = 4;
const MARK_INDEX_AT: usize = 24;

/// Changes the log; says what was done, or nothing when it holds nothing.
pub(super) type Damage = fn(dir: &Path, random: &mut StdRng) -> io::Result<Option<String>>;

/// Flips a sector that holds something.
pub(super) fn flip(dir: &Path, random: &mut StdRng) -> io::Result<Option<String>> {
    flip_in(&dir.join(DATA_FILE), random)
}

/// Cuts the end off, in the middle of what the file holds.
pub(super) fn cut(dir: &Path, random: &mut StdRng) -> io::Result<Option<String>> {
    cut_in(&dir.join(DATA_FILE), random)
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
    let end = end_of_content(&file)?;
    for _ in 0..PLACES_MAX {
        let at = random.random_range(0..end.max(1));
        let mut bytes = [0; FLIPPED_BYTES];
        let count = file.read_at(&mut bytes, at)?;
        if bytes[..count].iter().all(|byte| *byte == 0) {
            continue;
        }
        for byte in &mut bytes[..count] {
            *byte ^= 0xa5;
        }
        file.write_all_at(&bytes[..count], at)?;
        file.sync_all()?;
        return Ok(Some(format!("{count} bytes flipped at {at} of {end}")));
    }
    Ok(None)
}

fn cut_in(path: &Path, random: &mut StdRng) -> io::Result<Option<String>> {
    let file = File::options().read(true).write(true).open(path)?;
    let end = end_of_content(&file)?;
    if end == 0 {
        return Ok(None);
    }
    let left = random.random_range(0..end);
    file.set_len(left)?;
    file.sync_all()?;
    Ok(Some(format!("cut to {left} bytes of {end}")))
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

    /// A file with content in the middle, as sled's.
    fn file() -> (tempfile::NamedTempFile, Vec<u8>) {
        let mut bytes = vec![0; 200_000];
        bytes[100_000..120_000].fill(7);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &bytes).unwrap();
        (file, bytes)
    }

    #[test]
    fn a_flip_hits_what_is_kept_and_a_cut_goes_through_it_or_before_it() {
        for seed in 0..50 {
            let mut random = StdRng::seed_from_u64(seed);
            let (damaged, before) = file();
            flip_in(damaged.path(), &mut random).unwrap().unwrap();
            let after = std::fs::read(damaged.path()).unwrap();
            assert_eq!(after.len(), before.len());
            assert!(after[99_000..121_000] != before[99_000..121_000], "seed {seed}");
            let (damaged, _) = file();
            cut_in(damaged.path(), &mut random).unwrap().unwrap();
            assert!(damaged.path().metadata().unwrap().len() < 120_000, "seed {seed}");
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
