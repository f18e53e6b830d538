//! Making names and contents of files durable, for those whose target or dead letters are files.

use crate::target::TargetError;
use std::fs::File;
use std::io;
use std::path::Path;

pub(crate) fn sync_dir(dir: &Path) -> Result<(), TargetError> {
    let synced = File::open(dir).and_then(|dir| dir.sync_all());
    synced.map_err(|why| unsynced(dir, &why))
}

/// A sync that failed is never tried again: the next one says yes to pages that are gone.
pub(crate) fn unsynced(path: &Path, why: &io::Error) -> TargetError {
    TargetError::Refused(format!(
        "{} cannot be synced: {why}. What was written last may be lost: look at the disk, then \
         start again",
        path.display()
    ))
}
