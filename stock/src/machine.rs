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
mod restore;

pub use restore::{HotState, Restore, RestoreError};

use crate::hash::{Element, StateSum};
use crate::quota::{Quota, QuotaTable};
use crate::requests::{Identity, RequestTable};
use crate::{
    Attempt, Batch, Change, Command, CreateProduct, Envelope, Event, Order, Outcome, Product,
    Quantity, Refusal, Reply, RequestId, Requester, Seq, Sku, UserId,
};
use std::collections::BTreeMap;

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
/// - no user has more of a product than its limit;
/// - log time never goes back.
#[derive(Debug, Default)]
pub struct Machine {
    seq: Seq,
    log_time_ms: u64,
    products: BTreeMap<Sku, Slot>,
    /// Products that changed since their hash in `sum` was taken; empty between batches.
    stale: Vec<Sku>,
    requests: RequestTable,
    quotas: QuotaTable,
    sum: StateSum,
}

/// A product and its hash as it stands in the sum; none before it was first added.
#[derive(Debug)]
struct Slot {
    product: Product,
    hashed: Option<Element>,
    stale: bool,
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
    Create(&'a CreateProduct),
    Restock { sku: &'a Sku, quantity: i64 },
    Buy(Purchase<'a>),
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
    /// Log time moves to the batch's stamp, but never back. The commands follow in order, each
    /// seeing what those before it did.
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

    /// The number of changes so far.
    pub fn seq(&self) -> Seq {
        self.seq
    }

    /// The machine's clock, in milliseconds since the Unix epoch: the largest stamp so far.
    pub fn log_time_ms(&self) -> u64 {
        self.log_time_ms
    }

    /// The hash of the whole state, kept up to date by each change. Equal on every replica that
    /// has applied the same entries.
    pub fn state_hash(&self) -> u128 {
        self.sum.finish(self.seq, self.log_time_ms)
    }

    /// The hash of the whole state, taken anew from all of it: slow, equal to
    /// [`Machine::state_hash`] unless memory or the code is broken.
    pub fn recompute_hash(&self) -> u128 {
        let mut sum = StateSum::default();
        for slot in self.products.values() {
            sum.add(Element::product(&slot.product));
        }
        self.requests.hash_into(&mut sum);
        self.quotas.hash_into(&mut sum);
        sum.finish(self.seq, self.log_time_ms)
    }

    /// A product as it stands.
    pub fn product(&self, sku: &Sku) -> Option<&Product> {
        self.products.get(sku).map(|slot| &slot.product)
    }

    /// All products, by id.
    pub fn products(&self) -> impl Iterator<Item = &Product> {
        self.products.values().map(|slot| &slot.product)
    }

    /// The order that a user's request id became. `None` means *no order yet*.
    pub fn order_of(&self, user: &UserId, request_id: &RequestId) -> Option<Seq> {
        self.requests.order_of(user, request_id)
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
            (Command::Buy { sku, quantity }, Requester::User(user)) => {
                let (quantity, request_id) = (*quantity, &envelope.request_id);
                decide::buy(self.product(sku), &self.quotas, user, quantity)
                    .map(|quota| Purchase { sku, user, request_id, quantity, quota })
                    .map(Effect::Buy)
                    .map_err(Outcome::Refused)
            }
            // No front sends this. Nothing is on sale to an operator, whose order would have no
            // buyer; a panic here would stop every node at the same entry.
            (Command::Buy { .. }, Requester::Operator) => {
                Err(Outcome::Refused(Refusal::UnknownProduct))
            }
        };
        match effect {
            Ok(effect) => Decision::Change(effect),
            Err(outcome) => Decision::Unchanged(outcome),
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
                match &change {
                    Change::Ordered(_) => self.requests.accept(identity, reply.seq, &mut self.sum),
                    Change::ProductCreated(_) | Change::Restocked { .. } => {
                        self.store(identity, &reply);
                    }
                }
                events.push(Event { seq: self.seq, at_ms: self.log_time_ms, change });
                reply
            }
        }
    }

    fn store(&mut self, identity: Identity, reply: &Reply) {
        self.requests.store(identity, self.log_time_ms, reply, &mut self.sum);
    }

    /// Carries out a change that `decide` allowed on this very state: the next `seq` is its. The
    /// request table is the caller's: restore fills it with all orders at once.
    fn perform(&mut self, effect: Effect<'_>) -> (Outcome, Change) {
        let Some(seq) = self.seq.0.checked_add(1).map(Seq) else {
            panic!("seq {} is the last there is", self.seq);
        };
        self.seq = seq;
        match effect {
            Effect::Create(terms) => {
                let product = self.create(terms);
                (Outcome::ProductCreated(product), Change::ProductCreated(terms.clone()))
            }
            Effect::Restock { sku, quantity } => {
                let product = self.change_product(sku, |product| product.restock(quantity)).clone();
                let available = product.available;
                let change = Change::Restocked { sku: sku.clone(), quantity, available };
                (Outcome::Restocked(product), change)
            }
            Effect::Buy(purchase) => {
                let Purchase { sku, user, request_id, quantity, quota } = purchase;
                if let Some(quota) = quota {
                    self.quotas.raise(quota, quantity, &mut self.sum);
                }
                let remaining =
                    self.change_product(sku, |product| product.sell(quantity)).available;
                let order = Order {
                    sku: sku.clone(),
                    user: user.clone(),
                    request_id: request_id.clone(),
                    quantity,
                    remaining,
                };
                (Outcome::Bought { remaining }, Change::Ordered(order))
            }
        }
    }

    fn create(&mut self, terms: &CreateProduct) -> Product {
        let product = Product {
            terms: terms.clone(),
            stocked: terms.stock,
            available: terms.stock,
            held: 0,
            sold: 0,
            seq: self.seq,
        };
        product.assert_balanced();
        let slot = Slot { product: product.clone(), hashed: None, stale: true };
        let earlier = self.products.insert(terms.sku.clone(), slot);
        assert!(earlier.is_none(), "change {} creates {earlier:?} again", self.seq);
        self.stale.push(terms.sku.clone());
        product
    }

    /// Changes the counts of a product, and marks its hash as stale.
    fn change_product(&mut self, sku: &Sku, change: impl FnOnce(&mut Product)) -> &Product {
        let Some(slot) = self.products.get_mut(sku) else {
            panic!("change {} was allowed on the product {sku}, which is not there", self.seq);
        };
        change(&mut slot.product);
        slot.product.seq = self.seq;
        slot.product.assert_balanced();
        if !slot.stale {
            slot.stale = true;
            self.stale.push(sku.clone());
        }
        &slot.product
    }

    /// Brings the sum up to date with the products: once a batch, however many buys it holds.
    fn rehash_products(&mut self) {
        for sku in self.stale.drain(..) {
            let Some(slot) = self.products.get_mut(&sku) else {
                panic!("the product {sku} changed, but is not there");
            };
            if let Some(before) = slot.hashed {
                self.sum.remove(before);
            }
            let after = Element::product(&slot.product);
            self.sum.add(after);
            slot.hashed = Some(after);
            slot.stale = false;
        }
    }
}

impl Product {
    /// Adds units, or takes back as many as are available.
    fn restock(&mut self, quantity: i64) {
        let after = (
            self.stocked.checked_add_signed(quantity),
            self.available.checked_add_signed(quantity),
        );
        let (Some(stocked), Some(available)) = after else {
            panic!("a restock by {quantity} was allowed on {self:?}");
        };
        (self.stocked, self.available) = (stocked, available);
    }

    /// Moves units from available to sold.
    fn sell(&mut self, quantity: Quantity) {
        let units = u64::from(quantity.get());
        let after = (self.available.checked_sub(units), self.sold.checked_add(units));
        let (Some(available), Some(sold)) = after else {
            panic!("a sale of {quantity} was allowed on {self:?}");
        };
        (self.available, self.sold) = (available, sold);
    }

    fn assert_balanced(&self) {
        let accounted =
            self.available.checked_add(self.held).and_then(|units| units.checked_add(self.sold));
        assert!(
            accounted == Some(self.stocked) && self.stocked <= CreateProduct::STOCK_MAX,
            "available {} + held {} + sold {} must be stocked {} <= {}: {self:?}",
            self.available,
            self.held,
            self.sold,
            self.stocked,
            CreateProduct::STOCK_MAX,
        );
    }
}
