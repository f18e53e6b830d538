//! A naive model of the machine: it keeps every request and every event in lists, and adds them up
//! anew for each question. Shares no code with the machine.

mod counts;
mod holds;
mod sums;

use counts::{Cursor, Key};
use holds::ended_hold;
use std::collections::BTreeMap;
use stock::{
    Attempt, Batch, Bounds, Change, Command, CursorName, Edit, Envelope, Event, Item, Items, Line,
    Order, Outcome, ProductUpdate, Quantity, Refusal, Reply, RequestId, Requester, Rules, Seq, Sku,
    Terms, UserId,
};

const DAY_MS: u64 = 86_400_000;

/// How a request that was decided for good is known.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kept {
    /// For ever, as an order.
    Order,
    /// By its change.
    Done,
    /// As it was answered.
    Whole,
    /// The same, to an operator.
    OperatorWhole,
    /// The same, to a counter.
    CounterWhole,
}

/// One request that was decided for good.
struct Decided {
    envelope: Envelope,
    at_ms: u64,
    reply: Reply,
    kept: Kept,
}

pub(crate) struct Model {
    pub(crate) now_ms: u64,
    pub(crate) events: Vec<Event>,
    rules: Rules,
    bounds: Bounds,
    decided: Vec<Decided>,
    /// Holds that ended up to this change are forgotten.
    forgotten: Seq,
    keys: BTreeMap<Sku, Key>,
    cursors: BTreeMap<CursorName, Cursor>,
}

impl Model {
    pub(crate) fn new(bounds: Bounds) -> Self {
        let (events, decided) = (Vec::new(), Vec::new());
        let (keys, cursors) = (BTreeMap::new(), BTreeMap::new());
        let (rules, forgotten) = (Rules::One, Seq(0));
        Self { now_ms: 0, events, rules, bounds, decided, forgotten, keys, cursors }
    }

    pub(crate) fn adopt(&mut self, rules: Rules) {
        if self.rules == Rules::One && rules > Rules::One {
            // What only operators ask for; whose a refusal was, the first rules do not tell.
            for decided in &mut self.decided {
                let is_operators = match decided.envelope.command {
                    Command::CreateProduct(_)
                    | Command::UpdateProduct(_)
                    | Command::Restock { .. }
                    | Command::RemoveCursor(_) => {
                        !matches!(decided.reply.outcome, Outcome::Refused(_))
                    }
                    _ => false,
                };
                if is_operators {
                    decided.kept = Kept::OperatorWhole;
                }
            }
        }
        if self.rules < Rules::Four && rules >= Rules::Four {
            for decided in self.decided.iter_mut().filter(|decided| decided.kept == Kept::Whole) {
                let outcome = &decided.reply.outcome;
                if matches!(outcome, Outcome::Counted { .. } | Outcome::Withdrawn) {
                    decided.kept = Kept::CounterWhole;
                }
            }
        }
        self.rules = rules;
    }

    pub(crate) fn apply(&mut self, batch: &Batch) -> Vec<Reply> {
        self.now_ms = self.now_ms.max(batch.stamp_ms);
        self.forget();
        self.expire();
        batch.commands.iter().map(|envelope| self.execute(envelope)).collect()
    }

    pub(crate) fn seq(&self) -> Seq {
        Seq(self.events.len() as u64)
    }

    /// Whether holds may be due that have not expired.
    pub(crate) fn may_be_due(&self) -> bool {
        self.rules > Rules::One
    }

    /// Forgets what is a day old, and under the second rules what is too much.
    fn forget(&mut self) {
        let now_ms = self.now_ms;
        self.decided
            .retain(|decided| decided.kept == Kept::Order || now_ms < decided.at_ms + DAY_MS);
        if self.rules == Rules::One {
            return;
        }
        for (kept, max) in [
            (Kept::Done, self.bounds.done),
            (Kept::Whole, self.bounds.stored),
            (Kept::OperatorWhole, self.bounds.operator_stored),
            (Kept::CounterWhole, self.bounds.counter_stored),
        ] {
            let count = self.decided.iter().filter(|decided| decided.kept == kept).count();
            let mut surplus = count.saturating_sub(max);
            self.decided.retain(|decided| {
                let goes = decided.kept == kept && surplus > 0;
                surplus -= usize::from(goes);
                !goes
            });
        }
        let ended = self.events.iter().filter(|event| ended_hold(&event.change).is_some());
        if let Some(last) = ended.rev().nth(self.bounds.settled) {
            self.forgotten = self.forgotten.max(last.seq);
        }
    }

    /// The hold, release or cancel that a request became.
    pub(crate) fn done_by(&self, user: &UserId, request_id: &RequestId) -> Option<Seq> {
        let requester = Requester::User(user.clone());
        let done = self.decided.iter().find(|decided| {
            let Decided { envelope, kept, .. } = decided;
            *kept == Kept::Done
                && envelope.requester == requester
                && envelope.request_id == *request_id
        });
        done.map(|decided| decided.reply.seq)
    }

    fn execute(&mut self, envelope: &Envelope) -> Reply {
        if let Some(reply) = self.earlier(envelope) {
            return reply;
        }
        self.expire_named(envelope);
        if let Some(reply) = self.changed_cursor(envelope) {
            return reply;
        }
        let (noted, before) = (self.keys.clone(), self.seq());
        let outcome = self.answer(envelope);
        let changed = self.keys != noted
            || matches!(
                outcome,
                Outcome::ProductCreated(_)
                    | Outcome::ProductUpdated(_)
                    | Outcome::Restocked(_)
                    | Outcome::Bought { .. }
                    | Outcome::BasketBought { .. }
                    | Outcome::Held { .. }
                    | Outcome::Confirmed { .. }
                    | Outcome::Released { .. }
                    | Outcome::Cancelled { .. }
            )
            || self.seq() > before;
        let reply = Reply { seq: self.seq(), replayed: false, outcome };
        if changed || envelope.attempt == Attempt::Later {
            let kept = match &reply.outcome {
                outcome if is_order(outcome) => Kept::Order,
                Outcome::Held { .. } | Outcome::Released { .. } | Outcome::Cancelled { .. }
                    if self.rules > Rules::One =>
                {
                    Kept::Done
                }
                _ => self.kept_whole(envelope),
            };
            let (envelope, reply) = (envelope.clone(), reply.clone());
            self.decided.push(Decided { envelope, at_ms: self.now_ms, reply, kept });
        }
        reply
    }

    /// By whose bound what is kept as it was answered is forgotten.
    fn kept_whole(&self, envelope: &Envelope) -> Kept {
        let counts = matches!(
            envelope.command,
            Command::Count { .. } | Command::SetAvailable { .. } | Command::Withdraw { .. }
        );
        match (&envelope.requester, self.rules) {
            (Requester::Operator, Rules::Two | Rules::Three | Rules::Four) => Kept::OperatorWhole,
            (Requester::User(_), Rules::Four) if counts => Kept::CounterWhole,
            _ => Kept::Whole,
        }
    }

    /// Keeps what was answered, an order's or a change's apart.
    fn keep_whole(&mut self, envelope: &Envelope, reply: &Reply) {
        let kept = self.kept_whole(envelope);
        let (envelope, reply) = (envelope.clone(), reply.clone());
        self.decided.push(Decided { envelope, at_ms: self.now_ms, reply, kept });
    }

    fn earlier(&self, envelope: &Envelope) -> Option<Reply> {
        let earlier = self.decided.iter().find(|earlier| {
            earlier.envelope.requester == envelope.requester
                && earlier.envelope.request_id == envelope.request_id
        })?;
        let now = |replayed, outcome| Some(Reply { seq: self.seq(), replayed, outcome });
        if counts::asked(&earlier.envelope.command) != counts::asked(&envelope.command) {
            return now(false, Outcome::Refused(Refusal::KeyReused));
        }
        let seq = earlier.reply.seq;
        match earlier.kept {
            Kept::Order => now(true, Outcome::BoughtBefore { order: seq }),
            Kept::Done => now(true, Outcome::DoneBefore { change: seq }),
            Kept::Whole | Kept::OperatorWhole | Kept::CounterWhole => {
                Some(Reply { replayed: true, ..earlier.reply.clone() })
            }
        }
    }

    fn answer(&mut self, envelope: &Envelope) -> Outcome {
        match (&envelope.command, &envelope.requester) {
            (Command::CreateProduct(terms), _) => match self.product(&terms.sku) {
                Some(product) if product.terms == **terms => {
                    Outcome::ProductUnchanged(Box::new(product))
                }
                Some(_) => Outcome::Refused(Refusal::ProductDiffers),
                None => {
                    if let Some(refusal) = empty_window(terms) {
                        return Outcome::Refused(refusal);
                    }
                    self.push(Change::ProductCreated(terms.clone()));
                    Outcome::ProductCreated(Box::new(self.product(&terms.sku).unwrap()))
                }
            },
            (Command::UpdateProduct(update), _) => self.update(update),
            (Command::Restock { sku, quantity }, _) => {
                let Some(product) = self.product(sku) else {
                    return Outcome::Refused(Refusal::UnknownProduct);
                };
                let available = i128::from(product.available) + i128::from(*quantity);
                let stocked = i128::from(product.stocked) + i128::from(*quantity);
                if *quantity == 0 || available < 0 || stocked > 1_000_000_000_000 {
                    let available = product.available;
                    return Outcome::Refused(Refusal::RestockOutOfRange { available });
                }
                let available = u64::try_from(available).unwrap();
                self.push(Change::Restocked { sku: sku.clone(), quantity: *quantity, available });
                Outcome::Restocked(Box::new(self.product(sku).unwrap()))
            }
            (
                Command::Buy { .. } | Command::BuyBasket { .. } | Command::Hold { .. },
                Requester::Operator,
            ) => Outcome::Refused(Refusal::UnknownProduct),
            (Command::Confirm { .. }, Requester::Operator) => {
                Outcome::Refused(Refusal::UnknownHold)
            }
            (Command::BuyBasket { items }, Requester::User(user)) => {
                let lines = match self.take(items, user) {
                    Err(refusal) => return Outcome::Refused(refusal),
                    Ok(lines) => lines,
                };
                let (user, request_id) = (user.clone(), envelope.request_id.clone());
                self.push(Change::BasketOrdered { user, request_id, lines: lines.clone() });
                Outcome::BasketBought { lines }
            }
            (Command::Hold { items, ttl }, Requester::User(user)) => {
                self.hold(items, *ttl, user, envelope)
            }
            (Command::Confirm { hold }, Requester::User(user)) => {
                let (owner, lines) = match self.open_hold(*hold, Some(user)) {
                    Err(refusal) => return Outcome::Refused(refusal),
                    Ok(found) => found,
                };
                let lines = self.with_available(&lines, 0);
                let (hold, request_id) = (*hold, envelope.request_id.clone());
                let sold = lines.clone();
                self.push(Change::Confirmed { hold, user: owner, request_id, lines: sold });
                Outcome::Confirmed { lines }
            }
            (Command::Release { hold }, requester) => self.release(*hold, requester, envelope),
            (Command::Cancel(cancel), _) => self.cancel(cancel, envelope),
            (Command::MoveCursor(_) | Command::MoveCursorFor(_) | Command::RemoveCursor(_), _) => {
                unreachable!("cursors are changed before")
            }
            (Command::Count { sku, by, debt }, requester) => {
                self.add_to(sku, *by, *debt, requester, envelope)
            }
            (Command::SetAvailable { sku, available, only }, _) => self.set(sku, *available, *only),
            (Command::Withdraw { sku }, _) => self.withdraw(sku),
            (Command::Buy { sku, quantity }, Requester::User(user)) => {
                match self.buy(sku, user, *quantity) {
                    Err(refusal) => Outcome::Refused(refusal),
                    Ok(remaining) => {
                        self.push(Change::Ordered(Order {
                            sku: sku.clone(),
                            user: user.clone(),
                            request_id: envelope.request_id.clone(),
                            quantity: *quantity,
                            remaining,
                        }));
                        Outcome::Bought { remaining }
                    }
                }
            }
        }
    }

    /// The lines of a change that gives `sign` times its units back.
    fn with_available(&self, lines: &[Line], sign: i64) -> Vec<Line> {
        let line = |Line { sku, quantity, .. }: &Line| {
            let available = self.product(sku).unwrap().available;
            let units = sign * i64::from(quantity.get());
            let available = available.checked_add_signed(units).unwrap();
            Line { sku: sku.clone(), quantity: *quantity, available }
        };
        lines.iter().map(line).collect()
    }

    /// The lines of a basket or a hold, if the user can have all of it.
    fn take(&self, items: &Items, user: &UserId) -> Result<Vec<Line>, Refusal> {
        let items = items.as_slice();
        let mut lines = Vec::new();
        for Item { sku, quantity } in items {
            let available = match self.buy(sku, user, *quantity) {
                Ok(available) => available,
                Err(refusal) if items.len() == 1 => return Err(refusal),
                Err(refusal) => {
                    let (sku, refusal) = (sku.clone(), Box::new(refusal));
                    return Err(Refusal::OfItem { sku, refusal });
                }
            };
            lines.push(Line { sku: sku.clone(), quantity: *quantity, available });
        }
        Ok(lines)
    }

    fn update(&mut self, update: &ProductUpdate) -> Outcome {
        fn edited<T: Copy>(field: &mut Option<T>, edit: Edit<T>) {
            match edit {
                Edit::Keep => {}
                Edit::Clear => *field = None,
                Edit::Set(value) => *field = Some(value),
            }
        }
        let Some(product) = self.product(&update.sku) else {
            return Outcome::Refused(Refusal::UnknownProduct);
        };
        if update.if_match.unwrap_or(product.seq) != product.seq {
            return Outcome::Refused(Refusal::VersionDiffers { seq: product.seq });
        }
        let mut terms = product.terms.clone();
        if let Some(name) = &update.name {
            terms.name.clone_from(name);
        }
        edited(&mut terms.per_user_limit, update.per_user_limit);
        edited(&mut terms.price, update.price);
        edited(&mut terms.starts_at_ms, update.starts_at_ms);
        edited(&mut terms.ends_at_ms, update.ends_at_ms);
        terms.hold_ttl = update.hold_ttl.unwrap_or(terms.hold_ttl);
        if terms == product.terms {
            return Outcome::ProductUnchanged(Box::new(product));
        }
        if let Some(refusal) = empty_window(&terms) {
            return Outcome::Refused(refusal);
        }
        self.push(Change::ProductUpdated(Box::new(terms)));
        Outcome::ProductUpdated(Box::new(self.product(&update.sku).unwrap()))
    }

    fn buy(&self, sku: &Sku, user: &UserId, quantity: Quantity) -> Result<u64, Refusal> {
        let product = self.product(sku).ok_or(Refusal::UnknownProduct)?;
        if let Some(starts_at_ms) = product.terms.starts_at_ms.filter(|at| self.now_ms < *at) {
            return Err(Refusal::NotOpen { starts_at_ms });
        }
        if let Some(ends_at_ms) = product.terms.ends_at_ms.filter(|at| *at <= self.now_ms) {
            return Err(Refusal::SaleOver { ends_at_ms });
        }
        let (units, available) = (u64::from(quantity), product.available);
        if available == 0 {
            return Err(Refusal::SoldOut);
        }
        let bought = self.bought(sku, user);
        match product.terms.per_user_limit {
            Some(limit) if bought + units > u64::from(limit) => {
                Err(Refusal::LimitReached { limit, bought })
            }
            _ if units > available => Err(Refusal::Insufficient { remaining: available }),
            _ => Ok(available - units),
        }
    }

    fn push(&mut self, change: Change) {
        let seq = Seq(self.seq().0 + 1);
        let products: Vec<Sku> = change.products().into_iter().cloned().collect();
        self.events.push(Event { seq, at_ms: self.now_ms, change });
        for sku in products {
            if self.product(&sku).unwrap().available > 0
                && self.keys.get(&sku) == Some(&Key::Deleted)
            {
                self.keys.remove(&sku);
            }
        }
    }
}

fn is_order(outcome: &Outcome) -> bool {
    matches!(
        outcome,
        Outcome::Bought { .. } | Outcome::BasketBought { .. } | Outcome::Confirmed { .. }
    )
}

fn empty_window(terms: &Terms) -> Option<Refusal> {
    let (starts_at_ms, ends_at_ms) = (terms.starts_at_ms?, terms.ends_at_ms?);
    (ends_at_ms <= starts_at_ms).then_some(Refusal::EmptyWindow { starts_at_ms, ends_at_ms })
}
