//! The body of a log entry: a format version byte, then one encoded batch.

use crate::types::Proposal;
use bytes::Bytes;
use stock::{Batch, codec};

/// The version of a log entry's body. A node refuses to apply what it does not know.
const ENTRY_FORMAT: u8 = 1;

/// A body that cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EntryError {
    /// The entry was written by a build with another format.
    #[error("a log entry has format {found}; this build reads {ENTRY_FORMAT}: run a newer build")]
    Format { found: u8 },
    /// The entry is empty.
    #[error("a log entry without a body")]
    Empty,
    /// The bytes are not a batch.
    #[error(transparent)]
    Codec(#[from] codec::CodecError),
}

/// Encodes a batch once, for the log, the wire and apply alike.
pub(crate) fn encode_batch(batch: &Batch) -> Result<Proposal, EntryError> {
    let body = codec::encode(batch, codec::BATCH_BYTES_MAX)?;
    let mut bytes = Vec::with_capacity(1 + body.len());
    bytes.push(ENTRY_FORMAT);
    bytes.extend_from_slice(&body);
    Ok(Proposal(Bytes::from(bytes)))
}

/// Decodes what [`encode_batch`] made.
pub(crate) fn decode_batch(proposal: &Proposal) -> Result<Batch, EntryError> {
    match proposal.0.split_first() {
        None => Err(EntryError::Empty),
        Some((&ENTRY_FORMAT, body)) => Ok(codec::decode(body, codec::BATCH_BYTES_MAX)?),
        Some((&found, _)) => Err(EntryError::Format { found }),
    }
}
