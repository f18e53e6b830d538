//! The buyers of a storm who hold first.
//!
//! Owns: one buyer's way from the hold to its end, each step under a request id of its own that
//! all attempts of the step keep. Called by `worker`.

use super::Won;
use super::mix::Part;
use super::tally::{Fate, Held};
use super::worker::{Worker, us};
use crate::settle::{Settled, Target};
use crate::{Answer, RefusedKind};
use std::time::Instant;
use stock::api::{HoldAccepted, HoldReleased, OrderAccepted, PostConfirm, PostHold};
use stock::{RequestId, Seq, UserId};
use uuid::Uuid;

impl Worker<'_> {
    /// Serves a buyer who holds first, from when they were due.
    pub(super) async fn hold(&mut self, buyer: u64, part: Part, due: Instant) {
        let user = self.plan.user(buyer);
        let wanted = PostHold {
            ttl_ms: Some(self.plan.mix.ttl),
            ..PostHold::one(self.plan.product.clone(), self.plan.quantity, user.clone())
        };
        let body = crate::api::json(&wanted);
        let request = Uuid::now_v7();
        let settled: Settled<HoldAccepted> =
            self.send(buyer, Target::Post("v1/holds"), Some(&body), request).await;
        let (node, answered_at) = (settled.node, settled.answered_at);
        match settled.answer {
            Answer::Done { body, .. } => {
                self.tally.holds.hold_us.push(us(answered_at.saturating_duration_since(due)));
                self.check_hold(buyer, &user, &body);
                let hold = body.hold_id;
                let fate = self.end(buyer, &user, hold, part).await;
                self.tally.holds.made.push(Held { buyer, hold: hold.0, fate });
            }
            Answer::Refused { problem } => {
                self.tally.answers_by_node[node] += 1;
                self.refused(&problem);
            }
            Answer::NotProposed { .. } => self.unavailable(),
            Answer::Unknown { .. } => {
                self.tally.holds.in_doubt += 1;
                self.unknown(buyer, request);
            }
        }
    }

    /// Goes on with a hold as the buyer's part is.
    async fn end(&mut self, buyer: u64, user: &UserId, hold: Seq, part: Part) -> Fate {
        match part {
            Part::Buy | Part::Confirm => self.confirm(buyer, user, hold).await,
            Part::Release => self.release(buyer, user, hold).await,
            Part::Abandon => {
                self.gave_up();
                Fate::Abandoned
            }
        }
    }

    async fn confirm(&mut self, buyer: u64, user: &UserId, hold: Seq) -> Fate {
        let body = crate::api::json(&PostConfirm { user_id: user.clone() });
        let path = crate::holds::confirm_path(hold);
        let (request, began) = (Uuid::now_v7(), Instant::now());
        let settled: Settled<OrderAccepted> =
            self.send(buyer, Target::Post(&path), Some(&body), request).await;
        let (node, answered_at) = (settled.node, settled.answered_at);
        match settled.answer {
            Answer::Done { body, .. } => {
                self.tally.answers_by_node[node] += 1;
                self.tally.holds.confirm_us.push(us(answered_at.saturating_duration_since(began)));
                self.tally.holds.confirming = answered_at.saturating_duration_since(self.started);
                self.tally.selling = self.tally.holds.confirming;
                self.sold(buyer, request, hold, &body);
                Fate::Confirmed
            }
            Answer::Refused { problem } => {
                self.tally.answers_by_node[node] += 1;
                self.refused(&problem);
                let expired = RefusedKind::of(&problem) == RefusedKind::HoldExpired;
                if expired { Fate::TooLate } else { Fate::Unserved }
            }
            Answer::NotProposed { .. } => {
                self.unavailable();
                Fate::Unserved
            }
            Answer::Unknown { .. } => {
                self.unknown(buyer, request);
                Fate::InDoubt
            }
        }
    }

    async fn release(&mut self, buyer: u64, user: &UserId, hold: Seq) -> Fate {
        let path = crate::holds::release_path(hold, Some(user));
        let request = Uuid::now_v7();
        let settled: Settled<HoldReleased> =
            self.send(buyer, Target::Delete(&path), None, request).await;
        match settled.answer {
            Answer::Done { .. } => {
                self.tally.answers_by_node[settled.node] += 1;
                self.gave_up();
                Fate::Released
            }
            Answer::Refused { problem } => {
                self.tally.answers_by_node[settled.node] += 1;
                self.refused(&problem);
                let expired = RefusedKind::of(&problem) == RefusedKind::HoldExpired;
                if expired { Fate::TooLate } else { Fate::Unserved }
            }
            // Released or not, it is no order: the buyer never asked for one.
            Answer::NotProposed { .. } | Answer::Unknown { .. } => {
                self.unavailable();
                Fate::Unserved
            }
        }
    }

    /// Sends one step until it is settled.
    async fn send<T: serde::de::DeserializeOwned>(
        &mut self,
        buyer: u64,
        target: Target<'_>,
        body: Option<&str>,
        request: Uuid,
    ) -> Settled<T> {
        let key = RequestId::new(request.to_string())
            .unwrap_or_else(|error| unreachable!("a UUID is a request id: {error}"));
        let route = self.route(buyer);
        let settled = self.client.command_on(route, target, body, &key).await;
        self.count_retries(settled.attempts);
        settled
    }

    fn gave_up(&mut self) {
        self.tally.gave_up += 1;
        self.progress.gave_up();
    }

    /// Takes down the order that a confirm made.
    fn sold(&mut self, buyer: u64, request: Uuid, hold: Seq, order: &OrderAccepted) {
        let [line] = &order.items[..] else {
            self.misdirected(buyer, order);
            return;
        };
        let ours = self.plan.buyer_of(order.user_id.as_str()) == Some(buyer)
            && line.product_id == self.plan.product
            && line.quantity == self.plan.quantity
            && order.hold_id == Some(hold);
        if !ours {
            self.misdirected(buyer, order);
        }
        self.progress.confirmed(line, order.leader);
        self.tally.won.push(Won {
            buyer,
            request,
            order: order.order_id.0,
            hold: Some(hold.0),
            quantity: line.quantity.get(),
            remaining: line.remaining,
        });
    }

    fn check_hold(&mut self, buyer: u64, user: &UserId, held: &HoldAccepted) {
        let line = held.items.first().filter(|_| held.items.len() == 1);
        let ours = line.is_some_and(|line| {
            line.product_id == self.plan.product && line.quantity == self.plan.quantity
        });
        if !ours || held.user_id != *user {
            self.misdirected(buyer, held);
        }
    }

    fn misdirected(&mut self, buyer: u64, answer: &impl std::fmt::Debug) {
        self.tally.misdirected.push(format!("buyer {buyer} was answered {answer:?}"));
    }
}
