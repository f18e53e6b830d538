//! One slot of a storm's concurrency: serves buyer after buyer, or call after call.
//!
//! Owns: its part of the tally, and the way from an outcome into it. Called by `storm::run`;
//! `holds` and `batch` have the parts of those who hold, and of calls of many.

use super::mix::Part;
use super::{Plan, Progress, Tally, Unsettled, Won};
use crate::settle::Route;
use crate::{BuyAnswer, BuyOutcome, Client};
use reqwest::header::HeaderValue;
use std::fmt::Write as _;
use std::time::{Duration, Instant};
use stock::api::{BuyAccepted, Problem};
use uuid::Uuid;

/// See the module.
pub(super) struct Worker<'a> {
    pub(super) client: &'a Client,
    pub(super) plan: &'a Plan,
    pub(super) progress: &'a Progress,
    pub(super) started: Instant,
    pub(super) body: String,
    pub(super) tally: Tally,
}

impl<'a> Worker<'a> {
    pub(super) fn new(
        client: &'a Client,
        plan: &'a Plan,
        progress: &'a Progress,
        started: Instant,
    ) -> Self {
        let answers_by_node = vec![0; client.nodes_count()];
        let tally = Tally { answers_by_node, ..Tally::default() };
        Self { client, plan, progress, started, body: String::new(), tally }
    }

    pub(super) async fn run(mut self) -> Tally {
        if let Some(size) = self.plan.batch {
            self.call_batches(size.get()).await;
            return self.tally;
        }
        while let Some(buyer) = self.progress.next_buyer(self.plan.buyers) {
            let due = self.wait_until_due(buyer).await;
            match self.plan.mix.part_of(buyer) {
                Part::Buy => self.buy(buyer, due).await,
                part => self.hold(buyer, part, due).await,
            }
        }
        self.tally
    }

    /// Returns when this buyer's latency starts.
    async fn wait_until_due(&self, buyer: u64) -> Instant {
        let Some(rate) = self.plan.rate else {
            return Instant::now();
        };
        let due = self.started + Duration::from_secs_f64(buyer as f64 / rate);
        tokio::time::sleep_until(due.into()).await;
        due
    }

    async fn buy(&mut self, buyer: u64, due: Instant) {
        let request = Uuid::now_v7();
        let key = key_of(request);
        self.write_body(buyer);
        let outcome = self.client.buy_raw(&self.body, &key, self.route(buyer)).await;
        self.count_retries(outcome.attempts);
        let (node, answered_at) = (outcome.node, outcome.answered_at);
        if self.record(buyer, request, outcome) {
            self.tally.latencies_us.push(us(answered_at.saturating_duration_since(due)));
            self.tally.answers_by_node[node] += 1;
        }
    }

    /// Where a buyer, or a call, begins: in turn at each node.
    pub(super) fn route(&self, number: u64) -> Route {
        match self.plan.only {
            Some(node) => Route::Only(node),
            None => Route::Spread(number as usize % self.client.nodes_count()),
        }
    }

    pub(super) fn count_retries(&mut self, attempts: u32) {
        self.tally.retried += u64::from(attempts - 1);
        self.progress.retried(u64::from(attempts - 1));
    }

    /// Takes down what a buy came to; returns whether it was decided.
    pub(super) fn record(&mut self, buyer: u64, request: Uuid, outcome: BuyOutcome) -> bool {
        match outcome.answer {
            BuyAnswer::Accepted { order, .. } => {
                self.check_direction(buyer, &order);
                self.progress.accepted(&order, outcome.sent_at, outcome.answered_at);
                self.tally.selling = outcome.answered_at.saturating_duration_since(self.started);
                let (quantity, remaining) = (order.quantity.get(), order.remaining);
                let (order, hold) = (order.order_id.0, None);
                self.tally.won.push(Won { buyer, request, order, hold, quantity, remaining });
                true
            }
            BuyAnswer::Refused { problem, .. } => {
                self.refused(&problem);
                true
            }
            BuyAnswer::NotProposed { .. } => {
                self.unavailable();
                false
            }
            BuyAnswer::Unknown { .. } => {
                self.unknown(buyer, request);
                false
            }
        }
    }

    pub(super) fn refused(&mut self, problem: &Problem) {
        let kind = crate::RefusedKind::of(problem);
        if kind == crate::RefusedKind::SoldOut {
            self.tally.sold_out += 1;
            self.progress.sold_out();
        } else {
            self.tally.refuse(kind.name());
            self.progress.refused();
        }
    }

    pub(super) fn unavailable(&mut self) {
        self.tally.refuse("unavailable");
        self.progress.unserved();
    }

    pub(super) fn unknown(&mut self, buyer: u64, request: Uuid) {
        self.tally.unsettled.push(Unsettled { buyer, request });
        self.progress.unserved();
    }

    /// A yes must be a yes to this buyer's question.
    fn check_direction(&mut self, buyer: u64, order: &BuyAccepted) {
        let ours = self.plan.buyer_of(order.user_id.as_str()) == Some(buyer)
            && order.product_id == self.plan.product
            && order.quantity == self.plan.quantity;
        if !ours {
            self.tally.misdirected.push(format!("buyer {buyer} was answered {order:?}"));
        }
    }

    fn write_body(&mut self, buyer: u64) {
        let Plan { product, run, quantity, .. } = self.plan;
        self.body.clear();
        // None of these can hold a character that JSON would escape: a Sku's alphabet has none,
        // and the run name is hex. Writing to a String cannot fail.
        let _ = write!(
            self.body,
            r#"{{"product_id":"{product}","user_id":"storm-{run}-{buyer}","quantity":{quantity}}}"#
        );
    }
}

/// Whole microseconds, at most what 32 bits hold: over an hour.
pub(super) fn us(took: Duration) -> u32 {
    u32::try_from(took.as_micros()).unwrap_or(u32::MAX)
}

fn key_of(request: Uuid) -> HeaderValue {
    let mut text = Uuid::encode_buffer();
    HeaderValue::from_str(request.hyphenated().encode_lower(&mut text))
        .unwrap_or_else(|error| unreachable!("a UUID is a header value: {error}"))
}
