//! The model's products as counters, and its cursors.

use super::Model;
use stock::{
    Attempt, Change, Command, CursorMove, CursorName, Debt, Envelope, Order, Outcome, Quantity,
    Refusal, Reply, Requester, SetIf, Sku, Terms,
};

/// What is noted of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    Owes(u64),
    Deleted,
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
        self.cursors.get(name).map(|(position, _)| *position)
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
                self.push(Change::Ordered(order));
                return Outcome::Bought { remaining: remaining - u64::try_from(owed).unwrap() };
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

    /// What a move of a cursor is answered, but for a later attempt that is refused: that one is
    /// stored like any other.
    pub(super) fn moved_cursor(&mut self, envelope: &Envelope) -> Option<Reply> {
        let Command::MoveCursor(CursorMove { name, expected, position }) = &envelope.command else {
            return None;
        };
        let reply = |replayed, outcome| Reply { seq: self.seq(), replayed, outcome };
        let stands = self.cursors.get(name);
        if let Some((at, by)) = stands
            && by.requester == envelope.requester
            && by.request_id == envelope.request_id
        {
            return Some(if at == position {
                reply(true, Outcome::CursorMoved { position: *position })
            } else {
                reply(false, Outcome::Refused(Refusal::KeyReused))
            });
        }
        let at = stands.map(|(at, _)| *at);
        if at == *expected {
            let moved = reply(false, Outcome::CursorMoved { position: *position });
            self.cursors.insert(name.clone(), (*position, envelope.clone()));
            return Some(moved);
        }
        let refused = reply(false, Outcome::Refused(Refusal::CursorMoved { position: at }));
        if envelope.attempt == Attempt::Later {
            self.keep_refused(envelope, &refused);
        }
        Some(refused)
    }
}
