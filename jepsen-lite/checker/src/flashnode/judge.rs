//! The verdict on a recorded run: every layer's, and all together.
//!
//! Owns: how the layers combine. Never does: the checks themselves. Called by `jepsen-lite`'s
//! `run`, `check`, `bugs` and `bench`.
//!
//! | layer | what it looks at | what its `ok` means |
//! |---|---|---|
//! | witness | all operations, ordered by `seq` | a linearization of the whole run was found |
//! | ledger | the replicas at the end | the rules of [`super::ledger`] hold |
//! | exact | each product, by search | each product is linearizable |
//!
//! The witness finds the order that the answers claim or none; the search arbitrates what it
//! rejects. Two things the search cannot arbitrate, for it sees one product at a time: that `seq`s
//! of two products contradict real time, and that a number is missing among all products'
//! changes, which `density` looks at. In runs of more than [`EXACT_ALL_MAX`] operations it
//! is asked only then, first for the window around the rejection. Where nobody knows which holds
//! ran out, the ledgers alone can show that something is wrong, and nothing shows that all is well.

use super::density::{self, Density};
use super::exact::Exact;
use super::ledger::{self, Violation};
use super::witness::{self, Witness};
use super::{Ended, Expiries, Input, Ledgers, Record, exact};
use crate::search::{Budget, Verdict};
use serde::{Serialize, Serializer};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// The most operations that the exact search is asked about when the witness accepts them.
pub const EXACT_ALL_MAX: usize = 200_000;

/// One of the checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layer {
    /// The whole run, sorted by `seq`.
    Witness,
    /// The final ledger.
    Ledger,
    /// The search, product by product.
    Exact,
}

/// How the operations of one kind ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counted {
    /// Accepted, or read.
    pub ok: u64,
    /// Refused, with an answer.
    pub refused: u64,
    /// Surely not done.
    pub not_done: u64,
    /// In doubt for good.
    pub unknown: u64,
}

/// What one layer found.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// Which.
    pub layer: Layer,
    /// Its verdict.
    #[serde(serialize_with = "verdict_name")]
    pub verdict: Verdict,
    /// What it took.
    #[serde(rename = "took_ms", serialize_with = "milliseconds")]
    pub took: Duration,
    /// What to know about it, such as why it is unknown.
    pub notes: Vec<String>,
    /// What does not hold.
    pub violations: Vec<Violation>,
}

/// The verdict on a run.
#[derive(Debug, Clone, Serialize)]
pub struct Judgement {
    /// Illegal if the ledger's or the search's is; else ok if the witness's is, or if the search's
    /// is and every number has its change; else the witness's.
    #[serde(serialize_with = "verdict_name")]
    pub verdict: Verdict,
    /// Operations by kind.
    pub operations: BTreeMap<&'static str, Counted>,
    /// The layers that ran.
    pub layers: Vec<Finding>,
}

impl Judgement {
    /// The records that any violation names, each once, in order.
    pub fn marked(&self) -> Vec<usize> {
        let of_layer = |finding: &Finding| finding.violations.clone();
        let named = self.layers.iter().flat_map(of_layer).flat_map(|violation| violation.records);
        named.collect::<BTreeSet<_>>().into_iter().collect()
    }
}

/// Checks a run: its records in any order, and what the replicas held at the end.
///
/// The budget is the search's: the other layers take time and memory by the run's length.
pub fn judge(records: &[Record], ledgers: &Ledgers, budget: Budget) -> Judgement {
    let mut layers = vec![of_ledger(records, ledgers)];
    if let Some(why) = expiries_missing(records, ledgers) {
        let (verdict, operations) = (layers[0].verdict, counted(records));
        layers.insert(0, not_asked(why));
        let verdict = if verdict == Verdict::Illegal { verdict } else { Verdict::Unknown };
        return Judgement { verdict, operations, layers };
    }
    let began = Instant::now();
    let witness = witness::check(records, ledgers);
    layers.insert(
        0,
        Finding {
            layer: Layer::Witness,
            verdict: witness.verdict,
            took: began.elapsed(),
            notes: Vec::new(),
            violations: witness.violations.clone(),
        },
    );
    let ledger = layers[1].verdict;
    let began = Instant::now();
    let exact = if records.len() <= EXACT_ALL_MAX {
        Some(exact::check(records, ledgers, budget))
    } else if witness.verdict == Verdict::Ok {
        None
    } else {
        Some(exact::around(records, ledgers, &witness, budget))
    };
    let searched = arbitrated(records, ledgers, &witness, exact.as_ref());
    if let Some(Density { note: Some(note), verdict }) = &searched.density {
        // Density is the run's whole order, less the order.
        layers[0].verdict = *verdict;
        layers[0].notes.push(note.clone());
    }
    layers.extend(exact.map(|exact| Finding {
        layer: Layer::Exact,
        verdict: exact.verdict,
        took: began.elapsed(),
        notes: exact.notes,
        violations: exact.violations,
    }));
    Judgement {
        verdict: together(&witness, ledger, &searched),
        operations: counted(records),
        layers,
    }
}

fn of_ledger(records: &[Record], ledgers: &Ledgers) -> Finding {
    let began = Instant::now();
    let no_ledger = ledgers.replicas.is_empty().then(|| "no replica's ledger was given".to_owned());
    let unnamed = ledger::unnamed(records);
    let not_asked = (unnamed > 0 && no_ledger.is_none()).then(|| {
        format!("of {unnamed} confirms nothing says who asked, nor whose orders to expect")
    });
    let violations = ledger::check(records, ledgers);
    Finding {
        layer: Layer::Ledger,
        verdict: if violations.is_empty() { Verdict::Ok } else { Verdict::Illegal },
        took: began.elapsed(),
        notes: no_ledger.into_iter().chain(not_asked).collect(),
        violations,
    }
}

/// Why nobody can say which holds ran out, if so. Then units may have come back at any time, and no
/// answer can be held against the others.
fn expiries_missing(records: &[Record], ledgers: &Ledgers) -> Option<&'static str> {
    let is_expiry = |of: &Record| matches!(of.input, Input::Expire { .. });
    let may_run_out = |of: &Record| {
        matches!(of.input, Input::Hold { .. })
            && (of.accepted().is_some() || of.ended == Ended::Unknown)
    };
    match ledgers.expiries {
        Expiries::All => None,
        Expiries::Unread => Some("which holds ran out could not be read"),
        Expiries::Anyhow if records.iter().any(is_expiry) => None,
        Expiries::Anyhow => records.iter().any(may_run_out).then_some(
            "there are holds, and nothing says which ran out; a run's ledgers.json does",
        ),
    }
}

fn not_asked(why: &str) -> Finding {
    let (layer, verdict, took) = (Layer::Witness, Verdict::Unknown, Duration::ZERO);
    let notes = vec![format!("not asked: {why}")];
    Finding { layer, verdict, took, notes, violations: Vec::new() }
}

/// What the search says to the run.
struct Arbitrated {
    searched: Option<Verdict>,
    /// Of the whole run, where the search accepts each product and the witness rejects.
    density: Option<Density>,
}

fn arbitrated(
    records: &[Record],
    ledgers: &Ledgers,
    witness: &Witness,
    exact: Option<&Exact>,
) -> Arbitrated {
    let overruled = exact.filter(|exact| {
        exact.verdict == Verdict::Ok
            && witness.verdict != Verdict::Ok
            && !across_products(records, witness)
    });
    Arbitrated {
        searched: exact.map(|exact| exact.verdict),
        density: overruled.map(|exact| density::check(records, ledgers, &exact.in_doubt)),
    }
}

fn together(witness: &Witness, ledger: Verdict, arbitrated: &Arbitrated) -> Verdict {
    if ledger == Verdict::Illegal || arbitrated.searched == Some(Verdict::Illegal) {
        return Verdict::Illegal;
    }
    match (witness.verdict, &arbitrated.density) {
        (Verdict::Ok, _) => Verdict::Ok,
        (_, Some(density)) => density.verdict,
        (rejected, None) => rejected,
    }
}

/// Whether the witness rejects for operations of several products.
fn across_products(records: &[Record], witness: &Witness) -> bool {
    let named = witness.violations.iter().flat_map(|violation| &violation.records);
    let products: BTreeSet<&str> = named.map(|&record| records[record].input.product()).collect();
    products.len() > 1
}

/// How these ended, by kind.
pub fn counted<'a>(
    records: impl IntoIterator<Item = &'a Record>,
) -> BTreeMap<&'static str, Counted> {
    let mut operations: BTreeMap<&'static str, Counted> = BTreeMap::new();
    for record in records {
        let counted = operations.entry(record.input.f()).or_default();
        match record.ended {
            Ended::Decided { .. } if record.accepted().is_some() => counted.ok += 1,
            Ended::Decided { .. } => counted.refused += 1,
            Ended::NotDone => counted.not_done += 1,
            Ended::Unknown => counted.unknown += 1,
        }
    }
    operations
}

/// The verdict's name in files.
pub fn name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Ok => "ok",
        Verdict::Illegal => "illegal",
        Verdict::Unknown => "unknown",
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn verdict_name<S: Serializer>(verdict: &Verdict, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(name(*verdict))
}

fn milliseconds<S: Serializer>(took: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64(took.as_secs_f64() * 1e3)
}
