//! The checks' findings and the coverage, in one verdict with its reasons.
//!
//! Owns: how they combine. Never does: the checks themselves. Called by `run`, and by tests that
//! plant bugs in the evidence.

use super::{Evidence, Plan, RunReport, Tally};
use crate::coverage::{self, Covered};
use crate::nemesis::Kind;
use crate::recorder::Function;
use checker::flashnode::judge::{Counted, counted};
use checker::flashnode::{Ended, Finding, Input, Judgement, Outcome, Record, Violation, judge};
use checker::search::{Budget, Verdict};
use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

/// What each searching check may take. The witness needs no search; where it finds a
/// linearization, a search that runs out changes nothing.
const BUDGET: Budget = Budget { time: Duration::from_secs(20), memory_bytes: 1 << 30 };

/// Judges what was seen.
pub fn conclude(plan: &Plan, evidence: &Evidence) -> RunReport {
    let records: Vec<Record> = evidence.log.records().collect();
    let judgement = judge(&records, &evidence.ledgers, BUDGET);
    let asked = asked(&records, &evidence.asked_at);
    drop(records);
    let gaps = coverage::gaps(&Covered {
        kinds: &plan.nemeses.iter().map(|kind| Kind::name(*kind)).collect::<Vec<_>>(),
        faults: &evidence.faults,
        functions: plan.workload.build().functions(),
        asked: &asked,
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
    RunReport { verdict, why, notes, judgement, asked, faults, tally, rate, files }
}

/// How what was invoked at these places ended, and the holds that ran out: nobody asks for those,
/// and they are read last of all.
fn asked(records: &[Record], at: &Range<u64>) -> BTreeMap<&'static str, Counted> {
    let is_asked = |record: &&Record| {
        at.contains(&record.invoked) || matches!(record.input, Input::Expire { .. })
    };
    counted(records.iter().filter(is_asked))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recorder::{Asked, Lane, Log, ProductNo, Recorder, UserNo};
    use crate::workload;
    use checker::flashnode::{Answer, Ledgers};
    use std::time::Instant;

    /// A run in which clients did this; before it the sale was opened, and behind it all was read.
    fn evidence(asked: &[(Asked, Ended)]) -> Evidence {
        let recorder = Recorder::new(Instant::now());
        let mut lane = Lane::default();
        let counts = |seq, available| {
            let outcome = Outcome::Counts { stocked: available, available, held: 0, sold: 0 };
            Ended::Decided { answer: Answer { seq, outcome }, replayed: false }
        };
        let product = ProductNo(0);
        let opening = recorder.invoke(0, Asked::Create { product, stock: 5, limit: None });
        lane.complete(&recorder, opening, counts(1, 5));
        let asked_from = recorder.position();
        for (asked, ended) in asked {
            let open = recorder.invoke(0, *asked);
            lane.complete(&recorder, open, ended.clone());
        }
        let asked_at = asked_from..recorder.position();
        let read = recorder.invoke(1, Asked::Read { product });
        lane.complete(&recorder, read, counts(1, 5));
        Evidence {
            log: Log::merge(vec![lane]),
            ledgers: Ledgers::default(),
            faults: Vec::new(),
            not_recovered: None,
            unread: None,
            unread_feed: None,
            deaths: Vec::new(),
            breaches: Vec::new(),
            unexpected: Vec::new(),
            lacking: None,
            asked_for: Duration::from_secs(1),
            asked_at,
        }
    }

    /// In peace anybody can answer. What no client was told under faults was not covered.
    #[test]
    fn neither_the_opening_nor_the_final_reads_cover_what_was_asked() {
        let mut plan = Plan::new(1, "unused".into());
        plan.workload = workload::Kind::Mixed;
        let product = ProductNo(0);
        let buy = Asked::Buy { product, user: UserNo(0), quantity: 1 };
        let asked = [(Asked::Read { product }, Ended::NotDone), (buy, Ended::NotDone)];
        let report = conclude(&plan, &evidence(&asked));
        assert_eq!(report.verdict, Verdict::Unknown, "{report:?}");
        for gap in ["no read ever succeeded", "no create ever succeeded", "no buy ever succeeded"] {
            assert!(report.why.iter().any(|why| why == gap), "{gap}: {:?}", report.why);
        }
        assert_eq!(report.judgement.operations["read"].ok, 1, "people are shown all of them");
        let nothing = conclude(&plan, &evidence(&[])).why;
        assert!(nothing.iter().any(|why| why == "no client asked for anything"), "{nothing:?}");
    }
}
