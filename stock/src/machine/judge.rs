//! The one decision behind apply and peek: what the state says to a command.
//!
//! Changes nothing. Looks at request ids, holds and orders, and leaves the rest to the leaves in
//! `decide`. Called by apply, by peek, and in part by restore.

use super::effect::{
    Again, Asked, AskedTtl, Claim, CursorEffect, Decision, Effect, Owed, Purchase,
};
use super::{Machine, decide};
use crate::cursors::Moving;
use crate::requests::Identity;
use crate::{
    Cancel, Command, CursorMove, CursorRemoval, CursorTarget, Envelope, HoldTtl, Item, Items,
    OPEN_HOLDS_MAX, Outcome, Refusal, Reply, RequestId, Requester, Rules, Seq, USER_HOLDS_MAX,
    UserId,
};

impl Machine {
    /// The one decision behind apply and peek.
    pub(super) fn decide<'a>(&self, identity: Identity, envelope: &'a Envelope) -> Decision<'a> {
        if let Some(reply) = self.requests.find(identity, self.seq) {
            return Decision::Known(reply);
        }
        if let Some(hold) = self.overdue(envelope) {
            return Decision::Overdue(hold);
        }
        match &envelope.command {
            Command::MoveCursor(wanted) => return self.decide_cursor(wanted, None, identity),
            Command::MoveCursorFor(wanted) => {
                return self.decide_cursor(&wanted.moved, Some(&wanted.target), identity);
            }
            Command::RemoveCursor(removal) => return self.decide_removal(removal),
            Command::Count { sku, by, debt } => {
                return self.decide_count(envelope, (sku, *by), *debt);
            }
            Command::SetAvailable { sku, available, only } => {
                return self.decide_set((sku, *available), *only);
            }
            Command::Withdraw { sku } => return self.decide_withdraw(sku),
            _ => {}
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
                .map(|quota| Purchase {
                    sku,
                    user,
                    request_id,
                    quantity,
                    quota,
                    owed: Owed::Nothing,
                })
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
                self.decide_settle(*hold, Some(user))
                    .map(|()| Effect::Confirm { hold: *hold, request_id })
                    .map_err(Outcome::Refused)
            }
            (Command::Release { hold }, requester) => {
                let asked = self.recorded(Asked::with(envelope));
                self.decide_settle(*hold, user_of(requester))
                    .map(|()| Effect::Release { hold: *hold, asked })
                    .map_err(Outcome::Refused)
            }
            (Command::Cancel(cancel), _) => {
                self.decide_cancel(cancel, envelope).map_err(Outcome::Refused)
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
            (
                Command::MoveCursor(_)
                | Command::Count { .. }
                | Command::SetAvailable { .. }
                | Command::Withdraw { .. }
                | Command::MoveCursorFor(_)
                | Command::RemoveCursor(_),
                _,
            ) => panic!("{:?} was decided above", envelope.command),
        };
        match effect {
            Ok(effect) => Decision::Change(effect),
            Err(outcome) => Decision::Unchanged(outcome),
        }
    }

    /// What the state says to a move of a cursor. The request that made the last move is known by
    /// the cursor itself, and by nothing else.
    fn decide_cursor<'a>(
        &self,
        wanted: &'a CursorMove,
        target: Option<&'a CursorTarget>,
        identity: Identity,
    ) -> Decision<'a> {
        let known = |replayed, outcome| Reply { seq: self.seq, replayed, outcome };
        let name = &wanted.name;
        match self.cursors.decide(wanted, target, identity.request) {
            Ok(Moving::Goes(cursor)) if wanted.expected.is_none() => {
                Decision::Cursor(CursorEffect::Make { name, cursor, target })
            }
            Ok(Moving::Goes(cursor)) => {
                Decision::Cursor(CursorEffect::Move { name, cursor, target })
            }
            Ok(Moving::Went) => {
                let outcome = Outcome::CursorMoved { position: wanted.position };
                Decision::Known(known(true, outcome))
            }
            Err(Refusal::KeyReused) => {
                Decision::Known(known(false, Outcome::Refused(Refusal::KeyReused)))
            }
            Err(refusal) => Decision::refused(refusal),
        }
    }

    fn decide_removal<'a>(&self, removal: &'a CursorRemoval) -> Decision<'a> {
        let (name, position) = (&removal.name, removal.expected);
        match self.cursors.decide_removal(removal) {
            Ok(()) => Decision::Cursor(CursorEffect::Remove { name, position }),
            Err(refusal) => Decision::refused(refusal),
        }
    }

    /// Whether a user can have all of these items.
    pub(super) fn claim<'a>(
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
        let lasts = ttl.or(shortest).unwrap_or_default();
        let expires_at_ms = self.log_time_ms.saturating_add(lasts.ms());
        Ok(Effect::Hold { claim, expires_at_ms, asked: self.recorded(AskedTtl(ttl)) })
    }

    /// Whether a hold can end by a request: of its user, or (`None`) of an operator.
    fn decide_settle(&self, hold: Seq, by: Option<&UserId>) -> Result<(), Refusal> {
        let found = match by {
            // That others held something is told as little as that they hold it.
            Some(user) if self.rules > Rules::One && !self.holds.is_of(hold, user) => None,
            Some(_) | None => self.holds.get(hold),
        };
        decide::settle(found, by)
    }

    /// What was asked, if the rules have events record it.
    fn recorded<T>(&self, asked: T) -> Option<T> {
        match self.rules {
            Rules::One => None,
            Rules::Two | Rules::Three | Rules::Four => Some(asked),
        }
    }

    fn decide_cancel<'a>(
        &self,
        cancel: &'a Cancel,
        envelope: &'a Envelope,
    ) -> Result<Effect<'a>, Refusal> {
        let Cancel { order, user, request_id: ordered_as, items, hold } = cancel;
        if user_of(&envelope.requester).is_some_and(|by| by != user)
            || !self.requests.has_order(cancel)
        {
            return Err(Refusal::UnknownOrder);
        }
        if self.cancelled.contains(order) {
            return Err(Refusal::AlreadyCancelled);
        }
        let (user, items) = (user.clone(), items.clone());
        let asked = self.recorded(Again { asked: Asked::with(envelope), ordered_as });
        Ok(Effect::Cancel { order: *order, user, items, hold: *hold, asked })
    }

    /// The hold that the command may end, if it is due but has not had its turn to expire: what
    /// is told of it then is what will be told ever after.
    pub(super) fn overdue(&self, envelope: &Envelope) -> Option<Seq> {
        let (hold, by) = match (&envelope.command, &envelope.requester) {
            (Command::Confirm { hold }, Requester::User(user)) => (*hold, Some(user)),
            (Command::Release { hold }, requester) => (*hold, user_of(requester)),
            _ => return None,
        };
        let may_end = by.is_none_or(|user| self.holds.is_of(hold, user));
        (may_end && self.holds.is_overdue(hold, self.log_time_ms)).then_some(hold)
    }
}

/// The user who asks; none for an operator, who may ask in anybody's name.
fn user_of(requester: &Requester) -> Option<&UserId> {
    match requester {
        Requester::Operator => None,
        Requester::User(user) => Some(user),
    }
}
