//! What Prometheus reads of this node.
//!
//! Counters and histograms are resolved once, so that counting a request allocates nothing and
//! takes no lock. What another part of the node already counts (the log store, the replica, the
//! machine) is not mirrored: it is read when Prometheus asks, and written as text by `scrape.rs`.
//!
//! Every label is bounded: routes and codes are fixed, products stop at [`PRODUCTS_MAX`].

mod host;
mod scrape;
mod sinking;

pub(crate) use scrape::{Broken, Found, ProductGauges, Scrape};
pub(crate) use sinking::SinkGauges;

use crate::actor::MAILBOX_MAX;
use crate::front::Route;
use axum::http::StatusCode;
use host::Host;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};
use raft::Limit;
use sinking::Sinks;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// The content type of the text format.
pub(crate) const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;
/// The most products that have series of their own, by id.
pub(crate) const PRODUCTS_MAX: usize = 1000;

/// The codes that this node answers; any other is counted as `other`.
const CODES: [(u16, &str); 20] = [
    (101, "101"),
    (200, "200"),
    (201, "201"),
    (304, "304"),
    (400, "400"),
    (404, "404"),
    (405, "405"),
    (408, "408"),
    (409, "409"),
    (410, "410"),
    (412, "412"),
    (413, "413"),
    (415, "415"),
    (422, "422"),
    (429, "429"),
    (500, "500"),
    (503, "503"),
    (504, "504"),
    (507, "507"),
    (0, "other"),
];

/// Upper bounds of the request durations, in seconds: fine where buys are, up to the deadline.
const DURATION_BUCKETS: [f64; 14] =
    [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

/// Upper bounds of the commands of one batch.
const BATCH_BUCKETS: [f64; 13] =
    [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0];

/// How a buy ended, as the metrics tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BuyOutcome {
    /// It is a new order.
    Accepted,
    /// It was an order before.
    Replayed,
    /// Nothing was left.
    SoldOut,
    /// Fewer units were left than asked for.
    Insufficient,
    /// The user's limit was reached.
    Limit,
    /// More clicks came than a rate limit allows.
    RateLimited,
    /// The sale has not begun.
    NotOpen,
    /// The sale has ended.
    SaleOver,
    /// There is no such product.
    UnknownProduct,
    /// The key stands for another request.
    KeyReused,
    /// It was surely not proposed.
    NotProposed,
    /// Nobody knows yet.
    Unknown,
}

impl BuyOutcome {
    const ALL: [(Self, &str); 12] = [
        (Self::Accepted, "accepted"),
        (Self::Replayed, "replayed"),
        (Self::SoldOut, "sold_out"),
        (Self::Insufficient, "insufficient"),
        (Self::Limit, "limit"),
        (Self::RateLimited, "rate_limited"),
        (Self::NotOpen, "not_open"),
        (Self::SaleOver, "sale_over"),
        (Self::UnknownProduct, "unknown_product"),
        (Self::KeyReused, "key_reused"),
        (Self::NotProposed, "not_proposed"),
        (Self::Unknown, "unknown"),
    ];
}

/// Who listens to live stock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listener {
    /// To every change, as server-sent events.
    Events,
    /// To stock levels, over a WebSocket.
    Levels,
}

impl Listener {
    const ALL: [(Self, &str); 2] = [(Self::Events, "events"), (Self::Levels, "levels")];
}

/// What the stock actor has taken from its mailbox and not yet sent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Waiting {
    /// Commands for the next batches.
    pub(crate) propose: usize,
    /// Asks that would be refused, for the next look.
    pub(crate) check: usize,
    /// Clicks for the leader to count.
    pub(crate) pass: usize,
}

/// The node's metrics. A clone counts into the same numbers.
#[derive(Clone)]
pub(crate) struct Metrics(Arc<Families>);

struct Families {
    registry: Registry,
    host: Host,
    requests: IntCounterVec,
    /// One for each of [`Route::ALL`], in its order.
    routes: Vec<RouteFamilies>,
    /// One for each of [`BuyOutcome::ALL`], in its order.
    buys: Vec<IntCounter>,
    sale_success: IntCounter,
    sale_fail: IntCounter,
    rate_limited: [IntCounter; 2],
    batch_commands: Histogram,
    proposals_in_flight: IntGauge,
    /// The mailbox, and then as in [`Waiting`].
    waiting: [IntGauge; 4],
    leader_changes: IntCounter,
    connections: IntGauge,
    connections_refused: IntCounter,
    /// One for each of [`Listener::ALL`], in its order.
    listeners: Vec<IntGauge>,
    listeners_max: IntGauge,
    listeners_refused: IntCounter,
    sinks: Sinks,
}

struct RouteFamilies {
    duration: Histogram,
    /// One for each of [`CODES`], made when the code is first answered, so that a scrape shows no
    /// series that never happened.
    codes: [OnceLock<IntCounter>; CODES.len()],
}

impl Metrics {
    /// Makes every family, of a node that starts now and keeps its data in `data`.
    ///
    /// # Errors
    /// When two families share a name, which is a mistake in this file.
    pub(crate) fn new(data: &Path) -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let requests = counters(
            &registry,
            "flashnode_http_requests_total",
            "Requests answered, by route and status code",
            &["route", "code"],
        )?;
        let durations = HistogramVec::new(
            HistogramOpts::new(
                "flashnode_http_request_duration_seconds",
                "Time from a request's head to its answer, by route",
            )
            .buckets(DURATION_BUCKETS.to_vec()),
            &["route"],
        )?;
        registry.register(Box::new(durations.clone()))?;
        let route = |route: &Route| RouteFamilies {
            duration: durations.with_label_values(&[route.path()]),
            codes: [const { OnceLock::new() }; CODES.len()],
        };
        let buys =
            counters(&registry, "flashnode_buys_total", "Buys, by how they ended", &["outcome"])?;
        let sale = counters(
            &registry,
            "flash_sale_requests_total",
            "Buys, by whether the buyer got the units",
            &["status"],
        )?;
        let limited = counters(
            &registry,
            "flashnode_rate_limited_total",
            "Clicks that this node, which led, counted and refused, by the limit",
            &["limit"],
        )?;
        let batch_commands = batch_commands(&registry)?;
        let proposals_in_flight = gauge(
            &registry,
            "flashnode_proposals_in_flight",
            "Batches proposed here and not yet answered",
        )?;
        let waiting = waiting(&registry)?;
        let leader_changes = counter(
            &registry,
            "flashnode_raft_leader_changes_total",
            "Times that this node learned of another leader",
        )?;
        let connections = gauge(
            &registry,
            "flashnode_http_connections",
            "Open connections of the public listener",
        )?;
        let connections_refused = counter(
            &registry,
            "flashnode_http_connections_refused_total",
            "Connections that were refused because too many were open",
        )?;
        let listeners = gauges(
            &registry,
            "flashnode_listeners",
            "Clients that listen to live stock, by what they hear",
            "feed",
        )?;
        let listeners_max = gauge(
            &registry,
            "flashnode_listeners_max",
            "Clients that may listen to live stock at once",
        )?;
        let listeners_refused = counter(
            &registry,
            "flashnode_listeners_refused_total",
            "Clients that wanted to listen and found too many listening",
        )?;
        let sinks = Sinks::new(&registry)?;
        build_info(&registry)?;
        Ok(Self(Arc::new(Families {
            routes: Route::ALL.iter().map(route).collect(),
            buys: BuyOutcome::ALL.iter().map(|(_, name)| buys.with_label_values(&[name])).collect(),
            sale_success: sale.with_label_values(&["success"]),
            sale_fail: sale.with_label_values(&["fail"]),
            registry,
            host: Host::new(data),
            requests,
            rate_limited: ["user", "address"].map(|limit| limited.with_label_values(&[limit])),
            batch_commands,
            proposals_in_flight,
            waiting,
            leader_changes,
            connections,
            connections_refused,
            sinks,
            listeners: Listener::ALL
                .iter()
                .map(|(_, name)| listeners.with_label_values(&[name]))
                .collect(),
            listeners_max,
            listeners_refused,
        })))
    }

    /// Counts an answered request.
    pub(crate) fn observe_request(&self, route: Route, code: StatusCode, took: Duration) {
        let families = &self.0.routes[route as usize];
        families.duration.observe(took.as_secs_f64());
        let position =
            CODES.iter().position(|(known, _)| *known == code.as_u16()).unwrap_or(CODES.len() - 1);
        families.codes[position]
            .get_or_init(|| self.0.requests.with_label_values(&[route.path(), CODES[position].1]))
            .inc();
    }

    /// Counts a buy that was asked of the stock actor.
    pub(crate) fn observe_buy(&self, outcome: BuyOutcome) {
        self.0.buys[outcome as usize].inc();
        match outcome {
            BuyOutcome::Accepted | BuyOutcome::Replayed => self.0.sale_success.inc(),
            _ => self.0.sale_fail.inc(),
        }
    }

    /// Counts a click that was beyond a limit.
    pub(crate) fn rate_limited(&self, by: Limit) {
        let position = match by {
            Limit::User => 0,
            Limit::Address => 1,
        };
        self.0.rate_limited[position].inc();
    }

    /// The gauges of one more sink of this node, under a name of its own; and what it is for.
    pub(crate) fn add_sink(&self, name: &str, target: &str) -> Arc<SinkGauges> {
        self.0.sinks.add(name, target)
    }

    /// Counts a panic of a sink, which has not ended this node.
    pub(crate) fn sink_panicked(&self) {
        self.0.sinks.panicked();
    }

    /// How many there were.
    #[cfg(test)]
    pub(crate) fn sink_panics(&self) -> u64 {
        self.0.sinks.panics()
    }

    /// Counts a proposed batch of this many commands.
    pub(crate) fn observe_batch(&self, commands: usize) {
        self.0.batch_commands.observe(commands as f64);
    }

    /// Counts proposals that went out (`1`) or came back (`-1`).
    pub(crate) fn in_flight_add(&self, proposals: i64) {
        self.0.proposals_in_flight.add(proposals);
    }

    /// Notes what waits in the stock actor.
    pub(crate) fn observe_waiting(&self, Waiting { propose, check, pass }: Waiting) {
        for (gauge, asks) in self.0.waiting[1..].iter().zip([propose, check, pass]) {
            gauge.set(whole(asks));
        }
    }

    /// Counts that this node learned of another leader.
    pub(crate) fn leader_changed(&self) {
        self.0.leader_changes.inc();
    }

    /// Counts connections that came (`1`) or went (`-1`).
    pub(crate) fn connections_add(&self, connections: i64) {
        self.0.connections.add(connections);
    }

    /// Counts a connection that found no room.
    pub(crate) fn connection_refused(&self) {
        self.0.connections_refused.inc();
    }

    /// Counts listeners that came (`1`) or went (`-1`).
    pub(crate) fn listeners_add(&self, kind: Listener, listeners: i64) {
        self.0.listeners[kind as usize].add(listeners);
    }

    /// Notes how many may listen.
    pub(crate) fn listeners_max(&self, listeners: usize) {
        self.0.listeners_max.set(whole(listeners));
    }

    /// Counts a listener that found no room.
    pub(crate) fn listener_refused(&self) {
        self.0.listeners_refused.inc();
    }

    /// Everything in the text format.
    ///
    /// # Errors
    /// When a family cannot be written as text, which none of these does.
    pub(crate) fn render(&self, scrape: &Scrape) -> Result<String, prometheus::Error> {
        self.0.waiting[0].set(whole(scrape.mailbox));
        let mut text = String::with_capacity(16 * 1024);
        TextEncoder::new().encode_utf8(&self.0.registry.gather(), &mut text)?;
        scrape
            .write(&mut text)
            .and_then(|()| self.0.sinks.write(&mut text, scrape))
            .and_then(|()| self.0.host.write(&mut text))
            .map_err(|error| prometheus::Error::Msg(format!("the scraped numbers: {error}")))?;
        Ok(text)
    }
}

fn counters(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<IntCounterVec, prometheus::Error> {
    let family = IntCounterVec::new(Opts::new(name, help), labels)?;
    registry.register(Box::new(family.clone()))?;
    Ok(family)
}

fn batch_commands(registry: &Registry) -> Result<Histogram, prometheus::Error> {
    let batches = Histogram::with_opts(
        HistogramOpts::new("flashnode_batch_commands", "Commands of each proposed batch")
            .buckets(BATCH_BUCKETS.to_vec()),
    )?;
    registry.register(Box::new(batches.clone()))?;
    Ok(batches)
}

fn counter(registry: &Registry, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
    let counter = IntCounter::new(name, help)?;
    registry.register(Box::new(counter.clone()))?;
    Ok(counter)
}

fn gauge(registry: &Registry, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
    let family = IntGauge::new(name, help)?;
    registry.register(Box::new(family.clone()))?;
    Ok(family)
}

fn gauges(
    registry: &Registry,
    name: &str,
    help: &str,
    label: &str,
) -> Result<IntGaugeVec, prometheus::Error> {
    let family = IntGaugeVec::new(Opts::new(name, help), &[label])?;
    registry.register(Box::new(family.clone()))?;
    Ok(family)
}

/// The queues of the stock actor, and how many asks its mailbox takes.
fn waiting(registry: &Registry) -> Result<[IntGauge; 4], prometheus::Error> {
    let help = "Asks that wait in the stock actor, by queue";
    let family = gauges(registry, "flashnode_actor_waiting", help, "queue")?;
    let help = "Asks that the stock actor's mailbox takes; more get a 503";
    gauge(registry, "flashnode_actor_mailbox_capacity", help)?.set(whole(MAILBOX_MAX));
    Ok(["mailbox", "propose", "check", "pass"].map(|queue| family.with_label_values(&[queue])))
}

/// A count as a gauge takes it.
fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn build_info(registry: &Registry) -> Result<(), prometheus::Error> {
    let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
    let opts = Opts::new("flashnode_build_info", "The build that runs; always 1")
        .const_label("version", env!("CARGO_PKG_VERSION"))
        .const_label("profile", profile);
    let gauge = IntGauge::with_opts(opts)?;
    gauge.set(1);
    registry.register(Box::new(gauge))
}

#[cfg(test)]
mod tests;
