//! What the buyers of a storm were told, against what the cluster holds.
//!
//! Owns: the rules a storm must leave unbroken, and the reading of the ledger (all orders since a
//! baseline, page by page, linearizable). Never does: change anything, or know how a node decides;
//! it judges from outside. Called by `flashctl storm`, `flashctl demo` and tests.
//!
//! The rules, for one product between two of its states:
//! 1. available + held + sold = stocked, before and after, and nothing is sold beyond stocked.
//! 2. What the ledger holds is what was sold.
//! 3. Every accepted answer is in the ledger, with the order id, buyer, request id, quantity and
//!    remaining units that the buyer was told. No two buyers were told one order.
//! 4. No request id has two orders, and no buyer who was told "no" has one.
//! 5. With no other buyer, restock or hold about, no two answers tell of the same remaining units.
//!
//! Of a storm with holds there are three more, in `holds.rs`.

mod holds;

pub use holds::OpenHolds;

use crate::reads::Reads;
use crate::storm::{Plan, Tally, Won, grouped};
use crate::{Client, ClientError};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use stock::Seq;
use stock::api::{OrderView, ProductView};
use uuid::Uuid;

/// Examples named in one violation's message.
const EXAMPLES_MAX: usize = 3;

/// One order of the audited product, as the ledger has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LedgerOrder {
    /// Its id.
    pub order: u64,
    /// The buyer's number, when it is one of the storm's.
    pub buyer: Option<u64>,
    /// The request that won it, when it is a UUID.
    pub request: Option<Uuid>,
    /// Units bought.
    pub quantity: u32,
    /// Units that were left right after it.
    pub remaining: u64,
    /// The hold that it was made from.
    pub hold: Option<u64>,
}

/// A rule that was broken, with the values that show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// The rule's name.
    pub rule: &'static str,
    /// What was found.
    pub found: String,
}

/// What an audit found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Audit {
    /// Units ever stocked.
    pub stocked: u64,
    /// Units that can still be bought.
    pub available: u64,
    /// Units sold before the storm.
    pub sold_before: u64,
    /// Units sold after it.
    pub sold_after: u64,
    /// Units that buyers were told they have.
    pub accepted_units: u64,
    /// The product's orders since the baseline.
    pub ledger_orders: u64,
    /// Their units.
    pub ledger_units: u64,
    /// Orders among them that are not of this storm.
    pub others_orders: u64,
    /// Buyers without a known outcome who turn out to have an order.
    pub unknown_won: u64,
    /// Accepted answers that the ledger lacks.
    pub lost: u64,
    /// Request ids with two orders.
    pub duplicates: u64,
    /// Units sold beyond what was stocked.
    pub oversold: u64,
    /// The storm's holds that ran out.
    pub holds_expired: u64,
    /// The storm's holds that are open although their deadlines are over.
    pub holds_open: u64,
    /// Every rule that was broken; empty when all is well.
    pub violations: Vec<Violation>,
}

impl Audit {
    /// `ok`, or the first violation.
    pub fn verdict(&self) -> String {
        match self.violations.first() {
            None => "ok".to_owned(),
            Some(Violation { rule, found }) => format!("{rule}: {found}"),
        }
    }

    /// The audit of a cluster that could not be read, for callers to whom that is a violation.
    pub fn unread(error: &ClientError) -> Self {
        let mut audit = Self::default();
        audit.violated("ledger-readable", error.to_string());
        audit
    }

    fn violated(&mut self, rule: &'static str, found: String) {
        self.violations.push(Violation { rule, found });
    }
}

/// Reads the product and its ledger, and checks the tally against them. After a storm with holds it
/// waits first, until those that became no order have run out.
///
/// # Errors
/// [`ClientError`] when the cluster cannot be read; that is no verdict.
pub async fn audit(
    client: &Client,
    plan: &Plan,
    before: &ProductView,
    tally: &Tally,
) -> Result<Audit, ClientError> {
    holds::wait_until_ended(client, plan, before, tally).await?;
    let after = client.product(&plan.product).await?;
    let ledger = read_ledger(client, plan, before.seq, after.seq).await?;
    let open = if tally.holds.is_empty() {
        OpenHolds::default()
    } else {
        holds::read_open(client, plan).await?
    };
    Ok(check([before, &after], &ledger, tally, &open))
}

/// All orders of the plan's product after one state and up to another.
///
/// # Errors
/// [`ClientError`] when a page cannot be read.
pub async fn read_ledger(
    client: &Client,
    plan: &Plan,
    after: Seq,
    up_to: Seq,
) -> Result<Vec<LedgerOrder>, ClientError> {
    let client = client.reading(Reads { min_seq: up_to, ..Reads::default() });
    let mut ledger = Vec::new();
    let mut cursor = after;
    while cursor < up_to {
        let page = client.orders_after(cursor).await?;
        let known = page.orders.iter().filter(|order| order.order_id <= up_to);
        ledger.extend(known.flat_map(|order| entries(plan, order)));
        match page.next_after {
            Some(next) if next > cursor => cursor = next,
            _ => break,
        }
    }
    Ok(ledger)
}

/// What an order takes of the plan's product: one line, or nothing.
fn entries<'a>(plan: &'a Plan, order: &'a OrderView) -> impl Iterator<Item = LedgerOrder> + 'a {
    let ours = order.items.iter().filter(|line| line.product_id == plan.product);
    ours.map(|line| LedgerOrder {
        order: order.order_id.0,
        buyer: plan.buyer_of(order.user_id.as_str()),
        request: Uuid::parse_str(order.request_id.as_str()).ok(),
        quantity: line.quantity.get(),
        remaining: line.remaining,
        hold: order.hold_id.map(|hold| hold.0),
    })
}

/// Checks a tally against the product's states before and after, the ledger between them, and what
/// is held in the end.
pub fn check(
    [before, after]: [&ProductView; 2],
    ledger: &[LedgerOrder],
    tally: &Tally,
    open: &OpenHolds,
) -> Audit {
    let units = |orders: &mut dyn Iterator<Item = u32>| orders.map(u64::from).sum::<u64>();
    let mut audit = Audit {
        stocked: after.stocked,
        available: after.available,
        sold_before: before.sold,
        sold_after: after.sold,
        accepted_units: units(&mut tally.won.iter().map(|won| won.quantity)),
        ledger_orders: ledger.len() as u64,
        ledger_units: units(&mut ledger.iter().map(|order| order.quantity)),
        others_orders: ledger.iter().filter(|order| order.buyer.is_none()).count() as u64,
        holds_expired: holds::expired(ledger, tally, open),
        ..Audit::default()
    };
    check_counts(&mut audit, [before, after]);
    check_answers(&mut audit, ledger, &tally.won);
    check_ledger(&mut audit, ledger, tally);
    holds::check(&mut audit, ledger, tally, open);
    let undisturbed = tally.holds.is_empty()
        && before.stocked == after.stocked
        && before.held + after.held == 0
        && audit.others_orders == 0;
    if undisturbed {
        check_remaining(&mut audit, &tally.won);
    }
    if let Some(first) = tally.misdirected.first() {
        let found = format!("{} answers were another's: {first}", tally.misdirected.len());
        audit.violated("misdirected", found);
    }
    audit
}

/// Rules 1 and 2.
fn check_counts(audit: &mut Audit, states: [&ProductView; 2]) {
    for ProductView { stocked, available, held, sold, seq, .. } in states {
        if available.checked_add(*held).and_then(|sum| sum.checked_add(*sold)) != Some(*stocked) {
            let found = format!(
                "available {available} + held {held} + sold {sold} is not stocked {stocked} \
                 at seq {seq}"
            );
            audit.violated("stock-conserved", found);
        }
    }
    let sold = audit.sold_after.max(audit.sold_before + audit.ledger_units);
    audit.oversold = sold.saturating_sub(audit.stocked);
    if audit.oversold > 0 {
        let found = format!("{sold} units sold of {} stocked", audit.stocked);
        audit.violated("never-oversold", found);
    }
    if audit.sold_before.checked_add(audit.ledger_units) != Some(audit.sold_after) {
        let found = format!(
            "sold went from {} to {}, but the ledger's orders since then hold {} units",
            audit.sold_before, audit.sold_after, audit.ledger_units
        );
        audit.violated("ledger-is-sold", found);
    }
}

/// Rule 3.
fn check_answers(audit: &mut Audit, ledger: &[LedgerOrder], won: &[Won]) {
    let by_id: HashMap<u64, &LedgerOrder> =
        ledger.iter().map(|order| (order.order, order)).collect();
    let (mut lost, mut differing, mut told_twice) = (Vec::new(), Vec::new(), Vec::new());
    let mut told = HashSet::with_capacity(won.len());
    for won in won {
        if !told.insert(won.order) {
            told_twice.push(format!("order {} (again to buyer {})", won.order, won.buyer));
        }
        match by_id.get(&won.order) {
            None => lost.push(format!("order {} of buyer {}", won.order, won.buyer)),
            Some(order) if !same(order, won) => differing.push(format!("{won:?} is {order:?}")),
            Some(_) => {}
        }
    }
    audit.lost = lost.len() as u64;
    for (rule, found, words) in [
        ("nothing-lost", lost, "accepted orders are not in the ledger"),
        ("answers-are-the-ledger", differing, "orders differ from what their buyers were told"),
        ("order-ids-unique", told_twice, "orders were told to two buyers"),
    ] {
        if !found.is_empty() {
            audit.violated(rule, examples(&found, words));
        }
    }
}

fn same(order: &LedgerOrder, won: &Won) -> bool {
    order.buyer == Some(won.buyer)
        && order.request == Some(won.request)
        && order.hold == won.hold
        && order.quantity == won.quantity
        && order.remaining == won.remaining
}

/// Rule 4.
fn check_ledger(audit: &mut Audit, ledger: &[LedgerOrder], tally: &Tally) {
    let mut orders_by_request: BTreeMap<(u64, Option<Uuid>), u64> = BTreeMap::new();
    let mut ids = HashSet::with_capacity(ledger.len());
    let mut listed_twice = Vec::new();
    for order in ledger {
        if !ids.insert(order.order) {
            listed_twice.push(format!("order {}", order.order));
        }
        if let Some(buyer) = order.buyer {
            *orders_by_request.entry((buyer, order.request)).or_default() += 1;
        }
    }
    let twice: Vec<String> = orders_by_request
        .iter()
        .filter(|(_, orders)| **orders > 1)
        .map(|((buyer, _), orders)| format!("buyer {buyer} has {orders}"))
        .collect();
    audit.duplicates = twice.len() as u64;
    let won: HashSet<u64> = tally.won.iter().map(|won| won.buyer).collect();
    let in_doubt: HashSet<u64> = tally.unsettled.iter().map(|buy| buy.buyer).collect();
    let owners: BTreeSet<u64> = orders_by_request.keys().map(|(buyer, _)| *buyer).collect();
    audit.unknown_won = owners.intersection(&in_doubt.iter().copied().collect()).count() as u64;
    let unasked: Vec<String> = owners
        .iter()
        .filter(|buyer| !won.contains(buyer) && !in_doubt.contains(buyer))
        .map(|buyer| format!("buyer {buyer}"))
        .collect();
    for (rule, found, words) in [
        ("one-order-a-request", twice, "request ids have two orders"),
        ("a-no-stays-no", unasked, "buyers have an order and were told no"),
        ("order-ids-unique", listed_twice, "orders are in the ledger twice"),
    ] {
        if !found.is_empty() {
            audit.violated(rule, examples(&found, words));
        }
    }
}

/// Rule 5.
fn check_remaining(audit: &mut Audit, won: &[Won]) {
    let mut seen = HashSet::with_capacity(won.len());
    let again: Vec<String> = won
        .iter()
        .filter(|won| !seen.insert(won.remaining))
        .map(|won| format!("order {} left {}", won.order, won.remaining))
        .collect();
    if !again.is_empty() {
        audit.violated("remaining-distinct", examples(&again, "answers repeat a remaining count"));
    }
}

fn examples(found: &[String], words: &str) -> String {
    let shown = found.iter().take(EXAMPLES_MAX).cloned().collect::<Vec<_>>().join("; ");
    let more = if found.len() > EXAMPLES_MAX { "; …" } else { "" };
    format!("{} {words}: {shown}{more}", found.len())
}

impl fmt::Display for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sold_before, sold_after, accepted_units, ledger_orders, .. } = self;
        writeln!(
            f,
            "  {:<18} {} units sold, {} accepted, in {} orders; {} of {} left",
            "audit",
            grouped(sold_after.saturating_sub(*sold_before)),
            grouped(*accepted_units),
            grouped(*ledger_orders),
            grouped(self.available),
            grouped(self.stocked)
        )?;
        if self.others_orders > 0 {
            writeln!(f, "  {:<18} {} orders are others'", "", grouped(self.others_orders))?;
        }
        if self.unknown_won > 0 {
            let won = grouped(self.unknown_won);
            writeln!(f, "  {:<18} {won} of the unknown turn out to have won", "")?;
        }
        writeln!(
            f,
            "  {:<18} {} lost, {} duplicated, {} oversold",
            "",
            grouped(self.lost),
            grouped(self.duplicates),
            grouped(self.oversold)
        )?;
        if self.holds_expired + self.holds_open > 0 {
            let (expired, open) = (grouped(self.holds_expired), grouped(self.holds_open));
            writeln!(f, "  {:<18} {expired} holds ran out, {open} never ended", "")?;
        }
        for Violation { rule, found } in &self.violations {
            writeln!(f, "  {:<18} {rule}: {found}", "VIOLATED")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
