//! What became of a record, as far as its answer or the ledger tells.
//!
//! Owns: which record a ledger's order is of, and what is left in doubt. Never does: order
//! operations. Called by `witness` and `exact`.

use super::{Answer, Ended, Input, LedgerOrder, Ledgers, Outcome, Record, ledger};
use std::collections::HashSet;

/// What became of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Settled {
    /// A client was told.
    Told(Answer),
    /// No client was told, and the ledger has its order. When it took effect is open.
    InLedger(Answer),
    /// It had no effect, or none that matters.
    NoEffect,
    /// It may have taken effect, at any time, or never.
    InDoubt,
}

/// The first replica's orders, sorted by product and request. That the replicas agree is `ledger`'s
/// to check.
#[derive(Debug)]
pub(super) struct Settler<'a> {
    orders: Vec<&'a LedgerOrder>,
    gathered: bool,
}

impl<'a> Settler<'a> {
    pub(super) fn new(ledgers: &'a Ledgers) -> Self {
        let mut orders: Vec<&LedgerOrder> =
            ledgers.replicas.iter().take(1).flat_map(|replica| &replica.orders).collect();
        orders.sort_unstable_by_key(|order| key(order));
        Self { orders, gathered: !ledgers.replicas.is_empty() }
    }

    pub(super) fn settle(&self, record: &Record) -> Settled {
        match &record.ended {
            Ended::Decided { answer, .. } => return Settled::Told(answer.clone()),
            Ended::NotDone => return Settled::NoEffect,
            Ended::Unknown => {}
        }
        if matches!(record.input, Input::Read { .. }) {
            return Settled::NoEffect;
        }
        if !record.input.makes_order() {
            return Settled::InDoubt;
        }
        let Some(request) = record.request.as_deref() else {
            // Nothing tells which of the ledger's orders would be its own.
            return Settled::InDoubt;
        };
        match self.order_of(record, request) {
            Some(order) => {
                let outcome = Outcome::Ordered { remaining: order.remaining };
                Settled::InLedger(Answer { seq: order.order, outcome })
            }
            // An order that is not in the ledger was not made.
            None if self.gathered => Settled::NoEffect,
            None => Settled::InDoubt,
        }
    }

    /// Units of the order with this id.
    pub(super) fn units_of(&self, order: u64) -> Option<u32> {
        self.orders.iter().find(|of| of.order == order).map(|of| of.quantity)
    }

    /// A request id is its user's alone, so several orders may have it.
    fn order_of(&self, record: &Record, request: &str) -> Option<&'a LedgerOrder> {
        let asked = (record.input.product(), request);
        let from = self.orders.partition_point(|order| key(order) < asked);
        let of_request = self.orders[from..].iter().take_while(|order| key(order) == asked);
        of_request.copied().find(|order| ledger::is_of(record, order))
    }
}

fn key(order: &LedgerOrder) -> (&str, &str) {
    (&order.product, &order.request)
}

/// Whether an earlier attempt may have made a change that the last answer does not tell of: a
/// product is put, and a hold settled, at most once, whoever asks again. Attempts are numbered:
/// what was surely not proposed is sent again under the number that it had, and only an unknown
/// outcome is followed by a higher one.
pub(super) fn retried_in_doubt(of: &Record) -> bool {
    let once = match of.input {
        Input::Create { .. } => true,
        Input::Confirm { .. } | Input::Release { .. } => of.accepted().is_none(),
        _ => false,
    };
    once && of.attempts.iter().any(|attempt| attempt.number > 1)
}

/// Products of which an accepted creation met nothing or an untouched one, be it from before: from
/// there on all of it is told. One that met more, or whose outcome is not known, tells nothing of
/// what there was before.
pub(super) fn founded(records: &[Record]) -> HashSet<&str> {
    let founds = |of: &&Record| match (&of.input, of.accepted().map(|answer| &answer.outcome)) {
        (
            Input::Create { stock, .. },
            Some(Outcome::Counts { stocked, available, held: 0, sold: 0 }),
        ) => stocked == stock && available == stock,
        _ => false,
    };
    records.iter().filter(founds).map(|of| of.input.product()).collect()
}
