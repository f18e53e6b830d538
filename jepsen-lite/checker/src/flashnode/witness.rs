//! The whole run at once: sorted by `seq`, replayed on the model, held against real time.
//!
//! Owns: the order that the answers themselves claim. A change comes at its `seq`, the reads and
//! refusals of that state right after it; between known answers there is no choice, so what
//! contradicts real time or the model has no other order. Never does: search. Operations of
//! unknown outcome are placed where the ledger has their order; while any other is left, only a
//! contradiction between two answers is `illegal`, and all else that does not fit is `unknown`.
//! Called by `judge`.

use super::model::{Op, Product, Sale};
use super::settle::{Settled, Settler, founded, retried_in_doubt};
use super::{Answer, Began, Input, Ledgers, Outcome, Record, Violation};
use crate::Model;
use crate::search::Verdict;
use std::collections::{BTreeMap, HashMap, HashSet};

/// What the witness found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    /// `Ok`: `order` is a linearization.
    pub verdict: Verdict,
    /// The records in the order that their `seq`s claim; unknown ones that took no effect are out.
    pub order: Vec<usize>,
    /// The first contradiction, if any.
    pub violations: Vec<Violation>,
}

/// One operation in the claimed order.
struct Step {
    seq: u64,
    after_change: bool,
    record: usize,
    answer: Answer,
}

/// Looks for the linearization that the answers claim.
pub fn check(records: &[Record], ledgers: &Ledgers) -> Witness {
    let (mut steps, in_doubt) = claimed(records, ledgers);
    steps.sort_by_key(|s| (s.seq, s.after_change, records[s.record].invoked));
    let found = real_time(records, &steps);
    let (found, conclusive) = match found {
        Some(violation) => (Some(violation), true),
        None => (replay(records, ledgers, &steps).or_else(|| applied(ledgers, &steps)), !in_doubt),
    };
    Witness {
        verdict: match (&found, conclusive) {
            (None, _) => Verdict::Ok,
            (Some(_), true) => Verdict::Illegal,
            (Some(_), false) => Verdict::Unknown,
        },
        order: steps.iter().map(|step| step.record).collect(),
        violations: found.into_iter().collect(),
    }
}

/// Every operation whose place is known, and whether any other may have taken effect.
fn claimed(records: &[Record], ledgers: &Ledgers) -> (Vec<Step>, bool) {
    let settler = Settler::new(ledgers);
    let mut created: BTreeMap<&str, (u64, u64, usize)> = BTreeMap::new();
    for (record, of) in records.iter().enumerate() {
        if let (Input::Create { product, .. }, Some(answer)) = (&of.input, of.accepted()) {
            let place = (answer.seq, of.invoked, record);
            let first = created.entry(product).or_insert(place);
            *first = place.min(*first);
        }
    }
    let founded = match ledgers.began {
        Began::Empty => created.keys().copied().collect(),
        Began::Anyhow => founded(records),
    };
    let uncreated = |of: &Record| {
        let refused = of.answer().is_some() && of.accepted().is_none();
        !refused && !founded.contains(of.input.product())
    };
    // What no record tells: a product made before the run, or what an earlier attempt did.
    let mut in_doubt = records.iter().any(|of| uncreated(of) || retried_in_doubt(of));
    let creations: HashSet<usize> = created.into_values().map(|(.., record)| record).collect();
    let mut steps = Vec::with_capacity(records.len());
    for (record, of) in records.iter().enumerate() {
        let answer = match settler.settle(of) {
            Settled::Told(answer) | Settled::InLedger(answer) => answer,
            Settled::NoEffect => continue,
            Settled::InDoubt => {
                in_doubt = true;
                continue;
            }
        };
        let refused = matches!(answer.outcome, Outcome::Refused { .. });
        let after_change = match of.input {
            Input::Read { .. } => true,
            Input::Create { .. } => !creations.contains(&record),
            _ => refused,
        };
        steps.push(Step { seq: answer.seq, after_change, record, answer });
    }
    (steps, in_doubt)
}

/// The first operation that ended before one began that its `seq` puts before it.
fn real_time(records: &[Record], steps: &[Step]) -> Option<Violation> {
    let mut latest: Option<&Step> = None;
    for step in steps {
        let ended = records[step.record].completed.unwrap_or(u64::MAX);
        if let Some(earlier) = latest
            && ended < records[earlier.record].invoked
        {
            let words = format!(
                "an operation of seq {} ended before the one of seq {} began",
                step.seq, earlier.seq
            );
            return Some(Violation::new("real-time", words, vec![step.record, earlier.record]));
        }
        let invoked = |step: &Step| records[step.record].invoked;
        // Nobody asked for an expiry: when it was told says nothing of when it could first be.
        let asked = !matches!(records[step.record].input, Input::Expire { .. });
        if asked && latest.is_none_or(|earlier| invoked(earlier) < invoked(step)) {
            latest = Some(step);
        }
    }
    None
}

/// Whether the replicas have applied more changes than anybody was told of.
fn applied(ledgers: &Ledgers, steps: &[Step]) -> Option<Violation> {
    let (replica, last) = (ledgers.replicas.first()?, steps.last()?);
    let (node, applied, told) = (replica.node, replica.seq, last.seq);
    let words = format!("node {node} has applied change {applied}, and the last known is {told}");
    (applied > told).then(|| Violation::new("seq-dense", words, vec![last.record]))
}

/// The first operation whose answer the model does not give, or the first missing change.
fn replay(records: &[Record], ledgers: &Ledgers, steps: &[Step]) -> Option<Violation> {
    let mut products: HashMap<&str, Product> = HashMap::new();
    let mut last = match ledgers.began {
        Began::Empty => 0,
        Began::Anyhow => steps.first().map_or(0, |step| step.seq.saturating_sub(1)),
    };
    let mut before: Option<usize> = None;
    for step in steps {
        let input = &records[step.record].input;
        let expected = if step.after_change { last } else { last.saturating_add(1) };
        if step.seq != expected {
            let words = format!("seq {} follows seq {last}", step.seq);
            // Two changes of one `seq` contradict each other, be they of two products; a gap is
            // the fault of the later one alone.
            let other = before.filter(|_| step.seq <= last);
            let named = other.into_iter().chain([step.record]).collect();
            return Some(Violation::new("seq-dense", words, named));
        }
        last = step.seq;
        before = Some(step.record);
        let state = products.entry(input.product()).or_default();
        let op = Op::told(input.clone(), step.answer.clone());
        let Some(next) = state.after(&op) else {
            let words =
                format!("{} does not fit {}", Sale.describe(&op), Sale.describe_state(state));
            return Some(Violation::new("model", words, vec![step.record]));
        };
        *state = next;
    }
    None
}
