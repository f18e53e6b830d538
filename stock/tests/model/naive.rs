//! A naive model of the machine: it keeps every request and every event in lists, and adds them up
//! anew for each question. Shares no code with the machine.

use super::logs::SKUS;
use stock::{
    Attempt, Batch, Cancel, Chain, Change, Command, Edit, Envelope, Event, Item, Items, Line,
    Order, Outcome, Product, ProductUpdate, Quantity, Receipt, Refusal, Reply, Requester, Seq,
    Settlement, Sku, Terms, UserId,
};

const DAY_MS: u64 = 86_400_000;

/// One request that was decided for good, as an order or stored.
struct Decided {
    envelope: Envelope,
    at_ms: u64,
    reply: Reply,
}

#[derive(Default)]
pub(crate) struct Model {
    pub(crate) now_ms: u64,
    pub(crate) events: Vec<Event>,
    decided: Vec<Decided>,
}

impl Model {
    pub(crate) fn apply(&mut self, batch: &Batch) -> Vec<Reply> {
        self.now_ms = self.now_ms.max(batch.stamp_ms);
        self.expire();
        batch.commands.iter().map(|envelope| self.execute(envelope)).collect()
    }

    pub(crate) fn seq(&self) -> Seq {
        Seq(self.events.len() as u64)
    }

    fn execute(&mut self, envelope: &Envelope) -> Reply {
        if let Some(reply) = self.earlier(envelope) {
            return reply;
        }
        let outcome = self.answer(envelope);
        let changed = matches!(
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
        );
        let reply = Reply { seq: self.seq(), replayed: false, outcome };
        if changed || envelope.attempt == Attempt::Later {
            let (envelope, reply) = (envelope.clone(), reply.clone());
            self.decided.push(Decided { envelope, at_ms: self.now_ms, reply });
        }
        reply
    }

    fn earlier(&self, envelope: &Envelope) -> Option<Reply> {
        let earlier = self.decided.iter().find(|earlier| {
            earlier.envelope.requester == envelope.requester
                && earlier.envelope.request_id == envelope.request_id
                && (is_order(&earlier.reply.outcome) || self.now_ms < earlier.at_ms + DAY_MS)
        })?;
        let now = |replayed, outcome| Some(Reply { seq: self.seq(), replayed, outcome });
        if earlier.envelope.command != envelope.command {
            return now(false, Outcome::Refused(Refusal::KeyReused));
        }
        match &earlier.reply.outcome {
            outcome if is_order(outcome) => {
                now(true, Outcome::BoughtBefore { order: earlier.reply.seq })
            }
            _ => Some(Reply { replayed: true, ..earlier.reply.clone() }),
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
                let lines = match self.take(items, user) {
                    Err(refusal) => return Outcome::Refused(refusal),
                    Ok(lines) => lines,
                };
                let ttls = lines.iter().map(|line| self.product(&line.sku).unwrap().terms.hold_ttl);
                let ttl_ms = ttl.unwrap_or(ttls.min().unwrap()).ms();
                let expires_at_ms = self.now_ms + ttl_ms;
                let (user, request_id) = (user.clone(), envelope.request_id.clone());
                let held = lines.clone();
                self.push(Change::Held { user, request_id, expires_at_ms, lines: held });
                Outcome::Held { expires_at_ms, lines }
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
            (Command::Release { hold }, requester) => {
                let by = match requester {
                    Requester::Operator => None,
                    Requester::User(user) => Some(user),
                };
                let (user, lines) = match self.open_hold(*hold, by) {
                    Err(refusal) => return Outcome::Refused(refusal),
                    Ok(found) => found,
                };
                let lines = self.with_available(&lines, 1);
                self.push(Change::Released { hold: *hold, user, lines: lines.clone() });
                Outcome::Released { lines }
            }
            (Command::Cancel(cancel), requester) => self.cancel(cancel, requester),
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

    fn cancel(&mut self, cancel: &Cancel, requester: &Requester) -> Outcome {
        let Cancel { order, user, request_id, items, hold } = cancel;
        let made = order.0.checked_sub(1).and_then(|at| self.events.get(at as usize));
        let (found_user, found_id, found_hold, lines) = match made.map(|event| &event.change) {
            Some(Change::Ordered(order)) => {
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
        let by_owner = match requester {
            Requester::Operator => true,
            Requester::User(by) => by == user,
        };
        let same = found_user == user && found_id == request_id && found_hold == *hold;
        if !(same && same_items && by_owner) {
            return Outcome::Refused(Refusal::UnknownOrder);
        }
        let again = |event: &Event| match event.change {
            Change::Cancelled { order: earlier, .. } => earlier == *order,
            _ => false,
        };
        if self.events.iter().any(again) {
            return Outcome::Refused(Refusal::AlreadyCancelled);
        }
        let (order, user, hold) = (*order, user.clone(), *hold);
        let lines = self.with_available(&lines, 1);
        self.push(Change::Cancelled { order, user, hold, lines: lines.clone() });
        Outcome::Cancelled { lines }
    }

    /// Expires what is due, by deadline and age, each as a change of its own.
    fn expire(&mut self) {
        loop {
            let due = self.open_holds().into_iter().filter(|(at_ms, _)| *at_ms <= self.now_ms);
            let Some((_, hold)) = due.min() else {
                return;
            };
            let (user, lines) = self.open_hold(hold, None).unwrap();
            let lines = self.with_available(&lines, 1);
            self.push(Change::Expired { hold, user, lines });
        }
    }

    /// Deadline and id of every open hold.
    pub(crate) fn open_holds(&self) -> Vec<(u64, Seq)> {
        let open = self.events.iter().filter_map(|event| match event.change {
            Change::Held { expires_at_ms, .. } => Some((expires_at_ms, event.seq)),
            _ => None,
        });
        open.filter(|(_, id)| self.open_hold(*id, None).is_ok()).collect()
    }

    fn open_hold(&self, id: Seq, by: Option<&UserId>) -> Result<(UserId, Vec<Line>), Refusal> {
        let made = id.0.checked_sub(1).and_then(|at| self.events.get(at as usize));
        let Some(Change::Held { user, lines, .. }) = made.map(|event| &event.change) else {
            return Err(Refusal::UnknownHold);
        };
        for Event { seq, change, .. } in &self.events {
            let settlement = match change {
                Change::Confirmed { hold, .. } if *hold == id => {
                    Settlement::Confirmed { order: *seq }
                }
                Change::Released { hold, .. } if *hold == id => Settlement::Released { seq: *seq },
                Change::Expired { hold, .. } if *hold == id => {
                    return Err(Refusal::HoldExpired { seq: *seq });
                }
                _ => continue,
            };
            return Err(Refusal::HoldSettled { settlement });
        }
        match by {
            Some(by) if by != user => Err(Refusal::UnknownHold),
            _ => Ok((user.clone(), lines.clone())),
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

    pub(crate) fn next_due_ms(&self) -> Option<u64> {
        let products = SKUS.iter().filter_map(|sku| self.product(&sku.parse().unwrap()));
        let instants = products.flat_map(|product| {
            [product.terms.starts_at_ms, product.terms.ends_at_ms].into_iter().flatten()
        });
        let deadlines = self.open_holds().into_iter().map(|(at_ms, _)| at_ms);
        deadlines.chain(instants.filter(|at_ms| *at_ms > self.now_ms)).min()
    }

    /// A user's orders, by id.
    pub(crate) fn orders_of(&self, user: &UserId) -> Vec<Seq> {
        let orders = self
            .events
            .iter()
            .filter(|event| event.change.order().is_some_and(|order| order.user == user));
        orders.map(|event| event.seq).collect()
    }

    /// The chain of the orders up to a change.
    pub(crate) fn chain(&self, seq: Seq) -> Chain {
        let mut chain = Chain { seq, orders: 0, receipt: Receipt::START };
        for event in self.events.iter().filter(|event| event.seq <= seq) {
            if let Some(order) = event.change.order() {
                chain.orders += 1;
                chain.receipt = chain.receipt.next(event.seq, event.at_ms, &order);
            }
        }
        chain
    }

    fn push(&mut self, change: Change) {
        let seq = Seq(self.seq().0 + 1);
        self.events.push(Event { seq, at_ms: self.now_ms, change });
    }

    /// The product as all events so far add up to.
    pub(crate) fn product(&self, wanted: &Sku) -> Option<Product> {
        let mut found: Option<Product> = None;
        for event in &self.events {
            let moved = match &event.change {
                Change::ProductCreated(terms) if terms.sku == *wanted => {
                    found = Some(Product {
                        terms: Terms::clone(terms),
                        stocked: terms.stock,
                        available: 0,
                        held: 0,
                        sold: 0,
                        seq: event.seq,
                    });
                    continue;
                }
                Change::ProductUpdated(terms) if terms.sku == *wanted => {
                    let product = found.as_mut().unwrap();
                    product.terms = Terms::clone(terms);
                    product.seq = event.seq;
                    continue;
                }
                Change::Restocked { sku, quantity, .. } if sku == wanted => {
                    let product = found.as_mut().unwrap();
                    product.stocked = product.stocked.checked_add_signed(*quantity).unwrap();
                    product.seq = event.seq;
                    continue;
                }
                change => moved(change, wanted),
            };
            if let Some((held, sold)) = moved {
                let product = found.as_mut().unwrap();
                product.held = product.held.checked_add_signed(held).unwrap();
                product.sold = product.sold.checked_add_signed(sold).unwrap();
                product.seq = event.seq;
            }
        }
        let mut product = found?;
        product.available = product.stocked - product.held - product.sold;
        Some(product)
    }

    /// What the user has, bought or held, of what was taken since the limit was set.
    fn bought(&self, sku: &Sku, user: &UserId) -> u64 {
        let (mut limited, mut since, mut bought) = (false, Seq(0), 0);
        for event in &self.events {
            let (by, taken) = match &event.change {
                Change::ProductCreated(terms) | Change::ProductUpdated(terms) => {
                    if terms.sku == *sku {
                        if !limited {
                            (since, bought) = (event.seq, 0);
                        }
                        limited = terms.per_user_limit.is_some();
                    }
                    continue;
                }
                Change::Restocked { .. } => continue,
                Change::Ordered(order) => (&order.user, event.seq),
                Change::Held { user, .. } | Change::BasketOrdered { user, .. } => (user, event.seq),
                Change::Confirmed { user, hold, .. }
                | Change::Released { user, hold, .. }
                | Change::Expired { user, hold, .. } => (user, *hold),
                Change::Cancelled { user, order, hold, .. } => (user, hold.unwrap_or(*order)),
            };
            if let Some((held, sold)) = moved(&event.change, sku)
                && by == user
                && limited
                && taken > since
            {
                bought += held + sold;
            }
        }
        u64::try_from(bought).unwrap()
    }
}

/// How many units of a product a change adds to those held and to those sold, if it is of it.
fn moved(change: &Change, wanted: &Sku) -> Option<(i64, i64)> {
    let (lines, held, sold) = match change {
        Change::ProductCreated(_) | Change::ProductUpdated(_) | Change::Restocked { .. } => {
            return None;
        }
        Change::Ordered(order) => {
            let sold = i64::from(order.quantity.get());
            return (order.sku == *wanted).then_some((0, sold));
        }
        Change::Held { lines, .. } => (lines, 1, 0),
        Change::Confirmed { lines, .. } => (lines, -1, 1),
        Change::Released { lines, .. } | Change::Expired { lines, .. } => (lines, -1, 0),
        Change::BasketOrdered { lines, .. } => (lines, 0, 1),
        Change::Cancelled { lines, .. } => (lines, 0, -1),
    };
    let line = lines.iter().find(|line| line.sku == *wanted)?;
    let units = i64::from(line.quantity.get());
    Some((held * units, sold * units))
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
