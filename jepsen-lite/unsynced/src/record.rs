//! What the journal says: changes with what they replaced, and which of them are settled.
//!
//! Owns: the records and their bytes. Never does: files. Called by `journal` (to append and read)
//! and `undo` (to take changes back).
//!
//! A record is its length, its kind, its fields (little endian) and its length again. The page
//! cache outlives a kill, so only the last record can be cut short; its change never began.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

/// Counts changes from 1; a later change has a higher number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ChangeNo(pub(crate) u64);

/// Counts files from 1. Inode numbers are used again after a file is gone; these are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct FileNo(pub(crate) u64);

/// A file or directory: our number for it, and where the file system has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct FileId {
    pub(crate) no: FileNo,
    pub(crate) inode: u64,
}

/// One line of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Record {
    /// A change is about to be made.
    Change(ChangeNo, Change),
    /// The file that a creation made.
    Created(ChangeNo, FileId),
    /// These are durable, or were never made: there is nothing to undo.
    Settled(Vec<ChangeNo>),
}

/// A change, and what is needed to take it back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// Bytes were written, the file may have grown.
    Write(Written),
    /// The length was set.
    Resize(Resized),
    /// A name was given to a new or a linked file, or to a new directory.
    Create(Created),
    /// A name was taken away.
    Remove(Removed),
    /// A file or directory got another name.
    Rename(Renamed),
}

/// A write of `len` bytes at `at`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) file: FileId,
    pub(crate) at: u64,
    pub(crate) len: u64,
    /// Length of the file before.
    pub(crate) old_len: u64,
    /// What was there from `at` on, as far as the file reached.
    pub(crate) old: Vec<u8>,
}

/// A truncation or an extension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Resized {
    pub(crate) file: FileId,
    pub(crate) to: u64,
    /// Length of the file before.
    pub(crate) old_len: u64,
    /// What was cut off.
    pub(crate) old: Vec<u8>,
}

/// A new name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Created {
    pub(crate) path: PathBuf,
    /// Unknown when the process died before it could say so.
    pub(crate) file: Option<FileId>,
    /// The directory that holds the name.
    pub(crate) parent: u64,
}

/// A name that is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Removed {
    pub(crate) path: PathBuf,
    pub(crate) file: FileId,
    pub(crate) parent: u64,
    pub(crate) grave: Grave,
}

/// A new name for an old one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Renamed {
    pub(crate) from: PathBuf,
    pub(crate) to: PathBuf,
    pub(crate) file: FileId,
    pub(crate) from_parent: u64,
    pub(crate) to_parent: u64,
    /// What had the new name before.
    pub(crate) replaced: Option<(FileId, Grave)>,
}

/// Where what was removed is kept: in the directory of graves, under the number of the change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grave {
    /// A second link to the same inode.
    Link,
    /// A copy: the graves are on another file system.
    Copy,
    /// It was an empty directory, which needs none.
    Directory,
}

const KIND_WRITE: u8 = 1;
const KIND_RESIZE: u8 = 2;
const KIND_CREATE: u8 = 3;
const KIND_REMOVE: u8 = 4;
const KIND_RENAME: u8 = 5;
const KIND_CREATED: u8 = 6;
const KIND_SETTLED: u8 = 7;

/// The length before and after the body.
const FRAME_BYTES: usize = 8 + 8;

impl Record {
    /// Its bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Encoder(vec![0; 8]);
        match self {
            Self::Change(no, change) => out.change(*no, change),
            Self::Created(no, file) => {
                out.kind(KIND_CREATED, *no);
                out.file(*file);
            }
            Self::Settled(numbers) => {
                out.0.push(KIND_SETTLED);
                out.number(numbers.len() as u64);
                for no in numbers {
                    out.number(no.0);
                }
            }
        }
        let mut bytes = out.0;
        let length = (bytes.len() - 8) as u64;
        bytes[..8].copy_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes
    }

    /// The record at the start of `bytes`, and how many bytes it takes; `None` when it was cut
    /// short.
    ///
    /// # Errors
    /// `InvalidData` when it is whole but says nothing that this build knows.
    pub(crate) fn decode(bytes: &[u8]) -> io::Result<Option<(Self, usize)>> {
        let Some((head, rest)) = bytes.split_first_chunk::<8>() else {
            return Ok(None);
        };
        let length = u64::from_le_bytes(*head) as usize;
        let Some(body) = rest.get(..length) else {
            return Ok(None);
        };
        match rest[length..].first_chunk::<8>() {
            None => return Ok(None),
            Some(tail) if tail != head => return Err(invalid("its two lengths differ")),
            Some(_) => {}
        }
        let record = Decoder(body).record().ok_or_else(|| invalid("its fields are cut"))??;
        Ok(Some((record, length + FRAME_BYTES)))
    }
}

impl Change {
    /// The files whose content or name it touches, for a report.
    pub(crate) fn path(&self) -> Option<&PathBuf> {
        match self {
            Self::Write(_) | Self::Resize(_) => None,
            Self::Create(Created { path, .. }) | Self::Remove(Removed { path, .. }) => Some(path),
            Self::Rename(Renamed { to, .. }) => Some(to),
        }
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("a record of the journal is damaged: {what}"),
    )
}

struct Encoder(Vec<u8>);

impl Encoder {
    fn change(&mut self, no: ChangeNo, change: &Change) {
        match change {
            Change::Write(Written { file, at, len, old_len, old }) => {
                self.kind(KIND_WRITE, no);
                self.file(*file);
                self.number(*at);
                self.number(*len);
                self.number(*old_len);
                self.bytes(old);
            }
            Change::Resize(Resized { file, to, old_len, old }) => {
                self.kind(KIND_RESIZE, no);
                self.file(*file);
                self.number(*to);
                self.number(*old_len);
                self.bytes(old);
            }
            Change::Create(Created { path, file, parent }) => {
                self.kind(KIND_CREATE, no);
                self.bytes(path.as_os_str().as_bytes());
                self.optional_file(*file);
                self.number(*parent);
            }
            Change::Remove(Removed { path, file, parent, grave }) => {
                self.kind(KIND_REMOVE, no);
                self.bytes(path.as_os_str().as_bytes());
                self.file(*file);
                self.number(*parent);
                self.grave(*grave);
            }
            Change::Rename(Renamed { from, to, file, from_parent, to_parent, replaced }) => {
                self.kind(KIND_RENAME, no);
                self.bytes(from.as_os_str().as_bytes());
                self.bytes(to.as_os_str().as_bytes());
                self.file(*file);
                self.number(*from_parent);
                self.number(*to_parent);
                self.optional_file(replaced.map(|(file, _)| file));
                self.grave(replaced.map_or(Grave::Directory, |(_, grave)| grave));
            }
        }
    }

    fn kind(&mut self, kind: u8, no: ChangeNo) {
        self.0.push(kind);
        self.number(no.0);
    }

    fn number(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn file(&mut self, file: FileId) {
        self.number(file.no.0);
        self.number(file.inode);
    }

    /// Files count from 1, so 0 is free to say that there is none.
    fn optional_file(&mut self, file: Option<FileId>) {
        self.file(file.unwrap_or(FileId { no: FileNo(0), inode: 0 }));
    }

    fn grave(&mut self, grave: Grave) {
        self.0.push(match grave {
            Grave::Link => 0,
            Grave::Copy => 1,
            Grave::Directory => 2,
        });
    }
}

/// Takes fields off the front; `None` when the body ends too early.
struct Decoder<'a>(&'a [u8]);

impl Decoder<'_> {
    fn record(&mut self) -> Option<io::Result<Record>> {
        let kind = self.byte()?;
        if kind == KIND_SETTLED {
            let count = self.number()?;
            let numbers: Option<Vec<_>> = (0..count).map(|_| self.number().map(ChangeNo)).collect();
            return numbers.map(|numbers| Ok(Record::Settled(numbers)));
        }
        let no = ChangeNo(self.number()?);
        let change = match kind {
            KIND_WRITE => Change::Write(Written {
                file: self.file()?,
                at: self.number()?,
                len: self.number()?,
                old_len: self.number()?,
                old: self.bytes()?,
            }),
            KIND_RESIZE => Change::Resize(Resized {
                file: self.file()?,
                to: self.number()?,
                old_len: self.number()?,
                old: self.bytes()?,
            }),
            KIND_CREATE => Change::Create(Created {
                path: self.path()?,
                file: self.optional_file()?,
                parent: self.number()?,
            }),
            KIND_REMOVE => Change::Remove(Removed {
                path: self.path()?,
                file: self.file()?,
                parent: self.number()?,
                grave: self.grave()?,
            }),
            KIND_RENAME => self.renamed()?,
            KIND_CREATED => return Some(Ok(Record::Created(no, self.file()?))),
            _ => return Some(Err(invalid("its kind is unknown"))),
        };
        Some(Ok(Record::Change(no, change)))
    }

    fn renamed(&mut self) -> Option<Change> {
        let (from, to, file) = (self.path()?, self.path()?, self.file()?);
        let (from_parent, to_parent) = (self.number()?, self.number()?);
        let (replaced, grave) = (self.optional_file()?, self.grave()?);
        let replaced = replaced.map(|file| (file, grave));
        Some(Change::Rename(Renamed { from, to, file, from_parent, to_parent, replaced }))
    }

    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn number(&mut self) -> Option<u64> {
        let (first, rest) = self.0.split_first_chunk::<8>()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*first))
    }

    fn bytes(&mut self) -> Option<Vec<u8>> {
        let length = usize::try_from(self.number()?).ok()?;
        let (first, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(first.to_vec())
    }

    fn path(&mut self) -> Option<PathBuf> {
        self.bytes().map(OsString::from_vec).map(PathBuf::from)
    }

    fn file(&mut self) -> Option<FileId> {
        Some(FileId { no: FileNo(self.number()?), inode: self.number()? })
    }

    #[expect(clippy::option_option, reason = "outside: cut short; inside: no file")]
    fn optional_file(&mut self) -> Option<Option<FileId>> {
        let file = self.file()?;
        Some((file.no.0 != 0).then_some(file))
    }

    fn grave(&mut self) -> Option<Grave> {
        match self.byte()? {
            0 => Some(Grave::Link),
            1 => Some(Grave::Copy),
            2 => Some(Grave::Directory),
            _ => None,
        }
    }
}

/// The first bytes of a journal: what it is, and which directory it is of.
pub(crate) struct Header {
    pub(crate) dir: PathBuf,
}

const MAGIC: &[u8; 8] = b"UNSYNCD1";

impl Header {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let path = self.dir.as_os_str().as_bytes();
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&(path.len() as u64).to_le_bytes());
        bytes.extend_from_slice(path);
        bytes
    }

    /// The header at the start of `bytes`, and how many bytes it takes; `None` when it is none.
    pub(crate) fn decode(bytes: &[u8]) -> Option<(Self, usize)> {
        let rest = bytes.strip_prefix(MAGIC)?;
        let (length, rest) = rest.split_first_chunk::<8>()?;
        let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
        let path = rest.get(..length)?;
        let dir = PathBuf::from(OsStr::from_bytes(path));
        Some((Self { dir }, MAGIC.len() + 8 + length))
    }
}
