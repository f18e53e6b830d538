//! Carries out changes: the one place where products and accounts change.
//!
//! Never decides: what comes here was allowed on this very state. Called by apply, and by restore,
//! so a restored machine was built by the code that built the first.

use super::Machine;
use super::effect::{Again, Asked, AskedTtl, Claim, Effect, Owed, Purchase};
use super::slot::Slot;
use crate::hash::Element;
use crate::product::Shift;
use crate::{
    Change, Hold, Item, Items, Line, Order, Outcome, Product, Seq, Settlement, Sku, Terms, UserId,
};

impl Machine {
    /// Numbers the next change.
    fn advance(&mut self) {
        let Some(seq) = self.seq.0.checked_add(1).map(Seq) else {
            panic!("seq {} is the last there is", self.seq);
        };
        self.seq = seq;
    }

    /// Carries out a change that `decide` allowed on this very state: the next `seq` is its. The
    /// request table is the caller's: restore fills it with all orders at once.
    pub(super) fn perform(&mut self, effect: Effect<'_>) -> (Outcome, Change) {
        self.advance();
        match effect {
            Effect::Create(terms) => {
                let product = Box::new(self.create(terms));
                let terms = Box::new(terms.clone());
                (Outcome::ProductCreated(product), Change::ProductCreated(terms))
            }
            Effect::Update(terms) => {
                let product = Box::new(self.update(&terms));
                (Outcome::ProductUpdated(product), Change::ProductUpdated(Box::new(terms)))
            }
            Effect::Restock { sku, quantity } => {
                let slot = self.change_slot(sku, |slot| slot.product.restock(quantity));
                let product = slot.product.clone();
                let available = product.available;
                let change = Change::Restocked { sku: sku.clone(), quantity, available };
                (Outcome::Restocked(Box::new(product)), change)
            }
            Effect::Buy(purchase) => {
                let Purchase { sku, user, request_id, quantity, quota, owed } = purchase;
                if let Some(quota) = quota {
                    self.quotas.raise(quota, quantity, &mut self.sum);
                }
                let slot = self.change_slot(sku, |slot| slot.product.shift(Shift::Buy, quantity));
                let remaining = slot.product.available;
                let order = Order {
                    sku: sku.clone(),
                    user: user.clone(),
                    request_id: request_id.clone(),
                    quantity,
                    remaining,
                };
                match owed {
                    Owed::Nothing => (Outcome::Bought { remaining }, Change::Ordered(order)),
                    Owed::Told(owed) => {
                        let remaining = remaining.saturating_sub(owed);
                        (Outcome::Bought { remaining }, Change::Ordered(order))
                    }
                    Owed::Recorded(owed) => {
                        let remaining = remaining.saturating_sub(owed);
                        (Outcome::Bought { remaining }, Change::Counted { order, owed })
                    }
                }
            }
            Effect::Basket(claim) => {
                let lines = self.charge(&claim, Shift::Buy);
                let (user, request_id) = (claim.user.clone(), claim.request_id.clone());
                let change = Change::BasketOrdered { user, request_id, lines: lines.clone() };
                (Outcome::BasketBought { lines }, change)
            }
            Effect::Hold { claim, expires_at_ms, asked } => {
                self.hold_units(claim, expires_at_ms, asked)
            }
            Effect::Confirm { hold, request_id } => {
                let settlement = Settlement::Confirmed { order: self.seq };
                let Hold { user, items, .. } = self.holds.settle(hold, settlement, &mut self.sum);
                let lines = self.shift_all(&items, Shift::Confirm);
                let (request_id, sold) = (request_id.clone(), lines.clone());
                (
                    Outcome::Confirmed { lines },
                    Change::Confirmed { hold, user, request_id, lines: sold },
                )
            }
            Effect::Release { hold, asked } => {
                let (user, lines) = self.free(hold, Settlement::Released { seq: self.seq });
                let outcome = Outcome::Released { lines: lines.clone() };
                let change = match asked {
                    None => Change::Released { hold, user, lines },
                    Some(Asked { by, request_id }) => {
                        let request_id = request_id.clone();
                        Change::ReleasedFor { hold, user, by, request_id, lines }
                    }
                };
                (outcome, change)
            }
            Effect::Cancel { order, user, items, hold, asked } => {
                self.give_back(&items, &user, hold.unwrap_or(order));
                let lines = self.shift_all(&items, Shift::Cancel);
                self.sum.add(Element::cancelled(order));
                assert!(self.cancelled.insert(order), "order {order} is taken back twice");
                let outcome = Outcome::Cancelled { lines: lines.clone() };
                let change = match asked {
                    None => Change::Cancelled { order, user, hold, lines },
                    Some(Again { asked: Asked { by, request_id }, ordered_as }) => {
                        let (ordered_as, request_id) = (ordered_as.clone(), request_id.clone());
                        Change::CancelledFor {
                            order,
                            user,
                            hold,
                            ordered_as,
                            by,
                            request_id,
                            lines,
                        }
                    }
                };
                (outcome, change)
            }
        }
    }

    /// Ends the hold whose deadline has passed, as a change of its own.
    pub(super) fn expire(&mut self, hold: Seq) -> Change {
        self.advance();
        let (user, lines) = self.free(hold, Settlement::Expired { seq: self.seq });
        Change::Expired { hold, user, lines }
    }

    fn hold_units(
        &mut self,
        claim: Claim<'_>,
        expires_at_ms: u64,
        asked: Option<AskedTtl>,
    ) -> (Outcome, Change) {
        let lines = self.charge(&claim, Shift::Hold);
        let Claim { user, request_id, items, quotas: _ } = claim;
        let hold = Hold { user: user.clone(), items, expires_at_ms };
        self.holds.add(self.seq, hold, &mut self.sum);
        let (user, request_id) = (user.clone(), request_id.clone());
        let outcome = Outcome::Held { expires_at_ms, lines: lines.clone() };
        let change = match asked {
            None => Change::Held { user, request_id, expires_at_ms, lines },
            Some(AskedTtl(ttl)) => Change::HeldFor { user, request_id, ttl, expires_at_ms, lines },
        };
        (outcome, change)
    }

    /// Ends a hold and makes its units available.
    fn free(&mut self, id: Seq, settlement: Settlement) -> (UserId, Vec<Line>) {
        let Hold { user, items, .. } = self.holds.settle(id, settlement, &mut self.sum);
        self.give_back(&items, &user, id);
        (user, self.shift_all(&items, Shift::Free))
    }

    /// Counts a claim against the accounts, and moves its units.
    fn charge(&mut self, claim: &Claim<'_>, shift: Shift) -> Vec<Line> {
        for (quota, item) in claim.quotas.iter().zip(claim.items.as_slice()) {
            if let Some(quota) = quota {
                self.quotas.raise(*quota, item.quantity, &mut self.sum);
            }
        }
        self.shift_all(&claim.items, shift)
    }

    /// Gives back to the accounts what the change `taken` counted against them.
    fn give_back(&mut self, items: &Items, user: &UserId, taken: Seq) {
        for Item { sku, quantity } in items.as_slice() {
            let Some(slot) = self.products.get(sku) else {
                panic!("change {taken} took units of the product {sku}, which is not there");
            };
            if slot.counts(taken) {
                self.quotas.lower((sku, slot.limit_since), user, *quantity, &mut self.sum);
            }
        }
    }

    fn shift_all(&mut self, items: &Items, shift: Shift) -> Vec<Line> {
        let line = |Item { sku, quantity }: &Item| {
            let slot = self.change_slot(sku, |slot| slot.product.shift(shift, *quantity));
            let available = slot.product.available;
            Line { sku: sku.clone(), quantity: *quantity, available }
        };
        items.as_slice().iter().map(line).collect()
    }

    fn create(&mut self, terms: &Terms) -> Product {
        let product = Product {
            terms: terms.clone(),
            stocked: terms.stock,
            available: terms.stock,
            held: 0,
            sold: 0,
            seq: self.seq,
        };
        product.assert_balanced();
        self.windows.add(terms);
        if product.available == 0 {
            self.sold_out.insert(terms.sku.clone());
        }
        let earlier = self.products.insert(terms.sku.clone(), Slot::new(product.clone()));
        assert!(earlier.is_none(), "change {} creates {earlier:?} again", self.seq);
        self.stale.push(terms.sku.clone());
        product
    }

    fn update(&mut self, terms: &Terms) -> Product {
        let seq = self.seq;
        let Some(slot) = self.products.get(&terms.sku) else {
            panic!("change {seq} was allowed on the product {}, which is not there", terms.sku);
        };
        self.windows.remove(&slot.product.terms);
        self.windows.add(terms);
        let slot = self.change_slot(&terms.sku, |slot| {
            let before = std::mem::replace(&mut slot.product.terms, terms.clone());
            if before.per_user_limit.is_none() && terms.per_user_limit.is_some() {
                slot.limit_since = seq;
            }
        });
        slot.product.clone()
    }

    /// Changes a product, and marks its hash as stale.
    fn change_slot(&mut self, sku: &Sku, change: impl FnOnce(&mut Slot)) -> &Slot {
        let Some(slot) = self.products.get_mut(sku) else {
            panic!("change {} was allowed on the product {sku}, which is not there", self.seq);
        };
        let was_sold_out = slot.sold_out_since.is_some();
        change(slot);
        slot.product.seq = self.seq;
        slot.sold_out_since = match slot.product.available {
            0 => slot.sold_out_since.or(Some(self.seq)),
            _ => None,
        };
        slot.product.assert_balanced();
        match (was_sold_out, slot.sold_out_since.is_some()) {
            (false, true) => assert!(self.sold_out.insert(sku.clone()), "{sku} was sold out"),
            (true, false) => assert!(self.sold_out.remove(sku), "{sku} was not sold out"),
            (false, false) | (true, true) => {}
        }
        if !slot.stale {
            slot.stale = true;
            self.stale.push(sku.clone());
        }
        if slot.product.available > 0 {
            self.keys.stocked(sku, &mut self.sum);
        }
        slot
    }

    /// Brings the sum up to date with the products: once a batch, however many buys it holds.
    pub(super) fn rehash_products(&mut self) {
        for sku in self.stale.drain(..) {
            let Some(slot) = self.products.get_mut(&sku) else {
                panic!("the product {sku} changed, but is not there");
            };
            if let Some(before) = slot.hashed {
                self.sum.remove(before);
            }
            let after = slot.element();
            self.sum.add(after);
            slot.hashed = Some(after);
            slot.stale = false;
        }
    }
}
