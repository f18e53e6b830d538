//! The seeded bugs of the stock actor, in a build with the feature `mutants` alone: see
//! [`raft::mutant`]. Called by the actor.

use raft::mutant::{self, Mutant};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use stock::{Batch, Command, Envelope, Machine, Outcome, Refusal, Reply, RequestId, Sku};
use uuid::Uuid;

/// Units in flight, by product.
static IN_FLIGHT: Mutex<BTreeMap<Sku, u64>> = Mutex::new(BTreeMap::new());

fn in_flight() -> MutexGuard<'static, BTreeMap<Sku, u64>> {
    IN_FLIGHT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives each command a request id that nobody has seen.
pub(crate) fn rename(batch: &mut Batch) {
    if !mutant::is(Mutant::RetryUnderNewId) {
        return;
    }
    for envelope in &mut batch.commands {
        // A UUID is a valid request id.
        if let Ok(fresh) = RequestId::new(Uuid::now_v7().hyphenated().to_string()) {
            envelope.request_id = fresh;
        }
    }
}

/// The units of one batch, counted as sold until it is dropped.
pub(crate) struct InFlight(Vec<(Sku, u64)>);

impl InFlight {
    /// Counts the buys of a batch.
    pub(crate) fn count(batch: &Batch) -> Self {
        let bought = batch.commands.iter().filter_map(|envelope| match &envelope.command {
            Command::Buy { sku, quantity } => Some((sku.clone(), u64::from(quantity.get()))),
            _ => None,
        });
        let counted: Vec<(Sku, u64)> = bought.collect();
        let mut in_flight = in_flight();
        for (sku, units) in &counted {
            *in_flight.entry(sku.clone()).or_default() += units;
        }
        Self(counted)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut in_flight = in_flight();
        for (sku, units) in &self.0 {
            if let Some(left) = in_flight.get_mut(sku) {
                *left -= units;
            }
        }
    }
}

/// The refusal of a buy for which enough is left, but not if all that is in flight is sold.
pub(crate) fn sold_in_flight(machine: &Machine, envelope: &Envelope) -> Option<Reply> {
    let Command::Buy { sku, quantity } = &envelope.command else { return None };
    if !mutant::is(Mutant::SpeculativeSoldOut) || machine.peek(envelope).is_some() {
        return None;
    }
    let available = machine.product(sku)?.available;
    let left = available.saturating_sub(in_flight().get(sku).copied().unwrap_or(0));
    let refusal = match left {
        0 => Refusal::SoldOut,
        left if left < u64::from(quantity.get()) => Refusal::Insufficient { remaining: left },
        _ => return None,
    };
    Some(Reply { seq: machine.seq(), replayed: false, outcome: Outcome::Refused(refusal) })
}
