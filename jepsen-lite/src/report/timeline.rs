//! `timeline.html`: every operation of a run as a bar, the faults as bands.
//!
//! Owns: which record becomes which bar. How the page looks is the checker's.

use super::reasons;
use crate::nemesis::Effect;
use crate::run::{Evidence, Plan, RunReport};
use checker::flashnode::{Attempt, Ended, Outcome, Record};
use checker::search::Verdict;
use checker::timeline::{Choice, Fault, Kind, Operation, Page, Unit, choose, write_html};
use std::fs::File;
use std::io::{self, BufWriter};
use std::path::Path;

/// A problem that reaches over more than this part of the run is shown without a frame.
const FRAMED_PART: u64 = 3;

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
    let choice = choose(log.len(), &marked);
    let shown = (0..log.len()).filter(|rank| choice.shows(*rank));
    let operations: Vec<Operation> =
        shown.map(|rank| bar(&log.record(rank), marked.binary_search(&rank).is_ok())).collect();
    let words = reasons::in_short(&report.why);
    Page {
        title: format!("{} on {} nodes, seed {}", plan.workload, plan.nodes, plan.seed),
        verdict: report.verdict,
        words: words.join("\n"),
        note: choice.note(log.len()),
        unit: Unit::Nanoseconds,
        window: window(&operations, &choice),
        operations,
        faults: faults(report),
    }
}

fn bar(record: &Record, marked: bool) -> Operation {
    let (label, kind) = match &record.ended {
        Ended::Decided { answer, .. } => {
            let refused = matches!(answer.outcome, Outcome::Refused { .. });
            let kind = if refused { Kind::Fail } else { Kind::Ok };
            (format!("{} → {answer}", record.input), kind)
        }
        Ended::NotDone => (format!("{} → not done", record.input), Kind::Fail),
        Ended::Unknown => (format!("{} → unknown", record.input), Kind::Info),
    };
    let attempts = record.attempts.iter().map(|attempt| {
        let took_ms = attempt.ended_ns.saturating_sub(attempt.sent_ns) as f64 / 1e6;
        let Attempt { number, node, said, .. } = attempt;
        format!("attempt {number} at node {node}: {said}, {took_ms:.1} ms")
    });
    let request = record.request.iter().map(|request| format!("request {request}"));
    Operation {
        process: record.process,
        label,
        detail: request.chain(attempts).collect::<Vec<_>>().join("\n"),
        begin: record.invoked_ns,
        end: (kind != Kind::Info).then_some(record.ended_ns),
        kind,
        marked,
    }
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

/// From the first marked operation to the end of the last one, where that says where to look.
fn window(operations: &[Operation], choice: &Choice) -> Option<(u64, u64)> {
    let marked = || operations.iter().filter(|op| op.marked);
    let begin = marked().map(|op| op.begin).min()?;
    let end = marked().map(|op| op.end.unwrap_or(op.begin)).max()?;
    let whole = operations.iter().map(|op| op.end.unwrap_or(op.begin)).max()?;
    let part = (end - begin).saturating_mul(FRAMED_PART) <= whole || *choice != Choice::All;
    part.then_some((begin, end))
}
