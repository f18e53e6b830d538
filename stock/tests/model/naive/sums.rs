//! What the model's events add up to.

use super::Model;
use crate::logs::SKUS;
use stock::{Chain, Change, Product, Receipt, Seq, Sku, Terms, UserId};

impl Model {
    pub(crate) fn next_due_ms(&self) -> Option<u64> {
        let products = SKUS.iter().filter_map(|sku| self.product(&sku.parse().unwrap()));
        let instants = products.flat_map(|product| {
            [product.terms.starts_at_ms, product.terms.ends_at_ms].into_iter().flatten()
        });
        let deadlines = self.open_holds().into_iter().map(|(at_ms, _)| at_ms);
        deadlines.chain(instants.filter(|at_ms| *at_ms > self.now_ms)).min()
    }

    /// The change since which nothing of a product has been available.
    pub(crate) fn sold_out_since(&self, sku: &Sku) -> Seq {
        let mut since = self.seq();
        let mut before = Self::new(self.bounds);
        before.events.clone_from(&self.events);
        while before.product(sku).is_some_and(|product| product.available == 0) {
            since = before.seq();
            before.events.pop();
        }
        since
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
    pub(super) fn bought(&self, sku: &Sku, user: &UserId) -> u64 {
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
                Change::Ordered(order) | Change::Counted { order, .. } => (&order.user, event.seq),
                Change::Held { user, .. }
                | Change::HeldFor { user, .. }
                | Change::BasketOrdered { user, .. } => (user, event.seq),
                Change::Confirmed { user, hold, .. }
                | Change::Released { user, hold, .. }
                | Change::ReleasedFor { user, hold, .. }
                | Change::Expired { user, hold, .. } => (user, *hold),
                Change::Cancelled { user, order, hold, .. }
                | Change::CancelledFor { user, order, hold, .. } => (user, hold.unwrap_or(*order)),
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
        Change::Ordered(order) | Change::Counted { order, .. } => {
            let sold = i64::from(order.quantity.get());
            return (order.sku == *wanted).then_some((0, sold));
        }
        Change::Held { lines, .. } | Change::HeldFor { lines, .. } => (lines, 1, 0),
        Change::Confirmed { lines, .. } => (lines, -1, 1),
        Change::Released { lines, .. }
        | Change::ReleasedFor { lines, .. }
        | Change::Expired { lines, .. } => (lines, -1, 0),
        Change::BasketOrdered { lines, .. } => (lines, 0, 1),
        Change::Cancelled { lines, .. } | Change::CancelledFor { lines, .. } => (lines, 0, -1),
    };
    let line = lines.iter().find(|line| line.sku == *wanted)?;
    let units = i64::from(line.quantity.get());
    Some((held * units, sold * units))
}
