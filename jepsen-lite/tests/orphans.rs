//! A harness that is killed leaves nodes, mounts and shared memory; the next one ends them, and
//! nothing else.

#![allow(clippy::expect_used, reason = "a test ends at what it cannot do without")]

mod program;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Long enough for a starved machine, short enough to end a test that hangs.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// What shells make of SIGPIPE.
const CLOSED_PIPE: i32 = 141;
/// Nodes of the run.
const NODES: usize = 3;

/// The harness, with the claims of its runs below this directory, where no other harness on this
/// machine sweeps.
fn jepsen_lite(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_jepsen-lite"));
    command.env("XDG_RUNTIME_DIR", dir.join("runtime"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A run that is ended with the test, however that ends; a failed one leaves no orphans either.
struct Run(Child);

impl Run {
    fn interrupt(&self) -> rustix::io::Result<()> {
        let pid = i32::try_from(self.0.id()).ok().and_then(rustix::process::Pid::from_raw);
        rustix::process::kill_process(pid.expect("a process id"), rustix::process::Signal::INT)
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            // Not reaped yet, so the signal is for no other; nobody is left to hear of an error.
            let _ = self.interrupt();
            let _ = self.0.wait();
        }
    }
}

/// A run that has begun: its nodes run, so all that it owns is there.
fn run(dir: &Path, name: &str) -> Run {
    let run = jepsen_lite(dir)
        .args(["run", "--time", "600", "--workload", "buy", "--nemesis", "clock,disk-full"])
        .arg("--dir")
        .arg(dir.join(name))
        .arg("--binary")
        .arg(program::flashnode())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the harness starts");
    let mut run = Run(run);
    until("every node to run", || {
        assert_eq!(run.0.try_wait().expect("it can be asked"), None, "the run ended");
        (1..=NODES).all(|node| {
            let log = std::fs::read_to_string(dir.join(name).join(format!("node-{node}.log")));
            log.is_ok_and(|log| log.contains("keeps its data in"))
        })
    });
    run
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < PATIENCE, "waited for: {what}");
        std::thread::sleep(LOOK_INTERVAL);
    }
}

/// Processes that were told to keep their data below this directory.
fn nodes_of(dir: &Path) -> Vec<u32> {
    let dir = dir.to_str().expect("a plain path");
    let processes = std::fs::read_dir("/proc").expect("this is Linux");
    let pids = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid: &u32| {
        let arguments = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let arguments = String::from_utf8_lossy(&arguments).into_owned();
        arguments.contains("flashnode")
            && arguments.contains("--data")
            && arguments.contains(dir)
            && !arguments.contains("--nemesis")
    })
    .collect()
}

fn mounts_below(dir: &Path) -> usize {
    let table = std::fs::read_to_string("/proc/self/mounts").expect("this is Linux");
    table.lines().filter(|line| line.contains(dir.to_str().expect("a plain path"))).count()
}

fn shared_memory_of(pids: &[u32]) -> Vec<PathBuf> {
    let path = |pid| PathBuf::from(format!("/dev/shm/faketime_shm_{pid}"));
    pids.iter().map(path).filter(|path| path.exists()).collect()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn what_a_killed_run_left_is_ended_and_nothing_else() {
    let dir = tempfile::tempdir().expect("a directory");
    let (dead, alive) = (dir.path().join("dead"), dir.path().join("alive"));
    let (mut dying, mut living) = (run(dir.path(), "dead"), run(dir.path(), "alive"));
    let orphans = nodes_of(&dead);
    assert_eq!(orphans.len(), NODES, "{orphans:?}");
    dying.0.kill().expect("SIGKILL");
    dying.0.wait().expect("it is gone");
    assert_eq!(nodes_of(&dead), orphans, "they outlive the harness; else this shows nothing");
    let (mounts, memory) = (mounts_below(&dead), shared_memory_of(&orphans));
    if std::env::var_os("FLASHNODE_NO_SKIPS").is_some() {
        assert_eq!((mounts, memory.len()), (NODES, NODES), "this takes root and libfaketime");
    }
    println!("left: processes {orphans:?}, {mounts} mounts, {memory:?}");

    let swept = jepsen_lite(dir.path()).arg("sweep").output().expect("it runs");
    assert!(swept.status.success(), "{}", said(&swept));
    until("the orphans are gone", || nodes_of(&dead).is_empty());
    until("their disks are unmounted", || mounts_below(&dead) == 0);
    until("their shared memory is removed", || shared_memory_of(&orphans).is_empty());

    assert_eq!(nodes_of(&alive).len(), NODES, "another run goes on: {}", said(&swept));
    assert_eq!(mounts_below(&alive), mounts, "its disks stay");
    assert_eq!(living.0.try_wait().expect("it can be asked"), None);
    living.0.kill().expect("SIGKILL");
    living.0.wait().expect("it is gone");
    let swept = jepsen_lite(dir.path()).arg("sweep").output().expect("it runs");
    assert!(swept.status.success(), "{}", said(&swept));
    until("nothing is left", || nodes_of(&alive).is_empty() && mounts_below(&alive) == 0);
}

#[test]
fn a_run_that_is_interrupted_ends_its_nodes_itself() {
    let dir = tempfile::tempdir().expect("a directory");
    let at = dir.path().join("run");
    let mut run = run(dir.path(), "run");
    run.interrupt().expect("SIGINT");
    let mut status = None;
    until("the run ends", || {
        status = run.0.try_wait().expect("it can be asked");
        status.is_some()
    });
    assert_eq!(status.and_then(|status| status.code()), Some(2));
    assert!(nodes_of(&at).is_empty(), "{:?}", nodes_of(&at));
    assert_eq!(mounts_below(&at), 0);
}

/// As under `2>&1 | head`.
#[test]
fn a_run_that_nobody_reads_any_more_ends_its_nodes_itself() {
    let dir = tempfile::tempdir().expect("a directory");
    let at = dir.path().join("run");
    let mut run = Run(jepsen_lite(dir.path())
        .args(["run", "--time", "600", "--workload", "buy", "--nemesis", "none"])
        .arg("--dir")
        .arg(&at)
        .arg("--binary")
        .arg(program::flashnode())
        .stdout(Stdio::null())
        .spawn()
        .expect("the harness starts"));
    until("every node to run", || nodes_of(&at).len() == NODES);
    drop(run.0.stderr.take());
    let mut status = None;
    until("the run ends", || {
        status = run.0.try_wait().expect("it can be asked");
        status.is_some()
    });
    assert_eq!(status.and_then(|status| status.code()), Some(CLOSED_PIPE));
    assert!(nodes_of(&at).is_empty(), "{:?}", nodes_of(&at));
}
