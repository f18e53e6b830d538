//! What a node says from now on. Called by nemeses that wait for it to notice something.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// The end of a node's log at some moment.
#[derive(Debug)]
pub(crate) struct LogEnd {
    path: PathBuf,
    bytes: u64,
}

impl LogEnd {
    /// The end of this log now.
    pub(crate) fn of(path: &Path) -> Self {
        let bytes = path.metadata().map_or(0, |found| found.len());
        Self { path: path.to_owned(), bytes }
    }

    /// Whether it was said since. A log that cannot be read says nothing.
    pub(crate) fn says_since(&self, words: &str) -> bool {
        let mut said = Vec::new();
        let read = File::open(&self.path).and_then(|mut log| {
            log.seek(SeekFrom::Start(self.bytes))?;
            log.read_to_end(&mut said)
        });
        read.is_ok() && String::from_utf8_lossy(&said).contains(words)
    }
}
