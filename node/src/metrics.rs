//! What Prometheus reads of this node.
//!
//! Counters and histograms are resolved once, so that counting a request allocates nothing and
//! takes no lock. What another part of the node already counts (the log store, the replica, the
//! machine) is not mirrored: it is read when Prometheus asks, and written as text by `scrape.rs`.
//!
//! Every label is bounded: routes and codes are fixed, products stop at [`PRODUCTS_MAX`].

mod scrape;

pub(crate) use scrape::{ProductGauges, Scrape};

use crate::front::Route;
use axum::http::StatusCode;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
    TextEncoder,
};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// The content type of the text format.
pub(crate) const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;
/// The most products that have series of their own, by id.
pub(crate) const PRODUCTS_MAX: usize = 1000;

/// The codes that this node answers; any other is counted as `other`.
const CODES: [(u16, &str); 17] = [
    (200, "200"),
    (201, "201"),
    (400, "400"),
    (404, "404"),
    (405, "405"),
    (408, "408"),
    (409, "409"),
    (410, "410"),
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
    const ALL: [(Self, &str); 9] = [
        (Self::Accepted, "accepted"),
        (Self::Replayed, "replayed"),
        (Self::SoldOut, "sold_out"),
        (Self::Insufficient, "insufficient"),
        (Self::Limit, "limit"),
        (Self::UnknownProduct, "unknown_product"),
        (Self::KeyReused, "key_reused"),
        (Self::NotProposed, "not_proposed"),
        (Self::Unknown, "unknown"),
    ];
}

/// The node's metrics. A clone counts into the same numbers.
#[derive(Clone)]
pub(crate) struct Metrics(Arc<Families>);

struct Families {
    registry: Registry,
    requests: IntCounterVec,
    /// One for each of [`Route::ALL`], in its order.
    routes: Vec<RouteFamilies>,
    /// One for each of [`BuyOutcome::ALL`], in its order.
    buys: Vec<IntCounter>,
    sale_success: IntCounter,
    sale_fail: IntCounter,
    batch_commands: Histogram,
    proposals_in_flight: IntGauge,
    leader_changes: IntCounter,
}

struct RouteFamilies {
    duration: Histogram,
    /// One for each of [`CODES`], made when the code is first answered, so that a scrape shows no
    /// series that never happened.
    codes: [OnceLock<IntCounter>; CODES.len()],
}

impl Metrics {
    /// Makes every family.
    ///
    /// # Errors
    /// When two families share a name, which is a mistake in this file.
    pub(crate) fn new() -> Result<Self, prometheus::Error> {
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
        let batch_commands = Histogram::with_opts(
            HistogramOpts::new("flashnode_batch_commands", "Commands of each proposed batch")
                .buckets(BATCH_BUCKETS.to_vec()),
        )?;
        registry.register(Box::new(batch_commands.clone()))?;
        let proposals_in_flight = IntGauge::new(
            "flashnode_proposals_in_flight",
            "Batches proposed here and not yet answered",
        )?;
        registry.register(Box::new(proposals_in_flight.clone()))?;
        let leader_changes = IntCounter::new(
            "flashnode_raft_leader_changes_total",
            "Times that this node learned of another leader",
        )?;
        registry.register(Box::new(leader_changes.clone()))?;
        build_info(&registry)?;
        Ok(Self(Arc::new(Families {
            routes: Route::ALL.iter().map(route).collect(),
            buys: BuyOutcome::ALL.iter().map(|(_, name)| buys.with_label_values(&[name])).collect(),
            sale_success: sale.with_label_values(&["success"]),
            sale_fail: sale.with_label_values(&["fail"]),
            registry,
            requests,
            batch_commands,
            proposals_in_flight,
            leader_changes,
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

    /// Counts a proposed batch of this many commands.
    pub(crate) fn observe_batch(&self, commands: usize) {
        self.0.batch_commands.observe(commands as f64);
    }

    /// Counts proposals that went out (`1`) or came back (`-1`).
    pub(crate) fn in_flight_add(&self, proposals: i64) {
        self.0.proposals_in_flight.add(proposals);
    }

    /// Counts that this node learned of another leader.
    pub(crate) fn leader_changed(&self) {
        self.0.leader_changes.inc();
    }

    /// Everything in the text format.
    ///
    /// # Errors
    /// When a family cannot be written as text, which none of these does.
    pub(crate) fn render(&self, scrape: &Scrape) -> Result<String, prometheus::Error> {
        let mut text = String::with_capacity(16 * 1024);
        TextEncoder::new().encode_utf8(&self.0.registry.gather(), &mut text)?;
        scrape
            .write(&mut text)
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
mod tests {
    use super::*;
    use raft::{FLUSH_US_BOUNDS, StoreMetrics};
    use stock::{Seq, Sku};

    fn scrape() -> Scrape {
        let mut store = StoreMetrics {
            flushes_total: 4,
            flush_us_total: 1_500_000,
            appended_bytes_total: 4096,
            entries_total: 21,
            ..StoreMetrics::default()
        };
        store.flush_us_buckets[0] = 1;
        store.flush_us_buckets[2] = 2;
        store.flush_us_buckets[FLUSH_US_BOUNDS.len()] = 1;
        Scrape {
            term: 3,
            is_leader: true,
            is_ready: true,
            committed: 20,
            applied: 19,
            seq: Seq(17),
            store,
            products: vec![ProductGauges { sku: Sku::new("shoe").unwrap(), available: 2, sold: 8 }],
        }
    }

    #[test]
    fn positions_are_the_discriminants() {
        for (position, route) in Route::ALL.iter().enumerate() {
            assert_eq!(*route as usize, position);
        }
        for (position, (outcome, _)) in BuyOutcome::ALL.iter().enumerate() {
            assert_eq!(*outcome as usize, position);
        }
    }

    #[test]
    fn everything_counted_is_scraped() {
        let metrics = Metrics::new().unwrap();
        metrics.observe_request(Route::Buys, StatusCode::CREATED, Duration::from_micros(700));
        metrics.observe_request(Route::Buys, StatusCode::CREATED, Duration::from_secs(9));
        metrics.clone().observe_request(Route::Livez, StatusCode::IM_A_TEAPOT, Duration::ZERO);
        metrics.observe_buy(BuyOutcome::Accepted);
        metrics.observe_buy(BuyOutcome::Replayed);
        metrics.observe_buy(BuyOutcome::SoldOut);
        metrics.observe_batch(3);
        metrics.in_flight_add(2);
        metrics.in_flight_add(-1);
        metrics.leader_changed();
        let text = metrics.render(&scrape()).unwrap();
        for line in [
            "flashnode_http_requests_total{code=\"201\",route=\"/v1/buys\"} 2",
            "flashnode_http_requests_total{code=\"other\",route=\"/livez\"} 1",
            "flashnode_http_request_duration_seconds_bucket{route=\"/v1/buys\",le=\"0.001\"} 1",
            "flashnode_http_request_duration_seconds_count{route=\"/v1/buys\"} 2",
            "flashnode_buys_total{outcome=\"accepted\"} 1",
            "flashnode_buys_total{outcome=\"unknown\"} 0",
            "flash_sale_requests_total{status=\"success\"} 2",
            "flash_sale_requests_total{status=\"fail\"} 1",
            "flashnode_batch_commands_bucket{le=\"2\"} 0",
            "flashnode_batch_commands_bucket{le=\"4\"} 1",
            "flashnode_proposals_in_flight 1",
            "flashnode_raft_leader_changes_total 1",
            "flashnode_raft_term 3",
            "flashnode_raft_is_leader 1",
            "flashnode_raft_commit_index 20",
            "flashnode_raft_applied_index 19",
            "flashnode_seq 17",
            "flashnode_log_flush_seconds_bucket{le=\"0.00025\"} 1",
            "flashnode_log_flush_seconds_bucket{le=\"0.0005\"} 1",
            "flashnode_log_flush_seconds_bucket{le=\"1\"} 3",
            "flashnode_log_flush_seconds_bucket{le=\"+Inf\"} 4",
            "flashnode_log_flush_seconds_sum 1.5",
            "flashnode_log_flush_seconds_count 4",
            "flashnode_log_entries_total 21",
            "flashnode_stock_available{product=\"shoe\"} 2",
            "flashnode_stock_sold{product=\"shoe\"} 8",
        ] {
            assert!(text.lines().any(|have| have == line), "{line}\nis not in\n{text}");
        }
        assert!(text.contains("flashnode_build_info{"));
        assert!(!text.contains("code=\"503\""), "no series for what never happened");
    }

    #[test]
    fn each_family_is_described_once() {
        let text = Metrics::new().unwrap().render(&scrape()).unwrap();
        let mut types: Vec<_> = text.lines().filter(|line| line.starts_with("# TYPE")).collect();
        let count = types.len();
        types.sort_unstable();
        types.dedup();
        assert_eq!(types.len(), count);
    }
}
