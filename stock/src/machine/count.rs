//! Products as counters: what the state says to a set, a count and a withdrawal, and how these are
//! carried out.
//!
//! Each is made of changes that there are anyway (a creation, a restock, an order) and of a note on
//! the key, which is no event. So all that follows the events goes on as it is. A decrement that
//! the count allows is an order, and decided and known as the buy of as many units. Called by the
//! machine.

use super::effect::{Decision, Effect, KeyEffect, Owed, Purchase, Units};
use super::{Machine, decide};
use crate::keys::{DEBT_MAX, Note};
use crate::{
    Change, Debt, Envelope, Outcome, Quantity, Refusal, Requester, Rules, SetIf, Sku, Terms, UserId,
};

impl Machine {
    /// The count of a key: what is available less what it owes. None when there is no such
    /// product, or the key was deleted.
    pub fn count(&self, sku: &Sku) -> Option<i64> {
        let product = self.product(sku)?;
        match self.keys.get(sku) {
            None => Some(signed(product.available)),
            Some(Note::Owes(units)) => Some(signed(product.available) - signed(units)),
            Some(Note::Deleted) => None,
        }
    }

    /// The keys that owe units, by product id.
    pub fn debts(&self) -> impl Iterator<Item = (&Sku, u64)> {
        self.keys.iter().filter_map(|(sku, note)| match note {
            Note::Owes(units) => Some((sku, units)),
            Note::Deleted => None,
        })
    }

    /// What the state says to a count: less than nothing is a decrement.
    pub(super) fn decide_count<'a>(
        &self,
        envelope: &'a Envelope,
        (sku, by): (&'a Sku, i64),
        debt: Debt,
    ) -> Decision<'a> {
        let Requester::User(user) = &envelope.requester else {
            // No front sends it: an order would have no buyer.
            return Decision::refused(Refusal::UnknownProduct);
        };
        let decided = match by {
            0.. => self.increment(sku, by),
            ..0 => self.decrement(envelope, user, (sku, by.unsigned_abs()), debt),
        };
        decided.unwrap_or_else(Decision::refused)
    }

    fn increment<'a>(&self, sku: &'a Sku, by: i64) -> Result<Decision<'a>, Refusal> {
        let owed = self.keys.debt(sku);
        let units = by.unsigned_abs();
        let paid = units.min(owed);
        let note = (owed > paid).then_some(Note::Owes(owed - paid));
        let (units, available) = match (self.product(sku), units - paid) {
            (None, added) => (Some(Units::Create(self.created(sku, added)?)), added),
            (Some(product), 0) => (None, product.available),
            (Some(product), added) => {
                let added = i64::try_from(added).map_err(|_| out_of_range(product.available))?;
                decide::restock(Some(product), added)?;
                (Some(Units::Restock(added)), product.available + added.unsigned_abs())
            }
        };
        let count = signed(available) - signed(owed - paid);
        if units.is_none() && note == self.keys.get(sku) {
            return Ok(Decision::Unchanged(Outcome::Counted { count }));
        }
        Ok(Decision::Key(KeyEffect { sku, units, note, outcome: Outcome::Counted { count } }))
    }

    fn decrement<'a>(
        &self,
        envelope: &'a Envelope,
        user: &'a UserId,
        (sku, units): (&'a Sku, u64),
        debt: Debt,
    ) -> Result<Decision<'a>, Refusal> {
        let owed = self.keys.debt(sku);
        let available = self.product(sku).map_or(0, |product| product.available);
        let below = available.checked_sub(owed).is_none_or(|count| count < units);
        if let Some(slot) = self.products.get(sku) {
            // What refuses a buy refuses debt, too, but for want of units.
            slot.product.terms.check_open(self.log_time_ms)?;
            if !below {
                let quantity = Quantity::new(units).map_err(|_| out_of_range(available))?;
                let wanted = (user, quantity);
                let quota = decide::buy(Some(slot), &self.quotas, wanted, self.log_time_ms)?;
                let request_id = &envelope.request_id;
                let owed = self.recorded_debt(owed);
                let purchase = Purchase { sku, user, request_id, quantity, quota, owed };
                return Ok(Decision::Change(Effect::Buy(purchase)));
            }
        }
        match (debt, self.product(sku)) {
            (Debt::Refused, None) => return Err(Refusal::UnknownProduct),
            (Debt::Refused, Some(_)) => {
                return Err(match available.saturating_sub(owed) {
                    0 => Refusal::SoldOut,
                    remaining => Refusal::Insufficient { remaining },
                });
            }
            (Debt::Allowed, _) => {}
        }
        let debts = owed.checked_add(units).filter(|all| *all <= DEBT_MAX);
        let debts = debts.ok_or_else(|| out_of_range(available))?;
        let units = match self.product(sku) {
            Some(_) => None,
            None => Some(Units::Create(self.created(sku, 0)?)),
        };
        let outcome = Outcome::Counted { count: signed(available) - signed(debts) };
        Ok(Decision::Key(KeyEffect { sku, units, note: Some(Note::Owes(debts)), outcome }))
    }

    /// What is owed, and whether an order's event says so.
    fn recorded_debt(&self, owed: u64) -> Owed {
        match (owed, self.rules()) {
            (0, _) => Owed::Nothing,
            (owed, Rules::One | Rules::Two | Rules::Three) => Owed::Told(owed),
            (owed, Rules::Four) => Owed::Recorded(owed),
        }
    }

    /// What the state says to a set.
    pub(super) fn decide_set<'a>(
        &self,
        (sku, available): (&'a Sku, u64),
        only: SetIf,
    ) -> Decision<'a> {
        let outcome = Outcome::Counted { count: signed(available.min(Terms::STOCK_MAX)) };
        match (only, self.count(sku)) {
            (SetIf::Missing, Some(_)) => return Decision::refused(Refusal::ProductDiffers),
            (SetIf::Present, None) => return Decision::refused(Refusal::UnknownProduct),
            _ => {}
        }
        let units = match self.product(sku) {
            None => self.created(sku, available).map(|terms| Some(Units::Create(terms))),
            Some(product) => match signed(available.min(i64::MAX as u64))
                .checked_sub(signed(product.available))
            {
                Some(0) => Ok(None),
                Some(more) => {
                    decide::restock(Some(product), more).map(|()| Some(Units::Restock(more)))
                }
                None => Err(out_of_range(product.available)),
            },
        };
        match units {
            Err(refusal) => Decision::refused(refusal),
            Ok(None) if self.keys.get(sku).is_none() => Decision::Unchanged(outcome),
            Ok(units) => Decision::Key(KeyEffect { sku, units, note: None, outcome }),
        }
    }

    /// What the state says to the deletion of a key: its product keeps its orders and holds, and
    /// what is available of it is taken back.
    pub(super) fn decide_withdraw<'a>(&self, sku: &'a Sku) -> Decision<'a> {
        let (Some(product), Some(_)) = (self.product(sku), self.count(sku)) else {
            return Decision::refused(Refusal::UnknownProduct);
        };
        let units = match product.available {
            0 => None,
            available => Some(Units::Restock(-signed(available))),
        };
        let note = Some(Note::Deleted);
        Decision::Key(KeyEffect { sku, units, note, outcome: Outcome::Withdrawn })
    }

    /// Carries out what [`Machine::decide`] allowed.
    pub(super) fn perform_key(&mut self, effect: KeyEffect<'_>) -> (Outcome, Option<Change>) {
        let KeyEffect { sku, units, note, outcome } = effect;
        let change = units.map(|units| match units {
            Units::Create(terms) => self.perform(Effect::Create(&terms)).1,
            Units::Restock(quantity) => self.perform(Effect::Restock { sku, quantity }).1,
        });
        self.keys.set(sku, note, &mut self.sum);
        (outcome, change)
    }

    /// The terms of a product that is a counter alone.
    fn created(&self, sku: &Sku, stock: u64) -> Result<Terms, Refusal> {
        let terms = Terms::plain(sku.clone(), sku.as_str(), stock);
        match decide::create(None, self.products.len(), &terms) {
            Err(Outcome::Refused(refusal)) => Err(refusal),
            Ok(()) | Err(_) => Ok(terms),
        }
    }
}

impl Decision<'_> {
    pub(super) fn refused(refusal: Refusal) -> Self {
        Self::Unchanged(Outcome::Refused(refusal))
    }
}

fn out_of_range(available: u64) -> Refusal {
    Refusal::RestockOutOfRange { available }
}

/// Units as a count. Neither stock nor debt passes [`Terms::STOCK_MAX`].
fn signed(units: u64) -> i64 {
    i64::try_from(units).unwrap_or(i64::MAX)
}
