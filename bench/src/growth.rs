//! `bench growth`: what buys, starts and catching up cost when much was sold before.
//!
//! One cluster is filled through the batch endpoint; at each number of orders it is measured with
//! single buys once it has come to rest, right after a cluster that has sold nothing: machines have
//! better and worse minutes, so the ratio of the two is what tells. Then one of its followers is
//! started anew, and one is emptied and catches up.

use crate::cluster::{self, WAIT_MAX};
use crate::load::{self, Load, Script, Seen};
use crate::machine::Machine;
use crate::report;
use crate::samples::Spread;
use crate::usage::{CpuSeconds, cpu_of, resident_mib_of};
use anyhow::{Context, ensure};
use clap::Args;
use client::cluster::ProcessCluster;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const UNITS: u64 = 1_000_000_000;
/// Buys in a call that fills.
const CALL: usize = 5_000;
/// Connections of the single buys.
const CONNECTIONS: usize = 64;
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
    /// Products that they are spread over; single buys are of one more
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=900_000))]
    products: u64,
    /// Seconds of single buys at each
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Where `growth.json` goes
    #[arg(long, default_value = "target/bench")]
    out: PathBuf,
    /// The flashnode program [default: beside this one, or in target/]
    #[arg(long)]
    binary: Option<PathBuf>,
}

/// What is measured at one number of orders.
#[derive(Debug, Serialize)]
struct Stage {
    orders: u64,
    buys_a_second: f64,
    /// To those of a cluster that has sold nothing, measured right before.
    ratio_to_fresh: f64,
    p50_ms: f64,
    p99_ms: f64,
    /// Of the snapshots that all nodes took meanwhile: how many, the median, the longest.
    snapshots: usize,
    snapshot_p50_ms: f64,
    snapshot_max_ms: f64,
    /// Of one node, on average; so is the disk.
    resident_mib: f64,
    disk_mib: f64,
    /// From the start of a process to its `/readyz`.
    restart_s: f64,
    /// From the start of a process with no data to its `/readyz`.
    catch_up_s: f64,
}

#[derive(Debug, Serialize)]
struct Measured {
    products: u64,
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
    let entries = SNAPSHOT_ENTRIES.to_string();
    // They say how long their snapshots take.
    let extra_args = ["--snapshot-entries", &entries, "--log-level", "info,raft::snapshot=debug"];
    let mut cluster = cluster::start(options.binary.clone(), &extra_args, UNITS).await?;
    if options.products > 1 {
        open_sales(&cluster, options.products).await?;
    }
    let mut stages: Vec<Stage> = Vec::new();
    for &orders in &options.orders {
        fill(&cluster, orders, options.products).await?;
        rest(&cluster).await?;
        let fresh = cluster::start(options.binary.clone(), &extra_args, UNITS).await?;
        let reference = buys(&fresh, orders, options.seconds).await?;
        drop(fresh);
        let stage = measure(&mut cluster, orders, options.seconds, &reference).await?;
        println!(
            "{orders} orders: {:.0} buys/s ({:.2} of a fresh cluster's {:.0}), p50 {:.1} ms, p99 {:.1} ms; {} snapshots, p50 {:.0} ms, \
             longest {:.0} ms; a node: {:.0} MiB of memory, {:.0} MiB of disk; restart {:.2} s, an \
             empty node {:.2} s",
            stage.buys_a_second,
            stage.ratio_to_fresh,
            reference.requests_a_second,
            stage.p50_ms,
            stage.p99_ms,
            stage.snapshots,
            stage.snapshot_p50_ms,
            stage.snapshot_max_ms,
            stage.resident_mib,
            stage.disk_mib,
            stage.restart_s,
            stage.catch_up_s
        );
        if let Some(before) = stages.last() {
            let more = (orders - before.orders) as f64;
            let bytes = |mib: f64| mib * 1024.0 * 1024.0 / more;
            println!(
                "  an order more: {:.0} bytes of memory, {:.0} of disk",
                bytes(stage.resident_mib - before.resident_mib),
                bytes(stage.disk_mib - before.disk_mib)
            );
        }
        stages.push(stage);
    }
    std::fs::create_dir_all(&options.out)?;
    let json = options.out.join("growth.json");
    let measured = Measured { products: options.products, stages };
    std::fs::write(&json, report::json(&machine, &measured)?)?;
    println!("samples: {}", json.display());
    Ok(())
}

/// How long the snapshots took that are in the nodes' logs, in ms, in the order of their ends.
fn snapshots(cluster: &ProcessCluster) -> Vec<f64> {
    let logs = cluster.nodes().iter().filter_map(|node| std::fs::read_to_string(&node.log).ok());
    let mut saved: Vec<(String, f64)> =
        logs.flat_map(|log| log.lines().filter_map(saved_snapshot).collect::<Vec<_>>()).collect();
    saved.sort_by(|(one, _), (other, _)| one.cmp(other));
    saved.into_iter().map(|(_, took_ms)| took_ms).collect()
}

/// When a line's snapshot was saved, and how long it took in ms.
fn saved_snapshot(line: &str) -> Option<(String, f64)> {
    let (when, what) = line.split_once(' ')?;
    let took = what.split_once("snapshot saved")?.1.split_once("took_ms=")?.1;
    Some((when.to_owned(), took.split_whitespace().next()?.parse().ok()?))
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

/// Buys until there are so many orders.
pub(crate) async fn fill(
    cluster: &ProcessCluster,
    orders: u64,
    products: u64,
) -> anyhow::Result<()> {
    let began = Instant::now();
    let mut calls = 0;
    loop {
        let have = orders_of(cluster).await?;
        let Some(missing) = orders.checked_sub(have).filter(|missing| *missing > 0) else {
            println!("filled in {:.0} s", began.elapsed().as_secs_f64());
            return Ok(());
        };
        calls += 1;
        let load = Load {
            targets: cluster.addresses(),
            script: Script::Batch { size: CALL.min(missing as usize), products: products as usize },
            connections: if missing < 100_000 { 1 } else { 6 },
            seconds: if missing < 500_000 { 1 } else { 5 },
            salt: format!("fill-{orders}-{calls}"),
        };
        load::run(&load).await?;
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

/// Single buys, after a warm-up.
async fn buys(cluster: &ProcessCluster, orders: u64, seconds: u64) -> anyhow::Result<Seen> {
    cluster::capacity(cluster, CONNECTIONS, 2, &format!("warm-{orders}")).await?;
    cluster::capacity(cluster, CONNECTIONS, seconds, &format!("{orders}")).await
}

async fn measure(
    cluster: &mut ProcessCluster,
    orders: u64,
    seconds: u64,
    reference: &Seen,
) -> anyhow::Result<Stage> {
    let snapshots_before = snapshots(cluster).len();
    let seen = buys(cluster, orders, seconds).await?;
    let took = snapshots(cluster).split_off(snapshots_before);
    let took_of = |pick: fn(Spread) -> f64| Spread::of(took.iter().copied()).map_or(0.0, pick);
    let nodes = cluster.nodes().len() as f64;
    let resident_mib = resident_mib_of(&cluster::pids(cluster))? / nodes;
    let dirs = cluster.nodes().iter().map(|node| bytes_in(&node.dir));
    let disk_mib = dirs.sum::<u64>() as f64 / nodes / 1024.0 / 1024.0;

    let follower = cluster::follower(cluster).await?;
    cluster.terminate(follower)?;
    cluster.wait_exit(follower, WAIT_MAX).await?;
    let restart_s = start(cluster, follower).await?.as_secs_f64();
    cluster.kill(follower)?;
    cluster.wipe(follower)?;
    let catch_up_s = start(cluster, follower).await?.as_secs_f64();
    Ok(Stage {
        orders,
        buys_a_second: seen.requests_a_second,
        ratio_to_fresh: seen.requests_a_second / reference.requests_a_second,
        p50_ms: seen.p50_us as f64 / 1e3,
        p99_ms: seen.p99_us as f64 / 1e3,
        snapshots: took.len(),
        snapshot_p50_ms: took_of(|spread| spread.median),
        snapshot_max_ms: took_of(|spread| spread.most),
        resident_mib,
        disk_mib,
        restart_s,
        catch_up_s,
    })
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

/// What the files below a directory take of the disk, as `du` counts them.
fn bytes_in(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    const BLOCK_BYTES: u64 = 512;
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => bytes_in(&entry.path()),
            Ok(metadata) => metadata.blocks() * BLOCK_BYTES,
            // Files come and go while nodes run.
            Err(_) => 0,
        })
        .sum()
}
