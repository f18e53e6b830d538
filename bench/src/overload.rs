//! `bench overload`: four times what the cluster can do, a sell-out shared by three nodes, and ten
//! thousand connections at once.

use crate::cluster;
use crate::machine::Machine;
use crate::paced::{self, Outcome, Plan, Seen};
use crate::usage::{peak_mib_of, resident_mib_of};
use anyhow::ensure;
use clap::Args;
use client::cluster::ProcessCluster;
use std::path::PathBuf;
use std::time::Duration;

const UNITS: u64 = 1_000_000_000;
const SECOND: Duration = Duration::from_secs(1);
/// Buys a second while very many connections are open.
const FEW: f64 = 2_000.0;

/// What to measure.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Seconds of each load
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(3..=600))]
    seconds: u64,
    /// How many times its capacity the cluster is asked for
    #[arg(long, default_value_t = 4.0)]
    times: f64,
    /// Connections of the closed loop that finds its capacity
    #[arg(long, default_value_t = 1_500)]
    closed: usize,
    /// Connections of the overload
    #[arg(long, default_value_t = 9_000)]
    connections: usize,
    /// Connections that are open at once in the last part
    #[arg(long, default_value_t = 10_000)]
    open: usize,
    /// Units of the sell-out
    #[arg(long, default_value_t = 60_000)]
    units: u64,
    /// The flashnode program [default: beside this one, or in target/]
    #[arg(long)]
    binary: Option<PathBuf>,
}

/// Measures and prints.
///
/// # Errors
/// When a node fails.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    println!("{}", Machine::look().in_words());
    let cluster = cluster::start(options.binary.clone(), &[], UNITS).await?;
    let most = cluster::capacity(&cluster, options.closed, options.seconds, "capacity").await?;
    let pids = cluster::pids(&cluster);
    println!(
        "a closed loop of {} connections: {:.0} accepted a second, p99 {:.1} ms, {:.0} MiB",
        options.closed,
        most.requests_a_second,
        most.p99_us as f64 / 1e3,
        resident_mib_of(&pids)?
    );
    let peak = most.requests_a_second;
    let usual = load(&options, &cluster, "usual", peak * 0.5, 600).await?;
    tell("half of that, open loop", &usual, options.seconds);
    let over = load(&options, &cluster, "over", peak * options.times, options.connections).await?;
    tell(&format!("{} times that", options.times), &over, options.seconds);
    let accepted_a_second = over.accepted().count() as f64 / options.seconds as f64;
    println!(
        "  {:.2} of the closed loop's accepted; peak {:.0} MiB of all nodes",
        accepted_a_second / peak,
        peak_mib_of(&pids)?
    );
    let after = load(&options, &cluster, "after", peak * 0.5, 600).await?;
    tell("half again, at once", &after, options.seconds);
    let last_shed = after.buys.iter().rev().find(|buy| buy.outcome == Outcome::Shed);
    let shed_for = last_shed.map_or(Duration::ZERO, |buy| buy.due);
    println!("  the last 503 fell due {:.0} ms after the overload's end", ms(shed_for));
    let open = load(&options, &cluster, "open", FEW, options.open).await?;
    tell(&format!("{} connections at once", options.open), &open, options.seconds);
    println!("  {:.0} MiB in all nodes now", resident_mib_of(&pids)?);
    drop(cluster);
    fairness(&options, peak).await
}

async fn load(
    options: &Options,
    cluster: &ProcessCluster,
    salt: &str,
    buys_a_second: f64,
    connections: usize,
) -> anyhow::Result<Seen> {
    let plan = Plan {
        targets: cluster.addresses(),
        buys_a_second,
        connections,
        lasting: options.seconds as u32 * SECOND,
        salt: salt.to_owned(),
    };
    let seen = paced::run(&plan).await?;
    let odd = seen.buys.iter().find(|buy| matches!(buy.outcome, Outcome::Odd(_)));
    ensure!(odd.is_none(), "a buy was answered {odd:?}");
    Ok(seen)
}

fn tell(what: &str, seen: &Seen, seconds: u64) {
    let a_second = |which| seen.count(|outcome| outcome == which) as f64 / seconds as f64;
    println!(
        "{what}: {:.0} due, {:.0} accepted, {:.0} shed, {:.0} unknown, {:.0} not sent a second; \
         accepted: p50 {:.1} ms, p99 {:.1} ms from when sent, {:.1} ms from when due",
        seen.buys.len() as f64 / seconds as f64,
        a_second(Outcome::Accepted),
        a_second(Outcome::Shed),
        a_second(Outcome::Unknown),
        a_second(Outcome::NotSent),
        ms(seen.percentile(50, |buy| buy.service)),
        ms(seen.percentile(99, |buy| buy.service)),
        ms(seen.percentile(99, |buy| buy.latency)),
    );
}

/// Who wins a sell-out at equal load on all nodes, which is more than the cluster can do.
async fn fairness(options: &Options, peak: f64) -> anyhow::Result<()> {
    let cluster = cluster::start(options.binary.clone(), &[], options.units).await?;
    let leader = cluster.leader().await?;
    let seen = load(options, &cluster, "fair", peak * 1.2, 900).await?;
    let won: Vec<usize> = (0..cluster.nodes().len())
        .map(|node| seen.accepted().filter(|buy| buy.target == node).count())
        .collect();
    let all: usize = won.iter().sum();
    println!("a sell-out of {} units at equal load on each node; {all} won:", options.units);
    for (node, won) in cluster.nodes().iter().zip(&won) {
        let role = if node.id == leader { "leader" } else { "follower" };
        println!("  node {} ({role}): {:.1} %", node.id, *won as f64 * 100.0 / all as f64);
    }
    Ok(())
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
