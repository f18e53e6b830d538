//! Assembling a machine from digests: what [`super::Restore`] does event by event, table by table.
//!
//! Decides nothing and believes nothing: what comes out has the hash of the hot state, taken anew
//! from every entry of every table, or is thrown away. What no hash covers, the index of orders by
//! user and the chain of receipts, is guarded by the checksum of whoever keeps the digests. Called
//! by `raft` at a restart.

use super::slot::Slot;
use super::{HotState, Machine, RestoreError};
use crate::digest::{Digest, Limited};
use crate::done::PastDone;
use crate::hash::Element;
use crate::paged::{Entry, Gathering};
use crate::past::Past;
use crate::receipt::Chain;
use crate::requests::Accepted;
use crate::{Bounds, Hold, HoldTally, Seq, Settlement, Sku};
use std::collections::BTreeMap;

/// A machine in the making: make it from the hot state, and add the digests of all events from 1.
#[derive(Debug)]
pub struct Assembly {
    machine: Machine,
    hot: HotState,
    chain: Chain,
    orders: Gathering<Accepted>,
    accounts: Gathering<i64>,
    done: Vec<PastDone>,
    done_forgotten: Seq,
    open: BTreeMap<Seq, Hold>,
    ended: Vec<(Seq, Settlement, u64)>,
    ended_forgotten: Seq,
    holds: HoldTally,
    limits: BTreeMap<Sku, Limited>,
    sold_out: BTreeMap<Sku, Option<Seq>>,
}

impl Assembly {
    /// The empty machine, waiting for the digest from event 1 on. There are about so many orders.
    pub fn towards(hot: HotState, orders: u64) -> Self {
        Self::with_bounds(hot, orders, Bounds::default())
    }

    /// The same, of a machine with other bounds.
    pub fn with_bounds(hot: HotState, orders: u64, bounds: Bounds) -> Self {
        let mut machine = Machine::with_bounds(bounds);
        machine.adopt(hot.rules);
        // As many accounts as orders at most, of products with a limit.
        let limited = hot.products.iter().any(|product| product.terms.per_user_limit.is_some());
        Self {
            machine,
            hot,
            chain: Chain::default(),
            orders: Gathering::of_about(orders),
            accounts: Gathering::of_about(if limited { orders } else { 0 }),
            done: Vec::new(),
            done_forgotten: Seq(0),
            open: BTreeMap::new(),
            ended: Vec::new(),
            ended_forgotten: Seq(0),
            holds: HoldTally::default(),
            limits: BTreeMap::new(),
            sold_out: BTreeMap::new(),
        }
    }

    /// The last event of the digests so far.
    pub fn seq(&self) -> Seq {
        self.chain.seq
    }

    /// Adds the next digest.
    ///
    /// # Errors
    /// `NotDense` when it is not the next; `Digest` when it cannot be one.
    pub fn add(&mut self, digest: Digest) -> Result<(), RestoreError> {
        if digest.before != self.chain {
            let (last, found) = (self.chain.seq, Seq(digest.before.seq.0 + 1));
            return Err(RestoreError::NotDense { last, found });
        }
        let orders = digest.orders.len();
        let counted = digest.after.orders.checked_sub(digest.before.orders);
        if counted != Some(orders as u64) || digest.users.len() != orders {
            return Err(RestoreError::Digest("its orders are not as many as it counts"));
        }
        for (request, accepted) in digest.orders() {
            self.orders.push(request, accepted);
        }
        self.machine.orders.add_digest(&digest);
        for (account, units) in digest.accounts {
            self.accounts.push(account, units);
        }
        for past in digest.done {
            if past.done.change <= self.hot.done_after {
                self.done_forgotten = past.done.change;
            } else {
                self.done.push(past);
            }
        }
        self.holds.made += digest.opened.len() as u64;
        // A hold that ended in a later digest than it was made in is open until then.
        for (hold, settlement, user) in digest.ended {
            self.holds.made += u64::from(hold > digest.before.seq);
            self.holds.end(settlement);
            self.open.remove(&hold);
            if settlement.seq() <= self.hot.settled_after {
                self.ended_forgotten = settlement.seq();
            } else {
                self.ended.push((hold, settlement, user));
            }
        }
        self.open.extend(digest.opened);
        for order in digest.cancelled {
            self.machine.sum.add(Element::cancelled(order));
            self.machine.cancelled.insert(order);
        }
        self.limits.extend(digest.limits);
        self.sold_out.extend(digest.sold_out);
        self.chain = digest.after;
        Ok(())
    }

    /// The complete machine.
    ///
    /// # Errors
    /// `EventCount`, `SecondOrder`, `SecondChange`, `Forgotten`, `StoredOutcome`, `Digest` or
    /// `HashDiffers` when the digests do not lead to the hot state.
    pub fn finish(mut self) -> Result<Machine, RestoreError> {
        if self.chain.seq != self.hot.seq {
            return Err(RestoreError::EventCount { hot: self.hot.seq, events: self.chain.seq });
        }
        self.put_products();
        let Self { mut machine, hot, .. } = self;
        machine.seq = hot.seq;
        machine.log_time_ms = hot.log_time_ms;
        machine.orders.end_digests();
        let sum = &mut machine.sum;
        let orders = self.orders.finish(|request, orders: &[Entry<Accepted>]| match orders {
            [Entry { value, .. }] => {
                sum.add(Element::order(request, value.order, value.body));
                Ok(Some(*value))
            }
            [first, second, ..] => {
                let (order, seq) = (first.value.order, second.value.order);
                Err(RestoreError::SecondOrder { seq, order })
            }
            [] => Ok(None),
        })?;
        machine.requests.set_orders(orders);
        let bought = self.accounts.finish(|account, shifts: &[Entry<i64>]| {
            let units: i64 = shifts.iter().map(|shift| shift.value).sum();
            match u64::try_from(units) {
                Ok(0) => Ok(None),
                Ok(units) => {
                    sum.add(Element::quota(account, units));
                    Ok(Some(units))
                }
                Err(_) => Err(RestoreError::Digest("an account gave back what it never had")),
            }
        })?;
        machine.quotas.set(bought);
        machine
            .holds
            .fill(self.open, self.ended, (self.ended_forgotten, self.holds), sum)
            .map_err(RestoreError::Digest)?;
        let past = Past { orders: Vec::new(), done: self.done, forgotten: self.done_forgotten };
        machine.complete(hot, past)
    }

    /// Takes the products of the hot state, with what the digests know of them besides.
    fn put_products(&mut self) {
        let machine = &mut self.machine;
        for product in std::mem::take(&mut self.hot.products) {
            let sku = product.terms.sku.clone();
            machine.windows.add(&product.terms);
            if product.available == 0 {
                machine.sold_out.insert(sku.clone());
            }
            let mut slot = Slot::new(product);
            slot.limit_since = self.limits.get(&sku).map_or(Seq(0), |limited| limited.since);
            slot.sold_out_since = self.sold_out.get(&sku).copied().flatten();
            machine.products.insert(sku.clone(), slot);
            machine.stale.push(sku);
        }
    }
}
