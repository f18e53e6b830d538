//! What a process has not synced, while it stands still.
//!
//! Owns: a look at its journal. Never does: change anything. Called by a nemesis that waits for a
//! moment at which a power cut would take something.

use crate::journal::Journal;
use crate::record::{Change, Created, FileId, Removed, Renamed, Resized, Written};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// How many changes no sync has covered, but for those of one file, named relative to the
/// directory. The process must be stopped: of one that runs, the journal changes while it is read.
///
/// # Errors
/// `NotFound` when there is no journal, which means that the library was not loaded, and whatever
/// else the disk says.
pub fn waiting(journal: &Path, besides: &Path) -> io::Result<usize> {
    let Some(found) = Journal::look(journal)? else { return Ok(0) };
    let besides = found.dir.join(besides);
    let inode = besides.symlink_metadata().ok().map(|file| file.ino());
    let is_other = |change: &&Change| match change {
        Change::Write(Written { file: FileId { inode: it, .. }, .. })
        | Change::Resize(Resized { file: FileId { inode: it, .. }, .. }) => Some(*it) != inode,
        Change::Create(Created { path, .. })
        | Change::Remove(Removed { path, .. })
        | Change::Rename(Renamed { to: path, .. }) => *path != besides,
    };
    Ok(found.pending.values().filter(is_other).count())
}
