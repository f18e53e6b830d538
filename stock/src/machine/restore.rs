//! Snapshots of the machine: the hot state, and the fold that brings a machine back from it and
//! the events.
//!
//! Events carry the orders, so a snapshot need not: [`HotState`] is only what they do not carry.
//! [`Restore`] sends every event through the code that made it and holds the result against the
//! hot state, so a machine comes back as it was, or not at all. Never reads a file: `raft` feeds
//! the events, segment by segment.

use super::{Effect, Machine, Purchase, decide};
use crate::requests::{PastOrders, SecondOrder, StoredOutcome};
use crate::{Change, Event, Outcome, Product, Seq, Sku};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What the events do not carry of a machine's state, and what they must add up to.
///
/// Encoded into snapshots: the order of the fields is frozen. It has no version of its own; the
/// file around it has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HotState {
    /// The number of changes, and so of events, behind this state.
    pub seq: Seq,
    /// The machine's clock, in milliseconds since the Unix epoch.
    pub log_time_ms: u64,
    /// The hash of the whole state, orders included.
    pub state_hash: u128,
    /// All products, by id.
    pub products: Vec<Product>,
    /// The stored outcomes by request fingerprint, oldest first.
    pub(crate) stored: Vec<(u128, StoredOutcome)>,
}

/// Why a machine cannot be restored: the snapshot or a segment is damaged, or they do not belong
/// together. Nothing can be done but to get both anew from another node.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// An event is missing or comes twice.
    #[error("the event after {last} is {found}")]
    NotDense {
        /// The event before.
        last: Seq,
        /// The number that came instead of the next.
        found: Seq,
    },
    /// Log time goes back from one event to the next, or from the last to the hot state.
    #[error("log time goes back to {found_ms} after {last_ms} at event {seq}")]
    TimeGoesBack {
        /// The later of the two, or the `seq` of the hot state.
        seq: Seq,
        /// Log time before.
        last_ms: u64,
        /// Log time after.
        found_ms: u64,
    },
    /// An event is an order for a request id that has one.
    #[error("event {seq} has the request id of the order {order}")]
    SecondOrder {
        /// The event.
        seq: Seq,
        /// The first order.
        order: Seq,
    },
    /// An event records a change that the state before it refuses.
    #[error("event {seq} is refused by the state before it: {outcome:?}")]
    Refused {
        /// The event.
        seq: Seq,
        /// What the state answers.
        outcome: Outcome,
    },
    /// An event records other numbers than the change leads to.
    #[error("event {seq} says {recorded:?}, but the events before it lead to {derived:?}")]
    ChangeDiffers {
        /// The event.
        seq: Seq,
        /// What it says.
        recorded: Box<Change>,
        /// What it should say.
        derived: Box<Change>,
    },
    /// There are more or fewer events than the hot state has changes.
    #[error("the hot state is that after {hot} changes, but there are {events} events")]
    EventCount {
        /// The `seq` of the hot state.
        hot: Seq,
        /// The last event.
        events: Seq,
    },
    /// The hot state has a product otherwise than the events lead to, or lacks one.
    #[error("the hot state has the product {sku} as {hot:?}, but the events lead to {derived:?}")]
    ProductDiffers {
        /// The product.
        sku: Sku,
        /// As the hot state has it.
        hot: Option<Box<Product>>,
        /// As the events lead to it.
        derived: Option<Box<Product>>,
    },
    /// A stored outcome cannot be one.
    #[error("the stored outcome of the request {request:032x} is damaged: {problem}")]
    StoredOutcome {
        /// The fingerprint of its request id.
        request: u128,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// All parts look right, yet the whole has another hash.
    #[error("the state hash is {recomputed:032x}, but the hot state says {hot:032x}")]
    HashDiffers {
        /// Of the restored machine.
        recomputed: u128,
        /// As the hot state has it.
        hot: u128,
    },
}

/// A machine on its way back: feed it all events from 1, then the hot state.
#[derive(Debug, Default)]
pub struct Restore {
    /// The machine after the events so far, with an empty request table.
    machine: Machine,
    /// The orders for the request table. Sorted once, they make a denser tree in a third of the
    /// time of as many insertions.
    orders: PastOrders,
}

impl Machine {
    /// A copy of what the events do not carry. Costs time and memory with the number of products
    /// and stored outcomes, not of orders.
    pub fn hot_state(&self) -> HotState {
        HotState {
            seq: self.seq,
            log_time_ms: self.log_time_ms,
            state_hash: self.state_hash(),
            products: self.products().cloned().collect(),
            stored: self
                .requests
                .stored()
                .map(|(request, outcome)| (request, outcome.clone()))
                .collect(),
        }
    }

    /// Brings back the machine whose hot state this is, from all its events from the first to
    /// that of `hot.seq`.
    ///
    /// # Errors
    /// [`RestoreError`] when the events have a gap, could not have happened, or do not lead to
    /// the hot state.
    pub fn restore(
        hot: HotState,
        events: impl Iterator<Item = Event>,
    ) -> Result<Self, RestoreError> {
        let mut restore = Restore::new();
        for event in events {
            restore.event(&event)?;
        }
        restore.finish(hot)
    }
}

impl Restore {
    /// The empty machine, waiting for event 1.
    pub fn new() -> Self {
        Self::default()
    }

    /// The last event that it was fed; 0 before the first.
    pub fn seq(&self) -> Seq {
        self.machine.seq
    }

    /// Adds the next event.
    ///
    /// # Errors
    /// `NotDense`, `TimeGoesBack`, `Refused` or `ChangeDiffers` when it cannot be
    /// the next. The restore is of no use then.
    pub fn event(&mut self, event: &Event) -> Result<(), RestoreError> {
        let machine = &mut self.machine;
        let seq = event.seq;
        if machine.seq.0.checked_add(1) != Some(seq.0) {
            return Err(RestoreError::NotDense { last: machine.seq, found: seq });
        }
        machine.move_log_time(seq, event.at_ms)?;
        let effect = machine.effect_of(event)?;
        if let Change::Ordered(order) = &event.change {
            self.orders.push(order, seq);
        }
        let (_, derived) = machine.perform(effect);
        if derived == event.change {
            return Ok(());
        }
        let (recorded, derived) = (Box::new(event.change.clone()), Box::new(derived));
        Err(RestoreError::ChangeDiffers { seq, recorded, derived })
    }

    /// Adds the hot state: the machine is complete.
    ///
    /// # Errors
    /// `EventCount`, `TimeGoesBack`, `ProductDiffers`, `SecondOrder`, `StoredOutcome` or
    /// `HashDiffers` when the events do not lead to this hot state.
    pub fn finish(self, hot: HotState) -> Result<Machine, RestoreError> {
        let mut machine = self.machine;
        if machine.seq != hot.seq {
            return Err(RestoreError::EventCount { hot: hot.seq, events: machine.seq });
        }
        machine.move_log_time(hot.seq, hot.log_time_ms)?;
        machine.compare_products(hot.products)?;
        machine.requests.accept_all(self.orders, &mut machine.sum).map_err(
            |SecondOrder { first, second }| RestoreError::SecondOrder { seq: second, order: first },
        )?;
        for (request, outcome) in hot.stored {
            machine
                .requests
                .insert(request, outcome, &mut machine.sum)
                .map_err(|problem| RestoreError::StoredOutcome { request, problem })?;
        }
        machine.rehash_products();
        let recomputed = machine.state_hash();
        if recomputed != hot.state_hash {
            return Err(RestoreError::HashDiffers { recomputed, hot: hot.state_hash });
        }
        Ok(machine)
    }
}

impl Machine {
    fn move_log_time(&mut self, seq: Seq, found_ms: u64) -> Result<(), RestoreError> {
        if found_ms < self.log_time_ms {
            return Err(RestoreError::TimeGoesBack { seq, last_ms: self.log_time_ms, found_ms });
        }
        self.log_time_ms = found_ms;
        Ok(())
    }

    /// The change that an event records, if this state allows it.
    fn effect_of<'a>(&self, event: &'a Event) -> Result<Effect<'a>, RestoreError> {
        let seq = event.seq;
        let effect = match &event.change {
            Change::ProductCreated(terms) => {
                decide::create(self.product(&terms.sku), self.products.len(), terms)
                    .map(|()| Effect::Create(terms))
            }
            Change::Restocked { sku, quantity, .. } => {
                decide::restock(self.product(sku), *quantity)
                    .map(|()| Effect::Restock { sku, quantity: *quantity })
                    .map_err(Outcome::Refused)
            }
            Change::Ordered(order) => {
                decide::buy(self.product(&order.sku), &self.quotas, &order.user, order.quantity)
                    .map(|quota| Purchase {
                        sku: &order.sku,
                        user: &order.user,
                        request_id: &order.request_id,
                        quantity: order.quantity,
                        quota,
                    })
                    .map(Effect::Buy)
                    .map_err(Outcome::Refused)
            }
        };
        effect.map_err(|outcome| RestoreError::Refused { seq, outcome })
    }

    fn compare_products(&self, hot: Vec<Product>) -> Result<(), RestoreError> {
        let mut unmatched: BTreeMap<&Sku, &Product> =
            self.products().map(|product| (&product.terms.sku, product)).collect();
        for product in hot {
            let derived = unmatched.remove(&product.terms.sku);
            if derived != Some(&product) {
                return Err(RestoreError::ProductDiffers {
                    sku: product.terms.sku.clone(),
                    derived: derived.cloned().map(Box::new),
                    hot: Some(Box::new(product)),
                });
            }
        }
        match unmatched.pop_first() {
            None => Ok(()),
            Some((sku, derived)) => Err(RestoreError::ProductDiffers {
                sku: sku.clone(),
                hot: None,
                derived: Some(Box::new(derived.clone())),
            }),
        }
    }
}
