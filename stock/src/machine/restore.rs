//! Snapshots of the machine: the hot state, and the fold that brings a machine back from it and
//! the events.
//!
//! Events carry the orders, so a snapshot need not: [`HotState`] is only what they do not carry.
//! [`Restore`] sends every event through the code that made it and holds the result against the
//! hot state, so a machine comes back as it was, or not at all. Never reads a file: `raft` feeds
//! the events, segment by segment.

use super::{Effect, Machine, Purchase, decide};
use crate::items::items_of;
use crate::requests::{PastOrders, SecondOrder, StoredOutcome};
use crate::{Change, Event, Line, Outcome, Product, Refusal, Seq, Sku, Terms};
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
    /// A hold was due to expire before an event, or before the hot state.
    #[error("hold {hold} is due before event {seq}, but has not expired")]
    Overdue {
        /// The event, or the `seq` of the hot state.
        seq: Seq,
        /// The hold.
        hold: Seq,
    },
    /// An event lets a hold expire that is not the next to.
    #[error("event {seq} lets hold {hold} expire, which is not the first that is due")]
    NotDue {
        /// The event.
        seq: Seq,
        /// The hold.
        hold: Seq,
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
        let derived = if let Some(hold) = machine.due_hold(event)? {
            machine.expire(hold)
        } else {
            let effect = machine.effect_of(event)?;
            self.orders.push(seq, &event.change);
            machine.perform(effect).1
        };
        if derived == event.change {
            machine.orders.note(event);
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
        machine.check_nothing_due(hot.seq)?;
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

    /// A seeded bug: the machine with an empty request table, its hash unchecked.
    #[cfg(feature = "mutants")]
    pub fn finish_without_requests(self, hot: &HotState) -> Machine {
        let mut machine = self.machine;
        machine.log_time_ms = hot.log_time_ms;
        machine.rehash_products();
        machine
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

    fn check_nothing_due(&self, seq: Seq) -> Result<(), RestoreError> {
        match self.holds.first_deadline() {
            Some((at_ms, hold)) if at_ms <= self.log_time_ms => {
                Err(RestoreError::Overdue { seq, hold })
            }
            _ => Ok(()),
        }
    }

    /// The hold that the event ends by expiry. Holds expire as soon as they are due, in order, so
    /// it is the first that is due, and before any other event none is.
    fn due_hold(&self, event: &Event) -> Result<Option<Seq>, RestoreError> {
        let Change::Expired { hold, .. } = event.change else {
            self.check_nothing_due(event.seq)?;
            return Ok(None);
        };
        match self.holds.first_deadline() {
            Some((at_ms, due)) if due == hold && at_ms <= self.log_time_ms => Ok(Some(hold)),
            _ => Err(RestoreError::NotDue { seq: event.seq, hold }),
        }
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
            Change::ProductUpdated(terms) => decide::updated(self.product(&terms.sku), terms)
                .map(|()| Effect::Update(Terms::clone(terms)))
                .map_err(Outcome::Refused),
            Change::Ordered(order) => {
                let wanted = (&order.user, order.quantity);
                decide::buy(self.products.get(&order.sku), &self.quotas, wanted, event.at_ms)
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
            change => self.effect_on_lines(change).map_err(Outcome::Refused),
        };
        effect.map_err(|outcome| RestoreError::Refused { seq, outcome })
    }

    /// The same for what concerns holds, baskets and cancelled orders.
    fn effect_on_lines<'a>(&self, change: &'a Change) -> Result<Effect<'a>, Refusal> {
        // No command can have named such items.
        let items = |lines: &[Line]| items_of(lines).map_err(|_| Refusal::UnknownProduct);
        match change {
            Change::Held { user, request_id, expires_at_ms, lines } => {
                let claim = self.claim(user, request_id, &items(lines)?)?;
                Ok(Effect::Hold { claim, expires_at_ms: *expires_at_ms })
            }
            Change::BasketOrdered { user, request_id, lines } => {
                self.claim(user, request_id, &items(lines)?).map(Effect::Basket)
            }
            Change::Confirmed { hold, user, request_id, .. } => {
                decide::settle(self.holds.get(*hold), Some(user))?;
                Ok(Effect::Confirm { hold: *hold, request_id })
            }
            Change::Released { hold, user, .. } => {
                decide::settle(self.holds.get(*hold), Some(user))?;
                Ok(Effect::Release { hold: *hold })
            }
            Change::Cancelled { order, user, hold, lines } => {
                let items = items(lines)?;
                let taken = hold.unwrap_or(*order);
                decide::cancelled(&self.products, &self.quotas, (user, &items), taken)?;
                if self.cancelled.contains(order) {
                    return Err(Refusal::AlreadyCancelled);
                }
                Ok(Effect::Cancel { order: *order, user: user.clone(), items, hold: *hold })
            }
            Change::ProductCreated(_)
            | Change::Restocked { .. }
            | Change::Ordered(_)
            | Change::ProductUpdated(_)
            | Change::Expired { .. } => panic!("{change:?} has no items, or no command"),
        }
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
