//! A batch of changes as one transaction.
//!
//! Owns: the statements. Each table gets one multi-row insert or update a batch, its columns as
//! arrays, so a batch of thousands of orders is a handful of round trips.

use super::columns::{OrderColumns, insert_orders, instant};
use super::{lost, schema, signed};
use crate::changes::{Changes, HoldRow, Moved, NewTerms, OrderRow};
use crate::target::{Applied, TargetError};
use serde_json::json;
use std::collections::BTreeMap;
use stock::api::{EventView, HoldStatus};
use stock::{Seq, Sku};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, Statement, Transaction};

const ADVANCE: &str = "
UPDATE position SET position = $2, moved_at = now() WHERE position = $1";
const EVENTS: &str = concat!(
    "INSERT INTO stock_events (seq, at, change, event) SELECT seq, ",
    instant!("at_ms"),
    ", change, event::jsonb
    FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[])
        AS given(seq, at_ms, change, event)"
);
const ORDERS: &str = insert_orders!("", "");
const CANCELLED: &str = "
UPDATE orders SET cancelled = true, cancelled_by = given.seq
    FROM unnest($1::bigint[], $2::bigint[]) AS given(order_id, seq)
    WHERE orders.order_id = given.order_id";
const HOLDS: &str = concat!(
    "INSERT INTO holds (hold_id, user_id, request_id, items, expires_at)
    SELECT hold_id, user_id, request_id, items::jsonb, ",
    instant!("expires_ms"),
    " FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::bigint[])
        AS given(hold_id, user_id, request_id, items, expires_ms)"
);
const ENDED: &str = "
UPDATE holds SET state = given.state, ended_by = given.seq
    FROM unnest($1::bigint[], $2::text[], $3::bigint[]) AS given(hold_id, state, seq)
    WHERE holds.hold_id = given.hold_id";
const CREATED: &str = concat!(
    "INSERT INTO products (product_id, name, price, currency, per_user_limit, starts_at, ends_at,
        hold_ttl_ms, stocked, available, held, sold)
    VALUES ($1, $2, $3, $4, $5, ",
    instant!("$6::bigint"),
    ", ",
    instant!("$7::bigint"),
    ", $8, $9, $9, 0, 0)"
);
const UPDATED: &str = concat!(
    "UPDATE products SET name = $2, price = $3, currency = $4, per_user_limit = $5, starts_at = ",
    instant!("$6::bigint"),
    ", ends_at = ",
    instant!("$7::bigint"),
    ", hold_ttl_ms = $8 WHERE product_id = $1"
);
const MOVED: &str = "
UPDATE products SET stocked = products.stocked + given.stocked,
        available = products.available + given.available,
        held = products.held + given.held, sold = products.sold + given.sold
    FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[])
        AS given(product_id, stocked, available, held, sold)
    WHERE products.product_id = given.product_id";

/// Prepared once a connection.
pub(super) struct Statements {
    pub(super) advance: Statement,
    events: Statement,
    orders: Statement,
    cancelled: Statement,
    holds: Statement,
    ended: Statement,
    created: Statement,
    updated: Statement,
    moved: Statement,
}

impl Statements {
    pub(super) async fn prepare(client: &Client) -> Result<Self, Error> {
        Ok(Self {
            advance: client.prepare(ADVANCE).await?,
            events: client.prepare(EVENTS).await?,
            orders: client.prepare(ORDERS).await?,
            cancelled: client.prepare(CANCELLED).await?,
            holds: client.prepare(HOLDS).await?,
            ended: client.prepare(ENDED).await?,
            created: client.prepare(CREATED).await?,
            updated: client.prepare(UPDATED).await?,
            moved: client.prepare(MOVED).await?,
        })
    }
}

/// Writes the changes after `from`, all or none.
///
/// # Errors
/// As [`crate::Target::apply`].
pub(super) async fn batch(
    client: &mut Client,
    statements: &Statements,
    from: Seq,
    batch: &[EventView],
) -> Result<Applied, TargetError> {
    let Some(last) = batch.last() else { return Ok(Applied::default()) };
    let changes = Changes::of(batch);
    let transaction = client.transaction().await.map_err(lost)?;
    // First of all: its row lock makes a second runner wait, and then find another position.
    schema::advance(&transaction, &statements.advance, (from, last.seq)).await?;
    let write = Write { transaction: &transaction, statements };
    let mut rows = write.events(batch).await.map_err(lost)?;
    rows += write.orders(&changes.orders).await.map_err(lost)?;
    rows += write.holds(&changes.holds).await.map_err(lost)?;
    // What was made and ended in one batch is there by now.
    write.cancelled(&changes.cancelled).await?;
    write.ended(&changes.ended).await?;
    write.terms(&changes.terms).await?;
    write.moved(&changes.moved).await?;
    transaction.commit().await.map_err(lost)?;
    Ok(Applied { rows })
}

/// The statements of one transaction.
struct Write<'a> {
    transaction: &'a Transaction<'a>,
    statements: &'a Statements,
}

impl Write<'_> {
    async fn events(&self, batch: &[EventView]) -> Result<u64, Error> {
        let seqs: Vec<i64> = batch.iter().map(|event| signed(event.seq.0)).collect();
        let at: Vec<i64> = batch.iter().map(|event| signed(event.at_ms)).collect();
        let names: Vec<&str> = batch.iter().map(|event| event.change.name()).collect();
        let texts: Vec<String> = batch.iter().map(|event| json!(event).to_string()).collect();
        self.transaction.execute(&self.statements.events, &[&seqs, &at, &names, &texts]).await
    }

    async fn orders(&self, orders: &[OrderRow]) -> Result<u64, Error> {
        if orders.is_empty() {
            return Ok(0);
        }
        let columns = OrderColumns::of(orders);
        self.transaction.execute(&self.statements.orders, &columns.values()).await
    }

    async fn holds(&self, holds: &[HoldRow]) -> Result<u64, Error> {
        if holds.is_empty() {
            return Ok(0);
        }
        let ids: Vec<i64> = holds.iter().map(|hold| signed(hold.hold_id.0)).collect();
        let users: Vec<&str> = holds.iter().map(|hold| hold.user_id.as_str()).collect();
        let requests: Vec<&str> = holds.iter().map(|hold| hold.request_id.as_str()).collect();
        let items: Vec<String> = holds.iter().map(|hold| json!(hold.items).to_string()).collect();
        let expire: Vec<i64> = holds.iter().map(|hold| signed(hold.expires_at.ms())).collect();
        let values: [&(dyn ToSql + Sync); 5] = [&ids, &users, &requests, &items, &expire];
        self.transaction.execute(&self.statements.holds, &values).await
    }

    async fn cancelled(&self, cancelled: &BTreeMap<Seq, Seq>) -> Result<(), TargetError> {
        if cancelled.is_empty() {
            return Ok(());
        }
        let orders: Vec<i64> = cancelled.keys().map(|order| signed(order.0)).collect();
        let seqs: Vec<i64> = cancelled.values().map(|seq| signed(seq.0)).collect();
        let done = self.transaction.execute(&self.statements.cancelled, &[&orders, &seqs]).await;
        all("orders to cancel", done.map_err(lost)?, cancelled.len())
    }

    async fn ended(&self, ended: &BTreeMap<Seq, (HoldStatus, Seq)>) -> Result<(), TargetError> {
        if ended.is_empty() {
            return Ok(());
        }
        let holds: Vec<i64> = ended.keys().map(|hold| signed(hold.0)).collect();
        let states: Vec<&str> = ended.values().map(|(state, _)| state_name(*state)).collect();
        let seqs: Vec<i64> = ended.values().map(|(_, seq)| signed(seq.0)).collect();
        let done =
            self.transaction.execute(&self.statements.ended, &[&holds, &states, &seqs]).await;
        all("holds to end", done.map_err(lost)?, ended.len())
    }

    async fn terms(&self, terms: &BTreeMap<Sku, NewTerms>) -> Result<(), TargetError> {
        for (sku, NewTerms { terms, created }) in terms {
            let stock = signed(terms.stock);
            let price = terms.price.map(signed);
            let currency = terms.currency.as_ref().map(stock::Currency::as_str);
            let limit = terms.per_user_limit.map(|limit| i64::from(limit.get()));
            let starts = terms.starts_at.map(|at| signed(at.ms()));
            let ends = terms.ends_at.map(|at| signed(at.ms()));
            let ttl = terms.hold_ttl_ms.map(|ttl| signed(ttl.ms()));
            let values: [&(dyn ToSql + Sync); 9] = [
                &sku.as_str(),
                &terms.name,
                &price,
                &currency,
                &limit,
                &starts,
                &ends,
                &ttl,
                &stock,
            ];
            let done = if *created {
                self.transaction.execute(&self.statements.created, &values).await
            } else {
                self.transaction.execute(&self.statements.updated, &values[..8]).await
            };
            all("products to change", done.map_err(lost)?, 1)?;
        }
        Ok(())
    }

    async fn moved(&self, moved: &BTreeMap<Sku, Moved>) -> Result<(), TargetError> {
        if moved.is_empty() {
            return Ok(());
        }
        let skus: Vec<&str> = moved.keys().map(Sku::as_str).collect();
        let stocked: Vec<i64> = moved.values().map(|moved| moved.stocked).collect();
        let available: Vec<i64> = moved.values().map(|moved| moved.available()).collect();
        let held: Vec<i64> = moved.values().map(|moved| moved.held).collect();
        let sold: Vec<i64> = moved.values().map(|moved| moved.sold).collect();
        let values: [&(dyn ToSql + Sync); 5] = [&skus, &stocked, &available, &held, &sold];
        let done = self.transaction.execute(&self.statements.moved, &values).await;
        all("products to count", done.map_err(lost)?, moved.len())
    }
}

pub(super) fn state_name(state: HoldStatus) -> &'static str {
    match state {
        HoldStatus::Open => "open",
        HoldStatus::Confirmed => "confirmed",
        HoldStatus::Released => "released",
        HoldStatus::Expired => "expired",
    }
}

/// Every row that a change is about must be there: the tables are this program's alone.
fn all(what: &str, done: u64, expected: usize) -> Result<(), TargetError> {
    if done == expected as u64 {
        return Ok(());
    }
    let why = format!(
        "of {expected} {what} only {done} are there: somebody has changed the tables; make the \
         copy anew in another schema, and compare with `flashctl sink verify`"
    );
    Err(TargetError::Refused(why))
}
