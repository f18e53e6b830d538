//! What other parts of the node count already, read when Prometheus asks and written as text.

use raft::{FLUSH_US_BOUNDS, StoreMetrics};
use std::fmt::{self, Display, Write};
use std::time::Duration;
use stock::{Seq, Sku};

/// What a scrape reads from the other parts of the node.
#[derive(Debug)]
pub(crate) struct Scrape {
    /// The Raft term.
    pub(crate) term: u64,
    /// Whether this node leads.
    pub(crate) is_leader: bool,
    /// Whether `/readyz` says yes.
    pub(crate) is_ready: bool,
    /// Index up to which entries are known to be committed.
    pub(crate) committed: u64,
    /// Index up to which entries are applied.
    pub(crate) applied: u64,
    /// By how many milliseconds this node's wall clock is ahead of the median of the nodes' clocks;
    /// none while it knows fewer than a majority of them.
    pub(crate) clock_off_ms: Option<i64>,
    /// What the self-check has found.
    pub(crate) found: Found,
    /// The machine's version.
    pub(crate) seq: Seq,
    /// What the log store counts.
    pub(crate) store: StoreMetrics,
    /// The first products by id, at most [`super::PRODUCTS_MAX`].
    pub(crate) products: Vec<ProductGauges>,
}

/// What the self-check has found wrong.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found {
    /// This node takes no part any more, because its state is not the majority's.
    pub(crate) fenced: bool,
    /// It leads and sells nothing, because no majority has one state.
    pub(crate) split: bool,
}

/// The counts of one product.
#[derive(Debug)]
pub(crate) struct ProductGauges {
    /// Its id.
    pub(crate) sku: Sku,
    /// Units that can be bought now.
    pub(crate) available: u64,
    /// Units sold.
    pub(crate) sold: u64,
}

impl Scrape {
    /// Appends it in the text format.
    pub(super) fn write(&self, text: &mut String) -> fmt::Result {
        let gauges: [(&str, &str, &dyn Display); 8] = [
            ("flashnode_raft_term", "The Raft term", &self.term),
            ("flashnode_raft_is_leader", "1 while this node leads", &u8::from(self.is_leader)),
            ("flashnode_raft_commit_index", "Index of the last committed entry", &self.committed),
            ("flashnode_raft_applied_index", "Index of the last applied entry", &self.applied),
            ("flashnode_seq", "The number of the last applied change", &self.seq),
            (
                "flashnode_fenced",
                "1 once this node's state was wrong",
                &u8::from(self.found.fenced),
            ),
            (
                "flashnode_split",
                "1 while this node leads and no majority has one state",
                &u8::from(self.found.split),
            ),
            ("flashnode_ready", "1 while /readyz says yes", &u8::from(self.is_ready)),
        ];
        for (name, help, value) in gauges {
            head(text, name, "gauge", help)?;
            writeln!(text, "{name} {value}")?;
        }
        if let Some(off_ms) = self.clock_off_ms {
            let name = "flashnode_clock_off_seconds";
            let help = "By how much the wall clock is ahead of the median of the nodes' clocks";
            head(text, name, "gauge", help)?;
            writeln!(text, "{name} {}", off_ms as f64 / 1000.0)?;
        }
        let counters = [
            (
                "flashnode_log_entries_total",
                "Entries appended to the log",
                self.store.entries_total,
            ),
            (
                "flashnode_log_appended_bytes_total",
                "Bytes appended to the log",
                self.store.appended_bytes_total,
            ),
        ];
        for (name, help, value) in counters {
            head(text, name, "counter", help)?;
            writeln!(text, "{name} {value}")?;
        }
        write_flushes(text, &self.store)?;
        write_products(text, &self.products)
    }
}

/// A histogram whose buckets the log store counts, each for itself; here they accumulate.
fn write_flushes(text: &mut String, store: &StoreMetrics) -> fmt::Result {
    let name = "flashnode_log_flush_seconds";
    head(text, name, "histogram", "Time of the log's durable flushes")?;
    let seconds = |us: u64| Duration::from_micros(us).as_secs_f64();
    let mut flushes = 0;
    for (bound_us, in_bucket) in FLUSH_US_BOUNDS.iter().zip(store.flush_us_buckets) {
        flushes += in_bucket;
        writeln!(text, "{name}_bucket{{le=\"{}\"}} {flushes}", seconds(*bound_us))?;
    }
    // The counters are read one after the other; the total must not fall behind the buckets.
    let flushes: u64 = store.flush_us_buckets.iter().sum();
    writeln!(text, "{name}_bucket{{le=\"+Inf\"}} {flushes}")?;
    writeln!(text, "{name}_sum {}", seconds(store.flush_us_total))?;
    writeln!(text, "{name}_count {flushes}")
}

/// Picks one of a product's counts.
type Units = fn(&ProductGauges) -> u64;

fn write_products(text: &mut String, products: &[ProductGauges]) -> fmt::Result {
    let families: [(&str, &str, Units); 2] = [
        ("flashnode_stock_available", "Units that can be bought now, by product", |p| p.available),
        ("flashnode_stock_sold", "Units sold, by product", |p| p.sold),
    ];
    for (name, help, units) in families {
        head(text, name, "gauge", help)?;
        for product in products {
            // A product id holds nothing that a label would have to escape.
            writeln!(text, "{name}{{product=\"{}\"}} {}", product.sku, units(product))?;
        }
    }
    Ok(())
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) -> fmt::Result {
    writeln!(text, "# HELP {name} {help}")?;
    writeln!(text, "# TYPE {name} {kind}")
}
