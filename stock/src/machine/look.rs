//! What readers see of a machine. Nothing here changes it, and nothing decides.

use super::Machine;
use crate::hash::{Element, StateSum};
use crate::{
    Chain, CursorName, CursorTarget, Hold, HoldState, HoldTally, Product, Reply, RequestId, Rules,
    Seq, Sku, UserId,
};

impl Machine {
    /// The rules that it goes by.
    pub fn rules(&self) -> Rules {
        self.rules
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
        if self.rules > Rules::One {
            sum.add(Element::rules(self.rules));
        }
        for slot in self.products.values() {
            sum.add(slot.element());
        }
        self.requests.hash_into(&mut sum);
        self.quotas.hash_into(&mut sum);
        self.holds.hash_into(&mut sum);
        self.keys.hash_into(&mut sum);
        self.cursors.hash_into(&mut sum);
        for order in &self.cancelled {
            sum.add(Element::cancelled(*order));
        }
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

    /// The products after this id, by id.
    pub fn products_after(&self, after: &Sku) -> impl Iterator<Item = &Product> {
        self.products.after(after).map(|slot| &slot.product)
    }

    /// The next instant at which the state says something else although nobody asked for anything:
    /// a hold expires, a sale opens or ends. In milliseconds since the Unix epoch; a leader
    /// proposes a tick when its clock gets there. It is in log time after now, or not after now
    /// when more holds are due than expire with one entry.
    pub fn next_due_ms(&self) -> Option<u64> {
        let deadline = self.holds.first_deadline().map(|(at_ms, _)| at_ms);
        let window = self.windows.next_after(self.log_time_ms);
        deadline.into_iter().chain(window).min()
    }

    /// A hold. Its id is the `seq` of the change that made it; of the ended ones the newest
    /// [`crate::SETTLED_MAX`] are known.
    pub fn hold(&self, id: Seq) -> Option<HoldState<'_>> {
        self.holds.get(id)
    }

    /// The open holds of a user, by id; at most [`crate::USER_HOLDS_MAX`].
    pub fn open_holds_of(&self, user: &UserId) -> impl Iterator<Item = (Seq, &Hold)> {
        let ids = self.holds.open_of(user).iter();
        ids.filter_map(|id| match self.holds.get(*id) {
            Some(HoldState::Open(hold)) => Some((*id, hold)),
            Some(HoldState::Settled(_)) | None => None,
        })
    }

    /// All open holds, by id; at most [`crate::OPEN_HOLDS_MAX`].
    pub fn open_holds(&self) -> impl ExactSizeIterator<Item = (Seq, &Hold)> {
        self.holds.open()
    }

    /// How many holds there ever were, and how they ended.
    pub fn hold_tally(&self) -> HoldTally {
        self.holds.tally()
    }

    /// The orders that were taken back, by id.
    pub fn cancelled_orders(&self) -> impl Iterator<Item = Seq> {
        self.cancelled.iter().copied()
    }

    /// Whether the order was taken back.
    pub fn is_cancelled(&self, order: Seq) -> bool {
        self.cancelled.contains(&order)
    }

    /// The change since which nothing of the product has been available; `None` while something
    /// is, or when there is no such product.
    pub fn sold_out_since(&self, sku: &Sku) -> Option<Seq> {
        self.products.get(sku)?.sold_out_since
    }

    /// The products of which nothing is available, by id, each with the change since which. Costs
    /// what is taken of it, however many products there are.
    pub fn sold_out(&self) -> impl Iterator<Item = (&Sku, Seq)> {
        self.sold_out.iter().filter_map(|sku| Some((sku, self.sold_out_since(sku)?)))
    }

    /// Where a cursor stands; none where there is none of this name.
    pub fn cursor(&self, name: &CursorName) -> Option<u64> {
        self.cursors.position(name)
    }

    /// What a cursor is for; none where that was not said, or there is none of this name.
    pub fn cursor_target(&self, name: &CursorName) -> Option<&CursorTarget> {
        self.cursors.target(name)
    }

    /// All cursors with their positions, by name; at most [`crate::CURSORS_MAX`].
    pub fn cursors(&self) -> impl ExactSizeIterator<Item = (&CursorName, u64)> {
        self.cursors.iter().map(|(name, cursor)| (name, cursor.position))
    }

    /// The order that a user's request id became. `None` means *no order yet*.
    pub fn order_of(&self, user: &UserId, request_id: &RequestId) -> Option<Seq> {
        self.requests.order_of(user, request_id)
    }

    /// The hold, release or cancel that a user's request id became; its event says the rest. Known
    /// for [`crate::OUTCOME_RETENTION_MS`], and for the newest [`crate::DONE_MAX`].
    pub fn done_by(&self, user: &UserId, request_id: &RequestId) -> Option<Seq> {
        self.requests.done_by(user, request_id)
    }

    /// What was stored for a user's request that is neither: a refusal of a later attempt, or,
    /// under [`Rules::One`], a hold, a release or a cancel. Kept for
    /// [`crate::OUTCOME_RETENTION_MS`], and for the newest [`crate::STORED_MAX`].
    pub fn stored_reply(&self, user: &UserId, request_id: &RequestId) -> Option<Reply> {
        self.requests.stored_reply(user, request_id)
    }

    /// Orders after `after` that are the user's, by id. By 64 bits of a fingerprint of the user:
    /// whoever reads such an order makes sure of it.
    pub fn orders_of(&self, user: &UserId, after: Seq) -> impl Iterator<Item = Seq> {
        self.orders.of_user(user, after)
    }

    /// The chain of orders up to a change shortly before this one; the changes that follow lead to
    /// any order's place and receipt ([`Chain::follow`]).
    pub fn chain_before(&self, seq: Seq) -> Chain {
        self.orders.mark_before(seq)
    }

    /// The chain of all orders.
    pub fn chain(&self) -> Chain {
        self.orders.newest()
    }
}
