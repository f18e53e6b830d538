//! How one log entry lies on disk: a fixed header and the payload, cut into chunks.
//!
//! sled writes a page of 128 KiB or more into a blob file that it never syncs. A leaf page holds
//! at most 17 items, so values of at most 4 KiB keep every page below 70 KiB, and no blob file
//! ever appears. All chunks of an entry are written in one sled batch; an entry that lacks one,
//! or whose checksum differs, is corruption and never "the end of the log".
//!
//! ```text
//! key    index u64 BE, chunk u16 BE                       so that sled's order is the log's order
//! value  chunk 0: header (36 bytes), start of the body;   others: the body goes on
//! header version u8, kind u8, chunks u16, body bytes u32, index u64, term u64, node u64, crc u32
//! ```
//!
//! Numbers of the header are little endian. The crc32 covers the header before it and the body.
//! Kinds and versions are added, never reused; a golden-bytes test guards the old ones.

use crate::types::{Entry, LogId, Member, Proposal, TypeConfig};
use bytes::Bytes;
use openraft::entry::RaftEntry;
use openraft::type_config::alias::CommittedLeaderIdOf;
use openraft::vote::RaftLeaderId;
use openraft::{EntryPayload, Membership};
use std::io;
use stock::NodeId;

/// The largest value that is given to sled, in bytes.
pub(super) const CHUNK_BYTES_MAX: usize = 4096;
/// The largest payload of one entry, in bytes: four times what the proposer may send.
pub(super) const BODY_BYTES_MAX: usize = 1024 * 1024;
/// The length of a key, in bytes.
pub(super) const KEY_BYTES: usize = 10;

const HEADER_BYTES: usize = 36;
const CRC_AT: usize = 32;
const VERSION: u8 = 1;
const KIND_BLANK: u8 = 0;
const KIND_NORMAL: u8 = 1;
const KIND_MEMBERSHIP: u8 = 2;

/// The key of a chunk.
pub(super) fn key(index: u64, chunk: u16) -> [u8; KEY_BYTES] {
    let mut key = [0; KEY_BYTES];
    key[..8].copy_from_slice(&index.to_be_bytes());
    key[8..].copy_from_slice(&chunk.to_be_bytes());
    key
}

/// The index and chunk number of a key; `None` when it is no key of a log.
pub(super) fn parse_key(key: &[u8]) -> Option<(u64, u16)> {
    let (index, chunk) = key.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*index), u16::from_be_bytes(chunk.try_into().ok()?)))
}

/// The size of an entry's payload, in bytes; 0 for what is small and rare.
pub(super) fn payload_bytes(entry: &Entry) -> usize {
    match &entry.payload {
        EntryPayload::Normal(Proposal(bytes)) => bytes.len(),
        EntryPayload::Blank | EntryPayload::Membership(_) => 0,
    }
}

/// An entry that is ready to be written. The body is shared with the entry, not copied.
#[derive(Debug, Clone)]
pub(super) struct Record {
    /// Chunk 0: the header and the start of the body.
    head: Vec<u8>,
    /// The whole body, and where chunk 1 starts in it.
    body: Bytes,
    rest_at: usize,
}

impl Record {
    /// Encodes an entry.
    ///
    /// # Errors
    /// `InvalidInput` when the payload is larger than [`BODY_BYTES_MAX`].
    pub(super) fn of(entry: &Entry) -> io::Result<Self> {
        let (kind, body) = match &entry.payload {
            EntryPayload::Blank => (KIND_BLANK, Bytes::new()),
            EntryPayload::Normal(Proposal(bytes)) => (KIND_NORMAL, bytes.clone()),
            EntryPayload::Membership(membership) => {
                let bytes = stock::codec::encode(membership, BODY_BYTES_MAX as u64)
                    .map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, e))?;
                (KIND_MEMBERSHIP, Bytes::from(bytes))
            }
        };
        if body.len() > BODY_BYTES_MAX {
            let what = format!("entry of {} bytes; at most {BODY_BYTES_MAX}", body.len());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
        let log_id = entry.log_id();
        let rest_at = body.len().min(CHUNK_BYTES_MAX - HEADER_BYTES);
        let chunks = 1 + (body.len() - rest_at).div_ceil(CHUNK_BYTES_MAX);

        let mut head = Vec::with_capacity(HEADER_BYTES + rest_at);
        head.extend([VERSION, kind]);
        head.extend((chunks as u16).to_le_bytes());
        head.extend((body.len() as u32).to_le_bytes());
        head.extend(log_id.index.to_le_bytes());
        head.extend(log_id.leader_id.term.to_le_bytes());
        head.extend(log_id.leader_id.node_id.0.to_le_bytes());
        debug_assert_eq!(head.len(), CRC_AT);
        let crc = checksum(&head, &body);
        head.extend(crc.to_le_bytes());
        head.extend_from_slice(&body[..rest_at]);
        Ok(Self { head, body, rest_at })
    }

    /// The index and the record of an entry that was written as its chunks, one after another; none
    /// when it is not whole. Whether the entry is sound is asked by whoever reads it back.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<(u64, Self)> {
        let header = bytes.first_chunk::<HEADER_BYTES>()?;
        let body_bytes = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
        let body = Bytes::copy_from_slice(&bytes[HEADER_BYTES..]);
        if header[0] != VERSION || body.len() != body_bytes as usize {
            return None;
        }
        let rest_at = body.len().min(CHUNK_BYTES_MAX - HEADER_BYTES);
        let head = bytes[..HEADER_BYTES + rest_at].to_vec();
        Some((u64_at(header, 8), Self { head, body, rest_at }))
    }

    /// The chunks with their numbers, in order.
    pub(super) fn chunks(&self) -> impl Iterator<Item = (u16, &[u8])> {
        let rest = self.body[self.rest_at..].chunks(CHUNK_BYTES_MAX);
        (0..).zip(std::iter::once(&self.head[..]).chain(rest))
    }

    /// The bytes of all chunks together.
    pub(super) fn bytes(&self) -> u64 {
        (self.head.len() + self.body.len() - self.rest_at) as u64
    }
}

/// An entry that is being put together from its chunks.
pub(super) struct Partial {
    header: [u8; HEADER_BYTES],
    body: Vec<u8>,
    chunks_seen: u16,
}

impl Partial {
    /// Starts with chunk 0 of the entry that is expected at `index`.
    ///
    /// # Errors
    /// What is wrong with the header.
    pub(super) fn start(index: u64, chunk: u16, bytes: &[u8]) -> Result<Self, Damage> {
        if chunk != 0 {
            return Err(Damage::new(index, format!("its first chunk is missing, found {chunk}")));
        }
        let Some((header, start)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
            return Err(Damage::new(index, format!("its header has only {} bytes", bytes.len())));
        };
        if header[0] != VERSION {
            let what = format!("its format is {}, this build reads {VERSION}", header[0]);
            return Err(Damage::new(index, what));
        }
        let partial = Self { header: *header, body: start.to_vec(), chunks_seen: 1 };
        if partial.index() != index {
            return Err(Damage::new(index, format!("it says that it is {}", partial.index())));
        }
        if partial.body_bytes() > BODY_BYTES_MAX {
            let what = format!("it claims {} bytes", partial.body_bytes());
            return Err(Damage::new(index, what));
        }
        let mut partial = partial;
        partial.body.reserve_exact(partial.body_bytes().saturating_sub(partial.body.len()));
        Ok(partial)
    }

    /// Adds the next chunk.
    ///
    /// # Errors
    /// That it is not the next one, or one too many.
    pub(super) fn push(&mut self, chunk: u16, bytes: &[u8]) -> Result<(), Damage> {
        if chunk != self.chunks_seen || self.is_complete() {
            let (seen, all) = (self.chunks_seen, self.chunks());
            let what = format!("chunk {chunk} follows the first {seen} of {all} chunks");
            return Err(Damage::new(self.index(), what));
        }
        self.chunks_seen += 1;
        self.body.extend_from_slice(bytes);
        Ok(())
    }

    /// Whether all chunks are there.
    pub(super) fn is_complete(&self) -> bool {
        self.chunks_seen >= self.chunks()
    }

    /// The entry, once its checksum is verified.
    ///
    /// # Errors
    /// That a chunk is missing, the checksum differs, or the payload cannot be decoded.
    pub(super) fn finish(self) -> Result<Entry, Damage> {
        let index = self.index();
        if !self.is_complete() || self.body.len() != self.body_bytes() {
            let (seen, all, bytes) = (self.chunks_seen, self.chunks(), self.body.len());
            let what =
                format!("it has {seen} of {all} chunks and {bytes} of {} bytes", self.body_bytes());
            return Err(Damage::new(index, what));
        }
        let crc = checksum(&self.header[..CRC_AT], &self.body);
        if crc.to_le_bytes() != self.header[CRC_AT..] {
            return Err(Damage::new(index, "its checksum does not match".to_owned()));
        }
        let payload = match self.header[1] {
            KIND_BLANK if self.body.is_empty() => EntryPayload::Blank,
            KIND_NORMAL => EntryPayload::Normal(Proposal(Bytes::from(self.body))),
            KIND_MEMBERSHIP => {
                let membership: Membership<NodeId, Member> =
                    stock::codec::decode(&self.body, BODY_BYTES_MAX as u64)
                        .map_err(|e| Damage::new(index, e.to_string()))?;
                EntryPayload::Membership(membership)
            }
            kind => {
                return Err(Damage::new(index, format!("it is of the unknown kind {kind}")));
            }
        };
        let leader = CommittedLeaderIdOf::<TypeConfig>::new(
            u64_at(&self.header, 16),
            NodeId(u64_at(&self.header, 24)),
        );
        Ok(Entry::new(LogId::new(leader, index), payload))
    }

    fn chunks(&self) -> u16 {
        u16::from_le_bytes([self.header[2], self.header[3]])
    }

    fn body_bytes(&self) -> usize {
        u32::from_le_bytes([self.header[4], self.header[5], self.header[6], self.header[7]])
            as usize
    }

    fn index(&self) -> u64 {
        u64_at(&self.header, 8)
    }
}

/// An entry that cannot be read back.
#[derive(Debug, thiserror::Error)]
#[error("log entry {index} cannot be read: {what}")]
pub(super) struct Damage {
    index: u64,
    what: String,
}

impl Damage {
    pub(super) fn new(index: u64, what: String) -> Self {
        Self { index, what }
    }
}

impl From<Damage> for io::Error {
    fn from(damage: Damage) -> Self {
        io::Error::new(io::ErrorKind::InvalidData, damage)
    }
}

fn checksum(header: &[u8], body: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(header);
    crc.update(body);
    crc.finalize()
}

fn u64_at(bytes: &[u8; HEADER_BYTES], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number)
}
