//! The manifest: what a snapshot is but for its segment files, and how that is encoded.
//!
//! It grows with products and stored outcomes, so it is kept and sent as its bytes. Never touches a
//! file.

use crate::segment::SegmentRef;
use crate::types::SnapshotMeta;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::io;
use stock::{Event, HotState, codec};

/// The version of the manifest's encoding.
const FORMAT: u16 = 1;
const MAGIC: &[u8; 6] = b"FNSNAP";
pub(super) const HEADER_BYTES: usize = MAGIC.len() + 2 + 4;
/// The largest manifest, in bytes. It grows with products and stored outcomes, both of which have a
/// bound, and not with orders or holds.
pub(crate) const MANIFEST_BYTES_MAX: u64 = 1 << 30;

/// A snapshot: what it takes, with the segment files it names, to rebuild the applied state.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) meta: SnapshotMeta,
    pub(crate) hot: HotState,
    pub(crate) segments: Vec<SegmentRef>,
    /// The events after the last full segment.
    pub(crate) partial: Vec<Event>,
}

impl Manifest {
    /// Encodes it.
    ///
    /// # Errors
    /// As of [`Encoding::end`].
    #[cfg(test)]
    pub(crate) fn encode(&self) -> io::Result<Encoded> {
        Encoding::begin(self.meta.clone(), &self.hot)?.end(&self.segments, &self.partial)
    }
}

/// A manifest on its way into bytes. The hot state comes first, and need not be kept for the rest.
pub(super) struct Encoding {
    meta: SnapshotMeta,
    bytes: Vec<u8>,
}

impl Encoding {
    /// Encodes a [`stock::HotState`], or a [`stock::HotCopy`].
    ///
    /// # Errors
    /// When it is larger than [`MANIFEST_BYTES_MAX`].
    pub(super) fn begin<H: Serialize>(meta: SnapshotMeta, hot: &H) -> io::Result<Self> {
        let mut encoding = Self { meta: meta.clone(), bytes: vec![0; HEADER_BYTES] };
        encoding.append(&(meta, hot))?;
        Ok(encoding)
    }

    /// Adds the rest, and the header: a magic, a format version and a checksum.
    ///
    /// # Errors
    /// As of [`Encoding::begin`].
    pub(super) fn end(mut self, segments: &[SegmentRef], partial: &[Event]) -> io::Result<Encoded> {
        self.append(&(segments, partial))?;
        let Self { meta, mut bytes } = self;
        let (header, body) = bytes.split_at_mut(HEADER_BYTES);
        let (magic, rest) = header.split_at_mut(MAGIC.len());
        let (format, crc) = rest.split_at_mut(2);
        magic.copy_from_slice(MAGIC);
        format.copy_from_slice(&FORMAT.to_le_bytes());
        crc.copy_from_slice(&crc32fast::hash(body).to_le_bytes());
        Ok(Encoded { meta, bytes: Bytes::from(bytes) })
    }

    /// The codec puts nothing between fields: a part of them is encoded as it is in the whole.
    fn append<T: Serialize>(&mut self, fields: &T) -> io::Result<()> {
        let bytes_max = MANIFEST_BYTES_MAX.saturating_sub(self.bytes.len() as u64);
        codec::append(fields, &mut self.bytes, bytes_max).map_err(io::Error::other)
    }
}

impl Manifest {
    /// Decodes what [`Encoding::end`] made. Takes time with its size.
    ///
    /// # Errors
    /// `InvalidData` when it is not a manifest, is of another format, or was damaged.
    pub(crate) fn from_bytes(bytes: &[u8]) -> io::Result<Self> {
        let invalid = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
        let Some((header, body)) = bytes.split_at_checked(HEADER_BYTES) else {
            return Err(invalid(format!("a snapshot manifest of {} bytes", bytes.len())));
        };
        let (magic, rest) = header.split_at(MAGIC.len());
        let (format, crc) = rest.split_at(2);
        if magic != MAGIC {
            return Err(invalid("this is not a snapshot manifest".into()));
        }
        if format != FORMAT.to_le_bytes() {
            return Err(invalid(format!(
                "the snapshot manifest has format {format:?}, this build reads {FORMAT}"
            )));
        }
        if crc != crc32fast::hash(body).to_le_bytes() {
            return Err(invalid("the snapshot manifest fails its checksum".into()));
        }
        codec::decode(body, MANIFEST_BYTES_MAX).map_err(|error| invalid(error.to_string()))
    }
}

/// A manifest as it lies in its file and travels. Clones share the bytes.
#[derive(Debug, Clone)]
pub(crate) struct Encoded {
    pub(crate) meta: SnapshotMeta,
    bytes: Bytes,
}

impl Encoded {
    /// Takes bytes in, with the manifest that they are. Takes time with its size.
    ///
    /// # Errors
    /// As of [`Manifest::from_bytes`].
    pub(crate) fn read(bytes: Bytes) -> io::Result<(Self, Manifest)> {
        let manifest = Manifest::from_bytes(&bytes)?;
        Ok((Self { meta: manifest.meta.clone(), bytes }, manifest))
    }

    /// The manifest. Takes time with its size.
    ///
    /// # Errors
    /// As of [`Manifest::from_bytes`]; but none is made of bytes that are no manifest.
    pub(crate) fn decode(&self) -> io::Result<Manifest> {
        Manifest::from_bytes(&self.bytes)
    }

    pub(crate) fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}
