//! The whole state in place of changes that the feed no longer tells.
//!
//! One transaction, page by page, so it is bounded in memory however many orders there are. What a
//! state cannot tell: which change took an order back, and whether a hold that is gone was given
//! up or expired (`ended`). One row of `stock_events`, of the kind `gap`, stands for the changes
//! that are missing.

use super::write::{Statements, state_name, units};
use super::{lost, schema, signed};
use crate::changes::OrderRow;
use crate::source::State;
use crate::target::{Applied, TargetError};
use serde_json::json;
use std::collections::BTreeMap;
use stock::Seq;
use stock::api::{ExportLine, HoldView, ProductView};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Transaction};

/// Orders that are written at once.
const PAGE: usize = 2_000;

const ORDERS: &str = "
INSERT INTO orders (order_id, user_id, request_id, hold_id, items, units, ordered_at, cancelled)
    SELECT order_id, user_id, request_id, hold_id, items::jsonb, units,
        'epoch'::timestamptz + at_ms * interval '1 millisecond', cancelled
    FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::bigint[],
        $7::bigint[], $8::boolean[])
        AS given(order_id, user_id, request_id, hold_id, items, units, at_ms, cancelled)
    ON CONFLICT (order_id) DO UPDATE SET cancelled = true
        WHERE excluded.cancelled AND NOT orders.cancelled";
const CONFIRMED: &str = "
UPDATE holds SET state = 'confirmed', ended_by = given.order_id
    FROM unnest($1::bigint[], $2::bigint[]) AS given(hold_id, order_id)
    WHERE holds.hold_id = given.hold_id AND holds.state = 'open'";
const HOLD: &str = "
INSERT INTO holds (hold_id, user_id, items, expires_at, state)
    VALUES ($1, $2, $3::text::jsonb, 'epoch'::timestamptz + $4::bigint * interval '1 millisecond',
        $5)
    ON CONFLICT (hold_id) DO NOTHING";
const PRODUCT: &str = "
INSERT INTO products (product_id, name, price, currency, per_user_limit, starts_at, ends_at,
        hold_ttl_ms, stocked, available, held, sold)
    VALUES ($1, $2, $3, $4, $5, 'epoch'::timestamptz + $6::bigint * interval '1 millisecond',
        'epoch'::timestamptz + $7::bigint * interval '1 millisecond', $8, $9, $10, $11, $12)";
const GAP: &str = "
INSERT INTO stock_events (seq, at, change, event)
    VALUES ($1, 'epoch'::timestamptz + $2::bigint * interval '1 millisecond', 'gap',
        $3::text::jsonb)";

/// See the module.
pub(super) async fn rebase<S: State>(
    client: &mut Client,
    statements: &Statements,
    from: Seq,
    state: &mut S,
) -> Result<Applied, TargetError> {
    let seq = state.seq();
    let transaction = client.transaction().await.map_err(lost)?;
    schema::advance(&transaction, &statements.advance, (from, seq)).await?;
    // Products change in place, so the state's are taken as they are.
    transaction.execute("DELETE FROM products", &[]).await.map_err(lost)?;
    let mut rows = 0;
    let (mut open, mut orders) = (Vec::new(), Vec::new());
    while let Some(line) = state.next().await? {
        match line {
            ExportLine::Head { log_time_ms, .. } => {
                let what = json!({ "after": from, "through": seq }).to_string();
                let values: [&(dyn ToSql + Sync); 3] =
                    [&signed(seq.0), &signed(log_time_ms), &what];
                rows += transaction.execute(GAP, &values).await.map_err(lost)?;
            }
            ExportLine::Product(view) => {
                rows += product(&transaction, &view).await.map_err(lost)?;
            }
            ExportLine::Hold(view) => {
                rows += hold(&transaction, &view).await.map_err(lost)?;
                open.push(signed(view.hold_id.0));
            }
            ExportLine::Order(view) => {
                orders.push(OrderRow::from(view));
                if orders.len() == PAGE {
                    rows += page(&transaction, &orders).await.map_err(lost)?;
                    orders.clear();
                }
            }
            ExportLine::Debt { .. } | ExportLine::Cursor { .. } | ExportLine::End { .. } => {}
        }
    }
    rows += page(&transaction, &orders).await.map_err(lost)?;
    let ended = "UPDATE holds SET state = 'ended' WHERE state = 'open' AND hold_id <> ALL ($1)";
    transaction.execute(ended, &[&open]).await.map_err(lost)?;
    transaction.commit().await.map_err(lost)?;
    Ok(Applied { rows })
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

async fn hold(
    transaction: &Transaction<'_>,
    view: &HoldView,
) -> Result<u64, tokio_postgres::Error> {
    let items = json!(view.items).to_string();
    let values: [&(dyn ToSql + Sync); 5] = [
        &signed(view.hold_id.0),
        &view.user_id.as_str(),
        &items,
        &signed(view.expires_at.ms()),
        &state_name(view.state),
    ];
    transaction.execute(HOLD, &values).await
}

async fn page(
    transaction: &Transaction<'_>,
    orders: &[OrderRow],
) -> Result<u64, tokio_postgres::Error> {
    if orders.is_empty() {
        return Ok(0);
    }
    let ids: Vec<i64> = orders.iter().map(|order| signed(order.order_id.0)).collect();
    let users: Vec<&str> = orders.iter().map(|order| order.user_id.as_str()).collect();
    let requests: Vec<&str> = orders.iter().map(|order| order.request_id.as_str()).collect();
    let holds: Vec<Option<i64>> =
        orders.iter().map(|order| order.hold_id.map(|hold| signed(hold.0))).collect();
    let items: Vec<String> = orders.iter().map(|order| json!(order.items).to_string()).collect();
    let units: Vec<i64> = orders.iter().map(|order| units(&order.items)).collect();
    let at: Vec<i64> = orders.iter().map(|order| signed(order.at_ms)).collect();
    let cancelled: Vec<bool> = orders.iter().map(|order| order.cancelled).collect();
    let values: [&(dyn ToSql + Sync); 8] =
        [&ids, &users, &requests, &holds, &items, &units, &at, &cancelled];
    let rows = transaction.execute(ORDERS, &values).await?;
    let confirmed: BTreeMap<i64, i64> =
        holds.iter().zip(&ids).filter_map(|(hold, order)| Some(((*hold)?, *order))).collect();
    if !confirmed.is_empty() {
        let holds: Vec<i64> = confirmed.keys().copied().collect();
        let orders: Vec<i64> = confirmed.values().copied().collect();
        transaction.execute(CONFIRMED, &[&holds, &orders]).await?;
    }
    Ok(rows)
}
