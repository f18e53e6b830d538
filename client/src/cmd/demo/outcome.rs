//! What the demo came to: its figures and its verdict.
//!
//! Owns: the JSON keys that the demo promises, and what counts as violated. Never does: IO.
//! Called by `demo`.

use client::audit::Audit;
use client::storm::{Latency, Plan, Tally};
use serde::Serialize;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use stock::NodeId;
use stock::api::NodeView;

/// The leader's end.
#[derive(Debug)]
pub(super) struct Fall {
    pub(super) leader: NodeId,
    /// Just before the signal.
    pub(super) at: Instant,
    /// Units left as far as any buyer knew.
    pub(super) left: u64,
}

/// The killed node's return.
#[derive(Debug, Clone, Copy)]
pub(super) struct CaughtUp {
    pub(super) took: Duration,
    /// The committed index that it had to reach.
    pub(super) entries: u64,
}

/// What the play hands over.
pub(super) struct Parts {
    pub(super) fall: Option<Fall>,
    pub(super) failover: Option<Duration>,
    pub(super) caught_up: Option<Result<CaughtUp, String>>,
    pub(super) level: Result<Vec<NodeView>, String>,
    pub(super) reader: NodeId,
    pub(super) audit: Audit,
}

/// One node's state at the end.
#[derive(Debug, Serialize)]
pub(super) struct Ledger {
    node: NodeId,
    pub(super) applied: u64,
    pub(super) state_hash: String,
}

/// The demo's result, as `--json` prints it.
#[derive(Debug, Serialize)]
pub(super) struct Outcome {
    pub(super) nodes: u64,
    pub(super) stock: u64,
    pub(super) buyers: u64,
    pub(super) accepted: u64,
    pub(super) sold_out: u64,
    pub(super) refused: u64,
    pub(super) unknown: u64,
    pub(super) retried: u64,
    pub(super) oversold: u64,
    pub(super) duplicates: u64,
    pub(super) lost: u64,
    pub(super) killed_node: Option<NodeId>,
    pub(super) left_at_kill: Option<u64>,
    pub(super) failover_ms: Option<f64>,
    pub(super) catch_up_ms: Option<f64>,
    pub(super) ledgers_equal: bool,
    pub(super) ledgers: Vec<Ledger>,
    pub(super) buys_per_second: u64,
    pub(super) answers_per_second: u64,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) latency_ms: Latency,
    pub(super) audit: Audit,
    #[serde(skip)]
    pub(super) reader: NodeId,
    pub(super) violations: Vec<String>,
    pub(super) verdict: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) addresses: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) dir: Option<PathBuf>,
}

impl Outcome {
    pub(super) fn new(plan: &Plan, nodes: u64, tally: &Tally, parts: Parts) -> Self {
        let violations = violations(plan, nodes, tally, &parts);
        let Parts { fall, failover, caught_up, level, reader, audit } = parts;
        // Why there are none is among the violations by now.
        let levels = level.unwrap_or_default();
        let latency_ms = Latency::of_us(&tally.latencies_us);
        let accepted = tally.won.len() as u64;
        Self {
            nodes,
            stock: audit.stocked,
            buyers: plan.buyers,
            accepted,
            sold_out: tally.sold_out,
            refused: tally.refused.values().sum(),
            unknown: tally.unsettled.len() as u64,
            retried: tally.retried,
            oversold: audit.oversold,
            duplicates: audit.duplicates,
            lost: audit.lost,
            killed_node: fall.as_ref().map(|fall| fall.leader),
            left_at_kill: fall.as_ref().map(|fall| fall.left),
            failover_ms: failover.map(ms),
            catch_up_ms: caught_up.and_then(Result::ok).map(|caught_up| ms(caught_up.took)),
            ledgers_equal: equal(&levels, nodes),
            ledgers: levels.into_iter().map(ledger).collect(),
            buys_per_second: per_second(accepted, tally.selling),
            answers_per_second: per_second(tally.decided(), tally.elapsed),
            p50_ms: latency_ms.p50,
            p99_ms: latency_ms.p99,
            latency_ms,
            audit,
            reader,
            verdict: violations.first().cloned().unwrap_or_else(|| "ok".into()),
            violations,
            addresses: None,
            dir: None,
        }
    }

    pub(super) fn is_ok(&self) -> bool {
        self.violations.is_empty()
    }
}

impl Ledger {
    /// Enough of the hash for eyes to compare.
    pub(super) fn hash_start(&self) -> &str {
        self.state_hash.get(..12).unwrap_or(&self.state_hash)
    }

    pub(super) fn in_words(&self) -> String {
        format!("node {} {} at entry {}", self.node, self.hash_start(), self.applied)
    }
}

/// Everything that is not as it must be, worst first.
fn violations(plan: &Plan, nodes: u64, tally: &Tally, parts: &Parts) -> Vec<String> {
    let audit = &parts.audit;
    let mut found: Vec<String> = audit
        .violations
        .iter()
        .map(|violation| format!("{}: {}", violation.rule, violation.found))
        .collect();
    if tally.sold_out > 0 && audit.available > 0 {
        found.push(format!(
            "sold-out-is-true: {} buyers were told sold out, and {} units are left",
            tally.sold_out, audit.available
        ));
    }
    match &parts.level {
        Ok(levels) if equal(levels, nodes) => {}
        Ok(levels) => found.push(format!(
            "ledgers-equal: {}",
            levels
                .iter()
                .cloned()
                .map(|view| ledger(view).in_words())
                .collect::<Vec<_>>()
                .join(", ")
        )),
        Err(why) => found.push(format!("ledgers-equal: {why}")),
    }
    match (&parts.fall, parts.failover) {
        (None, _) => found.push(format!(
            "kill-while-selling: the leader was not killed while units were being sold \
             ({} accepted)",
            tally.won.len()
        )),
        (Some(fall), None) => found.push(format!(
            "kill-while-selling: nothing was sold after the kill, with {} units left",
            fall.left
        )),
        (Some(fall), Some(_)) if fall.left == 0 => {
            found.push("kill-while-selling: all units were sold before the kill".into());
        }
        (Some(_), Some(_)) => {}
    }
    match &parts.caught_up {
        Some(Err(why)) => found.push(format!("caught-up: {why}")),
        None if parts.fall.is_some() => found.push("caught-up: nobody watched".into()),
        _ => {}
    }
    let answered = tally.decided() + tally.unsettled.len() as u64;
    if answered != plan.buyers {
        found.push(format!("all-answered: {answered} of {} buyers", plan.buyers));
    }
    found
}

/// Whether this many nodes say the same of the same entry.
fn equal(views: &[NodeView], nodes: u64) -> bool {
    views.len() as u64 == nodes
        && views.windows(2).all(|pair| {
            pair[0].applied == pair[1].applied && pair[0].state_hash == pair[1].state_hash
        })
}

fn ledger(view: NodeView) -> Ledger {
    Ledger { node: view.id, applied: view.applied, state_hash: view.state_hash }
}

fn ms(took: Duration) -> f64 {
    (took.as_secs_f64() * 10_000.0).round() / 10.0
}

fn per_second(count: u64, took: Duration) -> u64 {
    let per_us = u128::from(count) * 1_000_000 / took.as_micros().max(1);
    u64::try_from(per_us).unwrap_or(u64::MAX)
}
