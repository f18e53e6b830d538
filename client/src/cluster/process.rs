//! One `flashnode` process: its addresses, its files, its signals.
//!
//! Owns: the child process, and that it is reaped. Never does: HTTP. Called by `cluster`.

use super::{ClusterError, Launch};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use stock::NodeId;

/// How much of a log's end an error message shows.
const LOG_END_BYTES: u64 = 2048;
/// How long a stopped process may take to be seen as stopped.
const STOP_DEADLINE: Duration = Duration::from_secs(2);

/// One node of a [`super::ProcessCluster`].
#[derive(Debug)]
pub struct NodeProcess {
    /// Its id.
    pub id: NodeId,
    /// `host:port` of its public listener.
    pub http: String,
    /// `host:port` of its peer listener.
    pub peer: String,
    /// `host:port` that is free for its listener of the Redis protocol, should it have one.
    pub resp: String,
    /// Its data directory.
    pub dir: PathBuf,
    /// What it printed, over all its runs.
    pub log: PathBuf,
    child: Option<Child>,
    paused: bool,
}

impl NodeProcess {
    pub(super) fn new(id: NodeId, root: &Path, ports: [u16; 3]) -> Self {
        Self {
            id,
            http: format!("127.0.0.1:{}", ports[0]),
            peer: format!("127.0.0.1:{}", ports[1]),
            resp: format!("127.0.0.1:{}", ports[2]),
            dir: root.join(format!("node-{id}")),
            log: root.join(format!("node-{id}.log")),
            child: None,
            paused: false,
        }
    }

    /// Its process id, while it runs as far as is known.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Whether it was started and can be expected to answer.
    pub fn answers(&self) -> bool {
        self.child.is_some() && !self.paused
    }

    /// Whether every thread of its process is stopped; none when it has no process, or the system
    /// does not tell.
    pub fn stopped(&self) -> Option<bool> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid()?)).ok()?;
        Some(tasks.flatten().all(|task| {
            let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
            // "pid (name) S …": the name may hold anything, so look behind its last bracket.
            stat.rsplit(')').next().is_none_or(|rest| rest.trim_start().starts_with('T'))
        }))
    }

    pub(super) fn in_words(&self) -> String {
        format!("node {} ({}, log {})", self.id, self.http, self.log.display())
    }

    pub(super) fn start(
        &mut self,
        binary: &Path,
        peers: &str,
        launch: &Launch,
    ) -> Result<(), ClusterError> {
        let running = self.child.is_some() && self.try_wait()?.is_none();
        assert!(!running, "node {} runs already as process {:?}", self.id, self.pid());
        let log = File::options().create(true).append(true).open(&self.log);
        let log = log.map_err(ClusterError::io("open", &self.log))?;
        let errors = log.try_clone().map_err(ClusterError::io("open", &self.log))?;
        let child = Command::new(binary)
            .args(["--id", &self.id.to_string(), "--peers", peers, "--http", &self.http])
            .arg("--data")
            .arg(&self.dir)
            .args(&launch.args)
            .envs(launch.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            // A group of its own: Ctrl-C at the terminal is for this program, which then ends
            // its nodes itself, and kept nodes outlive the terminal.
            .process_group(0)
            .spawn()
            .map_err(ClusterError::io("run", binary))?;
        self.child = Some(child);
        self.paused = false;
        Ok(())
    }

    /// SIGKILL and reap. It ends stopped processes too.
    pub(super) fn kill(&mut self) -> Result<(), ClusterError> {
        assert!(self.child.is_some(), "node {} does not run", self.id);
        self.kill_if_running()
    }

    pub(super) fn kill_if_running(&mut self) -> Result<(), ClusterError> {
        let Some(child) = &mut self.child else {
            return Ok(());
        };
        let node = self.id;
        let killed = child.kill().and_then(|()| child.wait());
        killed.map_err(|error| ClusterError::Signal { node, error })?;
        self.child = None;
        self.paused = false;
        Ok(())
    }

    pub(super) fn signal(&mut self, signal: Signal) -> Result<(), ClusterError> {
        let Some(child) = &self.child else { panic!("node {} does not run", self.id) };
        let node = self.id;
        // Not reaped yet, so the id is still this process's.
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let sent = match pid {
            Some(pid) => kill_process(pid, signal).map_err(io::Error::from),
            None => Err(io::Error::other("no process id")),
        };
        sent.map_err(|error| ClusterError::Signal { node, error })
    }

    pub(super) fn pause(&mut self) -> Result<(), ClusterError> {
        self.signal(Signal::STOP)?;
        self.paused = true;
        let deadline = Instant::now() + STOP_DEADLINE;
        while self.stopped() == Some(false) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    pub(super) fn resume(&mut self) -> Result<(), ClusterError> {
        self.signal(Signal::CONT)?;
        self.paused = false;
        Ok(())
    }

    /// The exit status, once it has ended; from then on it counts as not running.
    pub(super) fn try_wait(&mut self) -> Result<Option<ExitStatus>, ClusterError> {
        let Some(child) = &mut self.child else { panic!("node {} was not started", self.id) };
        let node = self.id;
        let status = child.try_wait().map_err(|error| ClusterError::Signal { node, error })?;
        if status.is_some() {
            self.child = None;
            self.paused = false;
        }
        Ok(status)
    }

    pub(super) fn exited(&self, status: ExitStatus) -> ClusterError {
        let log_end = end_of(&self.log).unwrap_or_else(|error| format!("(unreadable: {error})"));
        ClusterError::Exited { node: self.id, status, log: self.log.clone(), log_end }
    }

    /// The process goes on without this harness.
    pub(super) fn let_go(&mut self) {
        self.child = None;
    }
}

fn end_of(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LOG_END_BYTES)))?;
    let mut end = Vec::new();
    file.read_to_end(&mut end)?;
    Ok(String::from_utf8_lossy(&end).into_owned())
}
