//! The journal: what was written since the last checkpoint, in order, durable by one sync of one
//! preallocated file.
//!
//! sled's own way to the device wakes every thread of its pool, writes twice and moves metadata;
//! a group commit through it costs milliseconds of processor time on three nodes of two cores
//! (measured; see `bench/README.md`). So a group is made durable here, as one *frame*, and the
//! checkpointer files it in sled later, with many others (as SQLite's write-ahead log and its
//! checkpoints do). At the start, frames that sled does not have yet are filed again.
//!
//! ```text
//! <dir>/journal    two halves of HALF_BYTES each, written with zeros when it is created, so that
//!                  a sync never has to make new blocks durable
//! half             frames one after another from its start, each at a multiple of ALIGN_BYTES
//! frame            magic 4, body bytes u32, number u64, crc u32 of all else; then the body
//! body             operations: kind u8, bytes u32, then their bytes
//! ```
//!
//! Numbers of a frame are little endian, and grow by one from frame to frame for ever. While one
//! half is filled the other is checkpointed, and then free to be overwritten.
//!
//! - Every frame is synced before the next one is written. So a whole frame behind a broken one
//!   proves damage: a torn write can only be the last one.
//! - sled says, in the same order as its content, up to which frame it has all (`KEY_FILED`).
//!   Frames up to there are history; the one after it must be here if any later one is.
//! - Filing frames again that were filed before changes nothing: what an index, the vote or a mark
//!   ends as is decided by the last operation on it, and all later ones are filed again as well.
//!
//! Owns the file and where the next frame goes. Never reads what an operation means; see
//! `operation`.

use super::error::StoreError;
use crate::fsync;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// The name of the file in the data directory.
pub(super) const FILE_NAME: &str = "journal";
/// The size of each half. It bounds what a start files again and what waits for a checkpoint.
pub(super) const HALF_BYTES: usize = 4 * 1024 * 1024;

const MAGIC: [u8; 4] = *b"FNJ1";
const HEADER_BYTES: usize = 20;
const CRC_AT: usize = 16;
const ALIGN_BYTES: usize = 8;
/// The largest body that fits into a half.
pub(super) const BODY_BYTES_MAX: usize = HALF_BYTES - HEADER_BYTES;

/// The number of a frame.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FrameNo(pub(super) u64);

impl FrameNo {
    fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// One half of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Half {
    First,
    Second,
}

impl Half {
    pub(super) fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }

    fn starts_at(self) -> usize {
        match self {
            Self::First => 0,
            Self::Second => HALF_BYTES,
        }
    }
}

/// A frame that was read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) number: FrameNo,
    pub(super) body: Vec<u8>,
}

/// The open file, and where the next frame goes.
pub(super) struct Journal {
    file: File,
    half: Half,
    /// Bytes of the half that are taken.
    taken: usize,
    last: FrameNo,
    /// The bytes of the frame that is being written; kept for its room.
    frame: Vec<u8>,
}

impl Journal {
    /// Creates the file, full of zeros; durable when it returns, but for its name in `dir`.
    ///
    /// # Errors
    /// When the file cannot be written or synced.
    pub(super) fn create(dir: &Path) -> io::Result<()> {
        let file =
            OpenOptions::new().write(true).create(true).truncate(true).open(dir.join(FILE_NAME))?;
        let zeros = vec![0; 1 << 20];
        for at in (0..2 * HALF_BYTES).step_by(zeros.len()) {
            file.write_all_at(&zeros, at as u64)?;
        }
        fsync::all(&file)
    }

    /// Opens the file; returns it and the frames after `filed`, in order.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when the file is missing or cut, or a frame that was synced is not
    /// whole or not there.
    pub(super) fn open(dir: &Path, filed: FrameNo) -> Result<(Self, Vec<Frame>), StoreError> {
        let path = dir.join(FILE_NAME);
        let damaged = |what: String| StoreError::corrupt(dir, what);
        let file = match OpenOptions::new().read(true).write(true).open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Err(damaged(format!("{FILE_NAME} is gone")));
            }
            Err(e) => return Err(StoreError::io("open", &path, e)),
        };
        let mut bytes = vec![0; 2 * HALF_BYTES];
        file.read_exact_at(&mut bytes, 0).map_err(|e| match e.kind() {
            io::ErrorKind::UnexpectedEof => damaged(format!("{FILE_NAME} was cut")),
            _ => StoreError::io("read", &path, e),
        })?;
        let (last, frames) = recover(&bytes, filed).map_err(damaged)?;
        let journal = Self { file, half: Half::First, taken: 0, last, frame: Vec::new() };
        Ok((journal, frames))
    }

    /// The number of the last frame, or of the last one that sled has.
    pub(super) fn last(&self) -> FrameNo {
        self.last
    }

    /// Whether a frame with a body of so many bytes fits into what is left of the half.
    pub(super) fn has_room(&self, body_bytes: usize) -> bool {
        self.taken + HEADER_BYTES + body_bytes <= HALF_BYTES
    }

    /// Goes on in the other half, which must be free; returns the one that is left.
    pub(super) fn turn(&mut self) -> Half {
        let left = self.half;
        self.half = left.other();
        self.taken = 0;
        left
    }

    /// Writes a frame and makes it durable; returns its number.
    ///
    /// # Errors
    /// When it cannot be written or synced. Nobody knows then what is durable: the caller stops.
    pub(super) fn write(&mut self, body: &[u8]) -> io::Result<FrameNo> {
        assert!(self.has_room(body.len()), "{} bytes after {}", body.len(), self.taken);
        let number = self.last.next();
        self.frame.clear();
        self.frame.extend_from_slice(&MAGIC);
        self.frame.extend_from_slice(&(body.len() as u32).to_le_bytes());
        self.frame.extend_from_slice(&number.0.to_le_bytes());
        self.frame.extend_from_slice(&checksum(&self.frame, body).to_le_bytes());
        self.frame.extend_from_slice(body);
        let at = self.half.starts_at() + self.taken;
        self.file.write_all_at(&self.frame, at as u64)?;
        fsync::content(&self.file)?;
        self.taken += self.frame.len().next_multiple_of(ALIGN_BYTES);
        self.last = number;
        Ok(number)
    }

    /// Writes into a file that cannot be synced from now on.
    #[cfg(test)]
    pub(super) fn break_file(&mut self) {
        // fdatasync fails on a device that cannot be synced.
        self.file = OpenOptions::new().write(true).open("/dev/null").unwrap();
    }
}

/// Whether the directory has a journal of full size.
pub(super) fn is_created(dir: &Path) -> bool {
    std::fs::metadata(dir.join(FILE_NAME)).is_ok_and(|file| file.len() >= 2 * HALF_BYTES as u64)
}

/// The last frame's number, and the frames after `filed`; else what is wrong.
fn recover(bytes: &[u8], filed: FrameNo) -> Result<(FrameNo, Vec<Frame>), String> {
    let (first, second) = bytes.split_at(HALF_BYTES);
    let mut halves = [run_of(first), run_of(second)];
    halves.sort_by_key(|run| run.first().map(|frame| frame.number));
    let mut frames: Vec<Frame> = Vec::new();
    for frame in halves.into_iter().flatten().filter(|frame| frame.number > filed) {
        let expected = frames.last().map_or(filed, |last| last.number).next();
        if frame.number != expected {
            return Err(format!(
                "{FILE_NAME} lacks what follows frame {}: frame {} is the next",
                expected.0 - 1,
                frame.number.0
            ));
        }
        frames.push(frame);
    }
    let last = frames.last().map_or(filed, |frame| frame.number);
    // A frame is only written when the one before it is synced.
    for half in [first, second] {
        for at in (0..half.len()).step_by(ALIGN_BYTES) {
            if let Some(frame) = frame_at(half, at)
                && frame.number > last
            {
                let (broken, whole) = (last.next().0, frame.number.0);
                return Err(format!("{FILE_NAME} has frame {whole}, but frame {broken} is broken"));
            }
        }
    }
    Ok((last, frames))
}

/// The frames of a half: consecutive ones from its start.
fn run_of(half: &[u8]) -> Vec<Frame> {
    let mut frames: Vec<Frame> = Vec::new();
    let mut at = 0;
    while let Some(frame) = frame_at(half, at)
        && frames.last().is_none_or(|last| frame.number == last.number.next())
    {
        at += (HEADER_BYTES + frame.body.len()).next_multiple_of(ALIGN_BYTES);
        frames.push(frame);
    }
    frames
}

/// The frame that begins there, if a whole one does.
fn frame_at(half: &[u8], at: usize) -> Option<Frame> {
    let rest = half.get(at..)?;
    let (header, rest) = rest.split_first_chunk::<HEADER_BYTES>()?;
    if !header.starts_with(&MAGIC) {
        return None;
    }
    let body_bytes = u32::from_le_bytes(*header[4..].first_chunk()?) as usize;
    let number = FrameNo(u64::from_le_bytes(*header[8..].first_chunk()?));
    let crc = u32::from_le_bytes(*header[CRC_AT..].first_chunk()?);
    let body = rest.get(..body_bytes)?;
    let is_whole = crc == checksum(&header[..CRC_AT], body);
    is_whole.then(|| Frame { number, body: body.to_vec() })
}

fn checksum(header: &[u8], body: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(header);
    crc.update(body);
    crc.finalize()
}
