//! The request table: which request ids have been decided, and how. It makes commands
//! exactly-once.
//!
//! Owns three maps by fingerprint. *Orders*: an accepted buy's id is kept as long as its order,
//! for ever. *Done* (`done.rs`): which hold, release or cancel a request became, for a day of log
//! time. *Stored outcomes* (`stored.rs`): whatever else was decided, for a day; the machine stores
//! accepted operator commands, and refusals of later attempts only, so that this part does not grow
//! with the clicks of those who lost. Never decides a command. Called by the machine.

use crate::done::DoneTable;
use crate::hash::{self, Element, StateSum};
use crate::paged::PagedMap;
use crate::past::Past;
use crate::stored::{Outcomes, Share, StoredOutcome, StoredTable};
use crate::{
    Bounds, Cancel, Command, Envelope, Item, Items, Outcome, Refusal, Reply, RequestId, Rules, Seq,
    UserId,
};

/// How long what became no order answers later attempts, in milliseconds of log time.
pub const OUTCOME_RETENTION_MS: u64 = 24 * 60 * 60 * 1000;

/// The most of each kind that one apply evicts, so that a day's worth cannot stall the apply that
/// comes after an idle day. The rest stays a little longer.
const EVICTIONS_PER_APPLY_MAX: usize = 10_000;

/// What tells one request from another, and one body from another under the same request id.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Identity {
    pub(crate) request: u128,
    pub(crate) body: u32,
    /// The share of its outcome, should it be stored.
    pub(crate) share: Share,
}

impl Identity {
    pub(crate) fn of(envelope: &Envelope) -> Self {
        Self {
            request: hash::request_fingerprint(&envelope.requester, &envelope.request_id),
            body: hash::body_digest(&envelope.command),
            share: Share::of(envelope),
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Accepted {
    pub(crate) order: Seq,
    pub(crate) body: u32,
    /// The digest of its items, where the body does not name them: for a hold's. Else 0.
    pub(crate) content: u32,
}

/// All decided request ids.
///
/// Invariants, asserted at each change: an id has one order, was done once or has one stored
/// outcome, never two of these.
#[derive(Debug, Clone, Default)]
pub(crate) struct RequestTable {
    orders: PagedMap<Accepted>,
    done: DoneTable,
    stored: StoredTable,
}

impl RequestTable {
    /// Goes by these rules from now on.
    pub(crate) fn adopt(&mut self, rules: Rules, sum: &mut StateSum) {
        self.stored.adopt(rules, sum);
    }

    /// The answer to a request id that is decided already; `seq` is that of the state that asks.
    pub(crate) fn find(&self, identity: Identity, seq: Seq) -> Option<Reply> {
        if let Some(accepted) = self.orders.get(identity.request) {
            let (replayed, outcome) = if accepted.body == identity.body {
                (true, Outcome::BoughtBefore { order: accepted.order })
            } else {
                (false, Outcome::Refused(Refusal::KeyReused))
            };
            return Some(Reply { seq, replayed, outcome });
        }
        self.done.find(identity, seq).or_else(|| self.stored.find(identity, seq))
    }

    /// Brings near what the next requests are looked up in: see [`PagedMap::read_ahead`].
    pub(crate) fn read_ahead(&self, identities: &[Identity]) {
        self.orders.read_ahead(identities, |identity| identity.request);
    }

    /// The order of a user's request id.
    pub(crate) fn order_of(&self, user: &UserId, request_id: &RequestId) -> Option<Seq> {
        let request = hash::user_request_fingerprint(user, request_id);
        self.orders.get(request).map(|accepted| accepted.order)
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
        self.stored.reply(hash::user_request_fingerprint(user, request_id))
    }

    /// Whether there is an order like the one that a command would take back.
    pub(crate) fn has_order(&self, cancel: &Cancel) -> bool {
        let request = hash::user_request_fingerprint(&cancel.user, &cancel.request_id);
        let Some(Accepted { order, body, content }) = self.orders.get(request) else {
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

    /// Records that a request became an order, with its items if it was a hold; returns what is
    /// kept of it.
    ///
    /// # Panics
    /// When the request id is decided already.
    pub(crate) fn accept(
        &mut self,
        identity: Identity,
        order: Seq,
        hold_items: Option<&Items>,
        sum: &mut StateSum,
    ) -> Accepted {
        let Identity { request, body, .. } = identity;
        let content = hold_items.map_or(0, hash::items_digest);
        let accepted = Accepted { order, body, content };
        let earlier = self.orders.insert(request, accepted);
        assert!(
            earlier.is_none(),
            "order {order} has the request id {request:032x} of the order {earlier:?}"
        );
        // Restore checks the same when it adds the stored outcomes to the orders.
        assert!(
            !self.stored.contains(request),
            "order {order} has the request id {request:032x} of a stored outcome"
        );
        assert!(
            !self.done.contains(request),
            "order {order} has the request id {request:032x} of another change"
        );
        sum.add(Element::order(request, order, body));
        accepted
    }

    /// Records that a request became a hold, a release or a cancel, whose event says the rest.
    ///
    /// # Panics
    /// When the request id is decided already.
    pub(crate) fn done(&mut self, identity: Identity, at_ms: u64, change: Seq, sum: &mut StateSum) {
        let request = identity.request;
        assert!(
            !self.orders.contains_key(request) && !self.stored.contains(request),
            "change {change} has the request id {request:032x}, which is decided already"
        );
        self.done.add(identity, at_ms, change, sum);
    }

    /// Takes the orders of an empty table. Their hashes are the caller's.
    pub(crate) fn set_orders(&mut self, orders: PagedMap<Accepted>) {
        assert!(self.orders.is_empty(), "orders replace orders");
        self.orders = orders;
    }

    /// Adds what the events since the last say of the past, and forgets what was done up to
    /// `done_after`. The stored outcomes come after.
    ///
    /// # Errors
    /// [`Contradiction`] when two of all have one request id. The table is of no use then.
    ///
    /// # Panics
    /// When the table has stored outcomes.
    pub(crate) fn add_past(
        &mut self,
        past: Past,
        done_after: Seq,
        sum: &mut StateSum,
    ) -> Result<(), Contradiction> {
        assert!(
            self.stored.len() == 0,
            "{} stored outcomes came before the orders of the past",
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
        self.done.forget_up_to(done_after, sum);
        if self.orders.is_empty() {
            self.orders = PagedMap::from_iter(orders);
        } else {
            for (request, accepted) in orders {
                if let Some(first) = self.orders.insert(request, accepted) {
                    let (first, second) = (first.order, accepted.order);
                    return Err(Contradiction::SecondOrder { first, second });
                }
                if self.done.contains(request) {
                    return Err(Contradiction::SecondChange(accepted.order));
                }
            }
        }
        if let Some(twice) = done.iter().find(|past| self.orders.contains_key(past.request)) {
            return Err(Contradiction::SecondChange(twice.done.change));
        }
        self.done.add_past(&done, forgotten, sum).map_err(Contradiction::SecondChange)
    }

    /// Forgets all stored outcomes: a snapshot says which there are.
    pub(crate) fn clear_stored(&mut self, sum: &mut StateSum) {
        self.stored.clear(sum);
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
        let outcome = StoredOutcome::of(identity, at_ms, reply);
        if let Err(problem) = self.insert((identity.request, identity.share), outcome, sum) {
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
        for share in Share::ALL {
            let keep_max = match share {
                Share::Operators => bounds.operator_stored,
                Share::Counters => bounds.counter_stored,
                Share::Users => bounds.stored,
            };
            for _ in 0..EVICTIONS_PER_APPLY_MAX {
                if !self.stored.forget_one(share, now_ms, keep_max, sum) {
                    break;
                }
            }
        }
    }

    /// The stored outcomes of a share, oldest first: what the events do not carry.
    pub(crate) fn stored(&self, share: Share) -> &Outcomes {
        self.stored.outcomes(share)
    }

    /// Puts back a stored outcome, oldest of its share first, after all orders.
    ///
    /// # Errors
    /// What is wrong with it, when it does not follow the one before or is decided already.
    pub(crate) fn insert(
        &mut self,
        (request, share): (u128, Share),
        outcome: StoredOutcome,
        sum: &mut StateSum,
    ) -> Result<(), &'static str> {
        if self.orders.contains_key(request) {
            return Err("its request id has an order");
        }
        if self.done.contains(request) {
            return Err("its request id became another change");
        }
        self.stored.add((request, share), outcome, sum)
    }

    /// Adds the hash of every order's request and every stored outcome.
    pub(crate) fn hash_into(&self, sum: &mut StateSum) {
        for (request, accepted) in self.orders.iter() {
            sum.add(Element::order(request, accepted.order, accepted.body));
        }
        self.done.hash_into(sum);
        self.stored.hash_into(sum);
    }
}
