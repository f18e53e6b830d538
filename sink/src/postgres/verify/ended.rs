//! What only the changes tell: which one took an order back, who made a hold, and how it ended.
//!
//! Compared within the database, with its own changes: `history` has compared these with the
//! cluster's. After a gap what happened within it is not known, and may be missing.

use super::state::Told;
use super::{Tell, VerifyError, differs};
use crate::postgres::{lost, unsigned};
use stock::Seq;
use tokio_postgres::Transaction;

const CANCELLED: &str = "
SELECT orders.order_id, told.seq::text, orders.cancelled_by::text
    FROM orders LEFT JOIN (
        SELECT (event->>'order_id')::bigint AS order_id, max(seq) AS seq
            FROM stock_events WHERE change = 'cancelled' GROUP BY 1) AS told USING (order_id)
    WHERE orders.cancelled_by IS DISTINCT FROM told.seq ORDER BY 1";

/// Every hold of either side of which something differs: what its changes say, and its row.
const HOLDS: &str = "
WITH made AS (
    SELECT (event->>'hold_id')::bigint AS hold_id, event->>'user_id' AS user_id,
            event->>'request_id' AS request_id, event->'items' AS items,
            (event->>'expires_at')::timestamptz AS expires_at
        FROM stock_events WHERE change = 'held'),
ended AS (
    SELECT (event->>'hold_id')::bigint AS hold_id, max(seq) AS seq,
            max(CASE change WHEN 'ordered' THEN 'confirmed' ELSE change END) AS state
        FROM stock_events
        WHERE change IN ('released', 'expired') OR (change = 'ordered' AND event ? 'hold_id')
        GROUP BY 1),
gap AS (SELECT EXISTS (SELECT FROM stock_events WHERE change = 'gap') AS there),
both_sides AS (
    SELECT hold_id, holds.hold_id IS NOT NULL AS in_database, made.hold_id IS NOT NULL AS was_told,
            gap.there AS after_gap,
            ARRAY[made.user_id, made.request_id, made.items::text,
                (extract(epoch FROM made.expires_at) * 1000)::bigint::text] AS made,
            ARRAY[holds.user_id, holds.request_id, holds.items::text,
                (extract(epoch FROM holds.expires_at) * 1000)::bigint::text] AS made_found,
            coalesce(ended.state, CASE WHEN gap.there THEN coalesce(lost.state, 'ended') END,
                'open') AS state,
            coalesce(ended.seq, CASE WHEN gap.there THEN lost.seq END)::text AS ended_by,
            holds.state AS state_found, holds.ended_by::text AS ended_by_found
        FROM holds FULL JOIN made USING (hold_id) LEFT JOIN ended USING (hold_id)
            LEFT JOIN (SELECT hold_id, order_id AS seq, 'confirmed' AS state
                FROM orders WHERE hold_id IS NOT NULL) AS lost USING (hold_id)
            CROSS JOIN gap)
SELECT hold_id, in_database, was_told, made, made_found, state, ended_by, state_found,
        ended_by_found, after_gap
    FROM both_sides
    WHERE NOT in_database OR (NOT was_told AND NOT after_gap)
        OR (was_told AND made <> made_found)
        OR (state_found <> 'open'
            AND (state, ended_by) IS DISTINCT FROM (state_found, ended_by_found))
    ORDER BY hold_id";

/// Which change took each order back.
pub(super) async fn cancelled(
    transaction: &Transaction<'_>,
    tell: Tell<'_>,
) -> Result<(), VerifyError> {
    for row in transaction.query(CANCELLED, &[]).await.map_err(lost)? {
        let id = unsigned(row.get(0));
        let pair = ("cancelled_by", &*none_or(row.get(1)), &*none_or(row.get(2)));
        differs(tell, &format_args!("order {id}"), pair);
    }
    Ok(())
}

/// Who made each hold, and how it ended. Those that are open in the cluster have been compared with
/// its state: what was told of them there is not told twice.
pub(super) async fn holds(
    transaction: &Transaction<'_>,
    told: &Told,
    tell: Tell<'_>,
) -> Result<(), VerifyError> {
    for row in transaction.query(HOLDS, &[]).await.map_err(lost)? {
        let id = Seq(unsigned(row.get(0)));
        let is_open = told.open.contains(&id);
        if !row.get::<_, bool>(1) {
            if !is_open {
                tell(&format!("hold {id} is in the cluster and not in the database"));
            }
            continue;
        }
        let hold = format!("hold {id}");
        let was_told: bool = row.get(2);
        let state_found: &str = row.get(7);
        if !was_told && !row.get::<_, bool>(9) && !is_open && state_found != "open" {
            tell(&format!("{hold} is in the database and not in the cluster"));
            continue;
        }
        let (here, there): (Vec<Option<&str>>, Vec<Option<&str>>) = (row.get(3), row.get(4));
        let columns = ["user_id", "request_id", "items", "expires_at"];
        for (at, what) in columns.into_iter().enumerate().filter(|_| was_told) {
            if here[at] != there[at] && !told.differ.contains(&(id, what)) {
                differs(tell, &hold, (what, &none_or(here[at]), &none_or(there[at])));
            }
        }
        if state_found == "open" || is_open {
            // Which of them is open is in the state.
            continue;
        }
        for (what, here, there) in [
            ("state", row.get(5), Some(state_found)),
            ("ended_by", row.get(6), row.get::<_, Option<&str>>(8)),
        ] {
            if here != there {
                differs(tell, &hold, (what, &none_or(here), &none_or(there)));
            }
        }
    }
    Ok(())
}

fn none_or(value: Option<&str>) -> String {
    value.unwrap_or("none").to_owned()
}
