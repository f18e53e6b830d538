//! What each node wrote and did not sync, journaled by the library of the crate `unsynced`.
//!
//! Owns: where the journals are, beside the nodes' directories. Called by `cluster`.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use unsynced::{Loss, Undone};

/// The library, which is preloaded into each node.
#[derive(Debug)]
pub(crate) struct Journals {
    library: PathBuf,
}

impl Journals {
    /// Finds the library; or says, in words, why there is none.
    pub(super) fn find() -> Result<Self, String> {
        let library = unsynced::library().map_err(|error| error.to_string())?;
        Ok(Self { library })
    }

    /// The library, to be preloaded.
    pub(super) fn library(&self) -> &Path {
        &self.library
    }

    /// What else the environment of the node with this data directory needs. One journal serves
    /// all its starts: what one run of it did not sync, the next has not synced either.
    pub(super) fn environment(dir: &Path) -> io::Result<Vec<(String, OsString)>> {
        let dir = std::path::absolute(dir)?;
        let journals = beside(&dir);
        std::fs::create_dir_all(&journals)?;
        Ok(vec![
            (unsynced::DIR.to_owned(), dir.into()),
            (unsynced::JOURNAL.to_owned(), journals.join(FILE_NAME).into()),
        ])
    }

    /// How much the node, which stands still, has not synced, but for this file.
    pub(super) fn waiting(dir: &Path, besides: &Path) -> io::Result<usize> {
        unsynced::waiting(&beside(&std::path::absolute(dir)?).join(FILE_NAME), besides)
    }

    /// Takes back what the node, which is down, has not synced.
    pub(super) fn undo(dir: &Path, loss: Loss, seed: u64) -> io::Result<Undone> {
        let dir = std::path::absolute(dir)?;
        unsynced::undo(&beside(&dir).join(FILE_NAME), loss, seed)
    }

    /// Forgets what was journaled: the directory is gone.
    pub(super) fn forget(dir: &Path) -> io::Result<()> {
        match std::fs::remove_dir_all(beside(&std::path::absolute(dir)?)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

/// The journal's name; what the library keeps beside it begins with the same.
const FILE_NAME: &str = "journal";

/// On the same file system as the data, since removed files are moved there.
fn beside(dir: &Path) -> PathBuf {
    dir.with_extension("unsynced")
}
