//! The exact search on a recorded run, one product at a time.
//!
//! Owns: what a record is to the search, and the window around what the witness rejects. Never
//! does: believe the order that the `seq`s claim, but that they rise within a product, which the
//! model demands. Called by `judge`.
//!
//! An order that only the ledger tells of, and an expiry that only the change feed tells of, lack
//! one end of their interval. As `seq` rises, the order cannot come after the first completion at
//! its `seq` or a higher one, nor the expiry before the last invocation of a lower one: those
//! ends are taken. They exclude no order that the model allows, and keep the search's window
//! small.

use super::model::{Op, Product, Sale};
use super::named::{Holds, Named};
use super::settle::{Settled, Settler, founded, retried_in_doubt};
use super::witness::Witness;
use super::{Answer, Began, Input, Ledgers, Outcome, Record, Recorded, RefusedFor, Violation};
use crate::Model;
use crate::explain::{self, Explanation, Told};
use crate::search::{self, Budget, Finding, Operation, RanOut, Statistics, Stuck, Verdict};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Instant;

/// The most states that a violation's words tell.
const STATES_TOLD_MAX: usize = 3;

/// What the exact search found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exact {
    /// Of all products together.
    pub verdict: Verdict,
    /// One for each product that is not linearizable.
    pub violations: Vec<Violation>,
    /// Why it is unknown, if it is.
    pub notes: Vec<String>,
    /// Of each product searched, in their order; of a window, its own.
    pub statistics: Vec<Statistics>,
    /// The operations in doubt that took effect in the linearizations found.
    pub in_doubt: Vec<InDoubt>,
}

/// An operation in doubt that took effect in a linearization, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InDoubt {
    /// The record.
    pub record: usize,
    /// Its `seq` is above this one, the last known before it in the order.
    pub after: u64,
    /// Its `seq` is at most this, by what comes next in the order.
    pub until: u64,
}

/// Searches all products.
pub fn check(records: &[Record], ledgers: &Ledgers, budget: Budget) -> Exact {
    let asked = Asked::new(records, ledgers);
    asked.search_all(budget)
}

/// Searches the window around what the witness rejects, from the state that its replay has at the
/// window's start; when that decides nothing, all products.
pub fn around(records: &[Record], ledgers: &Ledgers, found: &Witness, budget: Budget) -> Exact {
    let began = Instant::now();
    let asked = Asked::new(records, ledgers);
    if let Some(exact) = asked.search_window(found, budget) {
        return exact;
    }
    let time = budget.time.saturating_sub(began.elapsed());
    asked.search_all(Budget { time, ..budget })
}

/// Why the search has no place for some operation, of each such product, in words and lines of the
/// file. What [`explain`] names are records. None where no product alone is illegal, or the
/// budget ended before that was found again.
pub fn explained(recorded: &Recorded, ledgers: &Ledgers, budget: Budget) -> Vec<Explanation> {
    let began = Instant::now();
    let asked = Asked::new(&recorded.records, ledgers);
    let report = search::check(&Sale, &asked.operations, budget);
    let left = Budget { time: budget.time.saturating_sub(began.elapsed()), ..budget };
    let mut explanations = explain::explain(&Sale, &asked.operations, &report, None, left);
    let name = |told: &mut Told| {
        told.index = asked.records[told.index];
        let record = &recorded.records[told.index];
        (told.invoked, told.returned) = (position(record.invoked), record.completed.map(position));
        told.invoked_line = recorded.line(record.invoked);
        told.returned_line = record.completed.map(|at| recorded.line(at));
    };
    for explanation in &mut explanations {
        name(&mut explanation.operation);
        explanation.last_change.iter_mut().for_each(name);
        explanation.window.iter_mut().for_each(name);
    }
    explanations
}

/// A run as the search is asked about it.
struct Asked<'a> {
    operations: Vec<Operation<Op>>,
    /// Each operation's record.
    records: Vec<usize>,
    /// Products of which too little is known, and what: they are not searched.
    untold: BTreeMap<&'a str, &'static str>,
}

impl<'a> Asked<'a> {
    fn new(records: &'a [Record], ledgers: &'a Ledgers) -> Self {
        let settler = Settler::new(ledgers);
        let holds = Holds::new(records, &settler);
        let mut untold = match ledgers.began {
            // A product that nobody put on sale has no place then.
            Began::Empty => BTreeMap::new(),
            Began::Anyhow => {
                let why = "on sale before the run began, from a state that no record tells";
                unfounded(records).into_iter().map(|product| (product, why)).collect()
            }
        };
        untold.extend(of_any_units(records, &holds, &settler));
        let limited = limited(records);
        let end = records.iter().map(|of| of.completed.unwrap_or(of.invoked)).max();
        let end = position(end.unwrap_or(0)) + 1;
        let mut asked = Self {
            operations: Vec::with_capacity(records.len()),
            records: Vec::with_capacity(records.len()),
            untold,
        };
        for (index, of) in records.iter().enumerate() {
            if asked.untold.contains_key(of.input.product()) {
                continue;
            }
            let invoked = position(of.invoked);
            let named = holds.named(&of.input);
            let told = |answer: Answer| {
                let units = units(of, &answer, &named, &settler);
                Op { units, ..Op::told(of.input.clone(), answer) }
            };
            match settler.settle(of) {
                Settled::Told(answer) => {
                    let returned = of.completed.map_or(end, position).max(invoked);
                    asked.push(index, told(answer), invoked, Some(returned));
                    if retried_in_doubt(of) {
                        asked.push_in_doubt(index, of, &named, &limited);
                    }
                }
                Settled::InLedger(answer) => asked.push(index, told(answer), invoked, Some(end)),
                Settled::InDoubt => asked.push_in_doubt(index, of, &named, &limited),
                Settled::NoEffect => {}
            }
        }
        asked.bound_by_seq(records);
        asked
    }

    fn push(&mut self, record: usize, op: Op, invoked: usize, returned: Option<usize>) {
        self.operations.push(Operation { op, invoked, returned });
        self.records.push(record);
    }

    /// One in doubt, left out where it can never take effect: it would be tried at every turn of
    /// the search, in as many shapes as users. Of a hold that may be of several numbers of units it
    /// is there with each, and as the hold ends once, at most one of them takes effect.
    fn push_in_doubt(
        &mut self,
        record: usize,
        of: &Record,
        named: &Named,
        limited: &HashSet<&str>,
    ) {
        let units = match named {
            Named::Theirs => vec![None],
            Named::NotTheirs => Vec::new(),
            Named::Untold(units) => units.iter().copied().map(Some).collect(),
        };
        for units in units {
            self.push(record, in_doubt(of, limited, units), position(of.invoked), None);
        }
    }

    /// Bounds what has an open end by what its `seq` must come before and after.
    fn bound_by_seq(&mut self, records: &[Record]) {
        let mut by_product: HashMap<&str, Vec<(u64, usize)>> = HashMap::new();
        for (at, Operation { op, .. }) in self.operations.iter().enumerate() {
            if let Some(answer) = &op.answer {
                let product = records[self.records[at]].input.product();
                by_product.entry(product).or_default().push((answer.seq, at));
            }
        }
        for mut by_seq in by_product.into_values() {
            by_seq.sort_unstable();
            let mut least = usize::MAX;
            for same in by_seq.chunk_by(|a, b| a.0 == b.0).rev() {
                // A read of the order's own `seq` comes after it, too.
                let returned = same.iter().filter_map(|&(_, at)| self.operations[at].returned);
                least = returned.min().map_or(least, |earliest| least.min(earliest));
                for &(_, at) in same {
                    if records[self.records[at]].completed.is_none() {
                        let operation = &mut self.operations[at];
                        operation.returned = Some(least.max(operation.invoked));
                    }
                }
            }
            let mut latest = 0;
            for same in by_seq.chunk_by(|a, b| a.0 == b.0) {
                let mut next = latest;
                for &(_, at) in same {
                    let operation = &mut self.operations[at];
                    if matches!(operation.op.input, Input::Expire { .. }) {
                        operation.invoked = latest.min(operation.returned.unwrap_or(latest));
                    }
                    next = next.max(operation.invoked);
                }
                latest = next;
            }
        }
    }

    fn search_all(&self, budget: Budget) -> Exact {
        let report = search::check(&Sale, &self.operations, budget);
        let mut exact = self.nothing_found();
        for partition in report.partitions {
            exact.verdict = exact.verdict.and(partition.verdict());
            exact.statistics.push(partition.statistics);
            match partition.finding {
                Finding::Linearizable { order } => exact.in_doubt.extend(self.in_doubt(&order)),
                Finding::Stuck(stuck) => exact.violations.push(self.violation(&stuck)),
                Finding::RanOut(out) => {
                    let what = match out {
                        RanOut::Time => "time",
                        RanOut::Memory => "memory",
                    };
                    let key = partition.key;
                    exact.notes.push(format!("{key}: {what} ran out before all was tried"));
                }
            }
        }
        exact
    }

    fn nothing_found(&self) -> Exact {
        let note = |(product, why): (&&str, &&str)| format!("{product}: {why}");
        Exact {
            verdict: if self.untold.is_empty() { Verdict::Ok } else { Verdict::Unknown },
            violations: Vec::new(),
            notes: self.untold.iter().map(note).collect(),
            statistics: Vec::new(),
            in_doubt: Vec::new(),
        }
    }

    /// Those in doubt of an order. An answer that changes nothing may tell of their own `seq`.
    fn in_doubt(&self, order: &[usize]) -> Vec<InDoubt> {
        let mut found: Vec<InDoubt> = Vec::new();
        let (mut last, mut open) = (0, 0);
        for &at in order {
            let Some(answer) = &self.operations[at].op.answer else {
                let record = self.records[at];
                found.push(InDoubt { record, after: last, until: u64::MAX });
                continue;
            };
            let sees = matches!(answer.outcome, Outcome::Refused { .. })
                || matches!(
                    self.operations[at].op.input,
                    Input::Read { .. } | Input::Create { .. }
                );
            let until = if sees { answer.seq } else { answer.seq.saturating_sub(1) };
            for it in &mut found[open..] {
                it.until = until;
            }
            (last, open) = (answer.seq, found.len());
        }
        found
    }

    fn violation(&self, stuck: &Stuck<Product>) -> Violation {
        let op = &self.operations[stuck.operation].op;
        let told = stuck.states.iter().take(STATES_TOLD_MAX).map(|s| Sale.describe_state(s));
        let words = format!(
            "{} has no place: all orders of what ended before it lead to {}{}",
            Sale.describe(op),
            told.collect::<Vec<_>>().join("; or "),
            if stuck.states.len() > STATES_TOLD_MAX { "; or others" } else { "" },
        );
        Violation::new("linearizability", words, vec![self.records[stuck.operation]])
    }

    /// What the window around the rejection decides: `illegal`, or nothing.
    fn search_window(&self, found: &Witness, budget: Budget) -> Option<Exact> {
        let rejected: HashSet<usize> = found.violations.first()?.records.iter().copied().collect();
        let of_rejected = |at: &usize| rejected.contains(&self.records[*at]);
        let product = {
            let at = (0..self.operations.len()).rfind(of_rejected)?;
            self.operations[at].op.input.product()
        };
        let mut members: Vec<usize> = (0..self.operations.len())
            .filter(|&at| self.operations[at].op.input.product() == product)
            .collect();
        members.sort_by_key(|&at| self.operations[at].invoked);
        let Span { start, end } = self.window(&members, of_rejected)?;
        let mut rank = vec![usize::MAX; self.records.iter().max()? + 1];
        for (place, &record) in found.order.iter().enumerate() {
            if let Some(rank) = rank.get_mut(record) {
                *rank = place;
            }
        }
        let is_known = |at: &usize| self.operations[*at].returned.is_some();
        let (mut before, within): (Vec<usize>, Vec<usize>) = members
            .into_iter()
            .filter(|at| self.operations[*at].invoked < end)
            .partition(|at| is_known(at) && self.operations[*at].invoked < start);
        // What is in doubt before the window may have led to other states than the replay's.
        let in_doubt_before =
            within.iter().any(|at| !is_known(at) && self.operations[*at].invoked < start);
        if in_doubt_before {
            return None;
        }
        before.sort_by_key(|&at| rank[self.records[at]]);
        let first = Sale.init(&product.to_owned());
        let state = before
            .iter()
            .try_fold(first, |state, &at| Sale.step(&state, &self.operations[at].op))?;
        let operations: Vec<_> = within.iter().map(|&at| self.operations[at].clone()).collect();
        let (finding, statistics) = search::check_from(&Sale, state, &operations, budget);
        let Finding::Stuck(stuck) = finding else {
            return None;
        };
        let stuck = Stuck { operation: within[stuck.operation], ..stuck };
        Some(Exact {
            verdict: Verdict::Illegal,
            violations: vec![self.violation(&stuck)],
            statistics: vec![statistics],
            ..self.nothing_found()
        })
    }

    /// The positions next to the rejected operations at which nothing known is pending.
    fn window(&self, members: &[usize], is_rejected: impl Fn(&usize) -> bool) -> Option<Span> {
        let rejected =
            || members.iter().filter(|at| is_rejected(at)).map(|&at| &self.operations[at]);
        let from = rejected().map(|of| of.invoked).min()?;
        let to = rejected().filter_map(|of| of.returned).max()?;
        let mut span = Span { start: 0, end: usize::MAX };
        let mut reach = None;
        for &at in members {
            let Operation { invoked, returned: Some(returned), .. } = self.operations[at] else {
                continue;
            };
            if reach.is_none_or(|reach| reach < invoked) {
                if invoked <= from {
                    span.start = invoked;
                } else if invoked > to {
                    span.end = invoked;
                    break;
                }
            }
            reach = reach.max(Some(returned));
        }
        Some(span)
    }
}

/// Positions from `start` up to before `end`.
struct Span {
    start: usize,
    end: usize,
}

/// Products that some record asks to be put on sale with a limit for each user.
fn limited(records: &[Record]) -> HashSet<&str> {
    let limited = records.iter().filter_map(|of| match &of.input {
        Input::Create { product, limit: Some(_), .. } => Some(product.as_str()),
        _ => None,
    });
    limited.collect()
}

/// An operation in doubt. Where no user is limited it is all one whose it was, so the search need
/// not tell them apart: they have one shape.
fn in_doubt(of: &Record, limited: &HashSet<&str>, units: Option<u32>) -> Op {
    let mut input = of.input.clone();
    if let Input::Buy { product, user, .. } | Input::Hold { product, user, .. } = &mut input
        && !limited.contains(product.as_str())
    {
        user.clear();
    }
    Op { units, ..Op::unknown(input) }
}

/// The units of a hold that nobody was told of, by its order or because there is no other choice.
fn units(of: &Record, answer: &Answer, named: &Named, settler: &Settler<'_>) -> Option<u32> {
    let Named::Untold(units) = named else { return None };
    let order = of.input.makes_order().then(|| settler.units_of(answer.seq)).flatten();
    order.or(if let [only] = units[..] { Some(only) } else { None })
}

/// Products of which somebody confirmed a hold that nobody was told of, and nothing says how many
/// units that was of.
fn of_any_units<'a>(
    records: &'a [Record],
    holds: &Holds<'_>,
    settler: &Settler<'_>,
) -> Vec<(&'a str, &'static str)> {
    let why = "a hold was confirmed that nobody was told of, and nothing says of how many units";
    let confirmed = records.iter().filter(|of| matches!(of.input, Input::Confirm { .. }));
    let of_any = confirmed.filter(|of| {
        let named = holds.named(&of.input);
        let is_open = |answer: &Answer| units(of, answer, &named, settler).is_none();
        matches!(named, Named::Untold(_)) && of.accepted().is_some_and(is_open)
    });
    of_any.map(|of| (of.input.product(), why)).collect()
}

/// Products that some answer knows and no record is known to put on sale.
fn unfounded(records: &[Record]) -> BTreeSet<&str> {
    let founded = founded(records);
    let is_known_there = |of: &&Record| {
        of.answer().is_some_and(|answer| {
            // That a hold is unknown says nothing of the product that it was asked for under.
            !matches!(
                answer.outcome,
                Outcome::Refused {
                    reason: RefusedFor::UnknownProduct | RefusedFor::UnknownHold,
                    ..
                }
            )
        })
    };
    let known = records.iter().filter(is_known_there).map(|of| of.input.product());
    known.filter(|product| !founded.contains(product)).collect()
}

fn position(at: u64) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX - 1)
}
