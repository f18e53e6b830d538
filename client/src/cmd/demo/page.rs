//! The last page of the story: what the demo came to, in words.
//!
//! Owns: the layout. Never does: decide what is good; it only paints what `outcome` found. Called
//! by `demo`.

use super::outcome::{Ledger, Outcome};
use crate::out::Paint;
use client::storm::grouped;
use std::path::Path;

/// The page, as printed below the milestones.
pub(super) fn of(outcome: &Outcome, paint: Paint) -> String {
    let mut lines = vec![String::new()];
    lines.extend(rows(outcome, paint).map(|(name, row)| {
        format!("  {} {row}", paint.dim(&format!("{name:<9}"))).trim_end().to_owned()
    }));
    lines.push(String::new());
    if outcome.is_ok() {
        let words = "verdict: ok. Nothing lost, nothing sold twice, nothing oversold.";
        lines.push(format!("  {}", paint.green(words)));
    }
    for violation in &outcome.violations {
        lines.push(format!("  {}", paint.red(&format!("verdict: VIOLATED: {violation}"))));
    }
    if let (Some(addresses), Some(dir)) = (&outcome.addresses, &outcome.dir) {
        lines.extend(kept(addresses, dir));
    }
    lines.join("\n") + "\n"
}

fn rows(outcome: &Outcome, paint: Paint) -> impl Iterator<Item = (&'static str, String)> {
    // What must be 0 is red when it is not.
    let bad = |count: u64, word: &str| {
        let text = format!("{:>7} {word:<11}", grouped(count));
        if count == 0 { text } else { paint.red(&text) }
    };
    let plain = |count: u64, word: &str| format!("{:>7} {word:<11}", grouped(count));
    let stock = plain(outcome.stock, "units")
        + &plain(outcome.audit.sold_after, "sold")
        + &bad(outcome.oversold, "oversold");
    let buyers = plain(outcome.accepted, "yes")
        + &plain(outcome.sold_out, "sold out")
        + &bad(outcome.refused, "refused")
        + &bad(outcome.unknown, "unknown");
    let ledger = plain(outcome.audit.ledger_orders, "orders")
        + &bad(outcome.lost, "lost")
        + &bad(outcome.duplicates, "duplicated")
        + &reader(outcome);
    let recovery = format!(
        "{:>7} ms from the kill to the next yes, {} ms to catch up, {} attempts retried",
        in_ms(outcome.failover_ms),
        in_ms(outcome.catch_up_ms),
        grouped(outcome.retried)
    );
    let speed = format!(
        "{:>7} yes/s with the failover in it; p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms",
        grouped(outcome.buys_per_second),
        outcome.p50_ms,
        outcome.p99_ms,
        outcome.latency_ms.max
    );
    let states = states(outcome, paint);
    [
        ("stock", stock),
        ("buyers", buyers),
        ("ledger", ledger),
        ("states", states),
        ("recovery", recovery),
        ("speed", speed),
    ]
    .into_iter()
}

fn reader(outcome: &Outcome) -> String {
    let killed = outcome.killed_node == Some(outcome.reader);
    format!(
        "    as node {}{} has it",
        outcome.reader,
        if killed { ", the killed one," } else { "" }
    )
}

fn states(outcome: &Outcome, paint: Paint) -> String {
    match outcome.ledgers.first() {
        Some(first) if outcome.ledgers_equal => format!(
            "{:>7} of {} nodes are equal at entry {}: {}",
            outcome.nodes,
            outcome.nodes,
            first.applied,
            first.hash_start()
        ),
        _ => {
            let each: Vec<String> = outcome.ledgers.iter().map(Ledger::in_words).collect();
            paint.red(&format!("NOT EQUAL: {}", each.join(", ")))
        }
    }
}

fn in_ms(took_ms: Option<f64>) -> String {
    took_ms.map_or_else(|| "never:".to_owned(), |ms| format!("{ms:.0}"))
}

fn kept(nodes: &[String], dir: &Path) -> [String; 8] {
    let dir = dir.display();
    let first = nodes.first().map_or("", String::as_str);
    let nodes = nodes.join(",");
    [
        String::new(),
        format!("  open  http://{first}/         the shop, at any of the nodes"),
        format!("        http://{first}/control  the control room, with a storm button"),
        format!("  the cluster runs on, in {dir}"),
        format!("    export FLASHCTL_NODES={nodes}"),
        "    flashctl status".to_owned(),
        "    flashctl product show sneaker".to_owned(),
        format!("  end it with: pkill -f {dir}"),
    ]
}
