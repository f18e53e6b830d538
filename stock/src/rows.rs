//! Rows of a fixed number of bytes, encoded and decoded at once and not number by number.
//!
//! Called by digests, which have one or two for each order. Never looks at what they say.

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// See the module. All numbers in a row are little endian.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Rows<const BYTES: usize>(Vec<u8>);

/// One row.
#[derive(Clone, Copy)]
pub(crate) struct Row<'a>(&'a [u8]);

impl<const BYTES: usize> Rows<BYTES> {
    pub(crate) fn len(&self) -> usize {
        self.0.len() / BYTES
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = Row<'_>> {
        self.0.chunks_exact(BYTES).map(Row)
    }
}

impl Row<'_> {
    fn part<const LEN: usize>(self, at: usize) -> [u8; LEN] {
        let mut bytes = [0; LEN];
        bytes.copy_from_slice(&self.0[at..at + LEN]);
        bytes
    }

    pub(crate) fn u16_at(self, at: usize) -> u16 {
        u16::from_le_bytes(self.part(at))
    }

    pub(crate) fn u32_at(self, at: usize) -> u32 {
        u32::from_le_bytes(self.part(at))
    }

    pub(crate) fn u64_at(self, at: usize) -> u64 {
        u64::from_le_bytes(self.part(at))
    }

    pub(crate) fn u128_at(self, at: usize) -> u128 {
        u128::from_le_bytes(self.part(at))
    }
}

impl<const BYTES: usize> FromIterator<[u8; BYTES]> for Rows<BYTES> {
    fn from_iter<I: IntoIterator<Item = [u8; BYTES]>>(rows: I) -> Self {
        let rows = rows.into_iter();
        let mut bytes = Vec::with_capacity(rows.size_hint().0 * BYTES);
        rows.for_each(|row| bytes.extend_from_slice(&row));
        Self(bytes)
    }
}

impl<const BYTES: usize> fmt::Debug for Rows<BYTES> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rows of {BYTES} bytes", self.len())
    }
}

impl<const BYTES: usize> Serialize for Rows<BYTES> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de, const BYTES: usize> Deserialize<'de> for Rows<BYTES> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_byte_buf(RowsVisitor)
    }
}

struct RowsVisitor<const BYTES: usize>;

impl<const BYTES: usize> Visitor<'_> for RowsVisitor<BYTES> {
    type Value = Rows<BYTES>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rows of {BYTES} bytes")
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Rows<BYTES>, E> {
        self.visit_byte_buf(bytes.to_vec())
    }

    fn visit_byte_buf<E: de::Error>(self, bytes: Vec<u8>) -> Result<Rows<BYTES>, E> {
        if bytes.len().is_multiple_of(BYTES) {
            Ok(Rows(bytes))
        } else {
            Err(E::invalid_length(bytes.len(), &self))
        }
    }
}
