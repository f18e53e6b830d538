//! Checks on the final ledger: what every replica holds once the faults are healed.
//!
//! Owns: the rules between the ledger and what clients were told, and the rules on answers that
//! need no model. Never does: order operations (`witness`). Called by `judge`.
//!
//! | rule | what it says |
//! |---|---|
//! | `accepted-within-stock` | a product's orders are of the units that it sold, at most its stock |
//! | `counts-add-up` | held + sold + available = stocked, open holds are of what is held |
//! | `one-order-a-request` | a request id has one order |
//! | `one-change-a-seq` | no two changes, and no two orders, have one `seq` |
//! | `told-is-applied` | no client was told of a `seq` that a replica has not applied |
//! | `acknowledged-order-kept` | an order that a client was told of is there, as told |
//! | `refused-absent` | a request whose last answer was a refusal has no order |
//! | `not-done-absent` | a request that was surely never proposed has no order |
//! | `order-was-asked-for` | an order has a request, and is of what that asked, for who asked |
//! | `replicas-equal` | all replicas hold the same |
//! | `seq-forward` | `seq` never runs backwards for one client process |
//! | `expiry-not-early` | no hold ran out before the deadline that its client was told |
//! | `confirm-in-time` | no hold became an order at its deadline or later |
//! | `log-time-forward` | the log time of orders and expiries never runs back |
//!
//! Of a confirm that does not say who asked, no rule asks whose its order is: `judge` notes it.

use super::{
    Ended, FinalCounts, Input, LedgerHold, LedgerOrder, Ledgers, Outcome, Record, ReplicaLedger,
    log_time,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap, HashSet};

/// A rule that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// The rule's name.
    pub rule: String,
    /// What was found.
    pub words: String,
    /// The records concerned, as indices.
    pub records: Vec<usize>,
}

impl Violation {
    pub(super) fn new(rule: &str, words: String, records: Vec<usize>) -> Self {
        Self { rule: rule.to_owned(), words, records }
    }
}

/// Every violation of the rules above, the replicas' rules only as far as there are replicas.
pub fn check(records: &[Record], ledgers: &Ledgers) -> Vec<Violation> {
    let mut found = Vec::new();
    seq_forward(records, &mut found);
    one_change_a_seq(records, &mut found);
    log_time::check(records, ledgers.replicas.first(), &mut found);
    if let Some((first, others)) = ledgers.replicas.split_first() {
        one_replica(records, first, &mut found);
        for other in others {
            let before = found.len();
            replicas_equal(first, other, &mut found);
            if found.len() > before {
                one_replica(records, other, &mut found);
            }
        }
    }
    found
}

/// How many confirms do not say who asked, as in histories written before they did: an order of
/// such a one may be anybody's.
pub(super) fn unnamed(records: &[Record]) -> usize {
    let unnamed = |of: &&Record| matches!(of.input, Input::Confirm { user: None, .. });
    records.iter().filter(unnamed).count()
}

fn seq_forward(records: &[Record], found: &mut Vec<Violation>) {
    let mut by_process: Vec<usize> = (0..records.len())
        .filter(|&index| !matches!(records[index].input, Input::Expire { .. }))
        .collect();
    by_process.sort_by_key(|&index| (records[index].process, records[index].invoked));
    let mut last: Option<(i64, u64, usize)> = None;
    for index in by_process {
        let record = &records[index];
        let Some(answer) = record.answer() else {
            continue;
        };
        let before = last.filter(|(process, ..)| *process == record.process);
        if let Some((process, seq, earlier)) = before
            && (answer.seq < seq || (answer.seq == seq && is_change(record)))
        {
            let words = format!(
                "process {process} was told seq {seq}, and by its next operation seq {}",
                answer.seq
            );
            found.push(Violation::new("seq-forward", words, vec![earlier, index]));
        }
        let seq = before.map_or(answer.seq, |(_, seq, _)| seq.max(answer.seq));
        last = Some((record.process, seq, index));
    }
}

/// Whether this surely made a change: an accepted creation may have met the product as it was.
fn is_change(record: &Record) -> bool {
    let may_not = matches!(record.input, Input::Read { .. } | Input::Create { .. });
    !may_not && record.accepted().is_some()
}

fn one_change_a_seq(records: &[Record], found: &mut Vec<Violation>) {
    let mut first: HashMap<u64, usize> = HashMap::with_capacity(records.len());
    for (index, record) in records.iter().enumerate() {
        let Some(answer) = record.accepted().filter(|_| is_change(record)) else {
            continue;
        };
        if let Some(&earlier) = first.get(&answer.seq) {
            let words = format!("two operations were both told to be change {}", answer.seq);
            found.push(Violation::new("one-change-a-seq", words, vec![earlier, index]));
        } else {
            first.insert(answer.seq, index);
        }
    }
}

fn one_replica(records: &[Record], replica: &ReplicaLedger, found: &mut Vec<Violation>) {
    counts(replica, found);
    held(replica, found);
    told_is_applied(records, replica, found);
    let mut by_request: HashMap<&str, Vec<&LedgerOrder>> = HashMap::new();
    let mut by_id: HashMap<u64, &LedgerOrder> = HashMap::with_capacity(replica.orders.len());
    for order in &replica.orders {
        if let Some(other) = by_id.insert(order.order, order) {
            let words = format!("{} and {}", told(order), told(other));
            found.push(Violation::new("one-change-a-seq", words, Vec::new()));
        }
        by_request.entry(&order.request).or_default().push(order);
    }
    requests(records, &by_request, found);
    for (index, record) in records.iter().enumerate().filter(|(_, r)| r.input.makes_order()) {
        let of_request = record.request.as_deref().and_then(|id| by_request.get(id));
        let of_request = of_request.into_iter().flatten().find(|order| is_of(record, order));
        match &record.ended {
            Ended::Decided { .. } if record.accepted().is_some() => {
                kept(index, record, by_id.get(&seq_of(record)).copied(), found);
            }
            Ended::Decided { .. } | Ended::NotDone => {
                if let Some(order) = of_request {
                    let rule = match record.ended {
                        Ended::NotDone => "not-done-absent",
                        _ => "refused-absent",
                    };
                    found.push(Violation::new(rule, told(order), vec![index]));
                }
            }
            Ended::Unknown => {}
        }
    }
}

fn told_is_applied(records: &[Record], replica: &ReplicaLedger, found: &mut Vec<Violation>) {
    let last = (0..records.len()).max_by_key(|&index| seq_of(&records[index]));
    let Some(last) = last.filter(|&last| seq_of(&records[last]) > replica.seq) else { return };
    let (told, node, applied) = (seq_of(&records[last]), replica.node, replica.seq);
    let words = format!("a client was told of seq {told}, and node {node} ends at {applied}");
    found.push(Violation::new("told-is-applied", words, vec![last]));
}

fn seq_of(record: &Record) -> u64 {
    record.answer().map_or(0, |answer| answer.seq)
}

fn counts(replica: &ReplicaLedger, found: &mut Vec<Violation>) {
    let node = replica.node;
    let mut sold: BTreeMap<&str, u64> = BTreeMap::new();
    for order in &replica.orders {
        *sold.entry(&order.product).or_default() += u64::from(order.quantity);
    }
    for counts in &replica.products {
        let FinalCounts { product, stocked, available, held, sold: says } = counts;
        let of_orders = sold.remove(product.as_str()).unwrap_or(0);
        let sum = u128::from(*held) + u128::from(*says) + u128::from(*available);
        if sum != u128::from(*stocked) {
            let words = format!(
                "node {node}, {product}: {held} held + {says} sold + {available} available = \
                 {sum}, not the {stocked} stocked"
            );
            found.push(Violation::new("counts-add-up", words, Vec::new()));
        }
        if of_orders != *says || of_orders > *stocked {
            let words = format!(
                "node {node}, {product}: its orders are of {of_orders} units, {says} are sold, \
                 {stocked} stocked"
            );
            found.push(Violation::new("accepted-within-stock", words, Vec::new()));
        }
    }
    for (product, units) in sold {
        let words = format!("node {node}: orders of {units} units of {product}, which it lacks");
        found.push(Violation::new("accepted-within-stock", words, Vec::new()));
    }
}

/// Where the open holds were read, they are of the units that are held.
fn held(replica: &ReplicaLedger, found: &mut Vec<Violation>) {
    let Some(holds) = &replica.holds else { return };
    let node = replica.node;
    let mut units: BTreeMap<&str, u64> = BTreeMap::new();
    for LedgerHold { product, quantity, .. } in holds {
        *units.entry(product).or_default() += u64::from(*quantity);
    }
    for FinalCounts { product, held, .. } in &replica.products {
        let of_holds = units.remove(product.as_str()).unwrap_or(0);
        if of_holds != *held {
            let words = format!(
                "node {node}, {product}: its holds are of {of_holds} units, {held} are held"
            );
            found.push(Violation::new("counts-add-up", words, Vec::new()));
        }
    }
    for (product, units) in units {
        let words = format!("node {node}: holds of {units} units of {product}, which it lacks");
        found.push(Violation::new("counts-add-up", words, Vec::new()));
    }
}

fn requests(
    records: &[Record],
    by_request: &HashMap<&str, Vec<&LedgerOrder>>,
    found: &mut Vec<Violation>,
) {
    let mut asked: HashMap<&str, Vec<usize>> = HashMap::with_capacity(records.len());
    for (index, record) in records.iter().enumerate().filter(|(_, r)| r.input.makes_order()) {
        if let Some(request) = &record.request {
            asked.entry(request).or_default().push(index);
        }
    }
    let mut ids: Vec<_> = by_request.iter().collect();
    ids.sort_unstable_by_key(|(request, _)| **request);
    for (request, orders) in ids {
        let by = asked.get(*request).map_or(&[][..], Vec::as_slice);
        for order in orders {
            if !by.iter().any(|&index| is_of(&records[index], order)) {
                found.push(Violation::new("order-was-asked-for", told(order), by.to_vec()));
            }
        }
        // An id is its user's: another user's may read the same.
        let mut users = HashSet::new();
        if let Some(again) = orders.iter().find(|order| !users.insert(&order.user)) {
            let words = format!("{} orders under request {request}: {}", orders.len(), told(again));
            found.push(Violation::new("one-order-a-request", words, by.to_vec()));
        }
    }
}

/// Whether this order is of what this record asked.
pub(super) fn is_of(record: &Record, order: &LedgerOrder) -> bool {
    record.input.product() == order.product
        && match &record.input {
            Input::Buy { user, quantity, .. } => *user == order.user && *quantity == order.quantity,
            // How many units it was of, the hold knows: the model follows that.
            Input::Confirm { user, .. } => user.as_ref().is_none_or(|user| *user == order.user),
            _ => false,
        }
}

fn kept(index: usize, record: &Record, order: Option<&LedgerOrder>, found: &mut Vec<Violation>) {
    let Some(Outcome::Ordered { remaining }) = record.accepted().map(|answer| &answer.outcome)
    else {
        return;
    };
    let words = match order {
        None => format!("order {} was acknowledged, and is missing", seq_of(record)),
        Some(order)
            if is_of(record, order)
                && order.remaining == *remaining
                && record.request.as_ref().is_none_or(|id| *id == order.request) =>
        {
            return;
        }
        Some(order) => format!(
            "acknowledged: order {} with {remaining} remaining; the ledger has {}",
            seq_of(record),
            told(order)
        ),
    };
    found.push(Violation::new("acknowledged-order-kept", words, vec![index]));
}

fn replicas_equal(one: &ReplicaLedger, other: &ReplicaLedger, found: &mut Vec<Violation>) {
    let mut differ = |words: String| {
        let words = format!("nodes {} and {}: {words}", one.node, other.node);
        found.push(Violation::new("replicas-equal", words, Vec::new()));
    };
    if one.seq != other.seq {
        differ(format!("the one has applied change {}, the other {}", one.seq, other.seq));
    }
    if let (Some(a), Some(b)) = (&one.state_hash, &other.state_hash)
        && a != b
    {
        differ(format!("state hashes {a} and {b}"));
    }
    if let Some((ours, theirs)) = first_difference(&one.orders, &other.orders) {
        let name = |order: Option<LedgerOrder>| order.as_ref().map_or("none".to_owned(), told);
        differ(format!("first {} against {}", name(ours), name(theirs)));
    }
    if let (Some(ours), Some(theirs)) = (&one.holds, &other.holds)
        && let Some((ours, theirs)) = first_difference(ours, theirs)
    {
        let name = |hold: Option<LedgerHold>| hold.as_ref().map_or("none".to_owned(), told_hold);
        differ(format!("first {} against {}", name(ours), name(theirs)));
    }
    let named = |replica: &ReplicaLedger| {
        let by_name = |counts: &FinalCounts| (counts.product.clone(), counts.clone());
        replica.products.iter().map(by_name).collect::<BTreeMap<_, _>>()
    };
    if named(one) != named(other) {
        differ("their products' counts differ".to_owned());
    }
}

/// The first items in which two lists differ, once each is sorted; none where one is over.
fn first_difference<T: Ord + Clone>(one: &[T], other: &[T]) -> Option<(Option<T>, Option<T>)> {
    let sorted = |items: &[T]| {
        let mut items = items.to_vec();
        items.sort_unstable();
        items
    };
    let (ours, theirs) = (sorted(one), sorted(other));
    let at = (0..ours.len().max(theirs.len())).find(|&at| ours.get(at) != theirs.get(at))?;
    Some((ours.get(at).cloned(), theirs.get(at).cloned()))
}

fn told_hold(hold: &LedgerHold) -> String {
    let LedgerHold { hold, product, user, quantity } = hold;
    format!("hold {hold} ({quantity} of {product} for {user})")
}

fn told(order: &LedgerOrder) -> String {
    let LedgerOrder { order, product, user, request, quantity, remaining, .. } = order;
    format!(
        "order {order} ({quantity} of {product} to {user}, request {request}, \
         {remaining} remaining)"
    )
}
