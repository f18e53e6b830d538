//! Seeded bugs in the server, and the recipe that catches each.
//!
//! Owns: the table of bugs, the hunt for one, and the check that the same recipes find nothing in
//! a build without bugs. A recipe is a scene with real processes, signals and the public HTTP API,
//! aimed at one kind of bug; it never looks inside a node. Never does: build the server. Called by
//! `jepsen-lite mutants`.
//!
//! - `stage`, a cluster with a product on sale, and the rules that hold after every scene
//! - `storm`, nodes that die while buyers storm them
//! - `asleep`, nodes that wake up in the past
//! - `retry`, request ids from before a snapshot
//! - `rush`, more buyers than units

mod asleep;
mod retry;
mod rush;
mod stage;
mod storm;

use client::cluster::ClusterError;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The variable that names the bug to a node that has them.
pub const VARIABLE: &str = "FLASHNODE_MUTANT";
/// How long one bug is hunted.
pub const HUNT_MAX: Duration = Duration::from_secs(300);
/// Scenes of one hunt that may fail to play, as when another program takes a port.
const UNPLAYED_MAX: u32 = 3;

/// How to catch a bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recipe {
    /// The leader dies in a storm, and is started again at once.
    LeaderDies,
    /// As [`Recipe::LeaderDies`], where nobody campaigns before it is back.
    LeaderIsBackFirst,
    /// All nodes die at once in a storm.
    AllDie,
    /// The power of all nodes fails at once in a storm: what they did not sync may be gone.
    PowerFails,
    /// A leader sleeps while another sells, and is asked as it wakes.
    LeaderAsleep,
    /// A follower sleeps while the others sell, and is asked as it wakes.
    FollowerAsleep,
    /// A leader sleeps through an election; whoever voted it out restarts, and is all it finds.
    VoterForgets,
    /// All nodes come back from snapshots, and an old request comes again.
    LateRetry,
    /// More buyers than units, all at once, again and again.
    Rush,
}

impl Recipe {
    /// Its name, for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::LeaderDies => "the leader dies in a storm",
            Self::LeaderIsBackFirst => "the leader dies and is back before an election",
            Self::AllDie => "all die at once in a storm",
            Self::PowerFails => "the power fails in a storm",
            Self::LeaderAsleep => "the leader sleeps through an election",
            Self::FollowerAsleep => "a follower sleeps while others sell",
            Self::VoterForgets => "the deposed leader meets a voter that restarted",
            Self::LateRetry => "a retry from before the snapshot",
            Self::Rush => "more buyers than units",
        }
    }

    async fn play(self, nodes: &Nodes) -> Result<(), Stop> {
        match self {
            Self::LeaderDies => storm::play(nodes, storm::Fault::LeaderDies).await,
            Self::LeaderIsBackFirst => storm::play(nodes, storm::Fault::LeaderIsBackFirst).await,
            Self::AllDie => storm::play(nodes, storm::Fault::AllDie).await,
            Self::PowerFails => storm::play(nodes, storm::Fault::PowerFails).await,
            Self::LeaderAsleep => asleep::wakes(nodes, asleep::Sleeper::Leader).await,
            Self::FollowerAsleep => asleep::wakes(nodes, asleep::Sleeper::Follower).await,
            Self::VoterForgets => asleep::voter_forgets(nodes).await,
            Self::LateRetry => retry::play(nodes).await,
            Self::Rush => rush::play(nodes).await,
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
    mutant("read-without-readindex", Recipe::LeaderAsleep, Pace::Fast),
    mutant("answer-before-commit", Recipe::LeaderDies, Pace::Fast),
    mutant("no-fsync", Recipe::PowerFails, Pace::Fast),
    mutant("request-table-missing-from-snapshot", Recipe::LateRetry, Pace::Fast),
    mutant("vote-not-persisted", Recipe::VoterForgets, Pace::Fast),
    mutant("retry-under-new-id", Recipe::LeaderDies, Pace::Fast),
    mutant("speculative-sold-out", Recipe::Rush, Pace::Fast),
    mutant("follower-answers-stale", Recipe::FollowerAsleep, Pace::Fast),
    mutant("ack-before-write", Recipe::AllDie, Pace::Slow),
    mutant("leader-restored", Recipe::LeaderIsBackFirst, Pace::Slow),
];

const fn mutant(name: &'static str, recipe: Recipe, pace: Pace) -> Mutant {
    Mutant { name, recipe, pace }
}

/// What the nodes of a scene run.
#[derive(Debug, Clone)]
pub struct Nodes {
    /// The `flashnode` program; otherwise looked for beside this one.
    pub binary: Option<PathBuf>,
    /// The bug that they have; none in a build without.
    pub mutant: Option<&'static str>,
    /// Decides what a power cut leaves; each run of a hunt has the next.
    pub seed: u64,
}

/// A rule that a scene saw broken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Broken {
    /// Which check saw it: `ledger`, `real-time`, `replicas` or `recovery`.
    pub layer: &'static str,
    /// The rule.
    pub rule: &'static str,
    /// What was seen, with the values.
    pub found: String,
}

/// Why a scene ended early.
#[derive(Debug, thiserror::Error)]
pub enum Stop {
    /// A rule was broken: the bug is caught.
    #[error("{}: {}: {}", .0.layer, .0.rule, .0.found)]
    Broken(Broken),
    /// The scene could not be played; nothing is decided.
    #[error(transparent)]
    Harness(#[from] ClusterError),
}

/// The hunt for one bug.
#[derive(Debug, Clone, Serialize)]
pub struct Hunt {
    /// The bug; none in a build without.
    pub mutant: Option<&'static str>,
    /// The recipe.
    pub recipe: &'static str,
    /// The seed of the first run.
    pub seed: u64,
    /// How often the recipe was played.
    pub runs: u32,
    /// From the start of the first run to the catch, or to the end.
    pub seconds: f64,
    /// What was seen; none when nothing was.
    pub caught: Option<Broken>,
}

/// Plays a recipe until a rule breaks, for at most this long and this many times.
///
/// # Errors
/// [`ClusterError`] when several scenes could not be played.
pub async fn hunt(recipe: Recipe, nodes: &Nodes, limits: Limits) -> Result<Hunt, ClusterError> {
    let started = Instant::now();
    let (mut runs, mut unplayed, mut caught) = (0, 0, None);
    while caught.is_none() && runs < limits.runs && started.elapsed() < limits.time {
        runs += 1;
        let nodes = Nodes { seed: nodes.seed.wrapping_add(u64::from(runs)), ..nodes.clone() };
        let left = limits.time.saturating_sub(started.elapsed());
        match tokio::time::timeout(left, recipe.play(&nodes)).await {
            Ok(Err(Stop::Broken(broken))) => caught = Some(broken),
            Ok(Err(Stop::Harness(error))) if unplayed == UNPLAYED_MAX => return Err(error),
            // It decides nothing, and does not count.
            Ok(Err(Stop::Harness(_))) => {
                runs -= 1;
                unplayed += 1;
            }
            Ok(Ok(())) | Err(_) => {}
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    let (mutant, seed, recipe) = (nodes.mutant, nodes.seed, recipe.name());
    Ok(Hunt { mutant, recipe, seed, runs, seconds, caught })
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
