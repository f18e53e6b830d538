//! `flashctl sink verify` finds what somebody has changed: each thing alone, as one line.

use super::postgres::Copy;
use super::program::{code, stderr, stdout};
use super::scene::{Scene, until};
use client::{Answer, new_request_id};
use stock::api::{HoldStatus, PostBuy, PostHold};
use stock::{HoldTtl, Quantity, Seq, Sku, UserId};

/// What is in the database, by id.
struct Made {
    order: Seq,
    /// It was made from a hold.
    confirmed: Seq,
    cancelled: Seq,
    released: Seq,
    expired: Seq,
    open: Seq,
}

fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

pub(crate) async fn hold(scene: &Scene, sku: &Sku, ttl_ms: u64) -> Seq {
    let ttl_ms = Some(HoldTtl::from_ms(ttl_ms).unwrap());
    let hold = PostHold { ttl_ms, ..PostHold::one(sku.clone(), Quantity::ONE, user("holder")) };
    match scene.client.hold(&hold, &new_request_id()).await.answer {
        Answer::Done { body, .. } => body.hold_id,
        other => panic!("{other:?}"),
    }
}

async fn make(scene: &Scene) -> Made {
    let sku = scene.sell("drop", 100).await;
    for buyer in ["ann", "bob", "cay"] {
        let buy =
            PostBuy { product_id: sku.clone(), user_id: user(buyer), quantity: Quantity::ONE };
        let bought = scene.client.buy(&buy, &new_request_id()).await;
        assert!(matches!(bought.answer, client::BuyAnswer::Accepted { .. }), "{bought:?}");
    }
    let orders = scene.orders().await;
    let (order, cancelled) = (orders[0].order_id, orders[1].order_id);
    let done = scene.client.cancel(cancelled, None, &new_request_id()).await;
    assert!(done.answer.is_done(), "{done:?}");
    let [expired, released, confirmed, open] = [1_000, 600_000, 600_000, 600_000];
    let expired = hold(scene, &sku, expired).await;
    let released = hold(scene, &sku, released).await;
    let confirmed = hold(scene, &sku, confirmed).await;
    let open = hold(scene, &sku, open).await;
    let done = scene.client.release(released, None, &new_request_id()).await;
    assert!(done.answer.is_done(), "{done:?}");
    let done = scene.client.confirm(confirmed, &user("holder"), &new_request_id()).await;
    assert!(done.answer.is_done(), "{done:?}");
    until("a hold to expire", async || {
        let view = scene.client.hold_view(expired).await.ok()?;
        (view.state == HoldStatus::Expired).then_some(())
    })
    .await;
    Made { order, confirmed, cancelled, released, expired, open }
}

/// What is done to the database, and how the one line begins that is told of it.
type Change = (String, String);

fn plain(sql: &str, told: &str) -> Change {
    (sql.to_owned(), told.to_owned())
}

fn of_orders(Made { order, cancelled, .. }: &Made) -> Vec<Change> {
    let is = |column: &str, value: &str| {
        let sql = format!("UPDATE orders SET {column} = {value} WHERE order_id = {order}");
        (sql, format!("order {order}: {column} is "))
    };
    vec![
        is("user_id", "'mallory'"),
        is("request_id", "'another'"),
        is("hold_id", "12345"),
        is("items", "jsonb_set(items, '{0,quantity}', '2')"),
        is("units", "units + 1"),
        is("ordered_at", "ordered_at + interval '1 millisecond'"),
        is("cancelled", "true"),
        is("cancelled_by", &cancelled.to_string()),
        (
            format!("UPDATE orders SET cancelled_by = NULL WHERE order_id = {cancelled}"),
            format!("order {cancelled}: cancelled_by is "),
        ),
        (
            format!("DELETE FROM orders WHERE order_id = {order}"),
            format!("order {order} is in the cluster and not in the database"),
        ),
        (
            format!(
                "INSERT INTO orders SELECT 1000000000, user_id, request_id, hold_id, items, units,
                    ordered_at, cancelled, cancelled_by FROM orders WHERE order_id = {order}"
            ),
            "order 1000000000 is in the database and not in the cluster".to_owned(),
        ),
    ]
}

fn of_holds(Made { confirmed, released, expired, open, .. }: &Made) -> Vec<Change> {
    let is = |hold: &Seq, column: &str, value: &str| {
        let sql = format!("UPDATE holds SET {column} = {value} WHERE hold_id = {hold}");
        (sql, format!("hold {hold}: {column} is "))
    };
    let open_there = format!("hold {open} is open in the cluster and not in the database");
    vec![
        is(released, "state", "'expired'"),
        is(expired, "state", "'ended'"),
        is(confirmed, "state", "'released'"),
        is(released, "ended_by", "ended_by + 1"),
        is(confirmed, "ended_by", "NULL"),
        is(expired, "user_id", "'mallory'"),
        is(expired, "request_id", "'another'"),
        is(expired, "items", "jsonb_set(items, '{0,quantity}', '2')"),
        is(expired, "expires_at", "expires_at + interval '1 second'"),
        is(open, "user_id", "'mallory'"),
        is(open, "request_id", "'another'"),
        is(open, "items", "jsonb_set(items, '{0,quantity}', '2')"),
        is(open, "items", "jsonb_set(items, '{0,remaining}', '5')"),
        is(open, "items", "jsonb_set(items, '{0,more}', '1')"),
        is(open, "expires_at", "expires_at + interval '1 second'"),
        is(open, "ended_by", "7"),
        (format!("UPDATE holds SET state = 'released' WHERE hold_id = {open}"), open_there.clone()),
        (
            format!("UPDATE holds SET state = 'open' WHERE hold_id = {released}"),
            format!("hold {released} is open in the database and not in the cluster"),
        ),
        (format!("DELETE FROM holds WHERE hold_id = {open}"), open_there),
        (
            format!("DELETE FROM holds WHERE hold_id = {released}"),
            format!("hold {released} is in the cluster and not in the database"),
        ),
        plain(
            "INSERT INTO holds VALUES (1000000000, 'a', 'b', '[]', now(), 'released', 7)",
            "hold 1000000000 is in the database and not in the cluster",
        ),
    ]
}

fn of_products() -> Vec<Change> {
    let is = |(column, value): (&str, &str)| {
        (format!("UPDATE products SET {column} = {value}"), format!("product drop: {column} is "))
    };
    let columns = [
        ("name", "'another'"),
        ("price", "5"),
        ("currency", "'EUR'"),
        ("per_user_limit", "1"),
        ("starts_at", "now()"),
        ("ends_at", "now()"),
        ("hold_ttl_ms", "5"),
        ("hold_ttl_ms", "NULL"),
    ];
    columns.map(is).to_vec()
}

fn of_events(Made { order, .. }: &Made) -> Vec<Change> {
    let is = |set: &str, what: &str| {
        let sql = format!("UPDATE stock_events SET {set} WHERE seq = {order}");
        (sql, format!("change {order}: {what} is "))
    };
    vec![
        is("at = at + interval '1 millisecond'", "at"),
        is("change = 'bought'", "change"),
        is("event = jsonb_set(event, '{user_id}', '\"mallory\"')", "event's user_id"),
        is("event = event || '{\"more\": 1}'", "event's more"),
        plain(
            "DELETE FROM stock_events WHERE seq = 1",
            "change 1 is in the cluster and not in the database",
        ),
        plain(
            "INSERT INTO stock_events VALUES (1000000000, now(), 'restocked', '{}')",
            "change 1000000000 is in the database, which stands at ",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_difference_is_one_line() {
    let Some(copy) = Copy::open(&[]).await else { return };
    let made = make(&copy.scene).await;
    copy.once().await;
    let verified = copy.verify(5).await;
    assert_eq!(code(&verified), 0, "{}{}", stdout(&verified), stderr(&verified));
    let database = copy.server.client().await;
    let tables = ["orders", "holds", "products", "stock_events"];
    let all = |sql: &dyn Fn(&str) -> String| tables.map(sql).concat();
    database.batch_execute("SET search_path TO flashnode, public").await.unwrap();
    let keep =
        all(&|table| format!("CREATE TABLE public.kept_{table} AS TABLE flashnode.{table};"));
    database.batch_execute(&keep).await.unwrap();
    let restore = all(&|table| {
        format!(
            "TRUNCATE flashnode.{table}; INSERT INTO flashnode.{table} TABLE public.kept_{table};"
        )
    });
    let changes = [of_orders(&made), of_holds(&made), of_products(), of_events(&made)].concat();
    for (sql, expected) in changes {
        let rows = database.execute(&sql, &[]).await;
        assert_eq!(rows.unwrap_or_else(|why| panic!("{sql}: {why:?}")), 1, "{sql}");
        let verified = copy.verify(5).await;
        let told = stdout(&verified);
        assert_eq!(code(&verified), 4, "{sql}: {told}{}", stderr(&verified));
        let lines: Vec<&str> = told.lines().collect();
        assert_eq!(lines.len(), 2, "{sql}: {told}");
        assert!(lines[0].starts_with(&expected), "{sql}: {told}");
        assert!(lines[1].starts_with("1 differences at seq "), "{sql}: {told}");
        database.batch_execute(&restore).await.unwrap();
    }
    // Counts must add up, so two of them change at once.
    let sold = "UPDATE flashnode.products SET sold = sold - 1, available = available + 1";
    database.execute(sold, &[]).await.unwrap();
    let told = stdout(&copy.verify(5).await);
    assert!(
        told.contains("product drop: sold is 3 in the cluster and 2 in the database"),
        "{told}"
    );
    assert!(told.contains("2 differences at seq "), "{told}");
}
