//! A storm: many buyers at once, each with a user id and a request id of its own.
//!
//! Owns: the workers, how buyers are handed out to them and to the nodes, the record of every
//! answer. Never does: judge the answers (see `audit`), print. Called by `flashctl storm`,
//! `flashctl demo` and tests.
//!
//! A closed loop by default: `concurrency` buyers are under way at any time, and a buyer's
//! latency runs from its first attempt to its settling. With a rate it is an open loop: buyer `n`
//! is due at `n / rate`, and its latency runs from when it was *due*, so that a stall of the
//! cluster is seen by everyone who would have come meanwhile (no coordinated omission).

mod progress;
mod report;

pub use progress::Progress;
pub use report::{Latency, Report, grouped};

use crate::settle::Route;
use crate::{BuyAnswer, BuyOutcome, Client};
use reqwest::header::HeaderValue;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};
use stock::api::BuyAccepted;
use stock::{Quantity, Sku};
use uuid::Uuid;

/// What kind of storm.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The product that everyone wants.
    pub product: Sku,
    /// How many buyers come, each once.
    pub buyers: u64,
    /// How many are under way at a time.
    pub concurrency: usize,
    /// Buyers per second, when they come on their own time (an open loop).
    pub rate: Option<f64>,
    /// The only node to ask, by position; otherwise buyers spread over all.
    pub only: Option<usize>,
    /// Units that each wants.
    pub quantity: Quantity,
    /// Names this storm's buyers: `storm-<run>-<n>`.
    pub run: String,
}

impl Plan {
    /// A closed-loop storm of one unit a buyer over all nodes, under a fresh run name.
    pub fn new(product: Sku, buyers: u64, concurrency: usize) -> Self {
        let (rate, only, quantity, run) = (None, None, Quantity::ONE, fresh_run());
        Self { product, buyers, concurrency, rate, only, quantity, run }
    }

    /// The number of the buyer with this user id, when it is one of this storm's.
    pub fn buyer_of(&self, user_id: &str) -> Option<u64> {
        let number = user_id.strip_prefix("storm-")?.strip_prefix(self.run.as_str())?;
        number.strip_prefix('-')?.parse().ok()
    }
}

/// A run name that no other storm has.
fn fresh_run() -> String {
    let mut name = Uuid::now_v7().simple().to_string();
    // The first 12 digits are the time, the rest is random.
    name.drain(..20);
    name
}

/// One accepted buy, as its buyer was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Won {
    /// The buyer's number.
    pub buyer: u64,
    /// Its request id.
    pub request: Uuid,
    /// The order's id.
    pub order: u64,
    /// Units bought.
    pub quantity: u32,
    /// Units that were left right after it.
    pub remaining: u64,
}

/// A buy whose outcome no attempt could find out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unsettled {
    /// The buyer's number.
    pub buyer: u64,
    /// Its request id.
    pub request: Uuid,
}

/// Every answer of a storm.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// The accepted buys.
    pub won: Vec<Won>,
    /// Buyers who were told that nothing is left.
    pub sold_out: u64,
    /// Buyers who were refused otherwise, by kind; `unavailable` are those whom no node could
    /// serve in time, and who surely bought nothing.
    pub refused: BTreeMap<&'static str, u64>,
    /// Buyers who still do not know.
    pub unsettled: Vec<Unsettled>,
    /// Accepted answers that speak of another buyer, product or quantity than was asked.
    pub misdirected: Vec<String>,
    /// Attempts beyond each buyer's first.
    pub retried: u64,
    /// Decided buys by the position of the node that answered.
    pub answers_by_node: Vec<u64>,
    /// Microseconds to each decision.
    pub latencies_us: Vec<u32>,
    /// From the first buyer to the last answer.
    pub elapsed: Duration,
    /// From the first buyer to the last accepted answer.
    pub selling: Duration,
}

impl Tally {
    /// Buyers who were told yes or no.
    pub fn decided(&self) -> u64 {
        self.won.len() as u64 + self.sold_out + self.refused.values().sum::<u64>()
    }

    fn add(&mut self, part: Tally) {
        self.won.extend(part.won);
        self.sold_out += part.sold_out;
        for (kind, count) in part.refused {
            *self.refused.entry(kind).or_default() += count;
        }
        self.unsettled.extend(part.unsettled);
        self.misdirected.extend(part.misdirected);
        self.retried += part.retried;
        self.answers_by_node.resize(part.answers_by_node.len().max(self.answers_by_node.len()), 0);
        for (sum, count) in self.answers_by_node.iter_mut().zip(part.answers_by_node) {
            *sum += count;
        }
        self.latencies_us.extend(part.latencies_us);
        self.selling = self.selling.max(part.selling);
    }
}

/// Lets the buyers loose; returns when each has an answer, or has given up, or when
/// `progress.stop()` was called and those under way are done.
///
/// # Panics
/// When the concurrency is 0, or `only` is not a position of the client.
pub async fn run(client: &Arc<Client>, plan: &Plan, progress: &Arc<Progress>) -> Tally {
    assert!(plan.concurrency > 0, "a storm needs at least one buyer at a time");
    assert!(plan.only.is_none_or(|node| node < client.nodes_count()), "no such node: {plan:?}");
    let plan = Arc::new(plan.clone());
    let started = Instant::now();
    let workers = plan.concurrency.min(usize::try_from(plan.buyers).unwrap_or(usize::MAX));
    let tasks: Vec<_> = (0..workers)
        .map(|_| {
            let (client, plan) = (Arc::clone(client), Arc::clone(&plan));
            let progress = Arc::clone(progress);
            tokio::spawn(async move { Worker::new(&client, &plan, &progress, started).run().await })
        })
        .collect();
    let mut tally = Tally::default();
    for task in tasks {
        match task.await {
            Ok(part) => tally.add(part),
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
    tally.elapsed = started.elapsed();
    tally
}

/// One slot of the concurrency: serves buyer after buyer.
struct Worker<'a> {
    client: &'a Client,
    plan: &'a Plan,
    progress: &'a Progress,
    started: Instant,
    body: String,
    tally: Tally,
}

impl<'a> Worker<'a> {
    fn new(client: &'a Client, plan: &'a Plan, progress: &'a Progress, started: Instant) -> Self {
        let answers_by_node = vec![0; client.nodes_count()];
        let tally = Tally { answers_by_node, ..Tally::default() };
        Self { client, plan, progress, started, body: String::new(), tally }
    }

    async fn run(mut self) -> Tally {
        while let Some(buyer) = self.progress.next_buyer(self.plan.buyers) {
            let due = self.wait_until_due(buyer).await;
            self.serve(buyer, due).await;
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

    async fn serve(&mut self, buyer: u64, due: Instant) {
        let request = Uuid::now_v7();
        let key = key_of(request);
        self.write_body(buyer);
        let route = match self.plan.only {
            Some(node) => Route::Only(node),
            None => Route::Spread(buyer as usize % self.client.nodes_count()),
        };
        let outcome = self.client.buy_raw(&self.body, &key, route).await;
        self.tally.retried += u64::from(outcome.attempts - 1);
        self.progress.retried(u64::from(outcome.attempts - 1));
        self.record(buyer, request, due, outcome);
    }

    fn record(&mut self, buyer: u64, request: Uuid, due: Instant, outcome: BuyOutcome) {
        let decided = match outcome.answer {
            BuyAnswer::Accepted { order, .. } => {
                self.check_direction(buyer, &order);
                self.progress.accepted(&order, outcome.sent_at, outcome.answered_at);
                self.tally.selling = outcome.answered_at.saturating_duration_since(self.started);
                let (quantity, remaining) = (order.quantity.get(), order.remaining);
                let order = order.order_id.0;
                self.tally.won.push(Won { buyer, request, order, quantity, remaining });
                true
            }
            BuyAnswer::Refused { kind, .. } => {
                if kind == crate::RefusedKind::SoldOut {
                    self.tally.sold_out += 1;
                    self.progress.sold_out();
                } else {
                    *self.tally.refused.entry(kind.name()).or_default() += 1;
                    self.progress.refused();
                }
                true
            }
            BuyAnswer::NotProposed { .. } => {
                *self.tally.refused.entry("unavailable").or_default() += 1;
                self.progress.refused();
                false
            }
            BuyAnswer::Unknown { .. } => {
                self.tally.unsettled.push(Unsettled { buyer, request });
                self.progress.unknown();
                false
            }
        };
        if decided {
            let taken = outcome.answered_at.saturating_duration_since(due);
            self.tally.latencies_us.push(u32::try_from(taken.as_micros()).unwrap_or(u32::MAX));
            self.tally.answers_by_node[outcome.node] += 1;
        }
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

fn key_of(request: Uuid) -> HeaderValue {
    let mut text = Uuid::encode_buffer();
    HeaderValue::from_str(request.hyphenated().encode_lower(&mut text))
        .unwrap_or_else(|error| unreachable!("a UUID is a header value: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buyers_are_known_by_their_run() {
        let plan = Plan::new(Sku::new("p").unwrap(), 3, 1);
        assert_eq!(plan.run.len(), 12);
        assert_eq!(plan.buyer_of(&format!("storm-{}-17", plan.run)), Some(17));
        assert_eq!(plan.buyer_of("storm-other-17"), None);
        assert_eq!(plan.buyer_of("alice"), None);
    }
}
