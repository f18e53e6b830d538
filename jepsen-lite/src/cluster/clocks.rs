//! The nodes' wall clocks, by libfaketime: it is preloaded into each node and reads, whenever the
//! node asks for the time, from a file of that node by how much it is wrong.
//!
//! Owns: those files. Never does: choose a time. Only the wall clock is shifted, as by an
//! administrator or by NTP; the monotonic clock is the system's. Called by `cluster` and by the
//! nemesis of clocks.

use super::unusable;
use client::cluster::ClusterError;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use stock::NodeId;
use tokio::process::Command;
use tokio::task::JoinHandle;

/// Where distributions put the library: `LIBRARIES/<architecture>/faketime/LIBRARY`.
const LIBRARIES: &str = "/usr/lib";
/// The build for programs with threads.
const LIBRARY: &str = "libfaketimeMT.so.1";
/// Where Linux shows shared memory as files.
const SHARED_MEMORY: &str = "/dev/shm";
/// By how much a clock that was asked may differ from what it should tell at some moment between
/// the question and the answer: shifts are written in milliseconds.
const TELLS_WITHIN: Duration = Duration::from_millis(2);

/// By how much a clock is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shift {
    Ahead(Duration),
    Behind(Duration),
}

const NONE: Shift = Shift::Ahead(Duration::ZERO);

/// Clocks that jump to and fro until it is dropped. From then on it writes nothing more, not even
/// what it is about to write: the next word on these clocks is somebody else's.
#[derive(Debug)]
struct Strobe {
    goes_on: Arc<Mutex<bool>>,
    task: JoinHandle<()>,
}

impl Strobe {
    fn begin(paths: Vec<PathBuf>, shift: Shift, interval: Duration) -> Self {
        let goes_on = Arc::new(Mutex::new(true));
        let watched = Arc::clone(&goes_on);
        let task = tokio::spawn(async move {
            for shift in [NONE, shift].into_iter().cycle() {
                {
                    let goes_on = watched.lock().unwrap_or_else(PoisonError::into_inner);
                    if !*goes_on {
                        return;
                    }
                    for path in &paths {
                        // What cannot be written now is written in a moment.
                        let _ = write(path, shift);
                    }
                }
                tokio::time::sleep(interval).await;
            }
        });
        Self { goes_on, task }
    }
}

impl Drop for Strobe {
    fn drop(&mut self) {
        // To abort a task does not stop what it is doing at this moment on another thread.
        *self.goes_on.lock().unwrap_or_else(PoisonError::into_inner) = false;
        self.task.abort();
    }
}

/// A clock for each node.
#[derive(Debug)]
pub(crate) struct Clocks {
    library: PathBuf,
    files: BTreeMap<NodeId, PathBuf>,
    strobe: Option<Strobe>,
    started: Vec<u32>,
}

impl Clocks {
    /// Clocks that tell the time, with their files in `dir`; or, in words, why there are none.
    pub(super) fn wind(ids: &[NodeId], dir: &Path) -> Result<Self, String> {
        let library = find().ok_or_else(|| {
            format!(
                "{LIBRARIES}/*/faketime/{LIBRARY} is not there: install the Debian package \
                 faketime, or another build of libfaketime"
            )
        })?;
        let files = ids.iter().map(|id| (*id, dir.join(format!("node-{id}.clock")))).collect();
        let clocks = Self { library, files, strobe: None, started: Vec::new() };
        for id in ids {
            clocks.set(*id, NONE).map_err(|error| error.to_string())?;
        }
        Ok(clocks)
    }

    /// The library, to be preloaded.
    pub(super) fn library(&self) -> &Path {
        &self.library
    }

    /// What else a node's environment needs.
    pub(super) fn environment(&self, id: NodeId) -> Vec<(String, OsString)> {
        vec![
            ("FAKETIME_TIMESTAMP_FILE".to_owned(), self.files[&id].clone().into()),
            // It would look at the file every ten seconds otherwise.
            ("FAKETIME_NO_CACHE".to_owned(), "1".into()),
            ("FAKETIME_DONT_FAKE_MONOTONIC".to_owned(), "1".into()),
            // The name of the same in older versions.
            ("DONT_FAKE_MONOTONIC".to_owned(), "1".into()),
        ]
    }

    /// Remembers a process that was started with the library. What the library keeps for it in
    /// shared memory stays behind when it is killed, and is removed at the end.
    pub(super) fn note(&mut self, pid: u32) {
        self.started.push(pid);
    }

    /// From now on, the node's clock is wrong by this.
    ///
    /// # Errors
    /// [`ClusterError::Io`].
    pub(crate) fn set(&self, id: NodeId, shift: Shift) -> Result<(), ClusterError> {
        let path = &self.files[&id];
        write(path, shift).map_err(unusable("write", path.display().to_string()))
    }

    /// From now on, the clocks of these nodes are wrong by this and right in turns.
    pub(crate) fn strobe(&mut self, ids: &[NodeId], shift: Shift, interval: Duration) {
        let paths = ids.iter().map(|id| self.files[id].clone()).collect();
        self.strobe = None;
        self.strobe = Some(Strobe::begin(paths, shift, interval));
    }

    /// All clocks tell the time again.
    ///
    /// # Errors
    /// [`ClusterError::Io`].
    pub(super) fn reset(&mut self) -> Result<(), ClusterError> {
        self.strobe = None;
        self.files.keys().try_for_each(|id| self.set(*id, NONE))
    }

    /// Whether the library is in the memory of this process.
    pub(crate) fn is_loaded_in(pid: u32) -> bool {
        let maps = std::fs::read_to_string(format!("/proc/{pid}/maps"));
        maps.is_ok_and(|maps| maps.contains(LIBRARY))
    }

    /// Whether a program that is given this node's clock is told a time that is wrong by this.
    pub(crate) async fn tells(&self, id: NodeId, shift: Shift) -> bool {
        // The machine's own clock, which no fault sets, is after 1970.
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let asked = now();
        let told = Command::new("date")
            .arg("+%s.%N")
            .env("LD_PRELOAD", &self.library)
            .envs(self.environment(id))
            .stdin(Stdio::null())
            .output()
            .await;
        let Ok(told) = told else { return false };
        let Ok(told) = String::from_utf8_lossy(&told.stdout).trim().parse() else { return false };
        // What is no time at all becomes 1970, far from any that is expected.
        let told = Duration::try_from_secs_f64(told).unwrap_or_default();
        let wrong = |right: Duration| match shift {
            Shift::Ahead(by) => right + by,
            Shift::Behind(by) => right.saturating_sub(by),
        };
        let expected = wrong(asked).saturating_sub(TELLS_WITHIN)..=wrong(now()) + TELLS_WITHIN;
        expected.contains(&told)
    }
}

impl Drop for Clocks {
    fn drop(&mut self) {
        self.strobe = None;
        for file in self.started.iter().flat_map(|pid| shared_memory(*pid)) {
            // A process that ended by itself has removed it.
            let _ = std::fs::remove_file(file);
        }
    }
}

/// What the library makes for a process, and leaves when the process is killed.
pub(super) fn shared_memory(pid: u32) -> [PathBuf; 2] {
    [format!("faketime_shm_{pid}"), format!("sem.faketime_sem_{pid}")]
        .map(|name| Path::new(SHARED_MEMORY).join(name))
}

/// Replaces the file at once: a node that read half of it would be told nonsense.
fn write(path: &Path, shift: Shift) -> std::io::Result<()> {
    let text = match shift {
        Shift::Ahead(by) => format!("+{:.3}\n", by.as_secs_f64()),
        Shift::Behind(by) => format!("-{:.3}\n", by.as_secs_f64()),
    };
    let aside = path.with_extension("clock.next");
    std::fs::write(&aside, text)?;
    std::fs::rename(aside, path)
}

fn find() -> Option<PathBuf> {
    let architectures = std::fs::read_dir(LIBRARIES).ok()?;
    let mut found = architectures.flatten().map(|dir| dir.path().join("faketime").join(LIBRARY));
    found.find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_strobe_that_was_dropped_writes_nothing_more() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node-1.clock");
        let away = Shift::Behind(Duration::from_secs(9));
        for _ in 0..200 {
            let strobe = Strobe::begin(vec![path.clone()], away, Duration::ZERO);
            while !path.exists() {
                tokio::task::yield_now().await;
            }
            drop(strobe);
            write(&path, NONE).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), "+0.000\n");
            std::fs::remove_file(&path).unwrap();
        }
    }
}
