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

mod decide;
#[cfg(feature = "mutants")]
mod flipped_bit;
mod look;
mod perform;
mod restore;
mod slot;
mod windows;

pub use restore::{HotState, Restore, RestoreError};

use crate::hash::StateSum;
use crate::holds::HoldTable;
use crate::items::items_of;
use crate::order_index::OrderIndex;
use crate::quota::{Quota, QuotaTable};
use crate::requests::{Identity, RequestTable};
use crate::{
    Attempt, Batch, Cancel, Change, Command, Envelope, Event, HoldTtl, Item, Items, OPEN_HOLDS_MAX,
    Outcome, Quantity, Refusal, Reply, RequestId, Requester, Seq, Sku, Terms, USER_HOLDS_MAX,
    UserId,
};
use slot::Slot;
use std::collections::{BTreeMap, BTreeSet};
use windows::Windows;

/// The most products that a machine holds.
pub const MAX_PRODUCTS: usize = 1_000_000;

/// What one batch did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// One reply for each command, in the order of the commands.
    pub replies: Vec<Reply>,
    /// One event for each change, in the order of `seq`.
    pub events: Vec<Event>,
}

/// The stock as a deterministic state machine: equal batches in equal order give equal machines.
///
/// Invariants, asserted at each change with the values in the message:
/// - of each product, `available + held + sold == stocked`;
/// - `seq` counts the events, with no gap;
/// - a request id has at most one order, or else at most one stored outcome;
/// - no buy takes a user past a product's limit;
/// - log time never goes back.
#[derive(Debug, Default)]
pub struct Machine {
    seq: Seq,
    log_time_ms: u64,
    products: BTreeMap<Sku, Slot>,
    /// Products that changed since their hash in `sum` was taken; empty between batches.
    stale: Vec<Sku>,
    windows: Windows,
    requests: RequestTable,
    quotas: QuotaTable,
    holds: HoldTable,
    /// Orders that were taken back.
    cancelled: BTreeSet<Seq>,
    orders: OrderIndex,
    sum: StateSum,
}

/// What the state says to a command.
enum Decision<'a> {
    /// An earlier attempt decided the request id.
    Known(Reply),
    /// The state answers without a change.
    Unchanged(Outcome),
    /// The command changes the state.
    Change(Effect<'a>),
}

/// A change that the state allows.
enum Effect<'a> {
    Create(&'a Terms),
    Update(Terms),
    Restock { sku: &'a Sku, quantity: i64 },
    Buy(Purchase<'a>),
    Basket(Claim<'a>),
    Hold { claim: Claim<'a>, expires_at_ms: u64 },
    Confirm { hold: Seq, request_id: &'a RequestId },
    Release { hold: Seq },
    Cancel { order: Seq, user: UserId, items: Items, hold: Option<Seq> },
}

/// Units of one or several products that the state lets a user have.
struct Claim<'a> {
    user: &'a UserId,
    request_id: &'a RequestId,
    items: Items,
    /// The account to charge for each item, when its product has a limit.
    quotas: Vec<Option<Quota>>,
}

/// A buy that the state allows.
struct Purchase<'a> {
    sku: &'a Sku,
    user: &'a UserId,
    request_id: &'a RequestId,
    quantity: Quantity,
    /// The account to charge, when the product has a limit.
    quota: Option<Quota>,
}

impl Machine {
    /// The empty machine: `seq` 0, log time 0.
    pub fn new() -> Self {
        Self::default()
    }

    /// Applies one log entry; nothing else changes the machine.
    ///
    /// Log time moves to the batch's stamp, but never back. Then every hold whose deadline it has
    /// reached expires, by deadline and age, however many there are. The commands follow in order,
    /// each seeing what those before it did.
    ///
    /// # Panics
    /// When an invariant of the machine is broken: the process must stop, for what it would answer
    /// next cannot be trusted.
    pub fn apply(&mut self, batch: &Batch) -> Applied {
        let seq_before = self.seq;
        self.log_time_ms = self.log_time_ms.max(batch.stamp_ms);
        self.requests.evict(self.log_time_ms, &mut self.sum);
        // The caller proposes what it expects to change the state, so there is room for all.
        let mut events = Vec::with_capacity(batch.commands.len());
        self.expire_due(&mut events);
        let replies =
            batch.commands.iter().map(|envelope| self.execute(envelope, &mut events)).collect();
        self.rehash_products();
        assert!(
            self.seq.0 - seq_before.0 == events.len() as u64,
            "{} events took seq from {seq_before} to {}",
            events.len(),
            self.seq
        );
        Applied { replies, events }
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
            (Decision::Unchanged(_), Attempt::Later) | (Decision::Change(_), _) => None,
        }
    }

    fn reply(&self, outcome: Outcome) -> Reply {
        Reply { seq: self.seq, replayed: false, outcome }
    }

    /// The one decision behind apply and peek.
    fn decide<'a>(&self, identity: Identity, envelope: &'a Envelope) -> Decision<'a> {
        if let Some(reply) = self.requests.find(identity, self.seq) {
            return Decision::Known(reply);
        }
        let effect = match (&envelope.command, &envelope.requester) {
            (Command::CreateProduct(terms), _) => {
                decide::create(self.product(&terms.sku), self.products.len(), terms)
                    .map(|()| Effect::Create(terms))
            }
            (Command::Restock { sku, quantity }, _) => {
                decide::restock(self.product(sku), *quantity)
                    .map(|()| Effect::Restock { sku, quantity: *quantity })
                    .map_err(Outcome::Refused)
            }
            (Command::UpdateProduct(update), _) => {
                decide::update(self.product(&update.sku), update).map(Effect::Update)
            }
            (Command::Buy { sku, quantity }, Requester::User(user)) => {
                let (quantity, request_id) = (*quantity, &envelope.request_id);
                decide::buy(
                    self.products.get(sku),
                    &self.quotas,
                    (user, quantity),
                    self.log_time_ms,
                )
                .map(|quota| Purchase { sku, user, request_id, quantity, quota })
                .map(Effect::Buy)
                .map_err(Outcome::Refused)
            }
            (Command::BuyBasket { items }, Requester::User(user)) => self
                .claim(user, &envelope.request_id, items)
                .map(Effect::Basket)
                .map_err(Outcome::Refused),
            (Command::Hold { items, ttl }, Requester::User(user)) => self
                .claim(user, &envelope.request_id, items)
                .and_then(|claim| self.decide_hold(claim, *ttl))
                .map_err(Outcome::Refused),
            (Command::Confirm { hold }, Requester::User(user)) => {
                let request_id = &envelope.request_id;
                decide::settle(self.holds.get(*hold), Some(user))
                    .map(|()| Effect::Confirm { hold: *hold, request_id })
                    .map_err(Outcome::Refused)
            }
            (Command::Release { hold }, requester) => {
                decide::settle(self.holds.get(*hold), user_of(requester))
                    .map(|()| Effect::Release { hold: *hold })
                    .map_err(Outcome::Refused)
            }
            (Command::Cancel(cancel), requester) => {
                self.decide_cancel(cancel, user_of(requester)).map_err(Outcome::Refused)
            }
            // No front sends these. Nothing is on sale to an operator, whose order would have no
            // buyer; a panic here would stop every node at the same entry.
            (
                Command::Buy { .. } | Command::BuyBasket { .. } | Command::Hold { .. },
                Requester::Operator,
            ) => Err(Outcome::Refused(Refusal::UnknownProduct)),
            (Command::Confirm { .. }, Requester::Operator) => {
                Err(Outcome::Refused(Refusal::UnknownHold))
            }
        };
        match effect {
            Ok(effect) => Decision::Change(effect),
            Err(outcome) => Decision::Unchanged(outcome),
        }
    }

    /// Whether a user can have all of these items.
    fn claim<'a>(
        &self,
        user: &'a UserId,
        request_id: &'a RequestId,
        items: &Items,
    ) -> Result<Claim<'a>, Refusal> {
        let several = items.as_slice().len() > 1;
        let quota = |Item { sku, quantity }: &Item| {
            let wanted = (user, *quantity);
            decide::buy(self.products.get(sku), &self.quotas, wanted, self.log_time_ms).map_err(
                |refusal| {
                    if several {
                        Refusal::OfItem { sku: sku.clone(), refusal: Box::new(refusal) }
                    } else {
                        refusal
                    }
                },
            )
        };
        let quotas = items.as_slice().iter().map(quota).collect::<Result<_, _>>()?;
        Ok(Claim { user, request_id, items: items.clone(), quotas })
    }

    fn decide_hold<'a>(
        &self,
        claim: Claim<'a>,
        ttl: Option<HoldTtl>,
    ) -> Result<Effect<'a>, Refusal> {
        if self.holds.open_of(claim.user).len() >= USER_HOLDS_MAX {
            return Err(Refusal::TooManyUserHolds);
        }
        if self.holds.open().len() >= OPEN_HOLDS_MAX {
            return Err(Refusal::TooManyHolds);
        }
        let products = claim.items.as_slice().iter().filter_map(|item| self.product(&item.sku));
        let shortest = products.map(|product| product.terms.hold_ttl).min();
        let ttl = ttl.or(shortest).unwrap_or_default();
        let expires_at_ms = self.log_time_ms.saturating_add(ttl.ms());
        Ok(Effect::Hold { claim, expires_at_ms })
    }

    fn decide_cancel<'a>(
        &self,
        cancel: &Cancel,
        by: Option<&UserId>,
    ) -> Result<Effect<'a>, Refusal> {
        let Cancel { order, user, items, hold, .. } = cancel;
        if by.is_some_and(|by| by != user) || !self.requests.has_order(cancel) {
            return Err(Refusal::UnknownOrder);
        }
        if self.cancelled.contains(order) {
            return Err(Refusal::AlreadyCancelled);
        }
        let (user, items) = (user.clone(), items.clone());
        Ok(Effect::Cancel { order: *order, user, items, hold: *hold })
    }

    /// Ends every hold whose deadline log time has reached.
    fn expire_due(&mut self, events: &mut Vec<Event>) {
        while let Some((at_ms, hold)) = self.holds.first_deadline()
            && at_ms <= self.log_time_ms
        {
            let change = self.expire(hold);
            self.emit(change, events);
        }
    }

    fn execute(&mut self, envelope: &Envelope, events: &mut Vec<Event>) -> Reply {
        let identity = Identity::of(envelope);
        match self.decide(identity, envelope) {
            Decision::Known(reply) => reply,
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
                self.record(identity, &reply, &change);
                self.emit(change, events);
                reply
            }
        }
    }

    /// Hands out the event of the change that was just made.
    fn emit(&mut self, change: Change, events: &mut Vec<Event>) {
        let event = Event { seq: self.seq, at_ms: self.log_time_ms, change };
        self.orders.note(&event);
        events.push(event);
    }

    /// Remembers what a request became.
    fn record(&mut self, identity: Identity, reply: &Reply, change: &Change) {
        match change {
            Change::Ordered(_) | Change::BasketOrdered { .. } => {
                self.requests.accept(identity, reply.seq, None, &mut self.sum);
            }
            Change::Confirmed { lines, .. } => {
                let items = items_of(lines).unwrap_or_else(|why| panic!("{change:?}: {why}"));
                self.requests.accept(identity, reply.seq, Some(&items), &mut self.sum);
            }
            Change::ProductCreated(_)
            | Change::Restocked { .. }
            | Change::ProductUpdated(_)
            | Change::Held { .. }
            | Change::Released { .. }
            | Change::Expired { .. }
            | Change::Cancelled { .. } => self.store(identity, reply),
        }
    }

    fn store(&mut self, identity: Identity, reply: &Reply) {
        self.requests.store(identity, self.log_time_ms, reply, &mut self.sum);
    }
}

/// The user who asks; none for an operator, who may ask in anybody's name.
fn user_of(requester: &Requester) -> Option<&UserId> {
    match requester {
        Requester::Operator => None,
        Requester::User(user) => Some(user),
    }
}
