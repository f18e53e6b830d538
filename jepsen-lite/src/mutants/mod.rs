//! Seeded bugs in the server, and how each is caught.
//!
//! Owns: the table of bugs, the hunt for one, and the check that the same hunts find nothing in a
//! build without bugs. All but one are hunted by ordinary runs: a catch is the verdict of the
//! checker that judges every run. `vote-not-persisted` shows only where a vote is forgotten at one
//! moment of an election, which runs meet too seldom; a scene is directed for it. A hunt never
//! looks inside a node, and what merely hangs is not caught. Never does: build the server. Called
//! by `jepsen-lite mutants`.
//!
//! - `runs`, ordinary runs, and when their verdict is a catch
//! - `voter`, the scene of a deposed leader that meets a voter that restarted
//! - `stage`, a cluster for that scene, with a product on sale

mod runs;
mod stage;
mod voter;

pub use runs::Runs;

use crate::aside;
use crate::run::RunError;
use crate::workload::Kind as Workload;
use client::cluster::ClusterError;
use serde::Serialize;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The variable that names the bug to a node that has them.
pub const VARIABLE: &str = "FLASHNODE_MUTANT";
/// How long one bug is hunted.
pub const HUNT_MAX: Duration = Duration::from_secs(300);
/// Runs of one hunt that may decide nothing, as when another program takes a port.
const UNPLAYED_MAX: u32 = 5;

/// How to catch a bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recipe {
    /// By ordinary runs.
    Runs(Runs),
    /// A leader sleeps through an election; whoever voted it out restarts, and is all it finds.
    VoterForgets,
}

impl fmt::Display for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Runs(runs) => runs.fmt(f),
            Self::VoterForgets => {
                f.write_str("directed scene: the deposed leader meets a voter that restarted")
            }
        }
    }
}

impl Recipe {
    /// The seed of the first run, unless another one is asked for.
    fn seed(self) -> u64 {
        match self {
            Self::Runs(runs) => runs.seed,
            Self::VoterForgets => 0,
        }
    }

    async fn play(self, nodes: &Nodes, seed: u64) -> Result<(), Stop> {
        match self {
            Self::Runs(runs) => runs.play(nodes, seed).await,
            Self::VoterForgets => voter::forgets(nodes).await,
        }
    }
}

/// Whether a bug is caught in so few seconds that every change can afford it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// A few seconds.
    Fast,
    /// Minutes, perhaps.
    Slow,
}

/// A seeded bug, and how to catch it.
#[derive(Debug, Clone, Copy)]
pub struct Mutant {
    /// As [`VARIABLE`] takes it.
    pub name: &'static str,
    /// How to catch it.
    pub recipe: Recipe,
    /// How soon.
    pub pace: Pace,
}

/// Every seeded bug that the server has.
pub const ALL: [Mutant; 10] = [
    mutant("read-without-readindex", READS_APART, Pace::Fast),
    mutant("answer-before-commit", LEADERS_DIE, Pace::Fast),
    mutant("no-fsync", POWER_CUTS, Pace::Fast),
    mutant("request-table-missing-from-snapshot", ALL_RESTART, Pace::Fast),
    mutant("vote-not-persisted", Recipe::VoterForgets, Pace::Fast),
    mutant("retry-under-new-id", LEADERS_DIE, Pace::Fast),
    mutant("speculative-sold-out", RUSH, Pace::Fast),
    mutant("follower-answers-stale", READS_APART, Pace::Fast),
    mutant("ack-before-write", POWER_CUTS, Pace::Slow),
    mutant("leader-restored", LEADER_IS_BACK_FIRST, Pace::Slow),
];

/// Many readers, at nodes that do not hear each other.
const READS_APART: Recipe = Recipe::Runs(Runs {
    workload: Workload::ReadHeavy,
    nemeses: "partition,pause",
    time_s: 5,
    concurrency: 16,
    args: &[],
    seed: 1,
});

/// Many buyers, and leaders that die.
const LEADERS_DIE: Recipe = Recipe::Runs(Runs {
    workload: Workload::HotProduct,
    nemeses: "kill",
    time_s: 5,
    concurrency: 32,
    args: &[],
    seed: 1,
});

/// Many buyers, and nodes that lose what they did not sync. The first cut of this seed takes all of
/// it from all nodes; where nothing was ever synced, a majority that lost all would only hang.
const POWER_CUTS: Recipe = Recipe::Runs(Runs {
    workload: Workload::Buy,
    nemeses: "unsynced",
    time_s: 5,
    concurrency: 16,
    args: &[],
    seed: 3,
});

/// Outcomes that are in doubt before all nodes come back from snapshots, and are settled after it.
const ALL_RESTART: Recipe = Recipe::Runs(Runs {
    workload: Workload::Buy,
    nemeses: "kill,rolling",
    time_s: 5,
    concurrency: 32,
    args: &["--snapshot-entries", "10", "--keep-entries", "1"],
    seed: 1,
});

/// One product, sold out again and again.
const RUSH: Recipe = Recipe::Runs(Runs {
    workload: Workload::HotProduct,
    nemeses: "none",
    time_s: 3,
    concurrency: 64,
    args: &[],
    seed: 1,
});

/// As `POWER_CUTS`, where nobody campaigns before a leader that died is back.
const LEADER_IS_BACK_FIRST: Recipe = Recipe::Runs(Runs {
    workload: Workload::Buy,
    nemeses: "unsynced",
    time_s: 5,
    concurrency: 16,
    args: &["--heartbeat-ms", "100", "--election-min-ms", "600", "--election-max-ms", "900"],
    seed: 3,
});

const fn mutant(name: &'static str, recipe: Recipe, pace: Pace) -> Mutant {
    Mutant { name, recipe, pace }
}

/// What the nodes of a hunt run.
#[derive(Debug, Clone)]
pub struct Nodes {
    /// The `flashnode` program; otherwise looked for beside this one.
    pub binary: Option<PathBuf>,
    /// The bug that they have; none in a build without.
    pub mutant: Option<&'static str>,
    /// The seed of the first run; otherwise the recipe's. Each run of a hunt has the next.
    pub seed: Option<u64>,
}

/// What was seen of a bug.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Broken {
    /// Which checks saw it, with the rules; `real-time` is the directed scene's own.
    pub by: String,
    /// The first finding: the rule, and what was seen, with the values.
    pub found: String,
}

/// Why a run ended without an ok.
#[derive(Debug, thiserror::Error)]
pub enum Stop {
    /// A rule was broken: the bug is caught.
    #[error("{}: {}", .0.by, .0.found)]
    Broken(Broken),
    /// It could not be played, or not to its end, or showed nothing; why, in words.
    #[error("{0}")]
    Undecided(String),
}

impl From<RunError> for Stop {
    fn from(error: RunError) -> Self {
        Self::Undecided(error.to_string())
    }
}

impl From<ClusterError> for Stop {
    fn from(error: ClusterError) -> Self {
        Self::Undecided(error.to_string())
    }
}

/// The hunt for one bug.
#[derive(Debug, Clone, Serialize)]
pub struct Hunt {
    /// The bug; none in a build without.
    pub mutant: Option<&'static str>,
    /// How it was hunted.
    pub recipe: String,
    /// The seed of the last run, which is the one that caught it if any did.
    pub seed: u64,
    /// How many runs there were.
    pub runs: u32,
    /// From the start of the first run to the catch, or to the end.
    pub seconds: f64,
    /// What was seen; none when nothing was.
    pub caught: Option<Broken>,
}

/// Makes one run after the other until a rule breaks, for at most this long and this many times.
///
/// # Errors
/// [`Stop::Undecided`] when several runs decided nothing.
pub async fn hunt(recipe: Recipe, nodes: &Nodes, limits: Limits) -> Result<Hunt, Stop> {
    let started = Instant::now();
    let first = nodes.seed.unwrap_or(recipe.seed());
    let (mut seed, mut runs, mut unplayed, mut caught) = (first, 0, 0, None);
    while caught.is_none() && runs < limits.runs && started.elapsed() < limits.time {
        seed = first.wrapping_add(u64::from(runs + unplayed));
        let left = limits.time.saturating_sub(started.elapsed());
        match tokio::time::timeout(left, recipe.play(nodes, seed)).await {
            Ok(Err(Stop::Broken(broken))) => caught = Some(broken),
            Ok(Err(undecided)) if unplayed == UNPLAYED_MAX => return Err(undecided),
            // It does not count.
            Ok(Err(Stop::Undecided(why))) => {
                aside::say(format_args!("a run of seed {seed} decided nothing: {why}"));
                unplayed += 1;
                continue;
            }
            Ok(Ok(())) | Err(_) => {}
        }
        runs += 1;
    }
    let seconds = started.elapsed().as_secs_f64();
    Ok(Hunt { mutant: nodes.mutant, recipe: recipe.to_string(), seed, runs, seconds, caught })
}

/// When a hunt is given up.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// No run begins or goes on after this.
    pub time: Duration,
    /// The most runs.
    pub runs: u32,
}

/// The names of the bugs that this program can have, as it lists them itself.
///
/// # Errors
/// In words, when it is no program, or one without seeded bugs.
pub fn names_in(binary: &Path) -> Result<Vec<String>, String> {
    let output = std::process::Command::new(binary)
        .args(["--id", "1", "--peers", "1=127.0.0.1:1"])
        .env_remove(VARIABLE)
        .output()
        .map_err(|error| format!("could not run {}: {error}", binary.display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    match said.trim().rsplit_once("Choose one of: ") {
        Some((_, names)) => Ok(names.split(", ").map(ToOwned::to_owned).collect()),
        None => Err(format!(
            "{} has no seeded bugs; build one that has: cargo build -p node --features mutants",
            binary.display()
        )),
    }
}
