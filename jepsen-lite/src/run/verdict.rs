//! The checks' findings and the coverage, in one verdict with its reasons.
//!
//! Owns: how they combine. Never does: the checks themselves. Called by `run`, and by tests that
//! plant bugs in the evidence.

use super::{Evidence, Plan, RunReport, Tally};
use crate::coverage::{self, Covered};
use crate::nemesis::Kind;
use crate::recorder::Function;
use checker::flashnode::{Ended, Finding, Judgement, Outcome, Record, Violation, judge};
use checker::search::{Budget, Verdict};
use std::time::Duration;

/// What each searching check may take. The witness needs no search; where it finds a
/// linearization, a search that runs out changes nothing.
const BUDGET: Budget = Budget { time: Duration::from_secs(20), memory_bytes: 1 << 30 };

/// Judges what was seen.
pub fn conclude(plan: &Plan, evidence: &Evidence) -> RunReport {
    let records: Vec<Record> = evidence.log.records().collect();
    let judgement = judge(&records, &evidence.ledgers, BUDGET);
    drop(records);
    let gaps = coverage::gaps(&Covered {
        kinds: &plan.nemeses.iter().map(|kind| Kind::name(*kind)).collect::<Vec<_>>(),
        faults: &evidence.faults,
        functions: plan.workload.build().functions(),
        operations: &judgement.operations,
        not_recovered: evidence.not_recovered.as_deref(),
        unread: evidence.unread.as_deref(),
        unread_feed: evidence.unread_feed.as_deref(),
        deaths: &evidence.deaths,
        unexpected: &evidence.unexpected,
        lacking: evidence.lacking.as_deref(),
    });
    let (verdict, why) = combine(&judgement, &evidence.breaches, gaps);
    let tally = tally(evidence);
    let rate = tally.asked() as f64 / evidence.asked_for.as_secs_f64().max(f64::MIN_POSITIVE);
    let (notes, faults, files) = (notes(evidence), evidence.faults.clone(), Vec::new());
    RunReport { verdict, why, notes, judgement, faults, tally, rate, files }
}

/// Illegal outweighs everything: no gap in coverage takes a violation back.
fn combine(
    judgement: &Judgement,
    breaches: &[String],
    gaps: Vec<String>,
) -> (Verdict, Vec<String>) {
    match judgement.verdict {
        Verdict::Illegal => {
            let layers = |verdict| judgement.layers.iter().filter(move |l| l.verdict == verdict);
            let mut why: Vec<String> = layers(Verdict::Illegal).flat_map(in_words).collect();
            if why.is_empty() {
                // Changes that nobody can have asked for are told of by a layer that is unsure.
                why = layers(Verdict::Unknown).flat_map(in_words).collect();
            }
            (Verdict::Illegal, breaches.iter().cloned().chain(why).collect())
        }
        _ if !breaches.is_empty() => (Verdict::Illegal, breaches.to_vec()),
        _ if !gaps.is_empty() => (Verdict::Unknown, gaps),
        Verdict::Unknown => {
            let undecided =
                judgement.layers.iter().filter(|layer| layer.verdict == Verdict::Unknown);
            let notes: Vec<String> = undecided.flat_map(in_words).collect();
            let why = if notes.is_empty() {
                vec!["no check showed a linearization of the whole run".into()]
            } else {
                notes
            };
            (Verdict::Unknown, why)
        }
        Verdict::Ok => {
            let why = "every answer has a place in one order that respects real time, and every \
                       replica's ledger agrees with what clients were told";
            (Verdict::Ok, vec![why.into()])
        }
    }
}

fn in_words(layer: &Finding) -> Vec<String> {
    let violation = |of: &Violation| format!("{}: {}", of.rule, of.words);
    layer.violations.iter().map(violation).chain(layer.notes.iter().cloned()).collect()
}

fn tally(evidence: &Evidence) -> Tally {
    let mut tally = Tally::default();
    for brief in evidence.log.briefs() {
        match brief.ended {
            _ if brief.function == Function::Expire => tally.expired += 1,
            Ended::Decided { answer, .. } => match answer.outcome {
                Outcome::Refused { .. } => tally.fail += 1,
                _ => tally.ok += 1,
            },
            Ended::NotDone => tally.fail += 1,
            Ended::Unknown => tally.info += 1,
        }
    }
    tally
}

fn notes(evidence: &Evidence) -> Vec<String> {
    let (bytes, operations) = (evidence.log.bytes(), evidence.log.len().max(1));
    vec![format!("{} bytes of memory an operation while recording", bytes / operations)]
}
