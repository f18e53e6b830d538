//! The fold that brings a machine back from its hot state and the events.
//!
//! [`Restore`] sends every event through the code that made it and holds the result against the
//! hot state, so a machine comes back as it was, or not at all. It may begin with a machine that
//! has come a part of the way: then only the events since are needed. Never reads a file: `raft`
//! feeds the events, segment by segment.

use super::effect::{Again, Asked, AskedTtl, Effect, Owed, Purchase};
use super::restore_error::RestoreError;
use super::{HotState, Machine, decide};
use crate::items::items_of;
use crate::past::Past;
use crate::requests::Contradiction;
#[cfg(feature = "mutants")]
use crate::requests::RequestTable;
use crate::stored::Share;
use crate::{
    Bounds, Change, Event, Items, Line, Order, Outcome, Product, Refusal, Rules, Seq, Sku, Terms,
    UserId,
};
use std::collections::BTreeMap;

/// A machine on its way back: make it from the hot state, and feed it all events after
/// [`Restore::seq`].
#[derive(Debug)]
pub struct Restore {
    /// The machine after the events so far, its request table as it was before them and without
    /// stored outcomes.
    machine: Machine,
    /// What they say of request ids.
    past: Past,
    hot: HotState,
}

impl Machine {
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
        let mut restore = Restore::towards(hot);
        for event in events {
            restore.event(&event)?;
        }
        restore.finish()
    }
}

impl Restore {
    /// The empty machine, waiting for event 1.
    pub fn towards(hot: HotState) -> Self {
        Self::with_bounds(hot, Bounds::default())
    }

    /// The same, of a machine with other bounds.
    pub fn with_bounds(hot: HotState, bounds: Bounds) -> Self {
        let mut machine = Machine::with_bounds(bounds);
        machine.adopt(hot.rules);
        Self { machine, past: Past::default(), hot }
    }

    /// A machine that has come a part of the way, waiting for the event after its last.
    ///
    /// Whether it is of the same history shows in the end: the state hash is of all of it.
    ///
    /// # Errors
    /// `NotOnTheWay` when it is further already, or goes by other rules.
    pub fn from_earlier(machine: Machine, hot: HotState) -> Result<Self, RestoreError> {
        if machine.seq > hot.seq || machine.rules != hot.rules {
            let (earlier, hot) = ((machine.seq, machine.rules), (hot.seq, hot.rules));
            return Err(RestoreError::NotOnTheWay { earlier, hot });
        }
        let mut machine = machine;
        machine.requests.clear_stored(&mut machine.sum);
        Ok(Self { machine, past: Past::default(), hot })
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
            self.past.note(event, self.hot.done_after);
            machine.perform(effect).1
        };
        machine.holds.forget_up_to(self.hot.settled_after, &mut machine.sum);
        if derived == event.change {
            machine.orders.note(event);
            return Ok(());
        }
        let (recorded, derived) = (Box::new(event.change.clone()), Box::new(derived));
        Err(RestoreError::ChangeDiffers { seq, recorded, derived })
    }

    /// The complete machine.
    ///
    /// # Errors
    /// `EventCount`, `TimeGoesBack`, `ProductDiffers`, `SecondOrder`, `SecondChange`,
    /// `StoredOutcome`, `Forgotten` or `HashDiffers` when the events do not lead to the hot state.
    pub fn finish(self) -> Result<Machine, RestoreError> {
        let Self { mut machine, past, hot } = self;
        if machine.seq != hot.seq {
            return Err(RestoreError::EventCount { hot: hot.seq, events: machine.seq });
        }
        machine.move_log_time(hot.seq, hot.log_time_ms)?;
        machine.check_nothing_due(hot.seq)?;
        machine.compare_products(&hot.products)?;
        // Each apply forgets a few, one without a change too; so no event may have led here.
        machine.holds.forget_up_to(hot.settled_after, &mut machine.sum);
        machine.complete(hot, past)
    }

    /// A seeded bug: the machine with an empty request table, its hash unchecked.
    #[cfg(feature = "mutants")]
    pub fn finish_without_requests(self) -> Machine {
        let mut machine = self.machine;
        machine.requests = RequestTable::default();
        machine.log_time_ms = self.hot.log_time_ms;
        machine.rehash_products();
        machine
    }
}

impl Machine {
    /// Adds the requests of the past and the stored outcomes, and checks the whole.
    pub(super) fn complete(mut self, hot: HotState, past: Past) -> Result<Self, RestoreError> {
        let filled = self.requests.add_past(past, hot.done_after, &mut self.sum);
        filled.map_err(|problem| match problem {
            Contradiction::SecondOrder { first, second } => {
                RestoreError::SecondOrder { seq: second, order: first }
            }
            Contradiction::SecondChange(seq) => RestoreError::SecondChange { seq },
        })?;
        for (hot, events) in [
            (hot.done_after, self.requests.done_after()),
            (hot.settled_after, self.holds.forgotten()),
        ] {
            if hot != events {
                return Err(RestoreError::Forgotten { hot, events });
            }
        }
        for (share, stored) in [
            (Share::Operators, hot.operator_stored),
            (Share::Counters, hot.counter_stored),
            (Share::Users, hot.stored),
        ] {
            for (request, outcome) in stored {
                self.requests
                    .insert((request, share), outcome, &mut self.sum)
                    .map_err(|problem| RestoreError::StoredOutcome { request, problem })?;
            }
        }
        self.keys.replace(hot.keys, &mut self.sum);
        self.cursors.replace(hot.cursors, hot.cursor_targets, &mut self.sum);
        self.rehash_products();
        let recomputed = self.state_hash();
        if recomputed != hot.state_hash {
            return Err(RestoreError::HashDiffers { recomputed, hot: hot.state_hash });
        }
        Ok(self)
    }

    fn move_log_time(&mut self, seq: Seq, found_ms: u64) -> Result<(), RestoreError> {
        if found_ms < self.log_time_ms {
            return Err(RestoreError::TimeGoesBack { seq, last_ms: self.log_time_ms, found_ms });
        }
        self.log_time_ms = found_ms;
        Ok(())
    }

    /// From [`Rules::Two`] on a hold may be due for a while; only it must not end otherwise.
    fn check_nothing_due(&self, seq: Seq) -> Result<(), RestoreError> {
        match self.holds.first_deadline() {
            Some((at_ms, hold)) if self.rules == Rules::One && at_ms <= self.log_time_ms => {
                Err(RestoreError::Overdue { seq, hold })
            }
            _ => Ok(()),
        }
    }

    /// The hold that the event ends by expiry. Under [`Rules::One`] holds expire as soon as they
    /// are due, in order, so it is the first that is due, and before any other event none is.
    fn due_hold(&self, event: &Event) -> Result<Option<Seq>, RestoreError> {
        let Change::Expired { hold, .. } = event.change else {
            self.check_nothing_due(event.seq)?;
            return Ok(None);
        };
        let first = self.holds.first_deadline();
        let has_turn = self.rules > Rules::One || first.is_some_and(|(_, due)| due == hold);
        if has_turn && self.holds.is_overdue(hold, self.log_time_ms) {
            Ok(Some(hold))
        } else {
            Err(RestoreError::NotDue { seq: event.seq, hold })
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
                self.buy_of(order, Owed::Nothing, event.at_ms).map_err(Outcome::Refused)
            }
            Change::Counted { order, owed } => {
                self.buy_of(order, Owed::Recorded(*owed), event.at_ms).map_err(Outcome::Refused)
            }
            change => self.effect_on_lines(seq, change).map_err(Outcome::Refused),
        };
        effect.map_err(|outcome| RestoreError::Refused { seq, outcome })
    }

    /// A buy of one product, perhaps by a counter.
    fn buy_of<'a>(&self, order: &'a Order, owed: Owed, at_ms: u64) -> Result<Effect<'a>, Refusal> {
        let Order { sku, user, request_id, quantity, remaining: _ } = order;
        let wanted = (user, *quantity);
        decide::buy(self.products.get(sku), &self.quotas, wanted, at_ms)
            .map(|quota| Purchase { sku, user, request_id, quantity: *quantity, quota, owed })
            .map(Effect::Buy)
    }

    /// The same for what concerns holds, baskets and cancelled orders.
    fn effect_on_lines<'a>(&self, at: Seq, change: &'a Change) -> Result<Effect<'a>, Refusal> {
        // No command can have named such items.
        let items = |lines: &[Line]| items_of(lines).map_err(|_| Refusal::UnknownProduct);
        match change {
            Change::Held { user, request_id, expires_at_ms, lines } => {
                let claim = self.claim(user, request_id, &items(lines)?)?;
                Ok(Effect::Hold { claim, expires_at_ms: *expires_at_ms, asked: None })
            }
            Change::HeldFor { user, request_id, ttl, expires_at_ms, lines } => {
                let claim = self.claim(user, request_id, &items(lines)?)?;
                let asked = Some(AskedTtl(*ttl));
                Ok(Effect::Hold { claim, expires_at_ms: *expires_at_ms, asked })
            }
            Change::BasketOrdered { user, request_id, lines } => {
                self.claim(user, request_id, &items(lines)?).map(Effect::Basket)
            }
            Change::Confirmed { hold, user, request_id, .. } => {
                self.check_settled(*hold, user, at)?;
                Ok(Effect::Confirm { hold: *hold, request_id })
            }
            Change::Released { hold, user, .. } => {
                self.check_settled(*hold, user, at)?;
                Ok(Effect::Release { hold: *hold, asked: None })
            }
            Change::ReleasedFor { hold, user, by, request_id, .. } => {
                self.check_settled(*hold, user, at)?;
                let asked = Some(Asked { by: *by, request_id });
                Ok(Effect::Release { hold: *hold, asked })
            }
            Change::Cancelled { order, user, hold, lines } => {
                let items = items(lines)?;
                self.check_cancelled((*order, *hold), user, &items)?;
                let (order, user, hold) = (*order, user.clone(), *hold);
                Ok(Effect::Cancel { order, user, items, hold, asked: None })
            }
            Change::CancelledFor { order, user, hold, ordered_as, by, request_id, lines } => {
                let items = items(lines)?;
                self.check_cancelled((*order, *hold), user, &items)?;
                let (order, user, hold) = (*order, user.clone(), *hold);
                let asked = Some(Again { asked: Asked { by: *by, request_id }, ordered_as });
                Ok(Effect::Cancel { order, user, items, hold, asked })
            }
            Change::ProductCreated(_)
            | Change::Restocked { .. }
            | Change::Ordered(_)
            | Change::Counted { .. }
            | Change::ProductUpdated(_)
            | Change::Expired { .. } => panic!("{change:?} has no items, or no command"),
        }
    }

    /// Whether a hold can have ended by a request, with the change `at`.
    fn check_settled(&self, hold: Seq, user: &UserId, at: Seq) -> Result<(), Refusal> {
        if self.holds.is_overdue(hold, self.log_time_ms) {
            return Err(Refusal::HoldExpired { seq: at });
        }
        decide::settle(self.holds.get(hold), Some(user))
    }

    /// Whether an order, made from a hold or not, can have been taken back with these items.
    fn check_cancelled(
        &self,
        (order, hold): (Seq, Option<Seq>),
        user: &UserId,
        items: &Items,
    ) -> Result<(), Refusal> {
        let taken = hold.unwrap_or(order);
        decide::cancelled(&self.products, &self.quotas, (user, items), taken)?;
        if self.cancelled.contains(&order) {
            return Err(Refusal::AlreadyCancelled);
        }
        Ok(())
    }

    fn compare_products(&self, hot: &[Product]) -> Result<(), RestoreError> {
        let mut unmatched: BTreeMap<&Sku, &Product> =
            self.products().map(|product| (&product.terms.sku, product)).collect();
        for product in hot {
            let derived = unmatched.remove(&product.terms.sku);
            if derived != Some(product) {
                return Err(RestoreError::ProductDiffers {
                    sku: product.terms.sku.clone(),
                    derived: derived.cloned().map(Box::new),
                    hot: Some(Box::new(product.clone())),
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
