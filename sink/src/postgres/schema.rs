//! The tables, and how older ones become these.
//!
//! Owns: the list of migrations, each one transaction, numbered from 1 and never changed once
//! released. Two runners that start at once take turns under an advisory lock.

use super::{lost, signed, unsigned};
use crate::target::TargetError;
use stock::Seq;
use tokio_postgres::Client;

/// Taken for the time of a migration; any number that nobody else is likely to use.
const LOCK: i64 = 0x666c_6173_686e_6f64;

/// In order; the version of a schema is how many of them it has.
const MIGRATIONS: &[&str] = &["
CREATE TABLE position (
    -- One row: one schema is one copy of one cluster.
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    cluster_id text NOT NULL,
    position bigint NOT NULL CHECK (position >= 0),
    moved_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE products (
    product_id text PRIMARY KEY,
    name text NOT NULL,
    stocked bigint NOT NULL,
    available bigint NOT NULL,
    held bigint NOT NULL,
    sold bigint NOT NULL,
    price bigint,
    currency text,
    per_user_limit bigint,
    starts_at timestamptz,
    ends_at timestamptz,
    hold_ttl_ms bigint,
    CHECK (available + held + sold = stocked)
);
CREATE TABLE orders (
    order_id bigint PRIMARY KEY,
    user_id text NOT NULL,
    request_id text NOT NULL,
    hold_id bigint,
    items jsonb NOT NULL,
    units bigint NOT NULL,
    ordered_at timestamptz NOT NULL,
    cancelled boolean NOT NULL DEFAULT false,
    cancelled_by bigint
);
CREATE INDEX orders_of_user ON orders (user_id);
CREATE TABLE holds (
    hold_id bigint PRIMARY KEY,
    user_id text NOT NULL,
    request_id text,
    items jsonb NOT NULL,
    expires_at timestamptz NOT NULL,
    state text NOT NULL DEFAULT 'open',
    ended_by bigint
);
CREATE TABLE stock_events (
    seq bigint PRIMARY KEY,
    at timestamptz NOT NULL,
    change text NOT NULL,
    event jsonb NOT NULL
);
CREATE VIEW order_items AS
    SELECT orders.order_id, orders.user_id, orders.cancelled, line.product_id, line.quantity
    FROM orders, jsonb_to_recordset(items) AS line(product_id text, quantity bigint);
"];

/// Brings the schema to the newest version.
///
/// # Errors
/// [`TargetError::Refused`] when a newer program has made it, [`TargetError::Lost`].
pub(super) async fn migrate(client: &mut Client, schema: &str) -> Result<(), TargetError> {
    let newest = MIGRATIONS.len();
    if version(client, schema).await? == newest {
        return Ok(());
    }
    let turn = client.transaction().await.map_err(lost)?;
    turn.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await.map_err(lost)?;
    let begin = format!(
        "CREATE SCHEMA IF NOT EXISTS {schema};
         CREATE TABLE IF NOT EXISTS {schema}.migrations
             (version int PRIMARY KEY, made_at timestamptz NOT NULL DEFAULT now())"
    );
    turn.batch_execute(&begin).await.map_err(lost)?;
    // Another runner may have made it by now.
    let from = version(&turn, schema).await?;
    if from > newest {
        let why = format!("the schema {schema} is of version {from}, newer than {newest} here");
        return Err(TargetError::Refused(why));
    }
    for (version, migration) in (1_i32..).zip(MIGRATIONS).skip(from) {
        turn.batch_execute(migration).await.map_err(lost)?;
        let made = "INSERT INTO migrations (version) VALUES ($1)";
        turn.execute(made, &[&version]).await.map_err(lost)?;
        tracing::info!("the schema {schema} is now of version {version}");
    }
    turn.commit().await.map_err(lost)
}

/// How many migrations the schema has; 0 when it is not there.
async fn version(
    client: &impl tokio_postgres::GenericClient,
    schema: &str,
) -> Result<usize, TargetError> {
    let table = format!("{schema}.migrations");
    let there = client.query_one("SELECT to_regclass($1) IS NOT NULL", &[&table]).await;
    if !there.map_err(lost)?.get::<_, bool>(0) {
        return Ok(0);
    }
    let count = client.query_one("SELECT count(*) FROM migrations", &[]).await.map_err(lost)?;
    Ok(usize::try_from(count.try_get::<_, i64>(0).map_err(lost)?).unwrap_or(0))
}

/// Where the copy of this cluster stands, which begins at 0.
///
/// # Errors
/// [`TargetError::Refused`] when it is a copy of another one.
pub(super) async fn position(client: &Client, cluster_id: &str) -> Result<Seq, TargetError> {
    let begin = "INSERT INTO position (cluster_id, position) VALUES ($1, 0) ON CONFLICT DO NOTHING";
    client.execute(begin, &[&cluster_id]).await.map_err(lost)?;
    let row = client.query_one("SELECT cluster_id, position FROM position", &[]).await;
    let row = row.map_err(lost)?;
    // Never a panic: this runs within a node, too, whose tables somebody may have changed.
    let found: String = row.try_get(0).map_err(lost)?;
    if found != cluster_id {
        return Err(TargetError::Refused(format!(
            "the schema has the orders of the cluster {found}, and this is {cluster_id}; give \
             each cluster a schema of its own with --schema"
        )));
    }
    Ok(Seq(unsigned(row.try_get(1).map_err(lost)?)))
}

/// Moves the position, and takes the row's lock until the transaction ends.
///
/// # Errors
/// [`TargetError::Moved`] when it is not at `from`.
pub(super) async fn advance(
    transaction: &tokio_postgres::Transaction<'_>,
    statement: &tokio_postgres::Statement,
    (from, to): (Seq, Seq),
) -> Result<(), TargetError> {
    let moved = transaction.execute(statement, &[&signed(from.0), &signed(to.0)]).await;
    match moved.map_err(lost)? {
        1 => Ok(()),
        _ => Err(TargetError::Moved),
    }
}
