//! `durable.mark`: what this store has reported as durable, written after each sync.
//!
//! sled silently shortens its log at a torn or corrupt record, and a node that goes on with a
//! shortened log may vote twice in a term or forget what it acknowledged. The mark is the
//! tripwire: a store that opens behind it has lost synced data.
//!
//! The mark is only written after the sync that it speaks of, so it is never ahead of the data
//! and needs no sync of its own: losing the last mark only loses some of the guard. For the same
//! reason a mark that fails its own checksum (a power cut in the middle of the write) accuses
//! nobody; it is treated as absent. Before the store gives up an entry on purpose (truncation)
//! the lowered mark is written *and* synced first, or a crash in between would raise a false alarm.

use crate::fsync;
use crate::types::{LogId, TypeConfig, Vote};
use openraft::type_config::alias::{CommittedLeaderIdOf, LeaderIdOf};
use openraft::vote::{RaftLeaderId, RaftVote};
use std::cmp::Ordering;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use stock::NodeId;

/// The name of the file in the data directory.
pub(super) const FILE_NAME: &str = "durable.mark";

/// Well below a sector, so in practice it is written whole or not at all.
const BYTES: usize = 52;
const CRC_AT: usize = 48;
const MAGIC: [u8; 4] = *b"FNM1";
const HAS_LAST: u8 = 1;
const HAS_VOTE: u8 = 2;
const VOTE_COMMITTED: u8 = 4;

/// What has been durable: the last log id (the purged one when there is no entry), and the vote.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Durable {
    pub(super) last: Option<LogId>,
    pub(super) vote: Option<Vote>,
}

impl Durable {
    /// Whether this is less than `other` in the log (in Raft's order: term first) or the vote.
    pub(super) fn is_behind(&self, other: &Self) -> bool {
        self.last < other.last || !is_at_least(self.vote, other.vote)
    }

    fn encode(&self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        bytes[..4].copy_from_slice(&MAGIC);
        if let Some(last) = &self.last {
            bytes[4] |= HAS_LAST;
            bytes[8..16].copy_from_slice(&last.leader_id.term.to_le_bytes());
            bytes[16..24].copy_from_slice(&last.leader_id.node_id.0.to_le_bytes());
            bytes[24..32].copy_from_slice(&last.index.to_le_bytes());
        }
        if let Some(vote) = &self.vote {
            bytes[4] |= HAS_VOTE | if vote.committed { VOTE_COMMITTED } else { 0 };
            bytes[32..40].copy_from_slice(&vote.leader_id.term.to_le_bytes());
            bytes[40..48].copy_from_slice(&vote.leader_id.node_id.0.to_le_bytes());
        }
        let crc = crc32fast::hash(&bytes[..CRC_AT]);
        bytes[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// `None` when the bytes are not a mark that was written whole.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; BYTES] = bytes.try_into().ok()?;
        let crc = crc32fast::hash(&bytes[..CRC_AT]);
        if bytes[..4] != MAGIC || bytes[CRC_AT..] != crc.to_le_bytes() {
            return None;
        }
        let number = |at: usize| {
            let mut number = [0; 8];
            number.copy_from_slice(&bytes[at..at + 8]);
            u64::from_le_bytes(number)
        };
        let last = (bytes[4] & HAS_LAST != 0).then(|| {
            let leader = CommittedLeaderIdOf::<TypeConfig>::new(number(8), NodeId(number(16)));
            LogId::new(leader, number(24))
        });
        let vote = (bytes[4] & HAS_VOTE != 0).then(|| {
            let leader = LeaderIdOf::<TypeConfig>::new(number(32), NodeId(number(40)));
            Vote::from_leader_id(leader, bytes[4] & VOTE_COMMITTED != 0)
        });
        Some(Self { last, vote })
    }
}

impl fmt::Display for Durable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.last {
            Some(last) => write!(f, "log {last}")?,
            None => f.write_str("no log")?,
        }
        match &self.vote {
            Some(vote) => write!(f, " and vote {vote}"),
            None => f.write_str(" and no vote"),
        }
    }
}

/// Votes are only partially ordered in general; one that cannot be compared is not "at least".
fn is_at_least(vote: Option<Vote>, other: Option<Vote>) -> bool {
    vote.partial_cmp(&other).is_some_and(Ordering::is_ge)
}

/// The open mark file, and what it says.
pub(super) struct Mark {
    file: File,
    says: Durable,
}

impl Mark {
    /// Opens or creates the file. A mark that was not written whole reads as absent.
    ///
    /// # Errors
    /// When the file can be neither read nor created.
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        let path = dir.join(FILE_NAME);
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
        let length = file.metadata()?.len();
        let mut bytes = vec![0; length.min(BYTES as u64 + 1) as usize];
        file.read_exact_at(&mut bytes, 0)?;
        let says = match Durable::decode(&bytes) {
            Some(says) => says,
            None if length == 0 => Durable::default(),
            None => {
                tracing::warn!(
                    path = %path.display(),
                    "the durable mark was torn by a power cut, and is ignored"
                );
                file.set_len(0)?;
                Durable::default()
            }
        };
        Ok(Self { file, says })
    }

    /// What was durable when the mark was last written.
    pub(super) fn says(&self) -> &Durable {
        &self.says
    }

    /// Writes what a finished sync made durable. Not synced itself.
    ///
    /// # Errors
    /// When the write fails.
    pub(super) fn raise(&mut self, durable: Durable) -> io::Result<()> {
        if self.says != durable {
            self.file.write_all_at(&durable.encode(), 0)?;
            self.says = durable;
        }
        Ok(())
    }

    /// Lowers the mark, durably, before the store gives up something that it speaks of: `next` is
    /// what the store will hold. Does nothing when the mark does not say more than that.
    ///
    /// # Errors
    /// When the write or the sync fails.
    pub(super) fn lower(&mut self, next: &Durable) -> io::Result<()> {
        if next.is_behind(&self.says) {
            let is_vote_kept = is_at_least(next.vote, self.says.vote);
            let vote = if is_vote_kept { self.says.vote } else { next.vote };
            self.raise(Durable { last: next.last.min(self.says.last), vote })?;
            fsync::content(&self.file)?;
        }
        Ok(())
    }
}
