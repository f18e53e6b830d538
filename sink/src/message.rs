//! A change as a message: CloudEvents 1.0 in JSON, under an id that never changes.
//!
//! Owns: the envelope. The id of a change is its `seq`, on every node and for ever, so whoever gets
//! one twice knows it. What a state export tells in place of lost changes has ids of its own.

use serde::Serialize;
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
    /// The whole of it, one line of JSON.
    pub json: String,
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
        self.message(event.seq.to_string(), event.change.name(), (event.at_ms, event))
    }

    /// What a line of a state says to whoever had everything up to `from`: an order since then as
    /// the change that it was; the products, open holds and cancelled orders as they stand. The end
    /// is the message of the kind `flashnode.gap`.
    pub fn state(&self, (from, state): (Seq, Seq), at_ms: u64, line: &ExportLine) -> Vec<Message> {
        let id = |what: String| format!("state-{state}-{what}");
        match line {
            // Debts and cursors are no changes of the sale.
            ExportLine::Head { .. } | ExportLine::Debt { .. } | ExportLine::Cursor { .. } => {
                Vec::new()
            }
            ExportLine::Product(view) => {
                vec![self.message(id(format!("product-{}", view.id)), "product", (at_ms, view))]
            }
            ExportLine::Hold(view) => {
                vec![self.message(id(format!("hold-{}", view.hold_id)), "hold", (at_ms, view))]
            }
            ExportLine::Order(view) => {
                let made = (view.order_id > from).then(|| self.event(&ordered(view)));
                let as_it_stands =
                    || self.message(id(format!("order-{}", view.order_id)), "order", (at_ms, view));
                made.into_iter().chain(view.cancelled.then(as_it_stands)).collect()
            }
            ExportLine::End { .. } => {
                let lost = Lost { after: from, through: state };
                vec![self.message(id("gap".to_owned()), "gap", (at_ms, &lost))]
            }
        }
    }

    fn message(&self, id: String, name: &str, (at_ms, data): (u64, &impl Serialize)) -> Message {
        let kind = format!("flashnode.{name}");
        let event = CloudEvent {
            specversion: "1.0",
            id: &id,
            source: &self.source,
            kind: &kind,
            time: Timestamp::at_most(at_ms),
            datacontenttype: "application/json",
            data,
        };
        let json = serde_json::to_string(&event);
        let json = json.unwrap_or_else(|why| unreachable!("the contract's types are JSON: {why}"));
        Message { id, kind, json }
    }
}

/// Version 1.0 of them, in JSON.
#[derive(Serialize)]
struct CloudEvent<'a, D> {
    specversion: &'a str,
    id: &'a str,
    source: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    time: Timestamp,
    datacontenttype: &'a str,
    data: &'a D,
}

/// The changes after one up to another, which are not told.
#[derive(Serialize)]
struct Lost {
    after: Seq,
    through: Seq,
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
