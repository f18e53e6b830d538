//! What a run is to be, and what of it cannot be.

use super::RunError;
use crate::{nemesis, workload};
use std::path::PathBuf;
use std::time::Duration;

/// The most clients at once.
pub const CONCURRENCY_MAX: u32 = 1_000;
/// The shortest run: below this no fault comes and goes.
pub const TIME_MIN: Duration = Duration::from_secs(1);

/// A run, complete: two runs of one plan differ only by what the machine does in between.
#[derive(Debug, Clone)]
pub struct Plan {
    /// 3 or 5.
    pub nodes: u64,
    /// How long clients ask and faults come and go, at least; it takes longer until each kind of
    /// fault was seen to take hold, up to a bound. Recovery and the final reads come after it.
    pub time: Duration,
    /// What clients ask.
    pub workload: workload::Kind,
    /// The faults to choose from; none is a run in peace.
    pub nemeses: Vec<nemesis::Kind>,
    /// Clients that ask at the same time, each one thing at a time.
    pub concurrency: u32,
    /// Operations a second at most, over all clients; as fast as they are answered when `None`.
    pub rate: Option<u32>,
    /// Decides operations, faults, and which unknown outcomes are left unsettled.
    pub seed: u64,
    /// Where everything goes; it must not exist yet, or be empty.
    pub dir: PathBuf,
    /// The `flashnode` program; otherwise looked for beside this one and in `target/`.
    pub binary: Option<PathBuf>,
    /// Given to every node.
    pub args: Vec<String>,
    /// Environment of every node.
    pub env: Vec<(String, String)>,
    /// What happens to the nodes' data directories; their logs always stay.
    pub keep: Keep,
}

/// What happens to the nodes' data directories after a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// They are removed.
    LogsOnly,
    /// They stay.
    Everything,
}

impl Plan {
    /// A run of a minute in peace, on three nodes.
    pub fn new(seed: u64, dir: PathBuf) -> Self {
        Self {
            nodes: 3,
            time: Duration::from_secs(60),
            workload: workload::Kind::Buy,
            nemeses: Vec::new(),
            concurrency: 16,
            rate: None,
            seed,
            dir,
            binary: None,
            // Shorter than a buyer would want: the sooner a request in trouble ends, the more of
            // them are seen.
            args: vec!["--deadline-ms".into(), "1000".into()],
            env: Vec::new(),
            keep: Keep::LogsOnly,
        }
    }

    /// Whether it can be run.
    ///
    /// # Errors
    /// [`RunError::Plan`] naming the value, and what is possible.
    pub(super) fn check(&self) -> Result<(), RunError> {
        let problem = if !matches!(self.nodes, 3 | 5) {
            format!("{} nodes: use 3 or 5", self.nodes)
        } else if self.time < TIME_MIN {
            format!("a time of {:?}: use at least {TIME_MIN:?}", self.time)
        } else if !(1..=CONCURRENCY_MAX).contains(&self.concurrency) {
            format!("a concurrency of {}: use 1 to {CONCURRENCY_MAX}", self.concurrency)
        } else if self.rate == Some(0) {
            "a rate of 0: use at least 1 operation a second, or no rate".into()
        } else if std::fs::read_dir(&self.dir).is_ok_and(|mut entries| entries.next().is_some()) {
            format!("{} is not empty: name another directory, or remove it", self.dir.display())
        } else {
            return Ok(());
        };
        Err(RunError::Plan(problem))
    }
}
