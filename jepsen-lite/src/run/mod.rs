//! One run: a cluster, clients, faults, recovery, final reads, a verdict, files.
//!
//! Owns: the order of these steps. Never does: choose an operation (`workload`) or a fault
//! (`nemesis`), or decide legality (`checker`). Called by `jepsen-lite run` and `mutants`.

mod board;
mod evidence;
mod feed;
mod finals;
mod open_holds;
mod plan;
mod roster;
mod send;
mod verdict;
mod worker;

pub use board::{Progress, Tally, Watch};
pub use evidence::{Evidence, observe};
pub use plan::{CONCURRENCY_MAX, Keep, Plan, TIME_MIN};
pub use verdict::conclude;

use crate::nemesis::Fault;
use crate::report;
use checker::flashnode::Judgement;
use checker::flashnode::judge::Counted;
use checker::search::Verdict;
use client::ClientError;
use client::cluster::ClusterError;
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

/// What a run came to.
#[derive(Debug, Clone)]
pub struct RunReport {
    /// Illegal if any check's is, or a node was seen to break a promise; unknown if not and the run
    /// did not cover what it was to cover, or a check could not tell; else ok.
    pub verdict: Verdict,
    /// Why, in sentences. Of an ok: what was shown.
    pub why: Vec<String>,
    /// What to know besides.
    pub notes: Vec<String>,
    /// What the checks found.
    pub judgement: Judgement,
    /// How what the workload asked ended, and the holds that ran out, by function: without the
    /// opening of the sale and the final reads.
    pub asked: BTreeMap<&'static str, Counted>,
    /// All faults, skipped ones too.
    pub faults: Vec<Fault>,
    /// How the operations ended.
    pub tally: Tally,
    /// Operations per second while clients asked.
    pub rate: f64,
    /// The files written, the page for people first.
    pub files: Vec<PathBuf>,
}

/// Why a run came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The plan cannot be run.
    #[error("{0}")]
    Plan(String),
    /// The cluster could not be started or asked.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The client could not be built.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A file of the run could not be written.
    #[error("cannot write {path}: {error}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A task of the run itself failed.
    #[error("a task of the run failed: {0}")]
    Task(#[from] tokio::task::JoinError),
}

/// Runs a plan to its end and writes the files.
///
/// # Errors
/// [`RunError`] when nothing could be decided. A cluster that does not recover is no error: it is
/// a run whose verdict is unknown, or illegal.
pub async fn run(plan: &Plan, watch: Watch<'_>) -> Result<RunReport, RunError> {
    let evidence = observe(plan, watch).await?;
    watch(Progress::Stage("checking"));
    let checked = plan.clone();
    tokio::task::spawn_blocking(move || {
        let mut report = conclude(&checked, &evidence);
        report.files = report::write(&checked, &evidence, &report)?;
        Ok(report)
    })
    .await?
}
