//! Asks the nodes, each on its own, so that one that is dead or stands still holds up no other.
//!
//! Owns: one task a node, which asks it for everything and begins anew. Never does: keep or judge
//! what it is told; that is the room's.

use super::gauges::Scrape;
use super::room::{Report, Stock, Told};
use crate::cmd::Failure;
use client::control::Control;
use client::reads::{Consistency, Reads};
use client::{Client, ClientError, Timeouts};
use std::any::Any;
use std::collections::BTreeSet;
use std::time::Duration;
use stock::Seq;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

/// How often a node is asked.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// A node that takes longer for an answer is shown as silent.
const TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_secs(1),
    attempt: Duration::from_secs(2),
    give_up: Duration::ZERO,
    settle: Duration::ZERO,
};
/// So many addresses are followed.
const ADDRESSES_MAX: usize = 32;
/// How many of the newest changes are searched for orders.
const ORDERS_BACK: u64 = 60;

/// See the module.
pub(super) struct Pollers {
    tell: mpsc::Sender<Report>,
    addresses: BTreeSet<String>,
    tasks: JoinSet<()>,
}

impl Pollers {
    pub(super) fn new(tell: mpsc::Sender<Report>) -> Self {
        Self { tell, addresses: BTreeSet::new(), tasks: JoinSet::new() }
    }

    /// Asks this node too from now on.
    ///
    /// # Errors
    /// When that is no address.
    pub(super) fn follow(&mut self, address: &str) -> Result<(), Failure> {
        if self.addresses.len() < ADDRESSES_MAX && self.addresses.insert(address.to_owned()) {
            let client = Client::with_timeouts(vec![address.to_owned()], TIMEOUTS)?;
            let client = client.reading(Reads { consistency: Consistency::Stale, min_seq: Seq(0) });
            self.tasks.spawn(follow(client, address.to_owned(), self.tell.clone()));
        }
        Ok(())
    }

    /// Returns when one of the tasks has panicked, with what it panicked.
    pub(super) async fn panicked(&mut self) -> Box<dyn Any + Send> {
        loop {
            match self.tasks.join_next().await {
                Some(Err(error)) if error.is_panic() => return error.into_panic(),
                Some(_) => {}
                None => std::future::pending().await,
            }
        }
    }
}

async fn follow(client: Client, address: String, tell: mpsc::Sender<Report>) {
    let mut ticks = tokio::time::interval(LOOK_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let told = look(&client).await;
        let report = Report { address: address.clone(), at_ms: super::now_ms(), told };
        if tell.send(report).await.is_err() {
            return;
        }
    }
}

/// Everything that one node tells. What it cannot tell besides, as while the cluster forms or while
/// it is fenced, is left out.
async fn look(client: &Client) -> Result<Told, ClientError> {
    let (cluster, control, scrape, stock) =
        tokio::join!(client.cluster(0), control(client), scrape(client), stock(client));
    Ok(Told { cluster: cluster?, control, scrape, stock })
}

async fn control(client: &Client) -> Option<(u64, Control)> {
    let asked = Instant::now();
    let control = client.control().await.ok()?;
    // As it is half-way between question and answer.
    let now_ms = super::now_ms().saturating_sub(asked.elapsed().as_millis() as u64 / 2);
    Some((now_ms, control))
}

async fn scrape(client: &Client) -> Option<(u64, Scrape)> {
    let text = client.metrics(0).await.ok()?;
    Some((super::now_ms(), Scrape::read(&text)))
}

async fn stock(client: &Client) -> Option<Stock> {
    let list = client.products_after(None).await.ok()?;
    let after = Seq(list.seq.0.saturating_sub(ORDERS_BACK));
    let orders = client.orders_after(after).await.ok()?.orders;
    Some(Stock { list, orders })
}
