//! Ends what runs left behind whose own process was killed: nodes, mounts, shared memory.
//!
//! Owns: the search for what is theirs. Never does: touch what belongs to a run that lives, or
//! to anybody else. Files in a run's directory stay, they are for people. Called at the start of
//! each cluster, and by `jepsen-lite sweep`.

use super::{claim, clocks};
use rustix::fs::{FlockOperation, flock};
use rustix::mount::{UnmountFlags, unmount};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a killed process may take to be gone.
const GONE_DEADLINE: Duration = Duration::from_secs(5);
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// What was ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Swept {
    /// Nodes that were still running.
    pub processes: Vec<u32>,
    /// File systems that were still mounted.
    pub mounts: Vec<PathBuf>,
    /// Shared memory that nobody used any more.
    pub shared_memory: Vec<PathBuf>,
}

impl Swept {
    /// Whether there was nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Swept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { processes, mounts, shared_memory } = self;
        write!(
            f,
            "{} processes ended, {} file systems unmounted, {} pieces of shared memory removed",
            processes.len(),
            mounts.len(),
            shared_memory.len()
        )
    }
}

/// Ends what dead runs of this user left.
///
/// # Errors
/// The system's, when something that is surely a dead run's cannot be ended. Its claim stays, so
/// that it can be tried again.
pub fn sweep() -> io::Result<Swept> {
    let mut swept = Swept::default();
    let entries = match std::fs::read_dir(claim::directory()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(swept),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        let Some(claim) = dead_claim(&path)? else { continue };
        let Some(tag) = path.file_name() else { continue };
        let nodes = tagged_processes(tag.as_bytes());
        for pid in &nodes {
            kill(*pid, tag.as_bytes())?;
        }
        for mount in tagged_mounts(tag.as_bytes())? {
            unmount(&mount, UnmountFlags::DETACH)?;
            swept.mounts.push(mount);
        }
        let started = claim::processes(&claim);
        for file in started.iter().chain(&nodes).flat_map(|pid| unused_memory(*pid)) {
            match std::fs::remove_file(&file) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                removed => {
                    removed?;
                    swept.shared_memory.push(file);
                }
            }
        }
        swept.processes.extend(nodes);
        std::fs::remove_file(&path)?;
    }
    Ok(swept)
}

/// What the claim says, when its owner is dead: a process holds its locks exactly as long as it
/// lives. An empty one is being made.
fn dead_claim(path: &Path) -> io::Result<Option<String>> {
    let mut file = match File::open(path) {
        // It ended well, a moment ago.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Ok(None);
    }
    let mut claim = String::new();
    file.read_to_string(&mut claim)?;
    Ok((!claim.is_empty()).then_some(claim))
}

/// Processes that were started with this tag in their environment.
fn tagged_processes(tag: &[u8]) -> Vec<u32> {
    let Ok(processes) = std::fs::read_dir("/proc") else { return Vec::new() };
    let names = processes.flatten().map(|process| process.file_name());
    let pids = names.filter_map(|name| name.to_str()?.parse().ok());
    pids.filter(|pid| is_tagged(*pid, tag)).collect()
}

/// Of a process that has ended, and of one of another user, the system shows no environment.
fn is_tagged(pid: u32, tag: &[u8]) -> bool {
    let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let wanted = [claim::VARIABLE.as_bytes(), b"=", tag].concat();
    environment.split(|byte| *byte == 0).any(|variable| variable == wanted)
}

/// SIGKILL to this very process, and waits until it is gone.
fn kill(pid: u32, tag: &[u8]) -> io::Result<()> {
    let Some(id) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Ok(()) };
    let process = match pidfd_open(id, PidfdFlags::empty()) {
        Err(rustix::io::Errno::SRCH) => return Ok(()),
        process => process?,
    };
    // From here on the number cannot become another's; but it may have, before.
    if !is_tagged(pid, tag) {
        return Ok(());
    }
    match pidfd_send_signal(&process, Signal::KILL) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => {}
        Err(error) => return Err(error.into()),
    }
    let started = Instant::now();
    while is_tagged(pid, tag) {
        if started.elapsed() > GONE_DEADLINE {
            let what = format!("process {pid} of a dead run does not end by SIGKILL");
            return Err(io::Error::new(io::ErrorKind::TimedOut, what));
        }
        std::thread::sleep(LOOK_INTERVAL);
    }
    Ok(())
}

/// Where a tmpfs is mounted whose source is this tag.
fn tagged_mounts(tag: &[u8]) -> io::Result<Vec<PathBuf>> {
    let table = std::fs::read("/proc/self/mountinfo")?;
    Ok(table.split(|byte| *byte == b'\n').filter_map(|line| mount_point(line, tag)).collect())
}

/// A line is `id parent device root MOUNT-POINT options… - TYPE SOURCE options`, see proc(5).
fn mount_point(line: &[u8], tag: &[u8]) -> Option<PathBuf> {
    let mut fields = line.split(|byte| *byte == b' ');
    let point = fields.nth(4)?;
    fields.find(|field| *field == b"-")?;
    let ours = fields.next()? == b"tmpfs" && fields.next()? == tag;
    ours.then(|| PathBuf::from(OsString::from_vec(unescape(point))))
}

/// The system writes blanks and the like as a backslash and three octal digits.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let code = after
            .get(..3)
            .filter(|_| *first == b'\\')
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        plain.push(code.unwrap_or(*first));
        rest = if code.is_some() { &after[3..] } else { after };
    }
    plain
}

/// What libfaketime made for this process, if the number is nobody's now.
fn unused_memory(pid: u32) -> Vec<PathBuf> {
    let runs = std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        // "pid (name) Z …": it has ended, and nobody has asked how. The name may hold anything.
        stat.rsplit(')').next().is_some_and(|rest| !rest.trim_start().starts_with('Z'))
    });
    if runs { Vec::new() } else { clocks::shared_memory(pid).into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::claim::Claim;

    const TAG: &[u8] = b"jepsen-lite-0123";

    #[test]
    fn a_mount_is_ours_by_its_type_and_its_source() {
        let line = |kind: &str, source: &str| {
            let line = format!("36 35 98:0 / /a\\040b/c rw,nosuid shared:2 - {kind} {source} rw");
            mount_point(line.as_bytes(), TAG)
        };
        assert_eq!(line("tmpfs", "jepsen-lite-0123"), Some("/a b/c".into()));
        assert_eq!(line("tmpfs", "jepsen-lite-01234"), None);
        assert_eq!(line("tmpfs", "tmpfs"), None);
        assert_eq!(line("ext4", "jepsen-lite-0123"), None);
        assert_eq!(mount_point(b"", TAG), None);
    }

    #[test]
    fn a_claim_is_dead_when_its_lock_is_gone() {
        let mut claim = Claim::stake().unwrap();
        claim.note(7).unwrap();
        let path = claim::directory().join(claim.tag());
        assert_eq!(dead_claim(&path).unwrap(), None, "its owner lives");
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(claim::processes(&text), [7]);
        drop(claim);
        assert_eq!(dead_claim(&path).unwrap(), None, "it ended well");
        let other = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(dead_claim(other.path()).unwrap(), None, "it is being made");
        std::fs::write(other.path(), &text).unwrap();
        assert_eq!(dead_claim(other.path()).unwrap(), Some(text));
    }

    #[test]
    fn who_lacks_the_tag_is_left_alone() {
        let own = std::process::id();
        assert!(!is_tagged(own, TAG));
        kill(own, TAG).unwrap();
        assert!(unused_memory(own).is_empty());
        let mut ended = std::process::Command::new("true").spawn().unwrap();
        let deadline = Instant::now() + GONE_DEADLINE;
        while unused_memory(ended.id()).is_empty() {
            assert!(Instant::now() < deadline, "a process that nobody waited for counts as ended");
            std::thread::sleep(LOOK_INTERVAL);
        }
        ended.wait().unwrap();
    }
}
