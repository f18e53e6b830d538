//! The model's products as counters, and its cursors.

use super::Model;
use stock::{
    Attempt, Change, Command, CursorMove, CursorName, CursorRemoval, CursorTarget, Debt, Envelope,
    Order, Outcome, Quantity, Refusal, Reply, Requester, Rules, SetIf, Sku, Terms,
};

/// What is noted of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    Owes(u64),
    Deleted,
}

/// Where a cursor stands, the request that moved it there, and what it is for.
pub(super) struct Cursor {
    at: u64,
    by: Envelope,
    target: Option<CursorTarget>,
}

const MAX: i128 = 1_000_000_000_000;

/// What a request is known by: taking from a count is a buy.
pub(super) fn asked(command: &Command) -> Command {
    match command {
        Command::Count { sku, by, .. } if *by < 0 && *by >= -1_000_000 => {
            let quantity = Quantity::new(by.unsigned_abs()).unwrap();
            Command::Buy { sku: sku.clone(), quantity }
        }
        command => command.clone(),
    }
}

impl Model {
    pub(crate) fn count(&self, sku: &Sku) -> Option<i64> {
        let available = i64::try_from(self.product(sku)?.available).unwrap();
        match self.keys.get(sku) {
            Some(Key::Deleted) => None,
            Some(Key::Owes(units)) => Some(available - i64::try_from(*units).unwrap()),
            None => Some(available),
        }
    }

    pub(crate) fn cursor(&self, name: &CursorName) -> Option<u64> {
        self.cursors.get(name).map(|cursor| cursor.at)
    }

    pub(crate) fn cursor_target(&self, name: &CursorName) -> Option<&CursorTarget> {
        self.cursors.get(name)?.target.as_ref()
    }

    fn available(&self, sku: &Sku) -> i128 {
        self.product(sku).map_or(0, |product| product.available.into())
    }

    fn owed(&self, sku: &Sku) -> i128 {
        match self.keys.get(sku) {
            Some(Key::Owes(units)) => (*units).into(),
            Some(Key::Deleted) | None => 0,
        }
    }

    /// Creates the product or adds to it; the note on the key is the caller's.
    fn add(&mut self, sku: &Sku, units: i128) -> Result<(), Refusal> {
        let available = self.available(sku).try_into().unwrap();
        let stocked = self.product(sku).map_or(0, |product| product.stocked.into());
        if stocked + units > MAX {
            return Err(Refusal::RestockOutOfRange { available });
        }
        if self.product(sku).is_none() {
            let stock = units.try_into().unwrap();
            let terms = Terms::plain(sku.clone(), sku.as_str(), stock);
            self.push(Change::ProductCreated(Box::new(terms)));
        } else if units != 0 {
            let available = (i128::from(available) + units).try_into().unwrap();
            let quantity = units.try_into().unwrap();
            self.push(Change::Restocked { sku: sku.clone(), quantity, available });
        }
        Ok(())
    }

    fn note(&mut self, sku: &Sku, owed: i128) {
        match owed {
            0 => self.keys.remove(sku),
            _ => self.keys.insert(sku.clone(), Key::Owes(owed.try_into().unwrap())),
        };
    }

    pub(super) fn add_to(
        &mut self,
        sku: &Sku,
        by: i64,
        debt: Debt,
        requester: &Requester,
        envelope: &Envelope,
    ) -> Outcome {
        let Requester::User(user) = requester else {
            return Outcome::Refused(Refusal::UnknownProduct);
        };
        let (by, owed) = (i128::from(by), self.owed(sku));
        let counted = |model: &Self| Outcome::Counted { count: model.count(sku).unwrap() };
        if by >= 0 {
            if let Err(refusal) = self.add(sku, (by - owed).max(0)) {
                return Outcome::Refused(refusal);
            }
            self.note(sku, (owed - by).max(0));
            return counted(self);
        }
        let available = self.available(sku);
        let out_of_range = Outcome::Refused(Refusal::RestockOutOfRange {
            available: available.try_into().unwrap(),
        });
        if let Some(product) = self.product(sku) {
            let terms = &product.terms;
            if let Some(starts_at_ms) = terms.starts_at_ms.filter(|at| self.now_ms < *at) {
                return Outcome::Refused(Refusal::NotOpen { starts_at_ms });
            }
            if let Some(ends_at_ms) = terms.ends_at_ms.filter(|at| *at <= self.now_ms) {
                return Outcome::Refused(Refusal::SaleOver { ends_at_ms });
            }
            if available - owed + by >= 0 {
                let Ok(quantity) = Quantity::new((-by).try_into().unwrap()) else {
                    return out_of_range;
                };
                let remaining = match self.buy(sku, user, quantity) {
                    Err(refusal) => return Outcome::Refused(refusal),
                    Ok(remaining) => remaining,
                };
                let order = Order {
                    sku: sku.clone(),
                    user: user.clone(),
                    request_id: envelope.request_id.clone(),
                    quantity,
                    remaining,
                };
                let owed = u64::try_from(owed).unwrap();
                self.push(match owed {
                    1.. if self.rules == Rules::Four => Change::Counted { order, owed },
                    _ => Change::Ordered(order),
                });
                return Outcome::Bought { remaining: remaining - owed };
            }
            if debt == Debt::Refused {
                let remaining = (available - owed).max(0).try_into().unwrap();
                return Outcome::Refused(match remaining {
                    0 => Refusal::SoldOut,
                    remaining => Refusal::Insufficient { remaining },
                });
            }
        }
        if debt == Debt::Refused {
            return Outcome::Refused(Refusal::UnknownProduct);
        }
        if owed - by > MAX {
            return out_of_range;
        }
        self.add(sku, 0).unwrap();
        self.note(sku, owed - by);
        counted(self)
    }

    pub(super) fn set(&mut self, sku: &Sku, available: u64, only: SetIf) -> Outcome {
        match (only, self.count(sku)) {
            (SetIf::Missing, Some(_)) => return Outcome::Refused(Refusal::ProductDiffers),
            (SetIf::Present, None) => return Outcome::Refused(Refusal::UnknownProduct),
            _ => {}
        }
        if let Err(refusal) = self.add(sku, i128::from(available) - self.available(sku)) {
            return Outcome::Refused(refusal);
        }
        self.note(sku, 0);
        Outcome::Counted { count: self.count(sku).unwrap() }
    }

    pub(super) fn withdraw(&mut self, sku: &Sku) -> Outcome {
        if self.count(sku).is_none() {
            return Outcome::Refused(Refusal::UnknownProduct);
        }
        self.add(sku, -self.available(sku)).unwrap();
        self.keys.insert(sku.clone(), Key::Deleted);
        Outcome::Withdrawn
    }

    /// What is answered to a move or the removal of a cursor, kept as long as it is.
    pub(super) fn changed_cursor(&mut self, envelope: &Envelope) -> Option<Reply> {
        let (wanted, target) = match &envelope.command {
            Command::MoveCursor(moved) => (moved, None),
            Command::MoveCursorFor(wanted) => (&wanted.moved, Some(&wanted.target)),
            Command::RemoveCursor(removal) => return Some(self.removed_cursor(envelope, removal)),
            _ => return None,
        };
        let CursorMove { name, expected, position } = wanted;
        let reply = |replayed, outcome| Reply { seq: self.seq(), replayed, outcome };
        let refused = |refusal| reply(false, Outcome::Refused(refusal));
        let stands = self.cursors.get(name);
        let is_for = stands.and_then(|cursor| cursor.target.as_ref());
        let others = target.is_some_and(|target| is_for.is_some_and(|is_for| is_for != target));
        if let Some(Cursor { at, by, .. }) = stands
            && by.requester == envelope.requester
            && by.request_id == envelope.request_id
        {
            return Some(if at == position && !others {
                reply(true, Outcome::CursorMoved { position: *position })
            } else {
                refused(Refusal::KeyReused)
            });
        }
        let at = stands.map(|cursor| cursor.at);
        if others || at != *expected {
            let refused = refused(if others {
                Refusal::CursorOfAnother
            } else {
                Refusal::CursorMoved { position: at }
            });
            if envelope.attempt == Attempt::Later {
                self.keep_whole(envelope, &refused);
            }
            return Some(refused);
        }
        let moved = reply(false, Outcome::CursorMoved { position: *position });
        let (by, target) = (envelope.clone(), is_for.or(target).cloned());
        self.cursors.insert(name.clone(), Cursor { at: *position, by, target });
        if expected.is_none() && self.rules == Rules::Four {
            self.keep_whole(envelope, &moved);
        }
        Some(moved)
    }

    fn removed_cursor(&mut self, envelope: &Envelope, removal: &CursorRemoval) -> Reply {
        let CursorRemoval { name, expected } = removal;
        let outcome = match self.cursor(name) {
            None => Outcome::Refused(Refusal::UnknownCursor),
            Some(at) if at != *expected => {
                Outcome::Refused(Refusal::CursorMoved { position: Some(at) })
            }
            Some(position) => {
                self.cursors.remove(name);
                Outcome::CursorRemoved { position }
            }
        };
        let is_refused = matches!(outcome, Outcome::Refused(_));
        let reply = Reply { seq: self.seq(), replayed: false, outcome };
        if !is_refused || envelope.attempt == Attempt::Later {
            self.keep_whole(envelope, &reply);
        }
        reply
    }
}
