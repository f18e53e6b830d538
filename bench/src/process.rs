//! A server under measurement: one child process, its output in a file, killed when dropped.
//!
//! Called by `contender`. Ends only what it started.

use anyhow::{Context, bail, ensure};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a server may take until it answers.
const START_MAX: Duration = Duration::from_secs(120);
/// Between two looks at one that starts.
const LOOK: Duration = Duration::from_millis(20);

/// A running child.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    name: String,
}

impl Process {
    /// Starts it; what it prints goes to `NAME.log` in the directory.
    pub(crate) fn start(name: &str, command: &mut Command, dir: &Path) -> anyhow::Result<Self> {
        let log = File::create(dir.join(format!("{name}.log")))?;
        command.stdin(Stdio::null()).stderr(log.try_clone()?).stdout(log);
        let child = command.spawn().with_context(|| format!("{name} does not start"))?;
        Ok(Self { child, name: name.to_owned() })
    }

    /// Starts a front, and returns the addresses that it prints.
    pub(crate) fn start_front(command: &mut Command) -> anyhow::Result<(Self, Vec<String>)> {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let out = child.stdout.take().context("no output")?;
        let process = Self { child, name: "front".to_owned() };
        let mut line = String::new();
        BufReader::new(out).read_line(&mut line)?;
        ensure!(!line.is_empty(), "the front ended; it has said why above");
        Ok((process, line.split_whitespace().map(str::to_owned).collect()))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the condition holds.
    ///
    /// # Errors
    /// When the process ends, or the condition does not hold in [`START_MAX`].
    pub(crate) async fn wait_until<F>(&mut self, mut holds: impl FnMut() -> F) -> anyhow::Result<()>
    where
        F: Future<Output = bool>,
    {
        let deadline = Instant::now() + START_MAX;
        while !holds().await {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended: {status}", self.name);
            }
            ensure!(Instant::now() < deadline, "{} is not ready in {START_MAX:?}", self.name);
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself; it is gone in either case, and so is its directory soon.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// So many ports that are free now. Another program may take one before it is used; the server
/// then does not start, and says so.
pub(crate) fn free_ports<const N: usize>() -> anyhow::Result<[u16; N]> {
    // All are held at once, or two of them could be the same.
    let listeners: Vec<TcpListener> = (0..N)
        .map(|_| TcpListener::bind("127.0.0.1:0"))
        .collect::<Result<_, _>>()
        .context("no free port")?;
    let mut ports = [0; N];
    for (port, listener) in ports.iter_mut().zip(&listeners) {
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}

/// Whether something takes connections there.
pub(crate) async fn listens(address: &str) -> bool {
    tokio::net::TcpStream::connect(address).await.is_ok()
}
