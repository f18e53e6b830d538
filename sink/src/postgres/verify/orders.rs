//! The orders of the database as a stream, and what differs between two.

use super::{PAGE, VerifyError};
use crate::changes::OrderRow;
use crate::postgres::columns::units;
use crate::postgres::{lost, unsigned};
use crate::target::TargetError;
use std::fmt;
use stock::Seq;
use stock::api::LineView;
use tokio_postgres::{Row, Transaction};

/// What the order is in each, where it differs.
pub(super) fn differences(
    cluster: &OrderRow,
    Found { order: found, units: units_found }: &Found,
) -> Vec<(&'static str, String, String)> {
    let pairs = [
        ("user_id", cluster.user_id.to_string(), found.user_id.to_string()),
        ("request_id", cluster.request_id.to_string(), found.request_id.to_string()),
        ("hold_id", format!("{:?}", cluster.hold_id), format!("{:?}", found.hold_id)),
        ("items", format!("{:?}", cluster.items), format!("{:?}", found.items)),
        ("units", units(&cluster.items).to_string(), units_found.to_string()),
        ("ordered_at", cluster.at_ms.to_string(), found.at_ms.to_string()),
        ("cancelled", cluster.cancelled.to_string(), found.cancelled.to_string()),
    ];
    pairs.into_iter().filter(|(_, here, there)| here != there).collect()
}

/// An order of the database.
pub(super) struct Found {
    pub(super) order: OrderRow,
    units: i64,
}

/// The orders of the database by id, a page at a time.
#[derive(Default)]
pub(super) struct Orders {
    page: std::collections::VecDeque<Found>,
    after: i64,
    over: bool,
}

impl Orders {
    pub(super) async fn peek(
        &mut self,
        transaction: &Transaction<'_>,
    ) -> Result<Option<&Found>, VerifyError> {
        if self.page.is_empty() && !self.over {
            let rows = transaction
                .query(
                    "SELECT order_id, user_id, request_id, hold_id, items::text,
                        (extract(epoch FROM ordered_at) * 1000)::bigint, cancelled,
                        units
                        FROM orders WHERE order_id > $1 ORDER BY order_id LIMIT $2",
                    &[&self.after, &PAGE],
                )
                .await
                .map_err(lost)?;
            self.over = rows.is_empty();
            for row in &rows {
                self.after = row.get(0);
                self.page.push_back(read_order(row)?);
            }
        }
        Ok(self.page.front())
    }

    pub(super) async fn next(
        &mut self,
        transaction: &Transaction<'_>,
    ) -> Result<Option<Found>, VerifyError> {
        self.peek(transaction).await?;
        Ok(self.page.pop_front())
    }

    pub(super) fn drop(&mut self) {
        self.page.pop_front();
    }
}

fn read_order(row: &Row) -> Result<Found, VerifyError> {
    let order_id = Seq(unsigned(row.get(0)));
    let strange = |why: &dyn fmt::Display| {
        TargetError::Refused(format!("order {order_id} of the database is none: {why}"))
    };
    let items: Vec<LineView> = serde_json::from_str(row.get(4)).map_err(|why| strange(&why))?;
    let order = OrderRow {
        order_id,
        user_id: row.get::<_, String>(1).try_into().map_err(|why| strange(&why))?,
        request_id: row.get::<_, String>(2).try_into().map_err(|why| strange(&why))?,
        hold_id: row.get::<_, Option<i64>>(3).map(|hold| Seq(unsigned(hold))),
        items,
        at_ms: unsigned(row.get(5)),
        cancelled: row.get(6),
    };
    Ok(Found { order, units: row.get(7) })
}
