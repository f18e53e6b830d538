//! The cluster's state against the tables, line by line.

use super::kept::{Kept, OpenHold, Product};
use super::orders::{Orders, differences};
use super::{Tell, VerifyError, differs};
use crate::changes::{Changes, OrderRow};
use crate::postgres::lost;
use crate::source::State;
use std::collections::BTreeSet;
use stock::Seq;
use stock::api::ExportLine;
use tokio_postgres::Transaction;

/// What the state had.
pub(super) struct Told {
    pub(super) orders: u64,
    pub(super) products: u64,
    /// The holds that are open in the cluster.
    pub(super) open: BTreeSet<Seq>,
    /// What of them was told to differ.
    pub(super) differ: BTreeSet<(Seq, &'static str)>,
}

/// Compares the state, with what happened since on top of it.
pub(super) async fn compare<S: State>(
    transaction: &Transaction<'_>,
    mut state: S,
    mut since: Changes,
    tell: Tell<'_>,
) -> Result<Told, VerifyError> {
    let (mut kept, mut count) = (Kept::default(), 0);
    let mut orders = Against { transaction, table: Orders::default(), tell: &mut *tell };
    while let Some(line) = state.next().await? {
        match line {
            ExportLine::Head { .. }
            | ExportLine::Debt { .. }
            | ExportLine::Cursor { .. }
            | ExportLine::End { .. } => {}
            ExportLine::Product(view) => {
                kept.products.insert(view.id.clone(), Product::of(&view));
            }
            ExportLine::Hold(view) => {
                kept.holds.insert(view.hold_id, OpenHold::of(&view));
            }
            ExportLine::Order(view) => {
                count += 1;
                let mut order = OrderRow::from(view);
                order.cancelled |= since.cancelled.contains_key(&order.order_id);
                orders.next(&order).await?;
            }
        }
    }
    for mut order in std::mem::take(&mut since.orders) {
        count += 1;
        order.cancelled |= since.cancelled.contains_key(&order.order_id);
        orders.next(&order).await?;
    }
    orders.end().await?;
    kept.later(&since);
    kept.compare_products(transaction, tell).await.map_err(lost)?;
    let differ = kept.compare_holds(transaction, tell).await.map_err(lost)?;
    let (products, open) = (kept.products.len() as u64, kept.holds.into_keys().collect());
    Ok(Told { orders: count, products, open, differ })
}

/// The orders of the cluster, one after the other, against those of the database.
struct Against<'a> {
    transaction: &'a Transaction<'a>,
    table: Orders,
    tell: Tell<'a>,
}

impl Against<'_> {
    /// Compares the next order of the cluster with those of the database up to it.
    async fn next(&mut self, order: &OrderRow) -> Result<(), VerifyError> {
        let id = order.order_id;
        loop {
            match self.table.peek(self.transaction).await? {
                Some(found) if found.order.order_id < id => {
                    let id = found.order.order_id;
                    (self.tell)(&format!("order {id} is in the database and not in the cluster"));
                    self.table.drop();
                }
                Some(found) if found.order.order_id == id => {
                    for (what, here, there) in differences(order, found) {
                        differs(self.tell, &format_args!("order {id}"), (what, &here, &there));
                    }
                    self.table.drop();
                    return Ok(());
                }
                _ => {
                    (self.tell)(&format!("order {id} is in the cluster and not in the database"));
                    return Ok(());
                }
            }
        }
    }

    async fn end(mut self) -> Result<(), VerifyError> {
        while let Some(more) = self.table.next(self.transaction).await? {
            let id = more.order.order_id;
            (self.tell)(&format!("order {id} is in the database and not in the cluster"));
        }
        Ok(())
    }
}
