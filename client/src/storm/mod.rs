//! A storm: many buyers at once, each with a user id and a request id of its own.
//!
//! Owns: the plan, and the workers, who hand buyers to the nodes and take every answer down. Never
//! does: judge the answers (see `audit`), print. Called by `flashctl storm`, `flashctl demo` and
//! tests.
//!
//! Everyone buys at once, unless the mix has some hold first; or they come in batches.
//!
//! A closed loop by default: `concurrency` buyers are under way at any time, and a buyer's
//! latency runs from its first attempt to its settling. With a rate it is an open loop: buyer `n`
//! is due at `n / rate`, and its latency runs from when it was *due*, so that a stall of the
//! cluster is seen by everyone who would have come meanwhile (no coordinated omission).

mod bars;
mod batch;
mod holds;
mod holds_report;
mod mix;
mod progress;
mod report;
mod tally;
mod worker;

pub use bars::Bars;
pub use holds_report::HoldReport;
pub use mix::{Mix, Part, Share};
pub use progress::Progress;
pub use report::{Latency, Report, grouped};
pub use tally::{Fate, Held, Holds, Tally, Unsettled, Won};

use crate::Client;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Instant;
use stock::{Quantity, Sku, UserId};
use uuid::Uuid;
use worker::Worker;

/// What kind of storm.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The product that everyone wants.
    pub product: Sku,
    /// How many buyers come, each once.
    pub buyers: u64,
    /// How many are under way at a time; of a storm by batches, how many calls.
    pub concurrency: usize,
    /// Buyers per second, when they come on their own time (an open loop).
    pub rate: Option<f64>,
    /// The only node to ask, by position; otherwise buyers spread over all.
    pub only: Option<usize>,
    /// Units that each wants.
    pub quantity: Quantity,
    /// Who holds first, and what comes of it.
    pub mix: Mix,
    /// How many buyers a call has, when they come in batches. Then all buy at once, and there is
    /// no rate.
    pub batch: Option<NonZeroUsize>,
    /// Names this storm's buyers: `storm-<run>-<n>`.
    pub run: String,
}

impl Plan {
    /// A closed-loop storm of one unit a buyer over all nodes, under a fresh run name.
    pub fn new(product: Sku, buyers: u64, concurrency: usize) -> Self {
        let (rate, only, quantity, run) = (None, None, Quantity::ONE, fresh_run());
        let (mix, batch) = (Mix::BUYS, None);
        Self { product, buyers, concurrency, rate, only, quantity, mix, batch, run }
    }

    /// The user id of the buyer with this number.
    pub(crate) fn user(&self, buyer: u64) -> UserId {
        UserId::new(format!("storm-{}-{buyer}", self.run))
            .unwrap_or_else(|error| unreachable!("letters and digits are a user id: {error}"))
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

/// Lets the buyers loose; returns when each has an answer, or has given up, or when
/// `progress.stop()` was called and those under way are done.
///
/// # Panics
/// When the concurrency is 0, `only` is not a position of the client, or the mix of a batch has
/// holds.
pub async fn run(client: &Arc<Client>, plan: &Plan, progress: &Arc<Progress>) -> Tally {
    assert!(plan.concurrency > 0, "a storm needs at least one buyer at a time");
    assert!(plan.only.is_none_or(|node| node < client.nodes_count()), "no such node: {plan:?}");
    let buys_only = plan.mix.holds == Share::NONE;
    assert!(plan.batch.is_none() || buys_only, "a batch has no holds: {plan:?}");
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buyers_are_known_by_their_run() {
        let plan = Plan::new(Sku::new("p").unwrap(), 3, 1);
        assert_eq!(plan.run.len(), 12);
        assert_eq!(plan.buyer_of(plan.user(17).as_str()), Some(17));
        assert_eq!(plan.buyer_of("storm-other-17"), None);
        assert_eq!(plan.buyer_of("alice"), None);
    }
}
