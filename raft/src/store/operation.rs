//! What is written to the log, as one list of operations: journalled first, filed in sled later.
//!
//! ```text
//! operation   kind u8, bytes u32 LE, then
//!   append    an entry's record: its header and its body (see `record`)
//!   vote      as in sled (see `meta`); so are committed, truncate, purge and identity
//!   truncate  the kept log id, or nothing
//! ```
//!
//! Kinds are added, never reused. An operation that this build does not know stops the open.

use super::Identity;
use super::meta::{self, MetaError};
use super::record::Record;
use crate::types::{LogId, Vote};
use std::borrow::Cow;

const KIND_APPEND: u8 = 1;
const KIND_VOTE: u8 = 2;
const KIND_COMMITTED: u8 = 3;
const KIND_TRUNCATE: u8 = 4;
const KIND_PURGE: u8 = 5;
const KIND_IDENTITY: u8 = 6;
const HEADER_BYTES: usize = 1 + 4;

/// One change of the log or of what is kept beside it.
#[derive(Debug, Clone)]
pub(super) enum Operation {
    /// The entry at `index` is this one.
    Append { index: u64, record: Record },
    /// The vote is this one.
    Vote(Vote),
    /// Everything up to this entry is committed.
    Committed(LogId),
    /// Nothing follows `kept`.
    Truncate { kept: Option<LogId> },
    /// Everything up to this entry is forgotten.
    Purge { upto: LogId },
    /// The directory is this one.
    Identity(Identity),
}

/// Bytes that are no list of operations.
#[derive(Debug, thiserror::Error)]
pub(super) enum OperationError {
    /// A newer build wrote it.
    #[error("an operation of the unknown kind {0}: it was written by a newer flashnode")]
    Kind(u8),
    /// It ends too early, or is no record.
    #[error("an operation that is not whole")]
    Broken,
    /// A small record that cannot be read.
    #[error(transparent)]
    Meta(#[from] MetaError),
}

impl Operation {
    /// How many bytes [`Operation::encode`] adds.
    pub(super) fn encoded_bytes(&self) -> usize {
        HEADER_BYTES
            + match self {
                Self::Append { record, .. } => record.bytes() as usize,
                other => other.small().1.len(),
            }
    }

    /// Adds it to the body of a frame.
    pub(super) fn encode(&self, body: &mut Vec<u8>) {
        if let Self::Append { record, .. } = self {
            body.push(KIND_APPEND);
            body.extend_from_slice(&(record.bytes() as u32).to_le_bytes());
            for (_, chunk) in record.chunks() {
                body.extend_from_slice(chunk);
            }
            return;
        }
        let (kind, bytes) = self.small();
        body.push(kind);
        body.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        body.extend_from_slice(&bytes);
    }

    /// The kind and content of what is not an append.
    fn small(&self) -> (u8, Cow<'static, [u8]>) {
        match self {
            Self::Append { .. } => (KIND_APPEND, Cow::Borrowed(&[])),
            Self::Vote(vote) => (KIND_VOTE, meta::encode_vote(vote).into()),
            Self::Committed(upto) => (KIND_COMMITTED, meta::encode_log_id(upto).into()),
            Self::Truncate { kept: Some(kept) } => {
                (KIND_TRUNCATE, meta::encode_log_id(kept).into())
            }
            Self::Truncate { kept: None } => (KIND_TRUNCATE, Cow::Borrowed(&[])),
            Self::Purge { upto } => (KIND_PURGE, meta::encode_log_id(upto).into()),
            Self::Identity(identity) => (KIND_IDENTITY, meta::encode_identity(identity).into()),
        }
    }

    /// Reads the body of a frame.
    ///
    /// # Errors
    /// When an operation is not whole, or not known.
    pub(super) fn decode_all(mut body: &[u8]) -> Result<Vec<Self>, OperationError> {
        let mut operations = Vec::new();
        while let Some((header, rest)) = body.split_first_chunk::<HEADER_BYTES>() {
            let [kind, b0, b1, b2, b3] = *header;
            let bytes = u32::from_le_bytes([b0, b1, b2, b3]) as usize;
            let (content, rest) = rest.split_at_checked(bytes).ok_or(OperationError::Broken)?;
            operations.push(Self::decode(kind, content)?);
            body = rest;
        }
        if body.is_empty() { Ok(operations) } else { Err(OperationError::Broken) }
    }

    fn decode(kind: u8, content: &[u8]) -> Result<Self, OperationError> {
        Ok(match kind {
            KIND_APPEND => {
                let (index, record) = Record::from_bytes(content).ok_or(OperationError::Broken)?;
                Self::Append { index, record }
            }
            KIND_VOTE => Self::Vote(meta::decode_vote(content)?),
            KIND_COMMITTED => Self::Committed(meta::decode_log_id("committed", content)?),
            KIND_TRUNCATE if content.is_empty() => Self::Truncate { kept: None },
            KIND_TRUNCATE => {
                Self::Truncate { kept: Some(meta::decode_log_id("truncate", content)?) }
            }
            KIND_PURGE => Self::Purge { upto: meta::decode_log_id("purge", content)? },
            KIND_IDENTITY => Self::Identity(meta::decode_identity(content)?),
            kind => return Err(OperationError::Kind(kind)),
        })
    }
}
