//! What the control room knows: the newest of what each node told, and how it was over time.
//!
//! Owns: which node is believed about what. The nodes' table is that of the node that reaches most
//! of them, stock and orders are those of the newest state, rates are summed over all nodes that
//! answer. Never does: IO, or read a clock. Every instant is handed in, in milliseconds since 1970.

use super::gauges::{Gauges, Rates, Scrape, quantile_ms};
use super::series::Series;
use crate::cmd::status::{self, Quorum};
use client::ClientError;
use client::control::{Control, Election, OpenHolds};
use std::collections::BTreeMap;
use stock::api::{ClusterView, OrderView, ProductList, ProductView};
use stock::{NodeId, Seq, Sku};

/// What a node told counts for so long.
const FRESH_MS: u64 = 3_000;
/// Elections that are kept.
const ELECTIONS_MAX: usize = 64;

/// One look at one node.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) address: String,
    pub(super) at_ms: u64,
    pub(super) told: Result<Told, ClientError>,
}

/// What a node tells.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) cluster: ClusterView,
    /// And when.
    pub(super) control: Option<(u64, Control)>,
    /// And when.
    pub(super) scrape: Option<(u64, Scrape)>,
    pub(super) stock: Option<Stock>,
}

/// Products and orders of one state, or of nearly one.
#[derive(Debug, Clone)]
pub(super) struct Stock {
    pub(super) list: ProductList,
    /// The orders among the newest changes, the oldest first.
    pub(super) orders: Vec<OrderView>,
}

/// A node, as it is reached at one address.
#[derive(Debug, Default)]
struct Reached {
    id: Option<NodeId>,
    at_ms: u64,
    view: Option<ClusterView>,
    silent: Option<String>,
    gauges: Gauges,
}

/// Latencies over time.
#[derive(Debug, Default)]
pub(super) struct Latencies {
    pub(super) p50: Series,
    pub(super) p95: Series,
    pub(super) p99: Series,
}

/// Rates over time.
#[derive(Debug, Default)]
pub(super) struct RateSeries {
    pub(super) accepted: Series,
    pub(super) refused: Series,
    pub(super) failed: Series,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Room {
    began_ms: u64,
    reached: BTreeMap<String, Reached>,
    learned: BTreeMap<NodeId, String>,
    /// The newest state that any node told.
    seq: Seq,
    /// Most sold first.
    pub(super) products: Vec<ProductView>,
    /// Whether there are more than one answer holds.
    pub(super) products_cut: bool,
    pub(super) orders: Vec<OrderView>,
    pub(super) holds: OpenHolds,
    holds_at_ms: u64,
    elections: BTreeMap<(u64, Option<NodeId>), u64>,
    pub(super) stock: BTreeMap<Sku, Series>,
    pub(super) rates: RateSeries,
    pub(super) latencies: Latencies,
    /// The first product that is shown.
    pub(super) first: usize,
}

/// Who leads, as far as is known here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nobody was heard yet.
    Asking,
    /// No node answers; the newest reason.
    Silence(String),
    /// A leader with a majority behind it.
    Led { leader: NodeId, term: u64 },
    /// Nobody can decide.
    NoQuorum,
}

impl Room {
    pub(super) fn new(addresses: &[String], now_ms: u64) -> Self {
        let reached = addresses.iter().map(|address| (address.clone(), Reached::default()));
        Self {
            began_ms: now_ms,
            reached: reached.collect(),
            learned: BTreeMap::new(),
            seq: Seq(0),
            products: Vec::new(),
            products_cut: false,
            orders: Vec::new(),
            holds: OpenHolds::default(),
            holds_at_ms: 0,
            elections: BTreeMap::new(),
            stock: BTreeMap::new(),
            rates: RateSeries::default(),
            latencies: Latencies::default(),
            first: 0,
        }
    }

    /// Takes what a node told, or that it did not.
    pub(super) fn take(&mut self, report: Report) {
        let Report { address, at_ms, told } = report;
        let reached = self.reached.entry(address).or_default();
        let Told { cluster, control, scrape, stock } = match told {
            Ok(told) => told,
            Err(error) => {
                reached.silent = Some(match error {
                    ClientError::Unavailable { why } => why,
                    other => other.to_string(),
                });
                return;
            }
        };
        reached.silent = None;
        (reached.id, reached.at_ms) = (Some(cluster.node), at_ms);
        if let Some((at_ms, scrape)) = scrape {
            reached.gauges.take(at_ms, scrape);
        }
        for node in &cluster.nodes {
            let http = node.http.iter().map(|http| (node.id, http.clone()));
            self.learned.extend(http);
        }
        reached.view = Some(cluster);
        if let Some((at_ms, control)) = control {
            self.take_control(at_ms, control);
        }
        // A node that lags must not take back what was seen already.
        if let Some(Stock { list, orders }) = stock
            && list.seq >= self.seq
        {
            self.seq = list.seq;
            self.products = list.products;
            self.products.sort_by(|a, b| b.sold.cmp(&a.sold).then_with(|| a.id.cmp(&b.id)));
            self.products_cut = list.next_after.is_some();
            if !orders.is_empty() {
                self.orders = orders;
            }
        }
    }

    fn take_control(&mut self, at_ms: u64, control: Control) {
        let Control { now_ms, nodes, elections, holds, .. } = control;
        self.learned.extend(nodes.into_iter().map(|node| (node.id, node.http)));
        for Election { at_ms: seen_ms, term, leader } in elections {
            // By this machine's clock: the node's own may be off.
            let ago_ms = now_ms.saturating_sub(seen_ms);
            let here_ms = at_ms.saturating_sub(ago_ms);
            self.elections.entry((term, leader)).or_insert(here_ms);
        }
        while self.elections.len() > ELECTIONS_MAX {
            self.elections.pop_first();
        }
        if at_ms >= self.holds_at_ms {
            (self.holds, self.holds_at_ms) = (holds, at_ms);
        }
    }

    /// Addresses of nodes that nobody asks yet.
    pub(super) fn learned(&self) -> Vec<String> {
        let asked = |id: &NodeId| self.reached.values().any(|reached| reached.id == Some(*id));
        let unasked = self.learned.iter().filter(|(id, _)| !asked(id));
        // Who has not answered yet may be one of these: let all be heard or given up first.
        let waiting = self.reached.values().any(|one| one.id.is_none() && one.silent.is_none());
        if waiting { Vec::new() } else { unasked.map(|(_, http)| http.clone()).collect() }
    }

    /// Adds what is known now to what was.
    pub(super) fn sample(&mut self, now_ms: u64) {
        for product in &self.products {
            let series = self.stock.entry(product.id.clone()).or_default();
            series.push(now_ms, Some(product.available as f64));
        }
        self.stock.retain(|id, _| self.products.iter().any(|product| product.id == *id));
        let mut rates = Rates::default();
        let mut buckets = BTreeMap::new();
        for reached in self.fresh(now_ms).values() {
            rates = rates.plus(reached.gauges.rates());
            reached.gauges.add_to(&mut buckets, now_ms);
        }
        let heard = self.answering(now_ms) > 0;
        let shown = |value: f64| heard.then_some(value);
        self.rates.accepted.push(now_ms, shown(rates.accepted));
        self.rates.refused.push(now_ms, shown(rates.refused));
        self.rates.failed.push(now_ms, shown(rates.failed));
        self.latencies.p50.push(now_ms, quantile_ms(&buckets, 0.5));
        self.latencies.p95.push(now_ms, quantile_ms(&buckets, 0.95));
        self.latencies.p99.push(now_ms, quantile_ms(&buckets, 0.99));
    }

    /// The nodes that were heard lately, each once, however many addresses lead to it.
    fn fresh(&self, now_ms: u64) -> BTreeMap<NodeId, &Reached> {
        let mut fresh: BTreeMap<NodeId, &Reached> = BTreeMap::new();
        for reached in self.reached.values() {
            let Some(id) = reached.id.filter(|_| reached.at_ms + FRESH_MS > now_ms) else {
                continue;
            };
            if reached.silent.is_some() {
                continue;
            }
            let known = fresh.entry(id).or_insert(reached);
            if known.at_ms < reached.at_ms {
                *known = reached;
            }
        }
        fresh
    }

    /// How many nodes answer here.
    pub(super) fn answering(&self, now_ms: u64) -> usize {
        self.fresh(now_ms).len()
    }

    /// Whether this node answers here.
    pub(super) fn hears(&self, id: NodeId, now_ms: u64) -> bool {
        self.fresh(now_ms).contains_key(&id)
    }

    /// The cluster, as the node has it that reaches most.
    pub(super) fn cluster(&self, now_ms: u64) -> Option<ClusterView> {
        let fresh = self.fresh(now_ms);
        let views = fresh.values().filter_map(|reached| reached.view.clone());
        status::best(views.map(Ok).collect()).ok()
    }

    pub(super) fn standing(&self, cluster: Option<&ClusterView>) -> Standing {
        let Some(cluster) = cluster else {
            let silent = self.reached.values().find_map(|reached| reached.silent.clone());
            return silent.map_or(Standing::Asking, Standing::Silence);
        };
        match status::quorum(cluster) {
            Quorum::Of(leader) => {
                let led = cluster.nodes.iter().filter(|node| node.id == leader);
                let term = led.map(|node| node.term).max().unwrap_or_default();
                Standing::Led { leader, term }
            }
            Quorum::Alone { .. } | Quorum::Nobody => Standing::NoQuorum,
        }
    }

    /// The changes of leader, the newest first.
    pub(super) fn elections(&self) -> Vec<Election> {
        let election = |(&(term, leader), &at_ms): (&(u64, Option<NodeId>), &u64)| Election {
            at_ms,
            term,
            leader,
        };
        let mut all: Vec<Election> = self.elections.iter().map(election).collect();
        all.sort_by_key(|election| std::cmp::Reverse((election.at_ms, election.term)));
        all
    }

    /// The newest state that was seen.
    pub(super) fn seq(&self) -> Seq {
        self.seq
    }

    /// For how long it has been looked at.
    pub(super) fn age_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.began_ms)
    }

    /// Moves the list of products.
    pub(super) fn scroll(&mut self, by: isize) {
        let last = self.products.len().saturating_sub(1);
        self.first = self.first.saturating_add_signed(by).min(last);
    }
}
