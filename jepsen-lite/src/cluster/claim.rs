//! What a run has on this machine besides its files, marked so that a later run finds it.
//!
//! A harness that dies by SIGKILL ends no node and unmounts nothing. So each run has a tag that
//! nobody else has, and puts it where the system keeps it however the harness ends: into the
//! environment of its nodes and as the source of its mounts. Whose a process or a mount is, is
//! then a fact and no guess from a number that may be another's by now.
//!
//! Owns: the tag, and a file of its name, locked for as long as the run's own process lives. Never
//! does: end anything (`sweep`). Called by `cluster`, and by the scenes of seeded bugs.

use rustix::fs::{FlockOperation, flock};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;

/// The variable that holds the tag in each node's environment.
pub(super) const VARIABLE: &str = "JEPSEN_LITE_RUN";

/// A live run's claim; dropping it says that nothing is left.
#[derive(Debug)]
pub(crate) struct Claim {
    tag: String,
    path: PathBuf,
    file: File,
}

impl Claim {
    /// Makes a tag, and its file with the lock.
    pub(super) fn stake() -> io::Result<Self> {
        let dir = directory();
        std::fs::create_dir_all(&dir)?;
        let tag = format!("jepsen-lite-{:016x}", rand::random::<u64>());
        let path = dir.join(&tag);
        let mut file = File::options().append(true).create_new(true).open(&path)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        // Only from here on the file counts: an empty one may be about to be locked.
        writeln!(
            file,
            "a run of process {}; then each process that it started",
            std::process::id()
        )?;
        Ok(Self { tag, path, file })
    }

    /// The tag.
    pub(super) fn tag(&self) -> &str {
        &self.tag
    }

    /// What each node's environment needs for the run's processes to be found.
    pub(crate) fn environment(&self) -> (String, OsString) {
        (VARIABLE.to_owned(), self.tag.clone().into())
    }

    /// Writes down a process that the run started: a killed one leaves shared memory behind that
    /// has its number.
    pub(super) fn note(&mut self, pid: u32) -> io::Result<()> {
        writeln!(self.file, "{pid}")
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // At worst the next run finds a claim to nothing.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Where the claims of all runs of this user are: in the directory that the system gives a user
/// for files of what runs, if it does.
pub(super) fn directory() -> PathBuf {
    if let Some(dir) = std::env::var_os("XDG_RUNTIME_DIR") {
        return PathBuf::from(dir).join("jepsen-lite");
    }
    let user = rustix::process::getuid().as_raw();
    std::env::temp_dir().join(format!("jepsen-lite-runs-{user}"))
}

/// The processes that a claim names.
pub(super) fn processes(claim: &str) -> Vec<u32> {
    claim.lines().skip(1).filter_map(|line| line.parse().ok()).collect()
}
