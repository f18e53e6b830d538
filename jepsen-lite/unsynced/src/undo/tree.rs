//! Finds files by what they are, whatever they are called at the moment.
//!
//! Owns: the map from inodes to paths, and the directory `aside` in which names that were taken
//! back wait. Called by `content` and `names`.

use crate::journal::{Journal, at};
use crate::record::{ChangeNo, FileId, FileNo};
use std::collections::HashMap;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Inside the directory, so that a rename can move anything there.
const ASIDE: &str = ".unsynced-aside";

/// The directory that is rolled back.
pub(super) struct Tree {
    dir: PathBuf,
    aside: PathBuf,
    graves: PathBuf,
    /// Where an inode was seen last; looked at again before it is believed.
    seen: HashMap<u64, PathBuf>,
    /// Files that live on in a copy under another inode.
    copies: HashMap<FileNo, u64>,
}

impl Tree {
    pub(super) fn open(dir: &Path, journal: &Journal) -> io::Result<Self> {
        let aside = dir.join(ASIDE);
        std::fs::create_dir(&aside).map_err(|e| at(&aside, &e))?;
        let (seen, copies) = (HashMap::new(), HashMap::new());
        Ok(Self { dir: dir.to_owned(), aside, graves: journal.graves(), seen, copies })
    }

    /// Gives up what waits aside.
    pub(super) fn close(self) -> io::Result<()> {
        std::fs::remove_dir_all(&self.aside).map_err(|e| at(&self.aside, &e))
    }

    /// Where the name that this change gave waits after it was taken back.
    pub(super) fn aside(&self, no: ChangeNo) -> PathBuf {
        self.aside.join(no.0.to_string())
    }

    /// Where what a later change displaced is put for good.
    pub(super) fn displaced(&self, no: ChangeNo) -> PathBuf {
        self.aside.join(format!("{}.displaced", no.0))
    }

    /// Where the tracker kept what this change removed.
    pub(super) fn grave(&self, no: ChangeNo) -> PathBuf {
        self.graves.join(no.0.to_string())
    }

    /// The path relative to the directory; `None` of a file without a name.
    pub(super) fn name(&self, path: &Path) -> Option<PathBuf> {
        let name = path.strip_prefix(&self.dir).ok()?;
        (!name.starts_with(ASIDE)).then(|| name.to_owned())
    }

    /// A path that leads to this file now; `None` when none does.
    ///
    /// # Errors
    /// When a directory cannot be read.
    pub(super) fn find(&mut self, file: FileId) -> io::Result<Option<PathBuf>> {
        let inode = self.copies.get(&file.no).copied().unwrap_or(file.inode);
        if let Some(path) = self.seen.get(&inode)
            && inode_at(path) == Some(inode)
        {
            return Ok(Some(path.clone()));
        }
        self.seen.clear();
        let mut directories = vec![self.dir.clone(), self.graves.clone()];
        while let Some(directory) = directories.pop() {
            for entry in std::fs::read_dir(&directory).map_err(|e| at(&directory, &e))? {
                let path = entry.map_err(|e| at(&directory, &e))?.path();
                let Ok(found) = path.symlink_metadata() else { continue };
                // A name in the directory is worth more than a grave, which comes last.
                self.seen.entry(found.ino()).or_insert_with(|| path.clone());
                if found.is_dir() {
                    directories.push(path);
                }
            }
        }
        Ok(self.seen.get(&inode).cloned())
    }

    /// From here on the file is its copy at `path`.
    pub(super) fn is_copied_to(&mut self, file: FileId, path: &Path) {
        if let Some(inode) = inode_at(path) {
            self.copies.insert(file.no, inode);
        }
    }

    /// Whether `path` leads to this file.
    pub(super) fn is_at(&self, file: FileId, path: &Path) -> bool {
        let inode = self.copies.get(&file.no).copied().unwrap_or(file.inode);
        inode_at(path) == Some(inode)
    }
}

/// Moves a file or directory.
///
/// # Errors
/// The file system's.
pub(super) fn move_to(from: &Path, to: &Path) -> io::Result<()> {
    match std::fs::rename(from, to) {
        // Out of a grave on another file system.
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            std::fs::copy(from, to).map_err(|e| at(to, &e))?;
            std::fs::remove_file(from).map_err(|e| at(from, &e))
        }
        moved => moved.map_err(|e| at(from, &e)),
    }
}

/// Whether anything is at `path`.
pub(super) fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

fn inode_at(path: &Path) -> Option<u64> {
    path.symlink_metadata().ok().as_ref().map(Metadata::ino)
}
