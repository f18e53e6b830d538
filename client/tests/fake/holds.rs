//! Holds of the fake node: made, confirmed, released, run out, exported.

use super::{Plant, Shop, json, problem};
use std::time::{Duration, Instant};
use stock::api::{
    ExportLine, HoldAccepted, HoldReleased, HoldStatus, HoldView, ItemView, LineView,
    OrderAccepted, OrderView, PostHold, Timestamp,
};
use stock::{NodeId, Quantity, Receipt, RequestId, Seq, Sku, UserId};

/// An open hold.
#[derive(Debug)]
pub(crate) struct Open {
    id: Seq,
    user: UserId,
    quantity: Quantity,
    ends: Instant,
}

impl Shop {
    pub(crate) fn hold(&mut self, body: &str) -> (u16, String) {
        let PostHold { product_id, quantity, user_id, ttl_ms, .. } =
            serde_json::from_str(body).unwrap();
        let (product_id, quantity) = (product_id.unwrap(), quantity.unwrap());
        if self.available() < u64::from(quantity.get()) {
            return (410, problem("sold-out", "Sold out", 410, "Nothing is left."));
        }
        self.seq += 1;
        self.held += u64::from(quantity.get());
        let ends = Instant::now() + Duration::from_millis(ttl_ms.unwrap().ms());
        let id = Seq(self.seq);
        self.open.push(Open { id, user: user_id.clone(), quantity, ends });
        let remaining = self.available();
        let accepted = HoldAccepted {
            hold_id: id,
            user_id,
            items: vec![LineView { product_id, quantity, remaining }],
            remaining: Some(remaining),
            expires_at: Timestamp::at_most(0),
            seq: id,
            node: NodeId(1),
            leader: Some(NodeId(1)),
        };
        (201, json(&accepted))
    }

    pub(crate) fn confirm(&mut self, path: &str, request: RequestId) -> (u16, String) {
        let Some(open) = self.take(path) else {
            return (410, problem("hold-expired", "The hold has expired", 410, "Too late."));
        };
        self.confirms += 1;
        let order = self.sell(open, request);
        let accepted = OrderAccepted {
            order_id: order.order_id,
            user_id: order.user_id.clone(),
            items: order.items.clone(),
            hold_id: order.hold_id,
            seq: order.seq,
            node: NodeId(1),
            leader: Some(NodeId(1)),
        };
        if self.plant == Plant::LoseAConfirmedHold && self.confirms == 3 {
            self.sold -= 1;
        } else {
            self.orders.push(order);
        }
        (201, json(&accepted))
    }

    pub(crate) fn release(&mut self, path: &str) -> (u16, String) {
        let Some(open) = self.take(path) else {
            return (410, problem("hold-expired", "The hold has expired", 410, "Too late."));
        };
        self.seq += 1;
        let (hold_id, seq) = (open.id, Seq(self.seq));
        (200, json(&HoldReleased { hold_id, items: Vec::new(), seq }))
    }

    /// Lets holds run out whose time is over.
    pub(crate) fn expire(&mut self) {
        let now = Instant::now();
        let ended = |open: &Open| open.ends <= now && self.plant != Plant::KeepAbandonedHolds;
        let (ended, open): (Vec<Open>, Vec<Open>) =
            std::mem::take(&mut self.open).into_iter().partition(ended);
        self.open = open;
        for one in ended {
            self.over += 1;
            if self.plant == Plant::LeakUnits && self.over == 1 {
                continue;
            }
            self.held -= u64::from(one.quantity.get());
            self.seq += 1;
            if self.plant == Plant::SellAnAbandonedHold && self.over == 1 {
                self.held += u64::from(one.quantity.get());
                let order = self.sell(one, "nobody-asked".parse().unwrap());
                self.orders.push(order);
            }
        }
    }

    pub(crate) fn export(&self) -> (u16, String) {
        let (seq, state_hash) = (Seq(self.seq), String::new());
        let head = ExportLine::Head { seq, log_time_ms: 0, state_hash };
        let hold = |open: &Open| {
            let product_id = Sku::new("p").unwrap();
            ExportLine::Hold(HoldView {
                hold_id: open.id,
                user_id: open.user.clone(),
                items: vec![ItemView { product_id, quantity: open.quantity }],
                expires_at: Timestamp::at_most(0),
                state: HoldStatus::Open,
                ended_by: None,
                seq,
            })
        };
        let mut lines = vec![head, ExportLine::Product(self.product())];
        lines.extend(self.open.iter().map(hold));
        lines.extend(self.ledger().into_iter().map(ExportLine::Order));
        let told = lines.len() as u64 + u64::from(self.plant == Plant::MiscountTheExport);
        lines.push(ExportLine::End { lines: told });
        if self.plant == Plant::CutTheExport {
            lines.pop();
        }
        (200, lines.iter().map(|line| json(line) + "\n").collect())
    }

    /// Takes the open hold out that a path names.
    fn take(&mut self, path: &str) -> Option<Open> {
        let id = path.strip_prefix("/v1/holds/")?.split(['/', '?']).next()?.parse().ok()?;
        let place = self.open.iter().position(|open| open.id == Seq(id))?;
        let open = self.open.remove(place);
        self.held -= u64::from(open.quantity.get());
        Some(open)
    }

    fn sell(&mut self, open: Open, request_id: RequestId) -> OrderView {
        self.seq += 1;
        self.sold += u64::from(open.quantity.get());
        let (seq, remaining) = (Seq(self.seq), self.available());
        let product_id = Sku::new("p").unwrap();
        OrderView {
            order_id: seq,
            user_id: open.user,
            request_id,
            items: vec![LineView { product_id, quantity: open.quantity, remaining }],
            hold_id: Some(open.id),
            cancelled: false,
            place: 0,
            receipt: Receipt::START,
            at_ms: 0,
            seq,
        }
    }
}
