//! Ordinary runs of a server with a bug, judged as any run is.
//!
//! Owns: what such a run is to be, and when its verdict is a catch. Never does: aim. The workload,
//! the faults and the checks are those of `jepsen-lite run`, and know of no bug.

use super::{Broken, Nodes, Stop, VARIABLE};
use crate::nemesis::{self, Effect};
use crate::recorder::Function;
use crate::run::{self, Plan, RunError, RunReport};
use crate::workload;
use checker::flashnode::{Finding, Layer};
use checker::search::Verdict;
use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::time::Duration;

/// How long one run may take in all. One that hangs has proved nothing.
const RUN_MAX: Duration = Duration::from_secs(60);

/// What runs are made, one seed after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Runs {
    /// What clients ask.
    pub workload: workload::Kind,
    /// The faults, as `--nemesis` takes them.
    pub nemeses: &'static str,
    /// How long clients ask, in seconds.
    pub time_s: u64,
    /// Clients at once.
    pub concurrency: u32,
    /// What every node is given besides.
    pub args: &'static [&'static str],
    /// The seed of the first run.
    pub seed: u64,
}

impl fmt::Display for Runs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { workload, nemeses, time_s, concurrency, args, .. } = self;
        write!(f, "{time_s} s of {workload} from {concurrency} clients, faults: {nemeses}")?;
        args.chunks(2).try_for_each(|pair| write!(f, ", {}", pair.join(" ")))
    }
}

impl Runs {
    /// Makes the run of this seed.
    ///
    /// # Errors
    /// [`Stop::Broken`] when its verdict is illegal: the bug is caught. [`Stop::Undecided`] when it
    /// could not be made, took too long, had not the faults that it was to have, or answered no
    /// read; and of nodes without a bug, whenever it is not ok.
    pub(super) async fn play(self, nodes: &Nodes, seed: u64) -> Result<(), Stop> {
        let dir = tempfile::Builder::new().prefix("jepsen-mutant-").tempdir();
        let dir = dir.map_err(crate::cluster::unusable("create", "a directory for a run"))?;
        let plan = self.plan(nodes, seed, dir.path())?;
        let observed = tokio::time::timeout(RUN_MAX, run::observe(&plan, &|_| ()));
        let Ok(evidence) = observed.await else {
            return Err(Stop::Undecided(format!("it did not end within {RUN_MAX:?}")));
        };
        let evidence = evidence?;
        let judged = tokio::task::spawn_blocking(move || run::conclude(&plan, &evidence));
        let report = judged.await.map_err(RunError::from)?;
        judge(&report)?;
        if nodes.mutant.is_none() && report.verdict != Verdict::Ok {
            return Err(Stop::Undecided(report.why.join("; ")));
        }
        Ok(())
    }

    fn plan(self, nodes: &Nodes, seed: u64, dir: &Path) -> Result<Plan, Stop> {
        let mut plan = Plan::new(seed, dir.join("run"));
        plan.time = Duration::from_secs(self.time_s);
        plan.workload = self.workload;
        let nemeses = nemesis::Kind::parse_list(self.nemeses);
        plan.nemeses = nemeses.map_err(Stop::Undecided)?;
        plan.concurrency = self.concurrency;
        plan.binary.clone_from(&nodes.binary);
        plan.args.extend(self.args.iter().map(ToString::to_string));
        plan.env.extend(nodes.mutant.map(|name| (VARIABLE.to_owned(), name.to_owned())));
        Ok(plan)
    }
}

fn judge(report: &RunReport) -> Result<(), Stop> {
    let reads = report.asked.get(Function::Read.name());
    if reads.is_none_or(|reads| reads.ok == 0) {
        return Err(Stop::Undecided("no read was answered".to_owned()));
    }
    if let Some(fault) = report.faults.iter().find(|fault| fault.effect == Effect::Skipped) {
        return Err(Stop::Undecided(format!("{} was skipped: {}", fault.kind, fault.what)));
    }
    if report.verdict != Verdict::Illegal {
        return Ok(());
    }
    let illegal = report.judgement.layers.iter().filter(|layer| layer.verdict == Verdict::Illegal);
    let layers: Vec<String> = illegal.map(in_words).collect();
    // Changes that nobody asked for are told of by no layer of their own.
    let by = if layers.is_empty() { "density".to_owned() } else { layers.join(", ") };
    Err(Stop::Broken(Broken { by, found: report.why.first().cloned().unwrap_or_default() }))
}

/// A layer, and each rule that it found broken.
fn in_words(finding: &Finding) -> String {
    let name = match finding.layer {
        Layer::Witness => "witness",
        Layer::Ledger => "ledger",
        Layer::Exact => "exact",
    };
    let rules: BTreeSet<&str> = finding.violations.iter().map(|of| of.rule.as_str()).collect();
    let rules: Vec<&str> = rules.into_iter().collect();
    format!("{name} ({})", rules.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use checker::flashnode::Judgement;
    use checker::flashnode::judge::Counted;
    use std::collections::BTreeMap;

    fn report(all: u64, asked: u64) -> RunReport {
        let reads = |ok| BTreeMap::from([("read", Counted { ok, ..Counted::default() })]);
        let (operations, layers) = (reads(all), Vec::new());
        RunReport {
            verdict: Verdict::Unknown,
            why: Vec::new(),
            notes: Vec::new(),
            judgement: Judgement { verdict: Verdict::Ok, operations, layers },
            asked: reads(asked),
            faults: Vec::new(),
            tally: run::Tally::default(),
            rate: 0.0,
            files: Vec::new(),
        }
    }

    #[test]
    fn the_final_reads_alone_show_nothing() {
        let undecided = judge(&report(18, 0)).unwrap_err();
        assert!(matches!(undecided, Stop::Undecided(why) if why == "no read was answered"));
        judge(&report(19, 1)).unwrap();
    }
}
