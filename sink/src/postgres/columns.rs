//! Instants and orders as statements take them, for a batch of changes and for a whole state.

use super::signed;
use crate::changes::OrderRow;
use serde_json::json;
use stock::api::LineView;
use tokio_postgres::types::ToSql;

/// Milliseconds since the epoch as a timestamp, exact where `to_timestamp` goes through seconds.
macro_rules! instant {
    ($ms:literal) => {
        concat!("'epoch'::timestamptz + ", $ms, " * interval '1 millisecond'")
    };
}

/// The insert of the columns of [`OrderColumns`], and of more of them.
macro_rules! insert_orders {
    ($columns:literal, $values:literal) => {
        concat!(
            "INSERT INTO orders (order_id, user_id, request_id, hold_id, items, units, ordered_at",
            $columns,
            ") SELECT order_id, user_id, request_id, hold_id, items::jsonb, units, ",
            instant!("at_ms"),
            $columns,
            " FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[], $5::text[],
                $6::bigint[], $7::bigint[]",
            $values,
            ") AS given(order_id, user_id, request_id, hold_id, items, units, at_ms",
            $columns,
            ")"
        )
    };
}

pub(super) use {insert_orders, instant};

/// Orders, a list a column.
pub(super) struct OrderColumns<'a> {
    pub(super) ids: Vec<i64>,
    users: Vec<&'a str>,
    requests: Vec<&'a str>,
    pub(super) holds: Vec<Option<i64>>,
    items: Vec<String>,
    units: Vec<i64>,
    at_ms: Vec<i64>,
}

impl<'a> OrderColumns<'a> {
    pub(super) fn of(orders: &'a [OrderRow]) -> Self {
        let hold = |order: &OrderRow| order.hold_id.map(|hold| signed(hold.0));
        Self {
            ids: orders.iter().map(|order| signed(order.order_id.0)).collect(),
            users: orders.iter().map(|order| order.user_id.as_str()).collect(),
            requests: orders.iter().map(|order| order.request_id.as_str()).collect(),
            holds: orders.iter().map(hold).collect(),
            items: orders.iter().map(|order| json!(order.items).to_string()).collect(),
            units: orders.iter().map(|order| units(&order.items)).collect(),
            at_ms: orders.iter().map(|order| signed(order.at_ms)).collect(),
        }
    }

    /// In the order in which `insert_orders` has them.
    pub(super) fn values(&self) -> [&(dyn ToSql + Sync); 7] {
        let Self { ids, users, requests, holds, items, units, at_ms } = self;
        [ids, users, requests, holds, items, units, at_ms]
    }
}

/// How many units an order or a hold is of.
pub(super) fn units(items: &[LineView]) -> i64 {
    items.iter().map(|line| i64::from(line.quantity.get())).sum()
}
