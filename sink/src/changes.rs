//! What a run of events does to orders, holds and products, added up.
//!
//! Owns: the meaning of each change for a copy of the state, written from the contract and not
//! from the machine. Never does: IO. Called by targets that keep such a copy, and by whoever
//! compares one with the cluster.

use std::collections::BTreeMap;
use stock::api::{ChangeView, EventView, HoldStatus, LineView, OrderView, PutProduct, Timestamp};
use stock::{RequestId, Seq, Sku, UserId};

/// See the module.
#[derive(Debug, Default)]
pub struct Changes {
    /// Orders made, by id.
    pub orders: Vec<OrderRow>,
    /// Orders taken back, and the changes that did.
    pub cancelled: BTreeMap<Seq, Seq>,
    /// Holds made, by id.
    pub holds: Vec<HoldRow>,
    /// Holds that ended, how, and the changes that ended them.
    pub ended: BTreeMap<Seq, (HoldStatus, Seq)>,
    /// Products created or on other terms.
    pub terms: BTreeMap<Sku, NewTerms>,
    /// Units moved.
    pub moved: BTreeMap<Sku, Moved>,
}

/// An order, as a copy keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderRow {
    /// Its id.
    pub order_id: Seq,
    /// The buyer.
    pub user_id: UserId,
    /// The request that won it.
    pub request_id: RequestId,
    /// The hold that it was made from.
    pub hold_id: Option<Seq>,
    /// What was sold.
    pub items: Vec<LineView>,
    /// Log time of the order, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Whether it was taken back.
    pub cancelled: bool,
}

impl From<OrderView> for OrderRow {
    fn from(view: OrderView) -> Self {
        let OrderView { order_id, user_id, request_id, items, hold_id, cancelled, at_ms, .. } =
            view;
        Self { order_id, user_id, request_id, hold_id, items, at_ms, cancelled }
    }
}

/// A hold that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoldRow {
    /// Its id.
    pub hold_id: Seq,
    /// For whom.
    pub user_id: UserId,
    /// The request that won it.
    pub request_id: RequestId,
    /// What is held.
    pub items: Vec<LineView>,
    /// The deadline, in log time.
    pub expires_at: Timestamp,
}

/// A product's terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTerms {
    /// The newest.
    pub terms: PutProduct,
    /// Whether it was created, with `terms.stock` units.
    pub created: bool,
}

/// Units of a product that moved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Moved {
    /// Units added, less those taken back.
    pub stocked: i64,
    /// Units held more.
    pub held: i64,
    /// Units sold more.
    pub sold: i64,
}

impl Moved {
    /// Units available more: what is not held or sold is.
    pub fn available(self) -> i64 {
        self.stocked - self.held - self.sold
    }
}

impl Changes {
    /// Of these events, in order.
    pub fn of<'e>(events: impl IntoIterator<Item = &'e EventView>) -> Self {
        let mut changes = Self::default();
        for event in events {
            changes.add(event);
        }
        changes
    }

    /// Adds what the next event did.
    pub fn add(&mut self, event: &EventView) {
        match &event.change {
            ChangeView::ProductCreated { product_id, terms } => {
                let terms = NewTerms { terms: terms.clone(), created: true };
                self.terms.insert(product_id.clone(), terms);
            }
            ChangeView::ProductUpdated { product_id, terms } => {
                let created = self.terms.get(product_id).is_some_and(|before| before.created);
                let terms = NewTerms { terms: terms.clone(), created };
                self.terms.insert(product_id.clone(), terms);
            }
            ChangeView::Restocked { product_id, quantity, .. } => {
                self.moved(product_id).stocked += quantity;
            }
            ChangeView::Ordered { order_id, user_id, request_id, hold_id, items } => {
                self.shift(items, |moved, units| {
                    moved.sold += units;
                    moved.held -= if hold_id.is_some() { units } else { 0 };
                });
                if let Some(hold) = hold_id {
                    self.ended.insert(*hold, (HoldStatus::Confirmed, event.seq));
                }
                self.orders.push(OrderRow {
                    order_id: *order_id,
                    user_id: user_id.clone(),
                    request_id: request_id.clone(),
                    hold_id: *hold_id,
                    items: items.clone(),
                    at_ms: event.at_ms,
                    cancelled: false,
                });
            }
            ChangeView::Held { hold_id, user_id, request_id, expires_at, items } => {
                self.shift(items, |moved, units| moved.held += units);
                self.holds.push(HoldRow {
                    hold_id: *hold_id,
                    user_id: user_id.clone(),
                    request_id: request_id.clone(),
                    items: items.clone(),
                    expires_at: *expires_at,
                });
            }
            ChangeView::Released { hold_id, items, .. } => {
                self.shift(items, |moved, units| moved.held -= units);
                self.ended.insert(*hold_id, (HoldStatus::Released, event.seq));
            }
            ChangeView::Expired { hold_id, items, .. } => {
                self.shift(items, |moved, units| moved.held -= units);
                self.ended.insert(*hold_id, (HoldStatus::Expired, event.seq));
            }
            ChangeView::Cancelled { order_id, items, .. } => {
                self.shift(items, |moved, units| moved.sold -= units);
                self.cancelled.insert(*order_id, event.seq);
            }
        }
    }

    fn moved(&mut self, sku: &Sku) -> &mut Moved {
        self.moved.entry(sku.clone()).or_default()
    }

    fn shift(&mut self, items: &[LineView], shift: impl Fn(&mut Moved, i64)) {
        for line in items {
            shift(self.moved(&line.product_id), i64::from(line.quantity.get()));
        }
    }
}
