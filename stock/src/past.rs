//! What the events say of request ids: the orders, and what was done lately.
//!
//! Gathered event by event while a machine is restored, then put into the request table at once.
//! Never decides anything. Called by restore.

use crate::done::{Done, PastDone};
use crate::hash;
use crate::items::items_of;
use crate::requests::{Accepted, Identity};
use crate::{Change, Command, Event, Order, Seq};

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Past {
    /// Sorted once, they make a denser tree in a third of the time of as many insertions.
    pub(crate) orders: Vec<(u128, Accepted)>,
    /// What was done after `forgotten`, oldest first.
    pub(crate) done: Vec<PastDone>,
    /// The last change whose request the machine had forgotten; as far as the events have come.
    pub(crate) forgotten: Seq,
}

impl Past {
    /// Empty, with room for so many orders.
    pub(crate) fn with_room_for(orders: usize) -> Self {
        Self { orders: Vec::with_capacity(orders), ..Self::default() }
    }

    /// Takes in the next event; of what was done up to `forgotten`, only that it was.
    pub(crate) fn note(&mut self, event: &Event, forgotten: Seq) {
        let seq = event.seq;
        if let Some((request, body, content)) = order(&event.change) {
            self.orders.push((request, Accepted { order: seq, body, content }));
        } else if let Some(asked) = event.change.asked() {
            if seq <= forgotten {
                self.forgotten = seq;
            } else {
                let Identity { request, body, .. } = Identity::of(&asked);
                let (at_ms, done) = (event.at_ms, Done { change: seq, body });
                self.done.push(PastDone { request, at_ms, done });
            }
        }
    }
}

/// The fingerprint of an order's request, the digest of its body, and that of its items where the
/// body does not name them.
fn order(change: &Change) -> Option<(u128, u32, u32)> {
    let (user, request_id, command, content) = match change {
        Change::Ordered(order) | Change::Counted { order, .. } => {
            let Order { sku, user, request_id, quantity, .. } = order;
            let command = Command::Buy { sku: sku.clone(), quantity: *quantity };
            (user, request_id, command, 0)
        }
        Change::BasketOrdered { user, request_id, lines } => {
            (user, request_id, Command::BuyBasket { items: items_of(lines).ok()? }, 0)
        }
        Change::Confirmed { hold, user, request_id, lines } => {
            let content = hash::items_digest(&items_of(lines).ok()?);
            (user, request_id, Command::Confirm { hold: *hold }, content)
        }
        _ => return None,
    };
    let request = hash::user_request_fingerprint(user, request_id);
    Some((request, hash::body_digest(&command), content))
}
