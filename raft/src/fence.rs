//! What keeps a replica whose state is not the majority's from being asked.
//!
//! A fenced node counts as down. It answers no read and takes no buy, for its state is wrong; and
//! since nobody knows whether its memory, its disk or its history is to blame, it neither votes
//! nor acknowledges entries either. So what the others sell is on a majority of sound directories,
//! and if too few are left they stop. The fence is a file in the directory: a restart does not take
//! it down. The way back is that of every lost directory, an empty one.

use crate::fsync;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

const FILE: &str = "fenced";

/// Whether this replica's state may be asked, and the leader's may be sold from.
pub(crate) struct Fence {
    dir: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    fenced: Option<String>,
    split: Option<String>,
}

/// Why a directory was fenced; none when it was not.
///
/// # Errors
/// When that cannot be read.
pub(crate) fn found(dir: &Path) -> io::Result<Option<String>> {
    match std::fs::read_to_string(dir.join(FILE)) {
        Ok(why) => Ok(Some(why.trim().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

impl Fence {
    /// No fence, for a directory that has none.
    pub(crate) fn open(dir: &Path) -> Self {
        Self { dir: dir.to_path_buf(), state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why this node is fenced.
    pub(crate) fn fenced(&self) -> Option<String> {
        self.state().fenced.clone()
    }

    pub(crate) fn is_fenced(&self) -> bool {
        self.state().fenced.is_some()
    }

    /// Why nothing may be decided from this node's state: it is fenced, or it leads and no
    /// majority has its state.
    pub(crate) fn closed(&self) -> Option<String> {
        let state = self.state();
        state.fenced.clone().or_else(|| state.split.clone())
    }

    pub(crate) fn is_closed(&self) -> bool {
        let state = self.state();
        state.fenced.is_some() || state.split.is_some()
    }

    /// Whether no majority has one state.
    pub(crate) fn is_split(&self) -> bool {
        self.state().split.is_some()
    }

    /// Notes that no majority has one state, or that one has; true when that is news.
    pub(crate) fn set_split(&self, why: Option<String>) -> bool {
        let mut state = self.state();
        let news = state.split.is_some() != why.is_some();
        state.split = why;
        news
    }

    /// Fences this node: at once in memory, and durably when it returns. True when that is news.
    ///
    /// # Errors
    /// When the file cannot be written: the fence holds until the process ends.
    pub(crate) fn raise(&self, why: &str) -> io::Result<bool> {
        {
            let mut state = self.state();
            if state.fenced.is_some() {
                return Ok(false);
            }
            state.fenced = Some(why.to_owned());
        }
        let aside = self.dir.join(format!("{FILE}.tmp"));
        let mut file = File::create(&aside)?;
        writeln!(file, "{why}")?;
        fsync::all(&file)?;
        std::fs::rename(&aside, self.dir.join(FILE))?;
        fsync::names(&self.dir)?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fence_outlives_the_process() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(found(dir.path()).unwrap(), None);
        let fence = Fence::open(dir.path());
        assert!(!fence.is_closed());
        assert!(fence.raise("a bit flipped").unwrap());
        assert!(!fence.raise("another").unwrap());
        assert_eq!(fence.closed().as_deref(), Some("a bit flipped"));
        assert_eq!(found(dir.path()).unwrap().as_deref(), Some("a bit flipped"));
    }

    #[test]
    fn a_split_opens_again_and_a_fence_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let fence = Fence::open(dir.path());
        assert!(fence.set_split(Some("two states".into())));
        assert!(!fence.set_split(Some("three states".into())));
        assert!(fence.is_closed() && !fence.is_fenced());
        assert!(fence.set_split(None));
        assert!(!fence.is_closed());
        assert_eq!(found(dir.path()).unwrap(), None);
    }
}
