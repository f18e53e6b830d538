//! Random batches, on the machine and on a naive model of it that keeps every request and every
//! event in lists and adds them up anew for each question. Shares no code with the machine.
//!
//! Properties: equal replies; the invariants; peek agrees with apply; equal logs cut into batches
//! otherwise give equal hashes; the kept hash is that of the state; a restored machine is the
//! machine, then and for all that follows.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use std::collections::BTreeMap;
use stock::{
    Applied, Attempt, Batch, Cancel, Change, Command, Edit, Envelope, Event, HoldTtl, HotState,
    Item, Items, Line, Machine, Order, Outcome, Price, Product, ProductUpdate, Quantity, Refusal,
    Reply, Requester, Seq, Settlement, Sku, Terms, UserId, codec,
};

const DAY_MS: u64 = 86_400_000;

/// One request that was decided for good, as an order or stored.
struct Decided {
    envelope: Envelope,
    at_ms: u64,
    reply: Reply,
}

#[derive(Default)]
struct Model {
    now_ms: u64,
    events: Vec<Event>,
    decided: Vec<Decided>,
}

impl Model {
    fn apply(&mut self, batch: &Batch) -> Vec<Reply> {
        self.now_ms = self.now_ms.max(batch.stamp_ms);
        self.expire();
        batch.commands.iter().map(|envelope| self.execute(envelope)).collect()
    }

    fn seq(&self) -> Seq {
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
    fn open_holds(&self) -> Vec<(u64, Seq)> {
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

    fn next_due_ms(&self) -> Option<u64> {
        let products = SKUS.iter().filter_map(|sku| self.product(&sku.parse().unwrap()));
        let instants = products.flat_map(|product| {
            [product.terms.starts_at_ms, product.terms.ends_at_ms].into_iter().flatten()
        });
        let deadlines = self.open_holds().into_iter().map(|(at_ms, _)| at_ms);
        deadlines.chain(instants.filter(|at_ms| *at_ms > self.now_ms)).min()
    }

    fn push(&mut self, change: Change) {
        let seq = Seq(self.seq().0 + 1);
        self.events.push(Event { seq, at_ms: self.now_ms, change });
    }

    /// The product as all events so far add up to.
    fn product(&self, wanted: &Sku) -> Option<Product> {
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

const SKUS: [&str; 3] = ["cap", "mug", "tee"];

fn sku() -> impl Strategy<Value = Sku> {
    prop::sample::select(&SKUS[..]).prop_map(|sku| sku.parse().unwrap())
}

fn requester() -> impl Strategy<Value = Requester> {
    prop_oneof![
        1 => Just(Requester::Operator),
        6 => prop::sample::select(vec!["ann", "bob", "cid"])
            .prop_map(|user| Requester::User(user.parse().unwrap())),
    ]
}

fn edit<T: Clone + std::fmt::Debug + 'static>(
    value: impl Strategy<Value = T> + 'static,
) -> impl Strategy<Value = Edit<T>> {
    prop_oneof![3 => Just(Edit::Keep), 1 => Just(Edit::Clear), 2 => value.prop_map(Edit::Set)]
}

fn ttl() -> impl Strategy<Value = Option<HoldTtl>> {
    let hour = 3_600_000;
    prop::option::weighted(0.4, prop::sample::select(vec![1_000, hour, 24 * hour]))
        .prop_map(|ttl| ttl.map(|ms| HoldTtl::from_ms(ms).unwrap()))
}

fn update() -> impl Strategy<Value = ProductUpdate> {
    let limit = edit((1..5u64).prop_map(|units| Quantity::new(units).unwrap()));
    let price = edit((0..3u64).prop_map(|minor_units| {
        let currency = "EUR".parse().unwrap();
        Price { minor_units, currency }
    }));
    let hour = 3_600_000;
    // Around the times of the batches.
    let instant = || edit((40..90u64).prop_map(move |hours| hours * hour));
    let if_match = prop::option::weighted(0.2, (0..20u64).prop_map(Seq));
    (sku(), if_match, limit, price, instant(), instant(), ttl()).prop_map(
        |(sku, if_match, per_user_limit, price, starts_at_ms, ends_at_ms, hold_ttl)| {
            ProductUpdate {
                if_match,
                per_user_limit,
                price,
                starts_at_ms,
                ends_at_ms,
                hold_ttl,
                ..ProductUpdate::of(sku)
            }
        },
    )
}

fn items() -> impl Strategy<Value = Items> {
    prop::collection::btree_map(0..SKUS.len(), 1..4u64, 1..SKUS.len()).prop_map(|items| {
        let item = |(sku, units): (usize, u64)| Item {
            sku: SKUS[sku].parse().unwrap(),
            quantity: Quantity::new(units).unwrap(),
        };
        Items::new(items.into_iter().map(item).collect()).unwrap()
    })
}

/// What names a change that has yet to happen: `aimed` puts in its place what did.
fn of_change() -> impl Strategy<Value = Command> {
    let nth = || (0..12u64).prop_map(Seq);
    prop_oneof![
        nth().prop_map(|hold| Command::Confirm { hold }),
        nth().prop_map(|hold| Command::Release { hold }),
        (nth(), items()).prop_map(|(order, items)| {
            let (user, request_id) = ("ann".parse().unwrap(), "key-0".parse().unwrap());
            Command::Cancel(Box::new(Cancel { order, user, request_id, items, hold: None }))
        }),
    ]
}

/// Aims a command of [`of_change`] at the nth last hold or order, mostly in its owner's name; what
/// finds none stays as it is.
fn aimed(mut envelope: Envelope, events: &[Event]) -> Envelope {
    let nth_last = |nth: Seq, wanted: fn(&Change) -> bool| {
        events.iter().rev().filter(|event| wanted(&event.change)).nth(nth.0 as usize / 2)
    };
    let is_hold: fn(&Change) -> bool = |change| matches!(change, Change::Held { .. });
    let is_order: fn(&Change) -> bool = |change| change.order().is_some();
    let owner = match &mut envelope.command {
        Command::Confirm { hold } | Command::Release { hold } => {
            let Some(event) = nth_last(*hold, is_hold) else { return envelope };
            let Change::Held { user, .. } = &event.change else { unreachable!() };
            *hold = event.seq;
            user.clone()
        }
        Command::Cancel(cancel) => {
            let Some(event) = nth_last(cancel.order, is_order) else { return envelope };
            let content = event.change.order().unwrap();
            cancel.user = content.user.clone();
            // Some name it wrongly, in one thing or another.
            if cancel.order != Seq(9) {
                cancel.items = Items::new(content.items()).unwrap();
            }
            if cancel.order != Seq(10) {
                cancel.request_id = content.request_id.clone();
            }
            if cancel.order != Seq(11) {
                cancel.hold = content.hold;
            }
            cancel.order = event.seq;
            cancel.user.clone()
        }
        _ => return envelope,
    };
    if envelope.requester != Requester::Operator && envelope.request_id.as_str() != "key-3" {
        envelope.requester = Requester::User(owner);
    }
    envelope
}

fn command() -> impl Strategy<Value = Command> {
    let limit = prop::option::of((1..5u64).prop_map(|units| Quantity::new(units).unwrap()));
    // Half of the names are one, so that the same terms come again.
    let create = (sku(), 0..6u64, limit, prop::sample::select(vec!["", "", "other"])).prop_map(
        |(sku, stock, per_user_limit, name)| {
            let terms = Terms { per_user_limit, ..Terms::plain(sku, name, stock) };
            Command::CreateProduct(Box::new(terms))
        },
    );
    // Creates with more than the first layout knows.
    let create =
        (create, prop::option::weighted(0.3, update())).prop_map(|(create, update)| {
            match (create, update) {
                (Command::CreateProduct(terms), Some(update)) => {
                    Command::CreateProduct(Box::new(terms.updated(&update)))
                }
                (create, _) => create,
            }
        });
    let update = update().prop_map(|update| Command::UpdateProduct(Box::new(update)));
    let quantity = prop_oneof![
        20 => -5..6i64,
        1 => Just(i64::MIN),
        1 => Just(i64::MAX),
        1 => Just(999_999_999_998),
    ];
    let restock = (sku(), quantity).prop_map(|(sku, quantity)| Command::Restock { sku, quantity });
    let buy = (sku(), 1..4u64)
        .prop_map(|(sku, units)| Command::Buy { sku, quantity: Quantity::new(units).unwrap() });
    let basket = items().prop_map(|items| Command::BuyBasket { items });
    let hold = (items(), ttl()).prop_map(|(items, ttl)| Command::Hold { items, ttl });
    prop_oneof![
        3 => create,
        2 => restock,
        2 => update,
        4 => buy,
        2 => basket,
        4 => hold,
        5 => of_change(),
    ]
}

fn envelope() -> impl Strategy<Value = Envelope> {
    let attempt = prop::sample::select(vec![Attempt::First, Attempt::First, Attempt::Later]);
    (requester(), 0..12u32, attempt, command()).prop_map(|(requester, key, attempt, command)| {
        Envelope { requester, request_id: format!("key-{key}").parse().unwrap(), attempt, command }
    })
}

/// Batches whose stamps mostly go on, at times jump by about a day, at times go back.
fn log() -> impl Strategy<Value = Vec<Batch>> {
    let hour = 3_600_000;
    let step = prop::sample::select(vec![
        0,
        0,
        1,
        7,
        -3,
        -2 * hour,
        hour,
        11 * hour,
        24 * hour - 1,
        24 * hour,
    ]);
    // Attempts come again, in the same batch or a later one: repeat some of what was sent.
    let batch =
        (step, prop::collection::vec((envelope(), any::<Option<prop::sample::Index>>()), 0..8));
    prop::collection::vec(batch, 1..25).prop_map(|batches| {
        let mut sent: Vec<Envelope> = Vec::new();
        let mut clock_ms: u64 = 50 * 3_600_000;
        // What happens is what the commands of `of_change` are aimed at.
        let (mut machine, mut events) = (Machine::new(), Vec::new());
        let mut log = Vec::new();
        for (step_ms, commands) in batches {
            clock_ms = clock_ms.saturating_add_signed(step_ms);
            let mut batch = Batch { stamp_ms: clock_ms, commands: Vec::new() };
            for (fresh, repeat) in commands {
                let envelope = match repeat {
                    Some(index) if !sent.is_empty() => {
                        Envelope { attempt: fresh.attempt, ..index.get(&sent).clone() }
                    }
                    _ => aimed(fresh, &events),
                };
                sent.push(envelope.clone());
                batch.commands.push(envelope);
            }
            events.extend(machine.apply(&batch).events);
            log.push(batch);
        }
        log
    })
}

/// What peek says before a batch is what apply says to its first command, when time stands still.
fn check_peek(machine: &Machine, batch: &Batch, peeked: Option<&Option<Reply>>, applied: &Applied) {
    let (Some(peeked), Some(first)) = (peeked, batch.commands.first()) else {
        return;
    };
    if let Some(reply) = peeked {
        assert_eq!(*reply, applied.replies[0], "peek at {first:?}");
        // What a later attempt is answered, every copy of it must be answered from now on.
        let decided = reply.replayed || reply.outcome == Outcome::Refused(Refusal::KeyReused);
        let for_good = decided || first.attempt == Attempt::First;
        assert!(for_good, "peek answers {first:?} with {reply:?}, which is stored nowhere");
    } else {
        let reply = &applied.replies[0];
        let changed = applied.events.first().is_some_and(|event| event.seq == reply.seq);
        let stored = first.attempt == Attempt::Later && machine.peek(first).is_some();
        assert!((changed && !reply.replayed) || stored, "peek let {first:?} pass for {reply:?}");
    }
}

fn check_invariants(machine: &Machine, model: &Model) {
    assert_eq!(machine.state_hash(), machine.recompute_hash());
    assert_eq!(machine.seq(), model.seq());
    assert_eq!(machine.log_time_ms(), model.now_ms);
    let skus: Vec<Sku> = SKUS.iter().map(|sku| sku.parse().unwrap()).collect();
    for sku in &skus {
        assert_eq!(machine.product(sku).cloned(), model.product(sku));
    }
    assert!(machine.products().map(|product| &product.terms.sku).is_sorted());
    for product in machine.products() {
        assert_eq!(product.available + product.held + product.sold, product.stocked);
    }
    assert_eq!(machine.next_due_ms(), model.next_due_ms());
    for event in &model.events {
        if let Some(order) = event.change.order() {
            assert_eq!(machine.order_of(order.user, order.request_id), Some(event.seq));
        }
    }
    let mut open: Vec<(u64, Seq)> =
        machine.open_holds().map(|(id, hold)| (hold.expires_at_ms, id)).collect();
    open.sort_unstable_by_key(|(_, id)| *id);
    assert_eq!(open, model.open_holds());
    assert!(open.iter().all(|(at_ms, _)| *at_ms > model.now_ms));
}

/// The machine, after a trip through its snapshot's bytes.
fn restored(machine: &Machine, events: &[Event]) -> Machine {
    let bytes = codec::encode(&machine.hot_state(), u64::MAX).unwrap();
    let hot: HotState = codec::decode(&bytes, u64::MAX).unwrap();
    let restored = Machine::restore(hot, events.iter().cloned()).unwrap();
    assert_eq!(restored.state_hash(), machine.state_hash());
    assert_eq!(restored.recompute_hash(), machine.state_hash());
    assert_eq!(restored.hot_state(), machine.hot_state());
    restored
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config(1500))]

    #[test]
    fn machine_is_the_model(log in log()) {
        let (mut machine, mut model) = (Machine::new(), Model::default());
        for batch in &log {
            let peeked = (batch.stamp_ms <= machine.log_time_ms())
                .then(|| batch.commands.first().and_then(|first| machine.peek(first)));
            let seq_before = machine.seq();
            let applied = machine.apply(batch);
            prop_assert_eq!(&applied.replies, &model.apply(batch), "batch {:?}", batch);
            prop_assert_eq!(&applied.events, &model.events[seq_before.0 as usize..]);
            check_peek(&machine, batch, peeked.as_ref(), &applied);
            check_invariants(&machine, &model);
        }
    }

    #[test]
    fn hash_does_not_depend_on_batches(log in log(), cut in 1..5usize) {
        let (mut whole, mut parts) = (Machine::new(), Machine::new());
        for batch in &log {
            let stamp_ms = batch.stamp_ms;
            let expected = whole.apply(batch);
            let mut actual = Applied { replies: Vec::new(), events: Vec::new() };
            for commands in batch.commands.chunks(cut) {
                let part = parts.apply(&Batch { stamp_ms, commands: commands.to_vec() });
                actual.replies.extend(part.replies);
                actual.events.extend(part.events);
            }
            if batch.commands.is_empty() {
                actual.events.extend(parts.apply(batch).events);
            }
            prop_assert_eq!(expected, actual);
            prop_assert_eq!(whole.state_hash(), parts.state_hash());
        }
    }

    #[test]
    fn restored_machine_is_the_machine(log in log(), at in any::<prop::sample::Index>()) {
        let at = at.index(log.len());
        let (mut machine, mut events) = (Machine::new(), Vec::new());
        for batch in &log[..at] {
            events.extend(machine.apply(batch).events);
        }
        let mut other = restored(&machine, &events);
        for batch in &log[at..] {
            let applied = machine.apply(batch);
            prop_assert_eq!(&applied, &other.apply(batch));
            prop_assert_eq!(machine.state_hash(), other.state_hash());
            events.extend(applied.events);
        }
        restored(&other, &events);
    }

    /// Equal hashes are worth something only if unequal states differ in them.
    #[test]
    fn every_change_changes_the_hash(log in log()) {
        let mut machine = Machine::new();
        let mut seen: BTreeMap<u128, HotState> = BTreeMap::new();
        for batch in &log {
            machine.apply(batch);
            let state = machine.hot_state();
            let before = seen.insert(machine.state_hash(), state.clone());
            prop_assert!(before.is_none_or(|before| before == state));
        }
    }
}
