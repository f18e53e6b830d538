//! A change as a message: CloudEvents 1.0 in JSON, under an id that never changes.
//!
//! Owns: the envelope. The id of a change is its `seq`, on every node and for ever, so whoever gets
//! one twice knows it. What a state export tells in place of lost changes has ids of its own.

use serde_json::{Value, json};
use stock::Seq;
use stock::api::{ChangeView, EventView, ExportLine, OrderView, Timestamp};

/// What an HTTP body or a broker's message is that holds one.
pub const CONTENT_TYPE: &str = "application/cloudevents+json";

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its id, which is also the broker's message id.
    pub id: String,
    /// `flashnode.` and the change's name.
    pub kind: String,
    /// The whole of it.
    pub json: Value,
}

/// Makes messages of one cluster.
#[derive(Debug, Clone)]
pub struct Envelope {
    source: String,
}

impl Envelope {
    /// Of the cluster with this id.
    pub fn new(cluster_id: &str) -> Self {
        Self { source: format!("/flashnode/{cluster_id}") }
    }

    /// The `source` of every message.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// A change.
    pub fn event(&self, event: &EventView) -> Message {
        let data = json!(event);
        self.message(event.seq.to_string(), event.change.name(), (event.at_ms, data))
    }

    /// What a line of a state says to whoever had everything up to `from`: an order since then as
    /// the change that it was; the products, open holds and cancelled orders as they stand. The end
    /// is the message of the kind `flashnode.gap`.
    pub fn state(&self, (from, state): (Seq, Seq), at_ms: u64, line: &ExportLine) -> Vec<Message> {
        let of_state = |name: &str, what: String, data: Value| {
            self.message(format!("state-{state}-{what}"), name, (at_ms, data))
        };
        match line {
            // Debts and cursors are no changes of the sale.
            ExportLine::Head { .. } | ExportLine::Debt { .. } | ExportLine::Cursor { .. } => {
                Vec::new()
            }
            ExportLine::Product(view) => {
                vec![of_state("product", format!("product-{}", view.id), json!(view))]
            }
            ExportLine::Hold(view) => {
                vec![of_state("hold", format!("hold-{}", view.hold_id), json!(view))]
            }
            ExportLine::Order(view) => {
                let made = (view.order_id > from).then(|| self.event(&ordered(view)));
                let cancelled = view
                    .cancelled
                    .then(|| of_state("order", format!("order-{}", view.order_id), json!(view)));
                made.into_iter().chain(cancelled).collect()
            }
            ExportLine::End { .. } => {
                let data = json!({ "after": from, "through": state });
                vec![of_state("gap", "gap".to_owned(), data)]
            }
        }
    }

    fn message(&self, id: String, name: &str, (at_ms, data): (u64, Value)) -> Message {
        let kind = format!("flashnode.{name}");
        let json = json!({
            "specversion": "1.0",
            "id": id,
            "source": self.source,
            "type": kind,
            "time": Timestamp::at_most(at_ms),
            "datacontenttype": "application/json",
            "data": data,
        });
        Message { id, kind, json }
    }
}

/// The change that made this order, as the feed told it.
fn ordered(view: &OrderView) -> EventView {
    let change = ChangeView::Ordered {
        order_id: view.order_id,
        user_id: view.user_id.clone(),
        request_id: view.request_id.clone(),
        hold_id: view.hold_id,
        items: view.items.clone(),
    };
    EventView { seq: view.order_id, at_ms: view.at_ms, change }
}
