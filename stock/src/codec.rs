//! The one place that turns types into bytes and back: bincode 1.3.3 with varints, always with a
//! size limit, trailing bytes rejected.
//!
//! Deterministic: equal values give equal bytes on every node, so bytes may be hashed.

use bincode::Options;
use serde::{Serialize, de::DeserializeOwned};

/// The largest log entry's body, in bytes. The stock actor closes a batch well before this.
pub const BATCH_BYTES_MAX: u64 = 256 * 1024;

/// Bytes that are not what they should be.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing} {what}: {source}")]
pub struct CodecError {
    doing: &'static str,
    what: &'static str,
    source: bincode::Error,
}

fn options(bytes_max: u64) -> impl Options {
    bincode::DefaultOptions::new().with_limit(bytes_max)
}

/// Encodes a value into at most `bytes_max` bytes.
///
/// # Errors
/// [`CodecError`] when the encoding would be longer than `bytes_max`.
pub fn encode<T: Serialize>(value: &T, bytes_max: u64) -> Result<Vec<u8>, CodecError> {
    options(bytes_max).serialize(value).map_err(|source| CodecError {
        doing: "encode",
        what: std::any::type_name::<T>(),
        source,
    })
}

/// The same, behind what is there.
///
/// # Errors
/// As of [`encode`]. Of one that would be too long nothing is appended.
pub fn append<T: Serialize>(
    value: &T,
    bytes: &mut Vec<u8>,
    bytes_max: u64,
) -> Result<(), CodecError> {
    let failed = |source| CodecError { doing: "encode", what: std::any::type_name::<T>(), source };
    let len = options(bytes_max).serialized_size(value).map_err(failed)?;
    bytes.reserve(usize::try_from(len).unwrap_or(usize::MAX));
    bincode::DefaultOptions::new().serialize_into(bytes, value).map_err(failed)
}

/// Decodes exactly one value from all of `bytes`, reading at most `bytes_max`.
///
/// # Errors
/// [`CodecError`] when the bytes are too many, too few, left over, or not a `T`.
pub fn decode<T: DeserializeOwned>(bytes: &[u8], bytes_max: u64) -> Result<T, CodecError> {
    options(bytes_max).deserialize(bytes).map_err(|source| CodecError {
        doing: "decode",
        what: std::any::type_name::<T>(),
        source,
    })
}

/// The exact length of the encoding of a value, in bytes.
///
/// # Panics
/// When the type cannot be sized, which no type of this crate is.
#[allow(clippy::expect_used)]
pub fn encoded_len<T: Serialize>(value: &T) -> u64 {
    bincode::DefaultOptions::new().serialized_size(value).expect("every type here can be sized")
}
