//! The request table: which request ids have been decided, and how. It makes commands
//! exactly-once.
//!
//! Owns three maps by fingerprint. *Orders*: an accepted buy's id is kept as long as its order,
//! for ever. *Done* (`done.rs`): which hold, release or cancel a request became, for a day of log
//! time. *Stored outcomes*: whatever else was decided, for a day; the machine stores accepted
//! operator commands, and refusals of later attempts only, so that this part does not grow with
//! the clicks of those who lost. Never decides a command. Called by the machine.

use crate::done::DoneTable;
use crate::hash::{self, Element, StateSum};
use crate::past::Past;
use crate::{
    Bounds, Cancel, Command, Envelope, Item, Items, Outcome, Refusal, Reply, RequestId, Seq, UserId,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

/// How long what became no order answers later attempts, in milliseconds of log time.
pub const OUTCOME_RETENTION_MS: u64 = 24 * 60 * 60 * 1000;

/// The most outcomes that are stored whole, under [`crate::Rules::Two`]; the oldest is forgotten first.
/// A refusal takes about 40 bytes of a snapshot, the largest outcome 500: with as many products as
/// there can be, a manifest stays under its limit. Twenty-five seconds of twenty thousand refused
/// later attempts a second: longer than a copy of an attempt is on its way.
pub const STORED_MAX: usize = 500_000;

/// The most of each kind that one apply evicts, so that a day's worth cannot stall the apply that
/// comes after an idle day. The rest stays a little longer.
const EVICTIONS_PER_APPLY_MAX: usize = 10_000;

/// What tells one request from another, and one body from another under the same request id.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Identity {
    pub(crate) request: u128,
    pub(crate) body: u32,
}

impl Identity {
    pub(crate) fn of(envelope: &Envelope) -> Self {
        Self {
            request: hash::request_fingerprint(&envelope.requester, &envelope.request_id),
            body: hash::body_digest(&envelope.command),
        }
    }
}

/// Why the past cannot be filled in.
#[derive(Debug)]
pub(crate) enum Contradiction {
    /// Two orders have one request id.
    SecondOrder { first: Seq, second: Seq },
    /// So have a change and another, or an order, of the time for which it is known.
    SecondChange(Seq),
}

/// The order that a request id became. 32 bytes with its key: there may be tens of millions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Accepted {
    pub(crate) order: Seq,
    pub(crate) body: u32,
    /// The digest of its items, where the body does not name them: for a hold's. Else 0.
    pub(crate) content: u32,
}

/// A decided command that is no order. Its encoding is part of snapshots: frozen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredOutcome {
    /// Log time of the decision.
    at_ms: u64,
    body: u32,
    /// The `seq` of the reply.
    seq: Seq,
    decided: Decided,
}

/// An [`Outcome`] with the rare large variants boxed: nearly all that is stored are refusals.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Decided {
    Refused(Refusal),
    Other(Box<Outcome>),
}

impl StoredOutcome {
    fn replay(&self) -> Reply {
        let outcome = match &self.decided {
            Decided::Refused(refusal) => Outcome::Refused(refusal.clone()),
            Decided::Other(outcome) => Outcome::clone(outcome),
        };
        Reply { seq: self.seq, replayed: true, outcome }
    }
}

/// All decided request ids.
///
/// Invariants, asserted at each change: an id has one order, was done once or has one stored
/// outcome, never two of these; the eviction queue holds exactly the stored ids, oldest first.
#[derive(Debug, Default)]
pub(crate) struct RequestTable {
    orders: BTreeMap<u128, Accepted>,
    done: DoneTable,
    stored: BTreeMap<u128, StoredOutcome>,
    eviction: VecDeque<u128>,
}

impl RequestTable {
    /// The answer to a request id that is decided already; `seq` is that of the state that asks.
    pub(crate) fn find(&self, identity: Identity, seq: Seq) -> Option<Reply> {
        let key_reused =
            Reply { seq, replayed: false, outcome: Outcome::Refused(Refusal::KeyReused) };
        if let Some(accepted) = self.orders.get(&identity.request) {
            if accepted.body != identity.body {
                return Some(key_reused);
            }
            let outcome = Outcome::BoughtBefore { order: accepted.order };
            return Some(Reply { seq, replayed: true, outcome });
        }
        if let Some(reply) = self.done.find(identity, seq) {
            return Some(reply);
        }
        let stored = self.stored.get(&identity.request)?;
        Some(if stored.body == identity.body { stored.replay() } else { key_reused })
    }

    /// The order of a user's request id.
    pub(crate) fn order_of(&self, user: &UserId, request_id: &RequestId) -> Option<Seq> {
        let request = hash::user_request_fingerprint(user, request_id);
        self.orders.get(&request).map(|accepted| accepted.order)
    }

    /// The hold, release or cancel that a user's request id became.
    pub(crate) fn done_by(&self, user: &UserId, request_id: &RequestId) -> Option<Seq> {
        self.done.change_of(hash::user_request_fingerprint(user, request_id))
    }

    /// The last change whose request is forgotten although it was done; 0 when there is none.
    pub(crate) fn done_after(&self) -> Seq {
        self.done.forgotten()
    }

    /// The stored outcome of a user's request id.
    pub(crate) fn stored_reply(&self, user: &UserId, request_id: &RequestId) -> Option<Reply> {
        let request = hash::user_request_fingerprint(user, request_id);
        self.stored.get(&request).map(StoredOutcome::replay)
    }

    /// Whether there is an order like the one that a command would take back.
    pub(crate) fn has_order(&self, cancel: &Cancel) -> bool {
        let request = hash::user_request_fingerprint(&cancel.user, &cancel.request_id);
        let Some(Accepted { order, body, content }) = self.orders.get(&request) else {
            return false;
        };
        let items = &cancel.items;
        let same_body = |command: &Command| hash::body_digest(command) == *body;
        let same_content = match (cancel.hold, items.as_slice()) {
            (Some(hold), _) => {
                same_body(&Command::Confirm { hold }) && hash::items_digest(items) == *content
            }
            (None, [Item { sku, quantity }])
                if same_body(&Command::Buy { sku: sku.clone(), quantity: *quantity }) =>
            {
                true
            }
            (None, _) => same_body(&Command::BuyBasket { items: items.clone() }),
        };
        *order == cancel.order && same_content
    }

    /// Records that a request became an order; with its items if it was a hold.
    ///
    /// # Panics
    /// When the request id is decided already.
    pub(crate) fn accept(
        &mut self,
        identity: Identity,
        order: Seq,
        hold_items: Option<&Items>,
        sum: &mut StateSum,
    ) {
        let Identity { request, body } = identity;
        let content = hold_items.map_or(0, hash::items_digest);
        let earlier = self.orders.insert(request, Accepted { order, body, content });
        assert!(
            earlier.is_none(),
            "order {order} has the request id {request:032x} of the order {earlier:?}"
        );
        // Restore checks the same when it adds the stored outcomes to the orders.
        assert!(
            self.stored.is_empty() || !self.stored.contains_key(&request),
            "order {order} has the request id {request:032x} of a stored outcome"
        );
        assert!(
            !self.done.contains(request),
            "order {order} has the request id {request:032x} of another change"
        );
        sum.add(Element::order(request, order, body));
    }

    /// Records that a request became a hold, a release or a cancel, whose event says the rest.
    ///
    /// # Panics
    /// When the request id is decided already.
    pub(crate) fn done(&mut self, identity: Identity, at_ms: u64, change: Seq, sum: &mut StateSum) {
        let request = identity.request;
        assert!(
            !self.orders.contains_key(&request) && !self.stored.contains_key(&request),
            "change {change} has the request id {request:032x}, which is decided already"
        );
        self.done.add(identity, at_ms, change, sum);
    }

    /// Fills the empty table with all that the events say of the past.
    ///
    /// # Errors
    /// [`Contradiction`] when two of them have one request id.
    ///
    /// # Panics
    /// When the table is not empty.
    pub(crate) fn fill(&mut self, past: Past, sum: &mut StateSum) -> Result<(), Contradiction> {
        assert!(
            self.orders.is_empty() && self.stored.is_empty(),
            "{} orders and {} stored outcomes came before the orders of the past",
            self.orders.len(),
            self.stored.len()
        );
        let Past { mut orders, done, forgotten } = past;
        orders.sort_unstable_by_key(|(request, accepted)| (*request, accepted.order));
        for pair in orders.windows(2) {
            if pair[0].0 == pair[1].0 {
                let (first, second) = (pair[0].1.order, pair[1].1.order);
                return Err(Contradiction::SecondOrder { first, second });
            }
        }
        for (request, accepted) in &orders {
            sum.add(Element::order(*request, accepted.order, accepted.body));
        }
        self.orders = BTreeMap::from_iter(orders);
        if let Some(twice) = done.iter().find(|past| self.orders.contains_key(&past.request)) {
            return Err(Contradiction::SecondChange(twice.done.change));
        }
        self.done.fill(&done, forgotten, sum).map_err(Contradiction::SecondChange)
    }

    /// Stores a decision that is no order, for attempts still to come.
    ///
    /// # Panics
    /// When the request id is decided already.
    pub(crate) fn store(
        &mut self,
        identity: Identity,
        at_ms: u64,
        reply: &Reply,
        sum: &mut StateSum,
    ) {
        let decided = match &reply.outcome {
            Outcome::Refused(refusal) => Decided::Refused(refusal.clone()),
            other => Decided::Other(Box::new(other.clone())),
        };
        let outcome = StoredOutcome { at_ms, body: identity.body, seq: reply.seq, decided };
        if let Err(problem) = self.insert(identity.request, outcome, sum) {
            panic!("cannot store {reply:?}: {problem}");
        }
    }

    /// Forgets what is a day old, and the oldest of what is too much, in log order.
    pub(crate) fn evict(&mut self, now_ms: u64, bounds: &Bounds, sum: &mut StateSum) {
        for _ in 0..EVICTIONS_PER_APPLY_MAX {
            if !self.done.forget_one(now_ms, bounds.done, sum) {
                break;
            }
        }
        for _ in 0..EVICTIONS_PER_APPLY_MAX {
            if !self.evict_one(now_ms, bounds.stored, sum) {
                break;
            }
        }
    }

    fn evict_one(&mut self, now_ms: u64, keep_max: usize, sum: &mut StateSum) -> bool {
        let Some(request) = self.eviction.front() else {
            return false;
        };
        let Some(oldest) = self.stored.get(request) else {
            panic!("{request:032x} is due for eviction but not stored");
        };
        let is_old = now_ms.saturating_sub(oldest.at_ms) >= OUTCOME_RETENTION_MS;
        if !is_old && self.eviction.len() <= keep_max {
            return false;
        }
        sum.remove(Element::stored(*request, oldest));
        self.stored.remove(request);
        self.eviction.pop_front();
        true
    }

    /// The stored outcomes, oldest first: what the events do not carry.
    pub(crate) fn stored(&self) -> impl Iterator<Item = (u128, &StoredOutcome)> {
        self.eviction.iter().map(|request| match self.stored.get(request) {
            Some(outcome) => (*request, outcome),
            None => panic!("{request:032x} is due for eviction but not stored"),
        })
    }

    /// Puts back a stored outcome, oldest first, after all orders.
    ///
    /// # Errors
    /// What is wrong with it, when it does not follow the one before or is decided already.
    pub(crate) fn insert(
        &mut self,
        request: u128,
        outcome: StoredOutcome,
        sum: &mut StateSum,
    ) -> Result<(), &'static str> {
        let newest = self.eviction.back().and_then(|request| self.stored.get(request));
        if newest.is_some_and(|newest| newest.at_ms > outcome.at_ms) {
            return Err("it is older than the outcome stored before it");
        }
        if self.orders.contains_key(&request) {
            return Err("its request id has an order");
        }
        if self.done.contains(request) {
            return Err("its request id became another change");
        }
        if self.stored.contains_key(&request) {
            return Err("its request id is stored already");
        }
        sum.add(Element::stored(request, &outcome));
        self.stored.insert(request, outcome);
        self.eviction.push_back(request);
        Ok(())
    }

    /// Adds the hash of every order's request and every stored outcome.
    pub(crate) fn hash_into(&self, sum: &mut StateSum) {
        for (request, accepted) in &self.orders {
            sum.add(Element::order(*request, accepted.order, accepted.body));
        }
        self.done.hash_into(sum);
        for (request, outcome) in &self.stored {
            sum.add(Element::stored(*request, outcome));
        }
    }
}
