//! Damage to a node's journal, in which a start finds what sled does not have yet.
//!
//! Owns: where the frames are. Called by `file`. A frame that is broken in front of a whole
//! one was synced; the last one may be torn, and is spared, or it would prove nothing.

use super::file::{FLIPPED_BYTES, FLIPPED_EVERY, flip_sector};
use rand::Rng;
use rand::rngs::StdRng;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::Path;

/// The journal in a node's directory: two halves, of which one is written from its start.
const FILE: &str = "journal";
const HALF_BYTES: usize = 4 * 1024 * 1024;
/// A frame begins with this, then the bytes of its body, its number, and a checksum.
const MAGIC: &[u8] = b"FNJ1";
const BODY_BYTES_AT: usize = 4;
const NUMBER_AT: usize = 8;
const HEADER_BYTES: usize = 20;
const ALIGN_BYTES: usize = 8;

/// Flips sectors of the frames that were written last, up to the very last; none where there is no
/// journal, or no two frames follow one another.
pub(super) fn flip(dir: &Path, random: &mut StdRng) -> io::Result<Option<String>> {
    let path = dir.join(FILE);
    if !path.exists() {
        return Ok(None);
    }
    let bytes = std::fs::read(&path)?;
    let Some(Range { start, end }) = newest(&bytes) else { return Ok(None) };
    let file = File::options().read(true).write(true).open(&path)?;
    // Up to right before the last frame.
    let mut at = (end as u64).saturating_sub(FLIPPED_BYTES as u64);
    let until = random.random_range(start as u64..=at.max(start as u64));
    let mut flipped = 0;
    while at >= until {
        flipped += u32::from(flip_sector(&file, at)?);
        let Some(before) = at.checked_sub(FLIPPED_EVERY) else { break };
        at = before;
    }
    file.sync_all()?;
    Ok((flipped > 0).then(|| format!("{flipped} sectors flipped in the journal up to {end}")))
}

/// Cuts the end off; none where there is no journal.
pub(super) fn cut(dir: &Path, random: &mut StdRng) -> io::Result<Option<String>> {
    let path = dir.join(FILE);
    if !path.exists() {
        return Ok(None);
    }
    let file = File::options().write(true).open(&path)?;
    let bytes = file.metadata()?.len();
    if bytes == 0 {
        return Ok(None);
    }
    let left = random.random_range(0..bytes);
    file.set_len(left)?;
    file.sync_all()?;
    Ok(Some(format!("journal cut to {left} bytes of {bytes}")))
}

/// From the first frame of the half that is written to the last one's beginning.
fn newest(bytes: &[u8]) -> Option<Range<usize>> {
    let halves = [0, HALF_BYTES].map(|start| frames(bytes, start));
    let (last, frames) = halves.into_iter().flatten().max_by_key(|(number, _)| *number)?;
    (last > 0 && frames.end > frames.start).then_some(frames)
}

/// The last number of the half that starts there, and from where to where the frames before it are.
fn frames(bytes: &[u8], start: usize) -> Option<(u64, Range<usize>)> {
    let half = bytes.get(start..start + HALF_BYTES)?;
    let (mut at, mut found) = (0, None);
    while let Some(header) = half.get(at..at + HEADER_BYTES).filter(|it| it.starts_with(MAGIC)) {
        let body_bytes = u32::from_le_bytes(*header[BODY_BYTES_AT..].first_chunk()?) as usize;
        let number = u64::from_le_bytes(*header[NUMBER_AT..].first_chunk()?);
        // What follows is left from when the half was written before.
        if found.is_some_and(|(last, _)| number != last + 1) {
            break;
        }
        found = Some((number, at));
        at += (HEADER_BYTES + body_bytes).next_multiple_of(ALIGN_BYTES);
    }
    found.map(|(last, begins_at)| (last, start..start + begins_at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    fn frame(number: u64, body_bytes: usize) -> Vec<u8> {
        let mut frame = MAGIC.to_vec();
        frame.extend((body_bytes as u32).to_le_bytes());
        frame.extend(number.to_le_bytes());
        frame.extend([9; 4]);
        frame.resize((HEADER_BYTES + body_bytes).next_multiple_of(ALIGN_BYTES), 7);
        frame
    }

    /// The second half is written, and has frames of an earlier time behind the last one.
    #[test]
    fn damage_is_to_the_frames_before_the_last() {
        let mut bytes = vec![0; 2 * HALF_BYTES];
        let mut put = |at: usize, frame: &[u8]| {
            bytes[at..at + frame.len()].copy_from_slice(frame);
            at + frame.len()
        };
        let mut at = 0;
        for number in 1..20 {
            at = put(at, &frame(number, 50_000));
        }
        let mut begins_at = HALF_BYTES;
        let mut at = HALF_BYTES;
        for number in 20..24 {
            begins_at = at;
            at = put(at, &frame(number, 30_000));
        }
        let last = begins_at..at;
        put(at, &frame(3, 30_000));
        assert_eq!(newest(&bytes), Some(HALF_BYTES..last.start));
        for seed in 0..50 {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join(FILE);
            std::fs::write(&path, &bytes).unwrap();
            let mut random = StdRng::seed_from_u64(seed);
            flip(dir.path(), &mut random).unwrap().unwrap();
            let after = std::fs::read(&path).unwrap();
            assert!(after[..HALF_BYTES] == bytes[..HALF_BYTES], "seed {seed}");
            assert!(after[HALF_BYTES..last.start] != bytes[HALF_BYTES..last.start], "seed {seed}");
            assert!(after[last.start..] == bytes[last.start..], "seed {seed}");
            cut(dir.path(), &mut random).unwrap().unwrap();
            assert!((path.metadata().unwrap().len() as usize) < bytes.len(), "seed {seed}");
        }
    }

    #[test]
    fn without_frames_nothing_is_said_to_be_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let mut random = StdRng::seed_from_u64(1);
        assert_eq!(flip(dir.path(), &mut random).unwrap(), None);
        assert_eq!(cut(dir.path(), &mut random).unwrap(), None);
        std::fs::write(dir.path().join(FILE), vec![0; 2 * HALF_BYTES]).unwrap();
        assert_eq!(flip(dir.path(), &mut random).unwrap(), None);
    }
}
