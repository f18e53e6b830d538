//! Whether every number between two known changes has a change of its own.
//!
//! Owns: the gaps in `seq` of a whole run, and what may explain them. `seq` numbers every change
//! of the whole machine, so a number that nobody was told of is a change that somebody asked for,
//! or one that the server made up. Never does: order operations. Called by `judge`, where the
//! search of each product alone is content and the witness is not.
//!
//! Where the machine was empty at first, the first change is numbered 1, and gaps count from there;
//! else from the first known change on.
//!
//! An operation in doubt explains at most one gap, and one before which it was invoked: it comes
//! before all that has a higher `seq`, so before the first of their completions. A hold of which
//! no settlement is known may have run out, which explains one gap more.

use super::exact::InDoubt;
use super::settle::{Settled, Settler, retried_in_doubt};
use super::{Began, Input, Ledgers, Outcome, Record};
use crate::search::Verdict;
use std::collections::{BTreeMap, HashMap, HashSet};

/// The most gaps that are filled one by one; beyond that it stays unknown.
const FILLED_MAX: usize = 10_000;

/// The verdict on a run's density, with the reason where it is not ok.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Density {
    pub(super) verdict: Verdict,
    pub(super) note: Option<String>,
}

/// Numbers that no known change has, from `first` to `last`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Gap {
    first: u64,
    last: u64,
    /// The first completion of an operation of a higher `seq`.
    before: u64,
}

/// Whether the gaps have an explanation: `used` are the operations in doubt that took effect in
/// the linearizations found, each between two known operations of its product.
///
/// It is ok when those fill all gaps and each has one; illegal when two changes have one number, or
/// more are missing than operations in doubt could have made by then; else unknown.
pub(super) fn check(records: &[Record], ledgers: &Ledgers, used: &[InDoubt]) -> Density {
    let of = |verdict, note: String| Density { verdict, note: Some(note) };
    let gaps = match gaps(records, ledgers) {
        Ok(gaps) => gaps,
        Err(seq) => return of(Verdict::Illegal, format!("two changes are numbered {seq}")),
    };
    if let Some(gap) = beyond_all_doubt(records, ledgers, &gaps) {
        let Gap { first, last, .. } = gap;
        let words = "are missing, and no operation in doubt was there to make as many";
        return of(Verdict::Illegal, format!("the changes from {first} to {last} {words}"));
    }
    if fill(records, &gaps, used) {
        return Density { verdict: Verdict::Ok, note: None };
    }
    let words = "changes are missing; operations in doubt may have made them, but not those that";
    let (missing, used) = (missing(&gaps), used.len());
    of(Verdict::Unknown, format!("{missing} {words} the orders found need, which are {used}"))
}

fn missing(gaps: &[Gap]) -> u64 {
    gaps.iter().fold(0, |sum, gap| sum.saturating_add(gap.last - gap.first + 1))
}

/// What is told of one `seq`.
#[derive(Default)]
struct At {
    is_change: bool,
    /// The first completion.
    completed: Option<u64>,
}

/// What is missing from the first change up to the last, or up to what the replicas have applied,
/// in this order; or else a number that two changes have.
fn gaps(records: &[Record], ledgers: &Ledgers) -> Result<Vec<Gap>, u64> {
    let settler = Settler::new(ledgers);
    let mut by_seq: BTreeMap<u64, At> = BTreeMap::new();
    let mut creations: BTreeMap<&str, u64> = BTreeMap::new();
    for record in records {
        let (Settled::Told(answer) | Settled::InLedger(answer)) = settler.settle(record) else {
            continue;
        };
        let at = by_seq.entry(answer.seq).or_default();
        at.completed = at.completed.into_iter().chain(record.completed).min();
        let refused = matches!(answer.outcome, Outcome::Refused { .. });
        match &record.input {
            Input::Read { .. } => {}
            _ if refused => {}
            // Of a product's creations the first is the change; the others met it.
            Input::Create { product, .. } => {
                let first = creations.entry(product).or_insert(answer.seq);
                *first = answer.seq.min(*first);
            }
            _ if at.is_change => return Err(answer.seq),
            _ => at.is_change = true,
        }
    }
    for seq in creations.into_values() {
        let at = by_seq.entry(seq).or_default();
        if at.is_change {
            return Err(seq);
        }
        at.is_change = true;
    }
    if let Some(replica) = ledgers.replicas.first() {
        by_seq.entry(replica.seq).or_default();
    }
    let first_known = by_seq.iter().find(|(_, at)| at.is_change).map(|(seq, _)| *seq);
    let start = match ledgers.began {
        Began::Empty => 1,
        Began::Anyhow => first_known.unwrap_or(u64::MAX),
    };
    let mut gaps = Vec::new();
    let (mut above, mut before) = (None, u64::MAX);
    for (&seq, at) in by_seq.range(start..).rev() {
        if above.is_some_and(|above| above > seq + 1) {
            gaps.push(Gap { first: seq + 1, last: above.map_or(seq, |above| above - 1), before });
        }
        before = at.completed.map_or(before, |completed| completed.min(before));
        if !at.is_change {
            gaps.push(Gap { first: seq, last: seq, before });
        }
        above = Some(seq);
    }
    if let Some(above) = above.filter(|above| *above > start) {
        gaps.push(Gap { first: start, last: above - 1, before });
    }
    gaps.reverse();
    Ok(gaps)
}

/// The first gap that not even all operations in doubt together could explain. (Hall's condition:
/// whoever may explain a gap may explain each later one.)
fn beyond_all_doubt(records: &[Record], ledgers: &Ledgers, gaps: &[Gap]) -> Option<Gap> {
    let settler = Settler::new(ledgers);
    let mut in_doubt: Vec<u64> = Vec::new();
    let mut holds: HashMap<(&str, u64), u64> = HashMap::new();
    let mut settled: HashSet<(&str, u64)> = HashSet::new();
    for record in records {
        let product = record.input.product();
        let answer = match settler.settle(record) {
            Settled::InDoubt => {
                in_doubt.push(record.invoked);
                if matches!(record.input, Input::Hold { .. }) {
                    // And it may have run out.
                    in_doubt.push(record.invoked);
                }
                continue;
            }
            Settled::NoEffect => continue,
            Settled::Told(answer) | Settled::InLedger(answer) => answer,
        };
        if retried_in_doubt(record) {
            in_doubt.push(record.invoked);
        }
        match (&record.input, &answer.outcome) {
            (_, Outcome::Refused { .. }) => {}
            (Input::Hold { .. }, Outcome::Hold { hold, .. }) => {
                holds.insert((product, *hold), record.invoked);
            }
            (
                Input::Confirm { hold, .. }
                | Input::Release { hold, .. }
                | Input::Expire { hold, .. },
                _,
            ) => {
                settled.insert((product, *hold));
            }
            _ => {}
        }
    }
    // A hold that nobody is known to have settled may have run out unseen.
    let open = holds.iter().filter(|(hold, _)| !settled.contains(*hold));
    in_doubt.extend(open.map(|(_, invoked)| *invoked));
    in_doubt.sort_unstable();
    let mut missing = 0_u64;
    gaps.iter().copied().find(|gap| {
        missing = missing.saturating_add(gap.last - gap.first + 1);
        let could = in_doubt.partition_point(|invoked| *invoked < gap.before);
        (could as u64) < missing
    })
}

/// Whether these fill the gaps, one for one. Gaps are filled in their order, each by what must be
/// placed soonest of those that fit; where intervals only ever open as gaps rise, that finds a way
/// if there is one.
fn fill(records: &[Record], gaps: &[Gap], used: &[InDoubt]) -> bool {
    if used.len() > FILLED_MAX || missing(gaps) != used.len() as u64 {
        return false;
    }
    let mut left = used.to_vec();
    left.sort_unstable_by_key(|it| (it.until, it.after, it.record));
    gaps.iter().flat_map(|gap| (gap.first..=gap.last).map(move |seq| (seq, gap.before))).all(
        |(seq, before)| {
            let fits = |it: &InDoubt| {
                it.after < seq && seq <= it.until && records[it.record].invoked < before
            };
            left.iter().position(fits).map(|at| left.remove(at)).is_some()
        },
    )
}
