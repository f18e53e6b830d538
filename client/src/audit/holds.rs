//! The audit's rules for holds, and what they need to know of the cluster.
//!
//! Owns: the wait until every hold of a storm has ended, and the reading of what is still open, at
//! one `seq` with what the product says is held. Called by `audit`.
//!
//! The rules, besides those for all orders (a confirmed hold's order is in the ledger, made from
//! that hold):
//! 6. No two buyers were told one hold, and no hold has two orders.
//! 7. An abandoned, released or expired hold is no order.
//! 8. Abandoned units come back: once the last deadline is over none of the storm's holds is open,
//!    and what the product says is held is what all open holds hold.

use super::{Audit, LedgerOrder, examples};
use crate::storm::{Fate, Plan, Tally};
use crate::{Client, ClientError};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};
use stock::api::{ExportLine, ProductView};

/// How much longer than its time a hold may be open before it counts as one that never ends. An
/// expiry takes milliseconds; a failover in between, or a starved machine, takes seconds.
const EXPIRY_PATIENCE: Duration = Duration::from_secs(15);
/// How often it is looked whether the holds have ended.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// What is held of one product, at one `seq`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenHolds {
    /// What the product says is held.
    pub held: u64,
    /// The units of all open holds.
    pub units: u64,
    /// The storm's holds among them, by id.
    pub ours: Vec<u64>,
}

/// Waits until the storm's holds that became no order can no longer be open: until nothing is held
/// but what was before, or else until the last of them must have run out.
pub(super) async fn wait_until_ended(
    client: &Client,
    plan: &Plan,
    before: &ProductView,
    tally: &Tally,
) -> Result<(), ClientError> {
    let ends_itself = |fate: Fate| !matches!(fate, Fate::Confirmed | Fate::Released);
    if tally.holds.in_doubt == 0 && !tally.holds.made.iter().any(|held| ends_itself(held.fate)) {
        return Ok(());
    }
    // Every hold was asked for by now, and one whose outcome is unknown was decided long ago.
    let at_latest = Instant::now() + Duration::from_millis(plan.mix.ttl.ms()) + EXPIRY_PATIENCE;
    while client.product(&plan.product).await?.held > before.held && Instant::now() < at_latest {
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
    Ok(())
}

/// Reads what is open of the plan's product.
pub(super) async fn read_open(client: &Client, plan: &Plan) -> Result<OpenHolds, ClientError> {
    let mut open = OpenHolds::default();
    let mut export = client.export().await?;
    while let Some(line) = export.next().await? {
        match line {
            ExportLine::Product(product) if product.id == plan.product => open.held = product.held,
            ExportLine::Hold(hold) => {
                let ours = hold.items.iter().filter(|item| item.product_id == plan.product);
                open.units += ours.map(|item| u64::from(item.quantity.get())).sum::<u64>();
                if plan.buyer_of(hold.user_id.as_str()).is_some() {
                    open.ours.push(hold.hold_id.0);
                }
            }
            // Holds come before orders, of which there may be millions.
            ExportLine::Order(_) => break,
            ExportLine::Head { .. }
            | ExportLine::Product(_)
            | ExportLine::Debt { .. }
            | ExportLine::Cursor { .. }
            | ExportLine::End { .. } => {}
        }
    }
    Ok(open)
}

/// Rules 6, 7 and 8.
pub(super) fn check(audit: &mut Audit, ledger: &[LedgerOrder], tally: &Tally, open: &OpenHolds) {
    let mut told: HashMap<u64, Fate> = HashMap::with_capacity(tally.holds.made.len());
    let mut told_twice = Vec::new();
    for held in &tally.holds.made {
        if told.insert(held.hold, held.fate).is_some() {
            told_twice.push(format!("hold {} (again to buyer {})", held.hold, held.buyer));
        }
    }
    let mut orders: BTreeMap<u64, u64> = BTreeMap::new();
    let mut unpaid = Vec::new();
    for order in ledger {
        let Some(hold) = order.hold else { continue };
        *orders.entry(hold).or_default() += 1;
        match told.get(&hold) {
            Some(Fate::Confirmed | Fate::InDoubt) | None => {}
            Some(fate) => unpaid.push(format!("order {} of hold {hold}, {fate:?}", order.order)),
        }
    }
    let twice: Vec<String> = orders
        .into_iter()
        .filter(|(_, orders)| *orders > 1)
        .map(|(hold, orders)| format!("hold {hold} has {orders}"))
        .collect();
    let still_open: Vec<String> = open.ours.iter().map(|hold| format!("hold {hold}")).collect();
    audit.holds_open = still_open.len() as u64;
    for (rule, found, words) in [
        ("hold-ids-unique", told_twice, "holds were told to two buyers"),
        ("a-hold-sells-once", twice, "holds have two orders"),
        ("unpaid-holds-are-no-orders", unpaid, "orders were made of holds that nobody confirmed"),
        ("abandoned-units-come-back", still_open, "holds are open after their deadline"),
    ] {
        if !found.is_empty() {
            audit.violated(rule, examples(&found, words));
        }
    }
    if open.held != open.units {
        let OpenHolds { held, units, .. } = open;
        let found = format!("the product says that {held} units are held, its open holds {units}");
        audit.violated("holds-are-held", found);
    }
}

/// How many holds ran out: those that became no order and were not released.
pub(super) fn expired(ledger: &[LedgerOrder], tally: &Tally, open: &OpenHolds) -> u64 {
    let sold: HashSet<u64> = ledger.iter().filter_map(|order| order.hold).collect();
    let open: HashSet<u64> = open.ours.iter().copied().collect();
    let ran_out = |hold: &u64| !sold.contains(hold) && !open.contains(hold);
    let made = tally.holds.made.iter().filter(|held| held.fate != Fate::Released);
    made.filter(|held| ran_out(&held.hold)).count() as u64
}
