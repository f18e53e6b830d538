//! How the model's holds end, and orders are taken back.

use super::Model;
use stock::{
    By, Cancel, Change, Command, Envelope, Event, HoldTtl, Items, Line, Order, Outcome, Refusal,
    Requester, Rules, Seq, Settlement, UserId,
};

impl Model {
    pub(super) fn hold(
        &mut self,
        items: &Items,
        ttl: Option<HoldTtl>,
        user: &UserId,
        envelope: &Envelope,
    ) -> Outcome {
        let lines = match self.take(items, user) {
            Err(refusal) => return Outcome::Refused(refusal),
            Ok(lines) => lines,
        };
        let ttls = lines.iter().map(|line| self.product(&line.sku).unwrap().terms.hold_ttl);
        let ttl_ms = ttl.unwrap_or(ttls.min().unwrap()).ms();
        let expires_at_ms = self.now_ms + ttl_ms;
        let (user, request_id) = (user.clone(), envelope.request_id.clone());
        let held = lines.clone();
        self.push(match self.rules {
            Rules::One => Change::Held { user, request_id, expires_at_ms, lines: held },
            Rules::Two | Rules::Three | Rules::Four => {
                Change::HeldFor { user, request_id, ttl, expires_at_ms, lines: held }
            }
        });
        Outcome::Held { expires_at_ms, lines }
    }

    pub(super) fn release(
        &mut self,
        hold: Seq,
        requester: &Requester,
        envelope: &Envelope,
    ) -> Outcome {
        let by = match requester {
            Requester::Operator => None,
            Requester::User(user) => Some(user),
        };
        let (user, lines) = match self.open_hold(hold, by) {
            Err(refusal) => return Outcome::Refused(refusal),
            Ok(found) => found,
        };
        let lines = self.with_available(&lines, 1);
        let freed = lines.clone();
        let request_id = envelope.request_id.clone();
        self.push(match (self.rules, requester) {
            (Rules::One, _) => Change::Released { hold, user, lines: freed },
            (_, Requester::Operator) => {
                let by = By::Operator;
                Change::ReleasedFor { hold, user, by, request_id, lines: freed }
            }
            (_, Requester::User(_)) => {
                let by = By::Owner;
                Change::ReleasedFor { hold, user, by, request_id, lines: freed }
            }
        });
        Outcome::Released { lines }
    }

    /// Expires what is due, by deadline and age, each as a change of its own; under the second
    /// rules only so many.
    pub(super) fn expire(&mut self) {
        let max = if self.rules == Rules::One { usize::MAX } else { self.bounds.expiries };
        for _ in 0..max {
            let due = self.open_holds().into_iter().filter(|(at_ms, _)| *at_ms <= self.now_ms);
            let Some((_, hold)) = due.min() else {
                return;
            };
            self.expire_one(hold);
        }
    }

    pub(super) fn expire_one(&mut self, hold: Seq) {
        let (user, lines) = self.open_hold(hold, None).unwrap();
        let lines = self.with_available(&lines, 1);
        self.push(Change::Expired { hold, user, lines });
    }

    /// Expires the hold that a command would end, if it is due.
    pub(super) fn expire_named(&mut self, envelope: &Envelope) {
        let (hold, by) = match (&envelope.command, &envelope.requester) {
            (Command::Confirm { hold } | Command::Release { hold }, Requester::User(user)) => {
                (*hold, Some(user))
            }
            (Command::Release { hold }, Requester::Operator) => (*hold, None),
            _ => return,
        };
        let due = |(at_ms, id): &(u64, Seq)| *id == hold && *at_ms <= self.now_ms;
        if self.open_holds().iter().any(due) && self.open_hold(hold, by).is_ok() {
            self.expire_one(hold);
        }
    }

    /// Deadline and id of every open hold.
    pub(crate) fn open_holds(&self) -> Vec<(u64, Seq)> {
        let open = self.events.iter().filter_map(|event| match event.change {
            Change::Held { expires_at_ms, .. } | Change::HeldFor { expires_at_ms, .. } => {
                Some((expires_at_ms, event.seq))
            }
            _ => None,
        });
        open.filter(|(_, id)| self.open_hold(*id, None).is_ok()).collect()
    }

    pub(super) fn open_hold(
        &self,
        id: Seq,
        by: Option<&UserId>,
    ) -> Result<(UserId, Vec<Line>), Refusal> {
        let made = id.0.checked_sub(1).and_then(|at| self.events.get(at as usize));
        let Some(Change::Held { user, lines, .. } | Change::HeldFor { user, lines, .. }) =
            made.map(|event| &event.change)
        else {
            return Err(Refusal::UnknownHold);
        };
        let is_others = by.is_some_and(|by| by != user);
        match self.ending(id) {
            Some(_) if is_others && self.rules > Rules::One => Err(Refusal::UnknownHold),
            Some(settlement) if settlement.seq() <= self.forgotten => Err(Refusal::UnknownHold),
            Some(Settlement::Expired { seq }) => Err(Refusal::HoldExpired { seq }),
            Some(settlement) => Err(Refusal::HoldSettled { settlement }),
            None if is_others => Err(Refusal::UnknownHold),
            None => Ok((user.clone(), lines.clone())),
        }
    }

    pub(super) fn ending(&self, id: Seq) -> Option<Settlement> {
        self.events.iter().find_map(|Event { seq, change, .. }| {
            let (hold, settlement) = ended_hold(change)?;
            (hold == id).then(|| settlement(*seq))
        })
    }

    /// How a hold ended, if that is known.
    pub(crate) fn settlement(&self, id: Seq) -> Option<Settlement> {
        self.ending(id).filter(|settlement| settlement.seq() > self.forgotten)
    }

    pub(super) fn cancel(&mut self, cancel: &Cancel, envelope: &Envelope) -> Outcome {
        let Cancel { order, user, request_id, items, hold } = cancel;
        let made = order.0.checked_sub(1).and_then(|at| self.events.get(at as usize));
        let (found_user, found_id, found_hold, lines) = match made.map(|event| &event.change) {
            Some(Change::Ordered(order) | Change::Counted { order, .. }) => {
                let Order { sku, user, request_id, quantity, .. } = order;
                let line = Line { sku: sku.clone(), quantity: *quantity, available: 0 };
                (user, request_id, None, vec![line])
            }
            Some(Change::BasketOrdered { user, request_id, lines }) => {
                (user, request_id, None, lines.clone())
            }
            Some(Change::Confirmed { hold, user, request_id, lines }) => {
                (user, request_id, Some(*hold), lines.clone())
            }
            _ => return Outcome::Refused(Refusal::UnknownOrder),
        };
        let same_items = items.as_slice().len() == lines.len()
            && items
                .as_slice()
                .iter()
                .zip(&lines)
                .all(|(item, line)| item.sku == line.sku && item.quantity == line.quantity);
        let (by_owner, by) = match &envelope.requester {
            Requester::Operator => (true, By::Operator),
            Requester::User(by) => (by == user, By::Owner),
        };
        let same = found_user == user && found_id == request_id && found_hold == *hold;
        if !(same && same_items && by_owner) {
            return Outcome::Refused(Refusal::UnknownOrder);
        }
        let again = |event: &Event| match event.change {
            Change::Cancelled { order: earlier, .. }
            | Change::CancelledFor { order: earlier, .. } => earlier == *order,
            _ => false,
        };
        if self.events.iter().any(again) {
            return Outcome::Refused(Refusal::AlreadyCancelled);
        }
        let (order, user, hold) = (*order, user.clone(), *hold);
        let lines = self.with_available(&lines, 1);
        let freed = lines.clone();
        let (ordered_as, request_id) = (request_id.clone(), envelope.request_id.clone());
        self.push(match self.rules {
            Rules::One => Change::Cancelled { order, user, hold, lines: freed },
            Rules::Two | Rules::Three | Rules::Four => {
                Change::CancelledFor { order, user, hold, ordered_as, by, request_id, lines: freed }
            }
        });
        Outcome::Cancelled { lines }
    }
}

/// How the change of this `seq` ended a hold.
type Ending = fn(Seq) -> Settlement;

/// The hold that a change ended, and how.
pub(super) fn ended_hold(change: &Change) -> Option<(Seq, Ending)> {
    match change {
        Change::Confirmed { hold, .. } => Some((*hold, |order| Settlement::Confirmed { order })),
        Change::Released { hold, .. } | Change::ReleasedFor { hold, .. } => {
            Some((*hold, |seq| Settlement::Released { seq }))
        }
        Change::Expired { hold, .. } => Some((*hold, |seq| Settlement::Expired { seq })),
        _ => None,
    }
}
