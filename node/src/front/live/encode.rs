//! Committed changes as server-sent events, in the format of the HTML standard.

use bytes::Bytes;
use std::io::Write;
use stock::api::EventView;
use stock::{Event, Seq};

/// A run of encoded events.
#[derive(Debug, Clone)]
pub(super) struct Chunk {
    first: Seq,
    /// Where each event's text ends.
    ends: Vec<usize>,
    text: Bytes,
}

impl Chunk {
    /// Encodes events that follow each other; none when there are none.
    pub(super) fn encode(events: Vec<Event>) -> serde_json::Result<Option<Self>> {
        let Some(first) = events.first().map(|event| event.seq) else {
            return Ok(None);
        };
        let mut text = Vec::with_capacity(events.len() * 256);
        let mut ends = Vec::with_capacity(events.len());
        for event in events {
            let view = EventView::from(event);
            // To write into memory never fails.
            let _ = write!(text, "id: {}\nevent: {}\ndata: ", view.seq, view.change.name());
            serde_json::to_writer(&mut text, &view)?;
            text.extend_from_slice(b"\n\n");
            ends.push(text.len());
        }
        Ok(Some(Self { first, ends, text: text.into() }))
    }

    /// The event that follows the last one here.
    pub(super) fn next(&self) -> Seq {
        Seq(self.first.0 + self.ends.len() as u64)
    }

    /// The first event here.
    pub(super) fn first(&self) -> Seq {
        self.first
    }

    /// Bytes of text.
    pub(super) fn len(&self) -> usize {
        self.text.len()
    }

    /// The text of all events here after `after`; none when the next one is not here.
    pub(super) fn after(&self, after: Seq) -> Option<Bytes> {
        let next = Seq(after.0.checked_add(1)?);
        if next < self.first || next >= self.next() {
            return None;
        }
        let skipped = usize::try_from(next.0 - self.first.0).ok()?;
        let from = skipped.checked_sub(1).map_or(0, |last| self.ends[last]);
        Some(self.text.slice(from..))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stock::{Change, Line, Order, Quantity, RequestId, Sku, Terms, UserId};

    fn restocked(seq: u64) -> Event {
        let sku = Sku::new("tee").unwrap();
        let change = Change::Restocked { sku, quantity: 1, available: seq };
        Event { seq: Seq(seq), at_ms: seq, change }
    }

    #[test]
    fn a_chunk_gives_what_comes_after_any_of_its_events() {
        let chunk = Chunk::encode((5..8).map(restocked).collect()).unwrap().unwrap();
        assert_eq!((chunk.first(), chunk.next()), (Seq(5), Seq(8)));
        let ids = |after| {
            let text = chunk.after(Seq(after))?;
            let text = String::from_utf8(text.to_vec()).unwrap();
            let ids = text.lines().filter_map(|line| line.strip_prefix("id: "));
            Some(ids.map(|id| id.parse().unwrap()).collect::<Vec<u64>>())
        };
        assert_eq!(ids(3), None, "event 4 comes first");
        assert_eq!(ids(4), Some(vec![5, 6, 7]));
        assert_eq!(ids(6), Some(vec![7]));
        assert_eq!(ids(7), None, "nothing comes after it yet");
        assert_eq!(ids(u64::MAX), None);
    }

    #[test]
    fn an_event_is_three_lines_and_an_empty_one() {
        let chunk = Chunk::encode(vec![restocked(5)]).unwrap().unwrap();
        let text = String::from_utf8(chunk.after(Seq(4)).unwrap().to_vec()).unwrap();
        let data = r#"{"seq":5,"at_ms":5,"change":"restocked","product_id":"tee","quantity":1,"#;
        assert!(text.starts_with(&format!("id: 5\nevent: restocked\ndata: {data}")), "{text}");
        assert!(text.ends_with("}\n\n") && text.lines().count() == 4, "{text}");
        assert!(Chunk::encode(Vec::new()).unwrap().is_none());
    }

    fn round_trip(change: Change, name: &str) -> EventView {
        let view = EventView::from(Event { seq: Seq(7), at_ms: 9, change });
        assert_eq!(view.change.name(), name);
        let text = serde_json::to_string(&view).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&value["seq"], &value["change"]), (&7.into(), &name.into()), "{text}");
        assert_eq!(serde_json::from_str::<EventView>(&text).unwrap(), view, "{text}");
        view
    }

    #[test]
    fn every_change_is_told_and_read_back() {
        let (sku, user) = (Sku::new("tee").unwrap(), UserId::new("ann").unwrap());
        let request_id = RequestId::new("k").unwrap();
        let quantity = Quantity::ONE;
        let lines = vec![Line { sku: sku.clone(), quantity, available: 3 }];
        let terms = Box::new(Terms::plain(sku.clone(), "Tee", 4));
        round_trip(Change::ProductCreated(terms.clone()), "product_created");
        round_trip(Change::ProductUpdated(terms), "product_updated");
        let restocked = Change::Restocked { sku: sku.clone(), quantity: -1, available: 3 };
        round_trip(restocked, "restocked");
        let order = Order {
            sku,
            user: user.clone(),
            request_id: request_id.clone(),
            quantity,
            remaining: 3,
        };
        let flat = round_trip(Change::Ordered(order.clone()), "ordered");
        // What a counter owed concerns nobody else.
        assert_eq!(round_trip(Change::Counted { order, owed: 9 }, "ordered"), flat);
        let basket = Change::BasketOrdered {
            user: user.clone(),
            request_id: request_id.clone(),
            lines: lines.clone(),
        };
        assert_eq!(round_trip(basket, "ordered"), flat, "an order is an order");
        let (hold, expires_at_ms) = (Seq(2), 60_000);
        round_trip(
            Change::Held {
                user: user.clone(),
                request_id: request_id.clone(),
                expires_at_ms,
                lines: lines.clone(),
            },
            "held",
        );
        let (u, l) = (user.clone(), lines.clone());
        let confirmed = Change::Confirmed { hold, user: u, request_id, lines: l };
        round_trip(confirmed, "ordered");
        let (u, l) = (user.clone(), lines.clone());
        round_trip(Change::Released { hold, user: u, lines: l }, "released");
        let (u, l) = (user.clone(), lines.clone());
        round_trip(Change::Expired { hold, user: u, lines: l }, "expired");
        round_trip(Change::Cancelled { order: Seq(3), user, hold: None, lines }, "cancelled");
    }
}
