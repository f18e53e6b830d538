//! The whole state in place of changes that the feed no longer tells.
//!
//! One transaction, page by page, each of at most a batch and with its pause, so it is bounded in
//! memory and in pace however many orders there are; of the open holds it keeps the ids. What a
//! state cannot tell: which change took an order back, and whether a hold that is gone was given up
//! or expired (`ended`). One row of `stock_events`, of the kind `gap`, stands for the changes that
//! are missing.

use super::columns::{OrderColumns, insert_orders, instant};
use super::{Session, lost, schema, signed};
use crate::changes::OrderRow;
use crate::pace::Pages;
use crate::source::State;
use crate::target::{Applied, TargetError};
use serde_json::json;
use std::collections::BTreeMap;
use stock::Seq;
use stock::api::{ExportLine, HoldView, ProductView};
use tokio_postgres::Transaction;
use tokio_postgres::types::ToSql;

const ORDERS: &str = concat!(
    insert_orders!(", cancelled", ", $8::boolean[]"),
    " ON CONFLICT (order_id) DO UPDATE SET cancelled = true
        WHERE excluded.cancelled AND NOT orders.cancelled"
);
const CONFIRMED: &str = "
UPDATE holds SET state = 'confirmed', ended_by = given.order_id
    FROM unnest($1::bigint[], $2::bigint[]) AS given(hold_id, order_id)
    WHERE holds.hold_id = given.hold_id AND holds.state = 'open'";
const HOLDS: &str = concat!(
    "INSERT INTO holds (hold_id, user_id, items, expires_at)
    SELECT hold_id, user_id, items::jsonb, ",
    instant!("expires_ms"),
    " FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[])
        AS given(hold_id, user_id, items, expires_ms)
    ON CONFLICT (hold_id) DO NOTHING"
);
const PRODUCT: &str = concat!(
    "INSERT INTO products (product_id, name, price, currency, per_user_limit, starts_at, ends_at,
        hold_ttl_ms, stocked, available, held, sold)
    VALUES ($1, $2, $3, $4, $5, ",
    instant!("$6::bigint"),
    ", ",
    instant!("$7::bigint"),
    ", $8, $9, $10, $11, $12)"
);
const GAP: &str = concat!(
    "INSERT INTO stock_events (seq, at, change, event) VALUES ($1, ",
    instant!("$2::bigint"),
    ", 'gap', $3::text::jsonb)"
);

/// See the module.
pub(super) async fn rebase<S: State>(
    Session { client, statements }: &mut Session,
    from: Seq,
    state: &mut S,
    pages: &mut Pages<'_>,
) -> Result<Applied, TargetError> {
    let seq = state.seq();
    let transaction = client.transaction().await.map_err(lost)?;
    schema::advance(&transaction, &statements.advance, (from, seq)).await?;
    // Products change in place, so the state's are taken as they are.
    transaction.execute("DELETE FROM products", &[]).await.map_err(lost)?;
    let mut rows = 0;
    let (mut open, mut page) = (Vec::new(), Page::default());
    while let Some(line) = state.next().await? {
        match line {
            ExportLine::Head { log_time_ms, .. } => {
                let what = json!({ "after": from, "through": seq }).to_string();
                let values: [&(dyn ToSql + Sync); 3] =
                    [&signed(seq.0), &signed(log_time_ms), &what];
                rows += transaction.execute(GAP, &values).await.map_err(lost)?;
            }
            ExportLine::Product(view) => page.products.push(view),
            ExportLine::Hold(view) => {
                open.push(signed(view.hold_id.0));
                page.holds.push(view);
            }
            ExportLine::Order(view) => page.orders.push(OrderRow::from(view)),
            ExportLine::Debt { .. } | ExportLine::Cursor { .. } | ExportLine::End { .. } => {}
        }
        if page.len() >= pages.rows_max() {
            rows += page.write(&transaction).await.map_err(lost)?;
            pages.wrote(page.len()).await;
            page = Page::default();
        }
    }
    rows += page.write(&transaction).await.map_err(lost)?;
    pages.wrote(page.len()).await;
    let ended = "UPDATE holds SET state = 'ended' WHERE state = 'open' AND hold_id <> ALL ($1)";
    transaction.execute(ended, &[&open]).await.map_err(lost)?;
    transaction.commit().await.map_err(lost)?;
    Ok(Applied { rows })
}

/// What is written at once: a state has its products before its holds, and these before its orders.
#[derive(Default)]
struct Page {
    products: Vec<ProductView>,
    holds: Vec<HoldView>,
    orders: Vec<OrderRow>,
}

impl Page {
    fn len(&self) -> usize {
        self.products.len() + self.holds.len() + self.orders.len()
    }

    async fn write(&self, transaction: &Transaction<'_>) -> Result<u64, tokio_postgres::Error> {
        let mut rows = 0;
        for view in &self.products {
            rows += product(transaction, view).await?;
        }
        rows += holds(transaction, &self.holds).await?;
        rows += orders(transaction, &self.orders).await?;
        Ok(rows)
    }
}

async fn product(
    transaction: &Transaction<'_>,
    view: &ProductView,
) -> Result<u64, tokio_postgres::Error> {
    let price = view.price.map(signed);
    let currency = view.currency.as_ref().map(stock::Currency::as_str);
    let limit = view.per_user_limit.map(|limit| i64::from(limit.get()));
    let starts = view.starts_at.map(|at| signed(at.ms()));
    let ends = view.ends_at.map(|at| signed(at.ms()));
    let ttl = signed(view.hold_ttl_ms.ms());
    let counts = [view.stocked, view.available, view.held, view.sold].map(signed);
    let values: [&(dyn ToSql + Sync); 12] = [
        &view.id.as_str(),
        &view.name,
        &price,
        &currency,
        &limit,
        &starts,
        &ends,
        &ttl,
        &counts[0],
        &counts[1],
        &counts[2],
        &counts[3],
    ];
    transaction.execute(PRODUCT, &values).await
}

/// Those that are open, which is what a state has.
async fn holds(
    transaction: &Transaction<'_>,
    holds: &[HoldView],
) -> Result<u64, tokio_postgres::Error> {
    if holds.is_empty() {
        return Ok(0);
    }
    let ids: Vec<i64> = holds.iter().map(|hold| signed(hold.hold_id.0)).collect();
    let users: Vec<&str> = holds.iter().map(|hold| hold.user_id.as_str()).collect();
    let items: Vec<String> = holds.iter().map(|hold| json!(hold.items).to_string()).collect();
    let expire: Vec<i64> = holds.iter().map(|hold| signed(hold.expires_at.ms())).collect();
    transaction.execute(HOLDS, &[&ids, &users, &items, &expire]).await
}

async fn orders(
    transaction: &Transaction<'_>,
    orders: &[OrderRow],
) -> Result<u64, tokio_postgres::Error> {
    if orders.is_empty() {
        return Ok(0);
    }
    let columns = OrderColumns::of(orders);
    let [ids, users, requests, holds, items, units, at_ms] = columns.values();
    let cancelled: Vec<bool> = orders.iter().map(|order| order.cancelled).collect();
    let values = [ids, users, requests, holds, items, units, at_ms, &cancelled];
    let rows = transaction.execute(ORDERS, &values).await?;
    let OrderColumns { ids, holds, .. } = &columns;
    let confirmed: BTreeMap<i64, i64> =
        holds.iter().zip(ids).filter_map(|(hold, order)| Some(((*hold)?, *order))).collect();
    if !confirmed.is_empty() {
        let holds: Vec<i64> = confirmed.keys().copied().collect();
        let orders: Vec<i64> = confirmed.values().copied().collect();
        transaction.execute(CONFIRMED, &[&holds, &orders]).await?;
    }
    Ok(rows)
}
