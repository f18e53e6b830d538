//! The body of a log entry: a format byte, then one encoded batch.
//!
//! The batch is encoded alike in all formats; the byte says by which rules it is applied. So an
//! entry that an older build wrote leads to what it led to then, and an older build refuses to
//! apply what it would apply otherwise.

use crate::types::Proposal;
use bytes::Bytes;
use stock::{Batch, Rules, codec};

/// The format of a log entry's body under the newest rules. A node refuses to apply what it does
/// not know.
pub(crate) const NEWEST_FORMAT: u8 = format_of(Rules::NEWEST);

const fn format_of(rules: Rules) -> u8 {
    match rules {
        Rules::One => 1,
        Rules::Two => 2,
        Rules::Three => 3,
        Rules::Four => 4,
    }
}

const fn rules_of(format: u8) -> Option<Rules> {
    match format {
        1 => Some(Rules::One),
        2 => Some(Rules::Two),
        3 => Some(Rules::Three),
        4 => Some(Rules::Four),
        _ => None,
    }
}

/// A body that cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EntryError {
    /// The entry was written by a build with another format.
    #[error(
        "a log entry has format {found}; this build reads up to {NEWEST_FORMAT}: run a newer build"
    )]
    Format { found: u8 },
    /// The entry is empty.
    #[error("a log entry without a body")]
    Empty,
    /// The bytes are not a batch.
    #[error(transparent)]
    Codec(#[from] codec::CodecError),
}

/// Encodes a batch once, for the log, the wire and apply alike.
pub(crate) fn encode_batch(rules: Rules, batch: &Batch) -> Result<Proposal, EntryError> {
    let body = codec::encode(batch, codec::BATCH_BYTES_MAX)?;
    let mut bytes = Vec::with_capacity(1 + body.len());
    bytes.push(format_of(rules));
    bytes.extend_from_slice(&body);
    Ok(Proposal(Bytes::from(bytes)))
}

/// Decodes what [`encode_batch`] made.
pub(crate) fn decode_batch(proposal: &Proposal) -> Result<(Rules, Batch), EntryError> {
    let (format, body) = proposal.0.split_first().ok_or(EntryError::Empty)?;
    let rules = rules_of(*format).ok_or(EntryError::Format { found: *format })?;
    Ok((rules, codec::decode(body, codec::BATCH_BYTES_MAX)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Logs hold these bytes.
    #[test]
    fn the_first_byte_names_the_rules() {
        let batch = Batch { stamp_ms: 7, commands: Vec::new() };
        for (rules, bytes) in [
            (Rules::One, [1, 7, 0]),
            (Rules::Two, [2, 7, 0]),
            (Rules::Three, [3, 7, 0]),
            (Rules::Four, [4, 7, 0]),
        ] {
            let proposal = encode_batch(rules, &batch).unwrap();
            assert_eq!(proposal.0[..], bytes);
            assert_eq!(decode_batch(&proposal).unwrap(), (rules, batch.clone()));
        }
        let of_a_newer_build = Proposal(Bytes::from_static(&[NEWEST_FORMAT + 1, 7, 0]));
        assert!(matches!(decode_batch(&of_a_newer_build), Err(EntryError::Format { found: 5 })));
        let empty = Proposal(Bytes::new());
        assert!(matches!(decode_batch(&empty), Err(EntryError::Empty)));
    }
}
