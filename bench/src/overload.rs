//! `bench overload`: four times what the cluster can do, ten thousand connections at once, and a
//! sell-out shared by three nodes.

use crate::cluster;
use crate::machine::Machine;
use crate::paced::{Opened, Outcome, Plan, Seen};
use crate::report;
use crate::usage::{peak_mib_of, resident_mib_of};
use anyhow::{Context, ensure};
use clap::{Args, ValueEnum};
use client::cluster::ProcessCluster;
use serde::Serialize;
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::Instant;

const UNITS: u64 = 1_000_000_000;
const SECOND: Duration = Duration::from_secs(1);
/// Buys a second while very many connections are open.
const FEW: f64 = 2_000.0;
/// Connections of a usual load.
const USUAL: usize = 600;

/// What can be measured alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// More than the cluster can do, and what comes after it
    Overload,
    /// Very many connections at once
    Open,
    /// Who wins a sell-out
    Fairness,
}

/// What to measure.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// What, comma separated
    #[arg(long, value_delimiter = ',', default_values = ["overload", "open", "fairness"])]
    parts: Vec<Part>,
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
    #[arg(long, default_value_t = 18_000)]
    connections: usize,
    /// Connections that are open at once
    #[arg(long, default_value_t = 10_000)]
    open: usize,
    /// Units of a sell-out
    #[arg(long, default_value_t = 60_000)]
    units: u64,
    /// Connections of a sell-out, comma separated: few only offer what they are answered in time
    #[arg(long, value_delimiter = ',', default_values_t = [900, 9_000])]
    buyers: Vec<usize>,
    /// How many sell-outs with each
    #[arg(long, default_value_t = 3)]
    sales: usize,
    /// Where `overload.json` goes
    #[arg(long, default_value = "target/bench")]
    out: PathBuf,
    /// The flashnode program [default: beside this one, or in target/]
    #[arg(long)]
    binary: Option<PathBuf>,
}

/// What became of one load.
#[derive(Debug, Serialize)]
struct Told {
    load: String,
    due_a_second: f64,
    accepted_a_second: f64,
    shed_a_second: f64,
    unknown_a_second: f64,
    not_sent_a_second: f64,
    /// Of what was accepted, from when it was sent.
    p50_ms: f64,
    p99_ms: f64,
    /// From when it was due.
    p99_due_ms: f64,
}

/// One sell-out.
#[derive(Debug, Serialize)]
struct Shares {
    connections: usize,
    won: usize,
    shed: usize,
    /// Parts of what was won.
    leader: f64,
    followers: Vec<f64>,
}

#[derive(Debug, Default, Serialize)]
struct Measured {
    /// In a closed loop.
    closed_accepted_a_second: f64,
    loads: Vec<Told>,
    /// How long after the overload's end the last buy that was shed fell due; none when none was.
    last_shed_ms: Option<f64>,
    /// The most memory of all nodes together.
    peak_mib: f64,
    sell_outs: Vec<Shares>,
}

/// Measures, prints, writes.
///
/// # Errors
/// When a node fails, or answers otherwise than the contract has it.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let machine = Machine::look();
    println!("{}", machine.in_words());
    let cluster = cluster::start(options.binary.clone(), &[], UNITS).await?;
    let most = cluster::capacity(&cluster, options.closed, options.seconds, "capacity").await?;
    println!(
        "a closed loop of {} connections: {:.0} accepted a second, p99 {:.1} ms, {:.0} MiB",
        options.closed,
        most.requests_a_second,
        most.p99_us as f64 / 1e3,
        resident_mib_of(&cluster::pids(&cluster))?
    );
    let peak = most.requests_a_second;
    let mut measured = Measured { closed_accepted_a_second: peak, ..Measured::default() };
    let has = |part| options.parts.contains(&part);
    if has(Part::Overload) {
        overload(&options, &cluster, &mut measured).await?;
    }
    if has(Part::Open) {
        measured.loads.push(open_at_once(&options, &cluster).await?);
    }
    measured.peak_mib = peak_mib_of(&cluster::pids(&cluster))?;
    drop(cluster);
    if has(Part::Fairness) {
        for buyers in &options.buyers {
            for _ in 0..options.sales {
                measured.sell_outs.push(fairness(&options, *buyers, peak).await?);
            }
        }
    }
    let json = options.out.join("overload.json");
    std::fs::create_dir_all(&options.out)?;
    std::fs::write(&json, report::json(&machine, &measured)?)?;
    println!("samples: {}", json.display());
    Ok(())
}

/// Half of what the cluster can do, then very much more, and at once half of it again.
async fn overload(
    options: &Options,
    cluster: &ProcessCluster,
    measured: &mut Measured,
) -> anyhow::Result<()> {
    let Options { seconds, times, .. } = *options;
    let peak = measured.closed_accepted_a_second;
    let usual = plan(options, cluster, "usual", peak * 0.5, USUAL);
    let usual = looked_through(Opened::open(usual).await?.run(Instant::now()).await?)?;
    measured.loads.push(tell("half of that, open loop", &usual, seconds));
    let over = plan(options, cluster, "over", peak * times, options.connections);
    let after = plan(options, cluster, "after", peak * 0.5, USUAL);
    let (over, after) = (Opened::open(over).await?, Opened::open(after).await?);
    let start = Instant::now();
    let end = start + seconds as u32 * SECOND;
    // Tasks, for the second must not wait for the last answers to the first.
    let (over, after) = (tokio::spawn(over.run(start)), tokio::spawn(after.run(end)));
    let (over, after) = (looked_through(over.await??)?, looked_through(after.await??)?);
    let told = tell(&format!("{times} times that"), &over, seconds);
    println!(
        "  {:.2} of the closed loop's accepted; peak {:.0} MiB of all nodes",
        told.accepted_a_second / peak,
        peak_mib_of(&cluster::pids(cluster))?
    );
    measured.loads.extend([told, tell("half again, at once", &after, seconds)]);
    let last_shed = after.buys.iter().rev().find(|buy| buy.outcome == Outcome::Shed);
    measured.last_shed_ms = last_shed.map(|buy| ms(buy.due));
    match measured.last_shed_ms {
        Some(after) => println!("  the last 503 fell due {after:.0} ms after the overload's end"),
        None => println!("  no 503 after the overload's end"),
    }
    for nth in 0..3.min(seconds as u32) {
        let due = nth * SECOND..(nth + 1) * SECOND;
        let buys = after.buys.iter().filter(|buy| due.contains(&buy.due)).copied().collect();
        measured.loads.push(tell(&format!("half again, second {}", nth + 1), &Seen { buys }, 1));
    }
    Ok(())
}

/// Connections that are all open before the first buy, and all of them buy.
async fn open_at_once(options: &Options, cluster: &ProcessCluster) -> anyhow::Result<Told> {
    let opened = Opened::open(plan(options, cluster, "open", FEW, options.open)).await?;
    let counted = connections(cluster).await?;
    ensure!(counted >= options.open, "the nodes have only {counted} connections");
    let seen = looked_through(opened.run(Instant::now()).await?)?;
    let told = tell(&format!("{counted} connections open at once"), &seen, options.seconds);
    println!("  {:.0} MiB in all nodes now", resident_mib_of(&cluster::pids(cluster))?);
    Ok(told)
}

/// Open connections, as the nodes count them.
async fn connections(cluster: &ProcessCluster) -> anyhow::Result<usize> {
    let mut all = 0;
    for address in cluster.addresses() {
        let text = reqwest::get(format!("http://{address}/metrics")).await?.text().await?;
        let line = text.lines().find_map(|line| line.strip_prefix("flashnode_http_connections "));
        let count = line.context("a node counts no connections")?;
        all += count.trim().parse::<usize>().context("no number of connections")?;
    }
    Ok(all)
}

fn plan(
    options: &Options,
    cluster: &ProcessCluster,
    salt: &str,
    buys_a_second: f64,
    connections: usize,
) -> Plan {
    Plan {
        targets: cluster.addresses(),
        buys_a_second,
        connections,
        lasting: options.seconds as u32 * SECOND,
        salt: salt.to_owned(),
    }
}

/// # Errors
/// When an answer is none of the contract's, such as a 503 without `Retry-After`.
fn looked_through(seen: Seen) -> anyhow::Result<Seen> {
    let odd = seen.buys.iter().find(|buy| matches!(buy.outcome, Outcome::Odd(_)));
    ensure!(odd.is_none(), "a buy was answered {odd:?}");
    Ok(seen)
}

fn tell(what: &str, seen: &Seen, seconds: u64) -> Told {
    let a_second = |which| seen.count(|outcome| outcome == which) as f64 / seconds as f64;
    let told = Told {
        load: what.to_owned(),
        due_a_second: seen.buys.len() as f64 / seconds as f64,
        accepted_a_second: a_second(Outcome::Accepted),
        shed_a_second: a_second(Outcome::Shed),
        unknown_a_second: a_second(Outcome::Unknown),
        not_sent_a_second: a_second(Outcome::NotSent),
        p50_ms: ms(seen.percentile(50, |buy| buy.service)),
        p99_ms: ms(seen.percentile(99, |buy| buy.service)),
        p99_due_ms: ms(seen.percentile(99, |buy| buy.latency)),
    };
    println!(
        "{what}: {:.0} due, {:.0} accepted, {:.0} shed, {:.0} unknown, {:.0} not sent a second; \
         accepted: p50 {:.1} ms, p99 {:.1} ms from when sent, {:.1} ms from when due",
        told.due_a_second,
        told.accepted_a_second,
        told.shed_a_second,
        told.unknown_a_second,
        told.not_sent_a_second,
        told.p50_ms,
        told.p99_ms,
        told.p99_due_ms,
    );
    told
}

/// Who wins a sell-out at equal load on all nodes, which is more than the cluster can do.
async fn fairness(options: &Options, buyers: usize, peak: f64) -> anyhow::Result<Shares> {
    let cluster = cluster::start(options.binary.clone(), &[], options.units).await?;
    let leader = cluster.leader().await?;
    let plan = plan(options, &cluster, "fair", peak * 2.0, buyers);
    let seen = looked_through(Opened::open(plan).await?.run(Instant::now()).await?)?;
    let all = seen.accepted().count();
    let share = |node: usize| {
        seen.accepted().filter(|buy| buy.target == node).count() as f64 / all.max(1) as f64
    };
    let (mut leaders, mut followers) = (0.0, Vec::new());
    for (at, node) in cluster.nodes().iter().enumerate() {
        if node.id == leader {
            leaders = share(at);
        } else {
            followers.push(share(at));
        }
    }
    let shed = seen.count(|outcome| outcome == Outcome::Shed);
    let in_words: Vec<String> =
        followers.iter().map(|share| format!("{:.1} %", share * 100.0)).collect();
    println!(
        "a sell-out of {} units, {buyers} connections, equal load on each node, {all} won, \
         {shed} shed: leader {:.1} %, followers {}",
        options.units,
        leaders * 100.0,
        in_words.join(", ")
    );
    Ok(Shares { connections: buyers, won: all, shed, leader: leaders, followers })
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
