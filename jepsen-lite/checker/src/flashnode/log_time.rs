//! Rules on log time, as far as answers, the change feed and the ledger tell of it.
//!
//! Owns: that a hold lasts until the deadline that its client was told, and not longer; and that
//! log time never runs back. Never does: say when that was in real time; a fault may have set the
//! clocks. Called by `ledger`.

use super::{Ended, Input, LedgerOrder, Outcome, Record, ReplicaLedger, Violation, ledger};
use std::collections::HashMap;

/// The moment of a change, in log time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Moment {
    seq: u64,
    at_ms: u64,
}

/// A hold's deadline, and the record whose client was told of it.
#[derive(Debug, Clone, Copy)]
struct Deadline {
    at_ms: u64,
    record: usize,
}

/// Checks these records, and the orders of this replica.
pub(super) fn check(
    records: &[Record],
    replica: Option<&ReplicaLedger>,
    found: &mut Vec<Violation>,
) {
    let deadlines = deadlines(records);
    let orders = replica.map_or(&[][..], |replica| &replica.orders);
    let mut moments: Vec<Moment> = orders.iter().filter_map(moment_of).collect();
    for (index, record) in records.iter().enumerate() {
        let Input::Expire { hold, .. } = record.input else { continue };
        let Some((seq, at_ms)) = told(record) else { continue };
        moments.push(Moment { seq, at_ms });
        if let Some(deadline) = deadlines.get(&hold).filter(|deadline| at_ms < deadline.at_ms) {
            let early_ms = deadline.at_ms - at_ms;
            let words =
                format!("hold {hold} ran out {early_ms} ms before its deadline, in log time");
            found.push(Violation::new("expiry-not-early", words, vec![deadline.record, index]));
        }
    }
    moments.sort_unstable();
    confirms(records, orders, (&moments, &deadlines), found);
    if let Some(pair) = moments.windows(2).find(|pair| pair[0].at_ms > pair[1].at_ms) {
        let (one, other) = (pair[0], pair[1]);
        let words = format!(
            "change {} was at {} ms of log time, and change {} at {}",
            one.seq, one.at_ms, other.seq, other.at_ms
        );
        found.push(Violation::new("log-time-forward", words, Vec::new()));
    }
}

/// No order of a confirm is of its hold's deadline or later.
fn confirms(
    records: &[Record],
    orders: &[LedgerOrder],
    (moments, deadlines): (&[Moment], &HashMap<u64, Deadline>),
    found: &mut Vec<Violation>,
) {
    let mut in_doubt: HashMap<&str, usize> = HashMap::new();
    let mut late = |index: usize, Moment { seq, at_ms }: Moment| {
        let Input::Confirm { hold, .. } = records[index].input else { return };
        if let Some(deadline) = deadlines.get(&hold).filter(|deadline| at_ms >= deadline.at_ms) {
            let late_ms = at_ms - deadline.at_ms;
            let words = format!(
                "hold {hold} became order {seq} {late_ms} ms after its deadline, in log time"
            );
            found.push(Violation::new("confirm-in-time", words, vec![deadline.record, index]));
        }
    };
    for (index, record) in records.iter().enumerate() {
        if !matches!(record.input, Input::Confirm { .. }) {
            continue;
        }
        match (&record.ended, &record.request) {
            (Ended::Decided { answer, .. }, _) if record.accepted().is_some() => {
                let at = moments.partition_point(|moment| moment.seq < answer.seq);
                if let Some(moment) = moments.get(at).filter(|moment| moment.seq == answer.seq) {
                    late(index, *moment);
                }
            }
            (Ended::Unknown, Some(request)) => {
                in_doubt.insert(request, index);
            }
            _ => {}
        }
    }
    for order in orders {
        if let Some((&index, moment)) = in_doubt.get(&*order.request).zip(moment_of(order))
            && ledger::is_of(&records[index], order)
        {
            late(index, moment);
        }
    }
}

fn moment_of(order: &LedgerOrder) -> Option<Moment> {
    Some(Moment { seq: order.order, at_ms: order.at_ms? })
}

fn deadlines(records: &[Record]) -> HashMap<u64, Deadline> {
    let mut deadlines = HashMap::new();
    for (index, record) in records.iter().enumerate() {
        if let (Input::Hold { .. }, Some((hold, at_ms))) = (&record.input, told(record)) {
            deadlines.insert(hold, Deadline { at_ms, record: index });
        }
    }
    deadlines
}

/// The change that was told of a hold, and the log time that was told with it.
fn told(record: &Record) -> Option<(u64, u64)> {
    let answer = record.accepted()?;
    match answer.outcome {
        Outcome::Hold { log_ms: Some(log_ms), .. } => Some((answer.seq, log_ms)),
        _ => None,
    }
}
