//! `bench growth`: what buys, starts and catching up cost when much was sold before.
//!
//! For each number of products one cluster is filled through the batch endpoint. At each number of
//! orders it is measured with single buys once it has come to rest, in alternation with a cluster
//! that had sold nothing: machines have better and worse minutes, so the ratio of the two is what
//! tells. Then buys fall due by the clock, so that each has its place before, in or after a
//! snapshot. In the end one of the followers is started anew, and one is emptied and catches up.

mod disk;
mod picture;
mod snapshots;

use crate::cluster::{self, WAIT_MAX};
use crate::load::{self, Load, Script, Seen};
use crate::machine::Machine;
use crate::paced::{self, Plan};
use crate::report;
use crate::samples::Spread;
use crate::usage::{CpuSeconds, cpu_of, resident_mib_of};
use anyhow::{Context, ensure};
use clap::Args;
use client::cluster::ProcessCluster;
use disk::Disk;
use serde::Serialize;
use snapshots::{During, Snapshot, TimeOfDay};
use std::path::PathBuf;
use std::time::{Duration, Instant};

const UNITS: u64 = 1_000_000_000;
/// Buys in a call that fills.
const CALL: usize = 5_000;
/// Connections of the single buys.
const CONNECTIONS: usize = 64;
/// Connections of the buys that fall due by the clock: enough that few wait for one.
const PACED_CONNECTIONS: usize = 256;
/// What falls due, of what a closed loop had accepted.
const PACED_SHARE: f64 = 0.5;
/// A fifth of the default, so that snapshots fall into every sample.
const SNAPSHOT_ENTRIES: u64 = 2_000;
/// Nodes whose processor time over `REST_LOOK` is less than this share of one core are at rest:
/// nothing of what came before is sealed, checkpointed or written any more.
const REST_CORES_MAX: f64 = 0.1;
const REST_LOOK: Duration = Duration::from_secs(1);
/// Between two looks at a node that starts.
const LOOK: Duration = Duration::from_millis(20);

/// What to measure.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Numbers of orders, comma separated, growing
    #[arg(long, value_delimiter = ',', default_values_t = [10_000, 1_000_000, 10_000_000])]
    orders: Vec<u64>,
    /// Numbers of products that the orders are spread over, comma separated, each with a cluster
    /// of its own; single buys are of one more
    #[arg(
        long,
        value_delimiter = ',',
        default_values_t = [1, 100_000],
        value_parser = clap::value_parser!(u64).range(1..=900_000)
    )]
    products: Vec<u64>,
    /// Seconds of single buys in each round, and of those by the clock
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Rounds of single buys at each; medians are over them
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=100))]
    rounds: u16,
    /// Where `growth.json` and `growth.svg` go
    #[arg(long, default_value = "target/bench")]
    out: PathBuf,
    /// The flashnode program [default: beside this one, or in target/]
    #[arg(long)]
    binary: Option<PathBuf>,
}

/// What is measured at one number of orders over one number of products.
#[derive(Debug, Clone, Serialize)]
struct Stage {
    products: u64,
    orders: u64,
    buys_a_second: Spread,
    /// To those of a cluster that had sold nothing, measured right before; so is the next.
    ratio_to_fresh: Spread,
    p99_ratio_to_fresh: Spread,
    p50_ms: Spread,
    p99_ms: Spread,
    /// Of the snapshots that all nodes took meanwhile, in ms; none when there were none.
    snapshots: usize,
    snapshot_ms: Option<Spread>,
    /// Of buys at half of that load, by the clock.
    during: During,
    /// Of one node, on average; so is the disk.
    resident_mib: f64,
    disk: Disk,
    /// The most that was not history while it was filled: in the first half, and in the second.
    reclaimed_mib_max: [f64; 2],
    /// Of an order more than at the first number of orders: bytes of memory and of disk.
    bytes_an_order: Option<[f64; 2]>,
    /// From the start of a process to its `/readyz`.
    restart_s: f64,
    /// From the start of a process with no data to its `/readyz`.
    catch_up_s: f64,
}

#[derive(Debug, Serialize)]
struct Measured {
    stages: Vec<Stage>,
}

/// Measures, prints, writes.
///
/// # Errors
/// When a node fails, or an answer is none that it should be.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    ensure!(options.orders.is_sorted(), "--orders wants growing numbers");
    let machine = Machine::look();
    println!("{}", machine.in_words());
    let mut measured = Measured { stages: Vec::new() };
    std::fs::create_dir_all(&options.out)?;
    let [json, svg] = ["growth.json", "growth.svg"].map(|name| options.out.join(name));
    for &products in &options.products {
        let mut cluster = start_cluster(&options).await?;
        if products > 1 {
            open_sales(&cluster, products).await?;
        }
        let mut first: Option<Stage> = None;
        for &orders in &options.orders {
            let reclaimed_mib_max = fill(&cluster, orders, products).await?;
            rest(&cluster).await?;
            let mut stage = measure(&mut cluster, &options, (products, orders)).await?;
            stage.reclaimed_mib_max = reclaimed_mib_max;
            stage.bytes_an_order = first.as_ref().map(|first| stage.bytes_an_order_since(first));
            println!("{}", stage.in_words());
            first.get_or_insert(stage.clone());
            measured.stages.push(stage);
            // After each stage: the next takes minutes.
            std::fs::write(&json, report::json(&machine, &measured)?)?;
            std::fs::write(&svg, picture::draw(&measured.stages))?;
        }
    }
    print!("{}", picture::table(&measured.stages));
    println!("samples: {}, plot: {}", json.display(), svg.display());
    Ok(())
}

async fn start_cluster(options: &Options) -> anyhow::Result<ProcessCluster> {
    let entries = SNAPSHOT_ENTRIES.to_string();
    // They say how long their snapshots take.
    let extra_args = ["--snapshot-entries", &entries, "--log-level", "info,raft::snapshot=debug"];
    cluster::start(options.binary.clone(), &extra_args, UNITS).await
}

impl Stage {
    fn bytes_an_order_since(&self, first: &Self) -> [f64; 2] {
        const MIB: f64 = 1024.0 * 1024.0;
        let more = (self.orders - first.orders).max(1) as f64;
        [self.resident_mib - first.resident_mib, self.disk.sum_mib() - first.disk.sum_mib()]
            .map(|mib| mib * MIB / more)
    }

    fn in_words(&self) -> String {
        // The fewest orders are what the others are compared with.
        let an_order = self.bytes_an_order.map_or_else(String::new, |[memory, disk]| {
            format!("; an order more: {memory:.0} bytes of memory, {disk:.0} of disk")
        });
        let [early, late] = self.reclaimed_mib_max;
        format!(
            "{} orders, {} products: {:.0} buys/s ({:.2} of a fresh cluster's), p99 {:.1} ms \
             ({:.2} of a fresh cluster's); {} snapshots, median {:.0} ms; by the clock p99 {:.1} ms, \
             while a snapshot was taken {:.1} ms; a node: {:.0} MiB of memory, {:.0} MiB of history, \
             {:.0} MiB of other files (while filled at most {early:.0}, then {late:.0}){an_order}; \
             restart {:.2} s, an empty node {:.2} s",
            self.orders,
            self.products,
            self.buys_a_second.median,
            self.ratio_to_fresh.median,
            self.p99_ms.median,
            self.p99_ratio_to_fresh.median,
            self.snapshots,
            self.snapshot_ms.map_or(0.0, |spread| spread.median),
            self.during.p99_ms_otherwise,
            self.during.p99_ms_in_snapshots,
            self.resident_mib,
            self.disk.history_mib,
            self.disk.reclaimed_mib,
            self.restart_s,
            self.catch_up_s
        )
    }
}

/// Puts `p0`, `p1`, … on sale, many at a time.
async fn open_sales(cluster: &ProcessCluster, products: u64) -> anyhow::Result<()> {
    const AT_A_TIME: u64 = 64;
    let client = cluster.client()?;
    let body =
        stock::api::PutProduct { name: "One of many".into(), stock: UNITS, ..Default::default() };
    for first in (0..products).step_by(AT_A_TIME as usize) {
        let skus: Vec<stock::Sku> = (first..products.min(first + AT_A_TIME))
            .map(|number| stock::Sku::new(format!("p{number}")))
            .collect::<Result<_, _>>()?;
        let created = skus.iter().map(|sku| client.create_product(sku, &body));
        futures_util::future::try_join_all(created).await?;
    }
    Ok(())
}

/// Buys until there are so many orders. Returns how many MiB of a node were at most no history: in
/// the first half of the calls, and in the second.
pub(crate) async fn fill(
    cluster: &ProcessCluster,
    orders: u64,
    products: u64,
) -> anyhow::Result<[f64; 2]> {
    let began = Instant::now();
    let mut reclaimed_mib: Vec<f64> = Vec::new();
    loop {
        let have = orders_of(cluster).await?;
        let Some(missing) = orders.checked_sub(have).filter(|missing| *missing > 0) else {
            println!("filled in {:.0} s", began.elapsed().as_secs_f64());
            let (early, late) = reclaimed_mib.split_at(reclaimed_mib.len() / 2);
            return Ok([early, late].map(|half| half.iter().copied().fold(0.0, f64::max)));
        };
        let calls = reclaimed_mib.len();
        let load = Load {
            targets: cluster.addresses(),
            script: Script::Batch { size: CALL.min(missing as usize), products: products as usize },
            connections: if missing < 100_000 { 1 } else { 6 },
            seconds: if missing < 500_000 { 1 } else { 5 },
            salt: format!("fill-{orders}-{calls}"),
        };
        load::run(&load).await?;
        reclaimed_mib.push(Disk::of(cluster).reclaimed_mib);
    }
}

async fn orders_of(cluster: &ProcessCluster) -> anyhow::Result<u64> {
    let address = cluster.addresses().into_iter().next().context("no node")?;
    let text = reqwest::get(format!("http://{address}/metrics")).await?.text().await?;
    let line = text.lines().find_map(|line| line.strip_prefix("flashnode_orders_total "));
    line.and_then(|number| number.parse().ok()).context("no flashnode_orders_total")
}

/// Waits until the nodes have nothing left to do.
async fn rest(cluster: &ProcessCluster) -> anyhow::Result<()> {
    let pids = cluster::pids(cluster);
    let began = Instant::now();
    loop {
        let before = cpu_of(&pids)?;
        tokio::time::sleep(REST_LOOK).await;
        let CpuSeconds(spent) = cpu_of(&pids)? - before;
        if spent < REST_CORES_MAX * REST_LOOK.as_secs_f64() {
            return Ok(());
        }
        ensure!(began.elapsed() < WAIT_MAX, "the nodes do not come to rest in {WAIT_MAX:?}");
    }
}

/// Single buys in a closed loop, after a warm-up.
async fn buys(cluster: &ProcessCluster, salt: &str, seconds: u64) -> anyhow::Result<Seen> {
    cluster::capacity(cluster, CONNECTIONS, 2, &format!("warm-{salt}")).await?;
    cluster::capacity(cluster, CONNECTIONS, seconds, salt).await
}

/// Of a fresh cluster and of the filled one, in the same minute.
struct Round {
    fresh: Seen,
    filled: Seen,
}

async fn measure(
    cluster: &mut ProcessCluster,
    options: &Options,
    (products, orders): (u64, u64),
) -> anyhow::Result<Stage> {
    let begun = TimeOfDay::now();
    let fresh_cluster = start_cluster(options).await?;
    let mut rounds: Vec<Round> = Vec::new();
    for round in 1..=options.rounds {
        let salt = format!("{orders}-{round}");
        let fresh = buys(&fresh_cluster, &salt, options.seconds).await?;
        let filled = buys(cluster, &salt, options.seconds).await?;
        rounds.push(Round { fresh, filled });
    }
    drop(fresh_cluster);
    let spread = |of: fn(&Round) -> f64| Spread::of(rounds.iter().map(of)).context("no round");
    let buys_a_second = spread(|round| round.filled.requests_a_second)?;
    let during = by_the_clock(cluster, options.seconds, buys_a_second.median, orders).await?;
    let snapshots = Snapshot::all_since(cluster, begun);
    let snapshot_ms =
        Spread::of(snapshots.iter().map(|snapshot| snapshot.took.as_secs_f64() * 1e3));
    let resident_mib = resident_mib_of(&cluster::pids(cluster))? / cluster.nodes().len() as f64;
    let disk = Disk::of(cluster);

    let follower = cluster::follower(cluster).await?;
    cluster.terminate(follower)?;
    cluster.wait_exit(follower, WAIT_MAX).await?;
    let restart_s = start(cluster, follower).await?.as_secs_f64();
    cluster.kill(follower)?;
    cluster.wipe(follower)?;
    let catch_up_s = start(cluster, follower).await?.as_secs_f64();
    Ok(Stage {
        products,
        orders,
        buys_a_second,
        ratio_to_fresh: spread(|Round { fresh, filled }| {
            filled.requests_a_second / fresh.requests_a_second
        })?,
        p99_ratio_to_fresh: spread(|Round { fresh, filled }| {
            filled.p99_us as f64 / fresh.p99_us.max(1) as f64
        })?,
        p50_ms: spread(|round| round.filled.p50_us as f64 / 1e3)?,
        p99_ms: spread(|round| round.filled.p99_us as f64 / 1e3)?,
        snapshots: snapshots.len(),
        snapshot_ms,
        during,
        resident_mib,
        disk,
        reclaimed_mib_max: [0.0; 2],
        bytes_an_order: None,
        restart_s,
        catch_up_s,
    })
}

/// Buys that fall due by the clock, told apart by whether a node took a snapshot meanwhile.
async fn by_the_clock(
    cluster: &ProcessCluster,
    seconds: u64,
    capacity: f64,
    orders: u64,
) -> anyhow::Result<During> {
    let plan = Plan {
        targets: cluster.addresses(),
        buys_a_second: (capacity * PACED_SHARE).max(1.0),
        connections: PACED_CONNECTIONS,
        lasting: Duration::from_secs(seconds),
        salt: format!("paced-{orders}"),
    };
    let begun = TimeOfDay::now();
    let seen = paced::run(&plan).await?;
    let accepted = seen.accepted().count();
    ensure!(accepted * 10 >= seen.buys.len() * 9, "{accepted} of {} accepted", seen.buys.len());
    Ok(During::tell_apart(&seen, begun, &Snapshot::all_since(cluster, begun)))
}

/// Starts a node; how long it takes until it is ready.
async fn start(cluster: &mut ProcessCluster, node: stock::NodeId) -> anyhow::Result<Duration> {
    let began = Instant::now();
    cluster.start_node(node)?;
    while !cluster.ready(node).await {
        ensure!(began.elapsed() < WAIT_MAX, "node {node} is not ready in {WAIT_MAX:?}");
        tokio::time::sleep(LOOK).await;
    }
    Ok(began.elapsed())
}
