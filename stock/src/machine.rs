//! The machine: products, orders' identities and log time, changed by [`Machine::apply`] alone.
//!
//! # One decision
//! `Machine::decide` says what a command would do and changes nothing. Apply carries it out, peek
//! only tells it, so the two cannot differ: what peek refuses, apply at the same state refuses in
//! the same words. `Machine::perform` carries out a change, and restore sends the recorded events
//! through it again, so a restored machine was built by the code that built the first.
//!
//! # What is not here
//! No authorisation: a requester is only the scope of a request id. No clock: the leader stamps
//! batches. No orders: the caller keeps the events, the machine only their request ids.

mod assembly;
mod catalog;
mod count;
mod decide;
mod effect;
#[cfg(feature = "mutants")]
mod flipped_bit;
mod hot_state;
mod judge;
mod look;
mod perform;
mod restore;
mod restore_error;
mod slot;
mod windows;

pub use assembly::Assembly;
pub use hot_state::{HotCopy, HotState};
pub use restore::Restore;
pub use restore_error::RestoreError;

use crate::cursors::CursorTable;
use crate::hash::{Element, StateSum};
use crate::holds::HoldTable;
use crate::items::items_of;
use crate::keys::KeyTable;
use crate::order_index::OrderIndex;
use crate::quota::QuotaTable;
use crate::requests::{Accepted, Identity, RequestTable};
use crate::traces::Trace;
use crate::{
    Attempt, Batch, Bounds, Change, Envelope, Event, MARK_EVENTS, Outcome, Reply, Rules, Seq, Sku,
    Traces,
};
use catalog::Catalog;
use effect::{CursorEffect, Decision};
use std::collections::BTreeSet;
use windows::Windows;

/// The most products that a machine holds.
pub const MAX_PRODUCTS: usize = 1_000_000;

/// The most due holds that expire with one entry under [`Rules::Two`]: some milliseconds of apply.
/// The rest is due still, cannot be confirmed or released, and expires with the entries to come.
pub const EXPIRIES_PER_APPLY_MAX: usize = 2_048;

/// The most ended holds that one apply forgets; the rest stays a little longer.
const FORGOTTEN_PER_APPLY_MAX: usize = 10_000;
/// So many requests of a batch are looked for side by side: more than a processor waits for at
/// once, and few enough that what was read first is still in its nearest cache.
const READ_AHEAD: usize = 32;

/// What one batch did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// One reply for each command, in the order of the commands.
    pub replies: Vec<Reply>,
    /// One event for each change, in the order of `seq`.
    pub events: Vec<Event>,
    /// What was worked out of these events, for their digest.
    pub traces: Traces,
}

/// The stock as a deterministic state machine: equal batches in equal order give equal machines.
///
/// Invariants, asserted at each change with the values in the message:
/// - of each product, `available + held + sold == stocked`;
/// - `seq` counts the events, with no gap;
/// - a request id has at most one order, or else was done at most once, or else has at most one
///   stored outcome;
/// - no buy takes a user past a product's limit;
/// - log time never goes back.
///
/// A clone shares the products and what grows with the orders until one side changes it. It costs
/// time with the holds and what is stored, and a hundredth of a microsecond an order.
#[derive(Debug, Clone, Default)]
pub struct Machine {
    rules: Rules,
    bounds: Bounds,
    seq: Seq,
    log_time_ms: u64,
    products: Catalog,
    /// Products that changed since their hash in `sum` was taken; empty between batches.
    stale: Vec<Sku>,
    /// Of the events of the batch that is being applied.
    traces: Traces,
    windows: Windows,
    /// Products of which nothing is available.
    sold_out: BTreeSet<Sku>,
    requests: RequestTable,
    quotas: QuotaTable,
    holds: HoldTable,
    /// Orders that were taken back.
    cancelled: BTreeSet<Seq>,
    orders: OrderIndex,
    /// What products owe as counters, and which were deleted.
    keys: KeyTable,
    cursors: CursorTable,
    sum: StateSum,
}

impl Machine {
    /// The empty machine: `seq` 0, log time 0, [`Rules::One`].
    pub fn new() -> Self {
        Self::default()
    }

    /// The empty machine with other bounds, for tests of what is beyond them.
    pub fn with_bounds(bounds: Bounds) -> Self {
        Self { bounds, ..Self::default() }
    }

    /// Goes by these rules from the next apply on; by newer ones, if it did so before. Leaving
    /// [`Rules::One`] costs time with the number of ended holds and stored outcomes, once, and
    /// leaving [`Rules::Three`] with that of the stored outcomes.
    pub fn adopt(&mut self, rules: Rules) {
        if rules > self.rules {
            if self.rules > Rules::One {
                self.sum.remove(Element::rules(self.rules));
            }
            self.sum.add(Element::rules(rules));
            self.requests.adopt(rules, &mut self.sum);
            self.holds.adopt(rules, &mut self.sum);
            self.rules = rules;
        }
    }

    /// Applies one log entry; nothing else changes the machine.
    ///
    /// Log time moves to the batch's stamp, but never back. Then the holds whose deadline it has
    /// reached expire, by deadline and age, at most [`EXPIRIES_PER_APPLY_MAX`] of them (under
    /// [`Rules::One`] all). The commands follow in order, each seeing what those before it did. A
    /// command that would end a hold which is due, but has not had its turn, has it expire first.
    ///
    /// # Panics
    /// When an invariant of the machine is broken: the process must stop, for what it would answer
    /// next cannot be trusted.
    pub fn apply(&mut self, batch: &Batch) -> Applied {
        let seq_before = self.seq;
        self.log_time_ms = self.log_time_ms.max(batch.stamp_ms);
        let bounds = self.bounds.under(self.rules);
        self.requests.evict(self.log_time_ms, &bounds, &mut self.sum);
        self.holds.forget_beyond(bounds.settled, FORGOTTEN_PER_APPLY_MAX, &mut self.sum);
        // The caller proposes what it expects to change the state, so there is room for all.
        let mut events = Vec::with_capacity(batch.commands.len());
        self.expire_due(bounds.expiries, &mut events);
        let mut replies = Vec::with_capacity(batch.commands.len());
        let mut identities = Vec::with_capacity(READ_AHEAD.min(batch.commands.len()));
        for commands in batch.commands.chunks(READ_AHEAD) {
            identities.clear();
            identities.extend(commands.iter().map(Identity::of));
            self.requests.read_ahead(&identities);
            for (envelope, identity) in commands.iter().zip(&identities) {
                replies.push(self.execute(*identity, envelope, &mut events));
            }
        }
        self.rehash_products();
        assert!(
            self.seq.0 - seq_before.0 == events.len() as u64,
            "{} events took seq from {seq_before} to {}",
            events.len(),
            self.seq
        );
        Applied { replies, events, traces: std::mem::take(&mut self.traces) }
    }

    /// What a first attempt would be answered without changing anything, or `None` when it must
    /// be proposed.
    ///
    /// Answered are: a request id that is decided already, what the state refuses, and a product
    /// that exists on the same terms. A later attempt is answered only if its request id is
    /// decided; else its outcome, even a refusal, must go through the log to be stored.
    pub fn peek(&self, envelope: &Envelope) -> Option<Reply> {
        match (self.decide(Identity::of(envelope), envelope), envelope.attempt) {
            (Decision::Known(reply), Attempt::First | Attempt::Later) => Some(reply),
            (Decision::Unchanged(outcome), Attempt::First) => Some(self.reply(outcome)),
            (Decision::Unchanged(_), Attempt::Later)
            | (
                Decision::Change(_) | Decision::Overdue(_) | Decision::Key(_) | Decision::Cursor(_),
                _,
            ) => None,
        }
    }

    fn reply(&self, outcome: Outcome) -> Reply {
        Reply { seq: self.seq, replayed: false, outcome }
    }

    /// Ends holds whose deadline log time has reached, by deadline and age.
    fn expire_due(&mut self, max: usize, events: &mut Vec<Event>) {
        for _ in 0..max {
            match self.holds.first_deadline() {
                Some((at_ms, hold)) if at_ms <= self.log_time_ms => {
                    let change = self.expire(hold);
                    self.emit(change, None, events);
                }
                Some(_) | None => return,
            }
        }
    }

    fn execute(
        &mut self,
        identity: Identity,
        envelope: &Envelope,
        events: &mut Vec<Event>,
    ) -> Reply {
        match self.decide(identity, envelope) {
            Decision::Known(reply) => reply,
            Decision::Overdue(hold) => {
                let change = self.expire(hold);
                self.emit(change, None, events);
                self.execute(identity, envelope, events)
            }
            Decision::Unchanged(outcome) => {
                let reply = self.reply(outcome);
                match envelope.attempt {
                    Attempt::First => {}
                    Attempt::Later => self.store(identity, &reply),
                }
                reply
            }
            Decision::Change(effect) => {
                let (outcome, change) = self.perform(effect);
                let reply = self.reply(outcome);
                let accepted = self.record(identity, &reply, &change);
                self.emit(change, accepted.map(|order| (identity.request, order)), events);
                reply
            }
            Decision::Key(effect) => {
                let (outcome, change) = self.perform_key(effect);
                let reply = self.reply(outcome);
                self.store(identity, &reply);
                if let Some(change) = change {
                    self.emit(change, None, events);
                }
                reply
            }
            Decision::Cursor(effect) => self.change_cursor(identity, &effect),
        }
    }

    /// The cursor knows the request that moved it last; what made or removed one must be known
    /// when it is gone, or a late copy would do it again.
    fn change_cursor(&mut self, identity: Identity, effect: &CursorEffect<'_>) -> Reply {
        let sum = &mut self.sum;
        let (outcome, is_stored) = match *effect {
            CursorEffect::Make { name, cursor, target } => {
                self.cursors.set(name, cursor, target, sum);
                let outcome = Outcome::CursorMoved { position: cursor.position };
                (outcome, self.rules >= Rules::Four)
            }
            CursorEffect::Move { name, cursor, target } => {
                self.cursors.set(name, cursor, target, sum);
                (Outcome::CursorMoved { position: cursor.position }, false)
            }
            CursorEffect::Remove { name, position } => {
                self.cursors.remove(name, sum);
                (Outcome::CursorRemoved { position }, true)
            }
        };
        let reply = self.reply(outcome);
        if is_stored {
            self.store(identity, &reply);
        }
        reply
    }

    /// Hands out the event of the change that was just made, and of an order the request.
    fn emit(&mut self, change: Change, order: Option<(u128, Accepted)>, events: &mut Vec<Event>) {
        let event = Event { seq: self.seq, at_ms: self.log_time_ms, change };
        let user = self.orders.note(&event);
        assert!(user.is_some() == order.is_some(), "{event:?} is accepted as {order:?}");
        if let Some((user, (request, accepted))) = user.zip(order) {
            self.traces.note_order(Trace { request, accepted, user });
        }
        if event.seq.0.is_multiple_of(MARK_EVENTS) {
            self.traces.note_mark(self.orders.newest());
        }
        events.push(event);
    }

    /// Remembers what a request became; of an order, as what.
    fn record(&mut self, identity: Identity, reply: &Reply, change: &Change) -> Option<Accepted> {
        match change {
            Change::Ordered(_) | Change::Counted { .. } | Change::BasketOrdered { .. } => {
                return Some(self.requests.accept(identity, reply.seq, None, &mut self.sum));
            }
            Change::Confirmed { lines, .. } => {
                let items = items_of(lines).unwrap_or_else(|why| panic!("{change:?}: {why}"));
                return Some(self.requests.accept(
                    identity,
                    reply.seq,
                    Some(&items),
                    &mut self.sum,
                ));
            }
            Change::ProductCreated(_)
            | Change::Restocked { .. }
            | Change::ProductUpdated(_)
            | Change::Held { .. }
            | Change::Released { .. }
            | Change::Expired { .. }
            | Change::Cancelled { .. } => self.store(identity, reply),
            Change::HeldFor { .. } | Change::ReleasedFor { .. } | Change::CancelledFor { .. } => {
                self.requests.done(identity, self.log_time_ms, reply.seq, &mut self.sum);
            }
        }
        None
    }

    fn store(&mut self, identity: Identity, reply: &Reply) {
        self.requests.store(identity, self.log_time_ms, reply, &mut self.sum);
    }
}
