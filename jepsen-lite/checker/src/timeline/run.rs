//! The page of a flash sale that was run.
//!
//! Owns: which record becomes which bar. Called by `jepsen-lite`, for its own runs and for the
//! files of others.

use super::{Choice, Fault, Kind, Operation, Page, Unit, choose};
use crate::flashnode::{Attempt, Ended, Outcome, Record};
use crate::search::Verdict;

/// A problem that reaches over more than this part of the run is shown without a frame.
const FRAMED_PART: u64 = 3;

/// What to say of a run.
#[derive(Debug, Clone)]
pub struct RunTold<'a> {
    /// The heading.
    pub title: String,
    /// The verdict.
    pub verdict: Verdict,
    /// Why.
    pub words: String,
    /// The records that break a rule, by rank and in order.
    pub marked: &'a [usize],
    /// What the records' times are: without clocks, their positions stand for them.
    pub unit: Unit,
    /// What was done to the cluster.
    pub faults: Vec<Fault>,
}

/// The page of so many records, each asked for by its rank among the invocations.
pub fn page_of_run(count: usize, record: impl Fn(usize) -> Record, told: RunTold<'_>) -> Page {
    let RunTold { title, verdict, words, marked, unit, faults } = told;
    let choice = choose(count, marked);
    let bar = |rank| bar(&record(rank), unit, marked.binary_search(&rank).is_ok());
    let operations: Vec<Operation> =
        (0..count).filter(|rank| choice.shows(*rank)).map(bar).collect();
    let window = window(&operations, &choice);
    Page { title, verdict, words, note: choice.note(count), unit, operations, faults, window }
}

fn bar(record: &Record, unit: Unit, marked: bool) -> Operation {
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
    let (begin, end) = match unit {
        Unit::Nanoseconds => (record.invoked_ns, Some(record.ended_ns)),
        Unit::Events => (record.invoked, record.completed),
    };
    Operation {
        process: record.process,
        label,
        detail: request.chain(attempts).collect::<Vec<_>>().join("\n"),
        begin,
        end: end.filter(|_| kind != Kind::Info),
        kind,
        marked,
    }
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
