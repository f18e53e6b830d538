//! The syncs of this crate: what must survive a power cut goes through here. Never writes.

use crate::mutant::{self, Mutant};
use std::fs::File;
use std::io;
use std::path::Path;

/// Makes the content of a file durable, and its length.
pub(crate) fn content(file: &File) -> io::Result<()> {
    if mutant::is(Mutant::NoFsync) {
        return Ok(());
    }
    file.sync_data()
}

/// Makes a file durable with all that the system keeps about it.
pub(crate) fn all(file: &File) -> io::Result<()> {
    if mutant::is(Mutant::NoFsync) {
        return Ok(());
    }
    file.sync_all()
}

/// Makes durable which names a directory holds: a file whose name is lost is lost with its
/// content.
pub(crate) fn names(dir: &Path) -> io::Result<()> {
    all(&File::open(dir)?)
}
