//! What other parts of the node count already, read when Prometheus asks and written as text.

use raft::{FLUSH_US_BOUNDS, Role, StoreMetrics};
use std::fmt::{self, Display, Write};
use std::time::Duration;
use stock::{HoldTally, Product, Seq, Sku};

/// Every part that a node can play.
pub(super) const ROLES: [Role; 7] = [
    Role::Leader,
    Role::Follower,
    Role::Learner,
    Role::Candidate,
    Role::Forming,
    Role::Rejoining,
    Role::Fenced,
];

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
    /// The part that it plays: see [`ROLES`].
    pub(crate) role: Role,
    /// Whether it knows who leads.
    pub(crate) knows_leader: bool,
    /// Index of its last log entry.
    pub(crate) last_log: u64,
    /// Index up to which its log is purged.
    pub(crate) purged: u64,
    /// Asks in the stock actor's mailbox.
    pub(crate) mailbox: usize,
    /// The machine's version.
    pub(crate) seq: Seq,
    /// Orders, cancelled ones too.
    pub(crate) orders: u64,
    /// Holds that are open.
    pub(crate) holds_open: usize,
    /// All holds that there ever were.
    pub(crate) holds: HoldTally,
    /// Products whose counts break an invariant.
    pub(crate) broken: Broken,
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

/// How many products break an invariant of their counts. The machine asserts both at each change,
/// so this tells of damage to memory.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Broken {
    /// available + held + sold is not stocked.
    pub(crate) balance: u64,
    /// More is held and sold than was stocked.
    pub(crate) oversold: u64,
}

impl Broken {
    /// Judges one more product.
    pub(crate) fn look_at(&mut self, product: &Product) {
        let taken = u128::from(product.held) + u128::from(product.sold);
        let stocked = u128::from(product.stocked);
        self.balance += u64::from(u128::from(product.available) + taken != stocked);
        self.oversold += u64::from(taken > stocked);
    }
}

/// The counts of one product.
#[derive(Debug)]
pub(crate) struct ProductGauges {
    /// Its id.
    pub(crate) sku: Sku,
    /// Units ever stocked, less those taken back.
    pub(crate) stocked: u64,
    /// Units that can be bought now.
    pub(crate) available: u64,
    /// Units reserved by holds.
    pub(crate) held: u64,
    /// Units sold.
    pub(crate) sold: u64,
}

impl From<&Product> for ProductGauges {
    fn from(product: &Product) -> Self {
        let Product { stocked, available, held, sold, .. } = *product;
        Self { sku: product.terms.sku.clone(), stocked, available, held, sold }
    }
}

impl Scrape {
    /// Appends it in the text format.
    pub(super) fn write(&self, text: &mut String) -> fmt::Result {
        let gauges: [(&str, &str, &dyn Display); 12] = [
            ("flashnode_raft_term", "The Raft term", &self.term),
            ("flashnode_raft_is_leader", "1 while it leads", &u8::from(self.is_leader)),
            (
                "flashnode_raft_knows_leader",
                "1 while it knows who leads",
                &u8::from(self.knows_leader),
            ),
            ("flashnode_raft_last_log_index", "Index of the last entry of its log", &self.last_log),
            ("flashnode_raft_commit_index", "Index of the last committed entry", &self.committed),
            ("flashnode_raft_applied_index", "Index of the last applied entry", &self.applied),
            ("flashnode_raft_purged_index", "Index up to which its log is purged", &self.purged),
            ("flashnode_seq", "The number of the last applied change", &self.seq),
            ("flashnode_holds_open", "Holds that are open", &self.holds_open),
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
        self.write_role(text)?;
        self.write_broken(text)?;
        self.write_holds(text)?;
        let counters = [
            ("flashnode_orders_total", "Orders that the state holds, cancelled too", self.orders),
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

    fn write_role(&self, text: &mut String) -> fmt::Result {
        let name = "flashnode_raft_role";
        head(text, name, "gauge", "1 for the part that it plays, 0 for the others")?;
        for role in ROLES {
            writeln!(text, "{name}{{role=\"{role}\"}} {}", u8::from(role == self.role))?;
        }
        Ok(())
    }

    fn write_holds(&self, text: &mut String) -> fmt::Result {
        let HoldTally { made, confirmed, released, expired } = self.holds;
        let name = "flashnode_holds_made_total";
        head(text, name, "counter", "Holds that were ever made, ended ones too")?;
        writeln!(text, "{name} {made}")?;
        let name = "flashnode_holds_ended_total";
        head(text, name, "counter", "Holds that ended, by how they did")?;
        for (how, holds) in [("confirmed", confirmed), ("released", released), ("expired", expired)]
        {
            writeln!(text, "{name}{{how=\"{how}\"}} {holds}")?;
        }
        Ok(())
    }

    fn write_broken(&self, text: &mut String) -> fmt::Result {
        let name = "flashnode_invariant_violations";
        head(text, name, "gauge", "Products whose counts break an invariant; always 0")?;
        let Broken { balance, oversold } = self.broken;
        for (invariant, products) in [("balance", balance), ("oversold", oversold)] {
            writeln!(text, "{name}{{invariant=\"{invariant}\"}} {products}")?;
        }
        Ok(())
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
    let families: [(&str, &str, Units); 4] = [
        ("flashnode_stock_stocked", "Units ever stocked, less those taken back", |p| p.stocked),
        ("flashnode_stock_held", "Units reserved by holds, by product", |p| p.held),
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

pub(super) fn head(text: &mut String, name: &str, kind: &str, help: &str) -> fmt::Result {
    writeln!(text, "# HELP {name} {help}")?;
    writeln!(text, "# TYPE {name} {kind}")
}
