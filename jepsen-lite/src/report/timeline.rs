//! `timeline.html`: every operation of a run as a bar, the faults as bands.
//!
//! Owns: what is told of the run. Which record becomes which bar, and how the page looks, is the
//! checker's.

use super::reasons;
use crate::nemesis::Effect;
use crate::run::{Evidence, Plan, RunReport};
use checker::search::Verdict;
use checker::timeline::{Fault, Page, RunTold, Unit, page_of_run, write_html};
use std::fs::File;
use std::io::{self, BufWriter};
use std::path::Path;

/// Writes the page.
pub(super) fn write(
    path: &Path,
    plan: &Plan,
    evidence: &Evidence,
    report: &RunReport,
) -> io::Result<()> {
    write_html(&page(plan, evidence, report), BufWriter::new(File::create(path)?))
}

fn page(plan: &Plan, evidence: &Evidence, report: &RunReport) -> Page {
    let log = &evidence.log;
    // Elsewhere a layer's doubts have been settled by another one.
    let illegal = report.verdict == Verdict::Illegal;
    let marked = if illegal { report.judgement.marked() } else { Vec::new() };
    let told = RunTold {
        title: format!("{} on {} nodes, seed {}", plan.workload, plan.nodes, plan.seed),
        verdict: report.verdict,
        words: reasons::in_short(&report.why).join("\n"),
        marked: &marked,
        unit: Unit::Nanoseconds,
        faults: faults(report),
    };
    page_of_run(log.len(), |rank| log.record(rank), told)
}

fn faults(report: &RunReport) -> Vec<Fault> {
    let took_hold = report.faults.iter().filter(|fault| fault.effect != Effect::Skipped);
    let band = |fault: &crate::nemesis::Fault| Fault {
        label: format!("{}: {}", fault.kind, fault.what),
        begin: fault.began_ns,
        end: fault.ended_ns,
    };
    took_hold.map(band).collect()
}
