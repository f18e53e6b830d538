//! `bench sinks`: what `flashctl sink` writes in a second, how late it is, and what memory it takes.
//!
//! One cluster. First a storm, an open loop of buys, beside a sink into PostgreSQL: how late its
//! changes are. Then the cluster is filled, and each target brought up to date from nothing, from
//! the feed or, where the nodes are told to forget it, from the whole state. A target whose server
//! is not here is skipped aloud.

mod target;

use crate::cluster;
use crate::growth;
use crate::machine::Machine;
use crate::paced::{self, Outcome, Plan};
use crate::process::free_ports;
use crate::report;
use crate::usage::peak_mib_of;
use anyhow::{Context, ensure};
use clap::Args;
use client::cluster::ProcessCluster;
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use std::io::Read as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use stock::Seq;
use target::{Kind, Target};

const UNITS: u64 = 1_000_000_000;
/// Connections of the storm.
const CONNECTIONS: usize = 192;
/// Between two looks at a sink.
const LOOK: Duration = Duration::from_millis(20);
/// How long a sink may take to catch up with a storm.
const CATCH_UP_MAX: Duration = Duration::from_secs(120);
/// Makes the nodes forget all but the newest changes, with the first snapshot.
const FORGETFUL: [&str; 6] =
    ["--events-mib", "1", "--snapshot-entries", "10", "--keep-entries", "10"];

/// What to measure.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Orders that each target is brought up to date with
    #[arg(long, default_value_t = 1_000_000)]
    orders: u64,
    /// Buys due in a second of the storm
    #[arg(long, default_value_t = 2_000.0)]
    buys: f64,
    /// Seconds of the storm
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// Targets, comma separated
    #[arg(long, value_enum, value_delimiter = ',',
        default_values_t = [Kind::Postgres, Kind::Files, Kind::Webhook, Kind::Rabbitmq, Kind::Nats])]
    targets: Vec<Kind>,
    /// Nodes that forget the feed: each target takes the whole state
    #[arg(long)]
    of_state: bool,
    /// Where `sinks.json` goes
    #[arg(long, default_value = "target/bench")]
    out: PathBuf,
    /// The flashnode program [default: beside this one, or in target/]
    #[arg(long)]
    binary: Option<PathBuf>,
    /// The flashctl program [default: beside this one]
    #[arg(long)]
    flashctl: Option<PathBuf>,
}

/// What `flashctl --json sink` says at its end.
#[derive(Debug, Deserialize)]
struct Said {
    position: u64,
    rows: u64,
    rows_per_s: u64,
    late_p50_ms: u64,
    late_p99_ms: u64,
}

/// How late a sink into PostgreSQL was.
#[derive(Debug, Serialize)]
struct Storm {
    due_a_second: f64,
    accepted_a_second: f64,
    rows: u64,
    late_p50_ms: u64,
    late_p99_ms: u64,
    peak_mib: f64,
}

/// A target that was brought up to date.
#[derive(Debug, Serialize)]
struct Carried {
    target: Kind,
    orders: u64,
    rows: u64,
    rows_a_second: u64,
    seconds: f64,
    /// Of the sink's process, as the kernel has it (`VmHWM`).
    peak_mib: f64,
}

#[derive(Debug, Serialize)]
struct Measured {
    of_state: bool,
    storm: Option<Storm>,
    carried: Vec<Carried>,
    skipped: Vec<String>,
}

/// Measures, prints, writes.
///
/// # Errors
/// When a node, a server or a sink fails.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let machine = Machine::look();
    println!("{}", machine.in_words());
    let flashctl = match &options.flashctl {
        Some(path) => path.clone(),
        None => std::env::current_exe()?.with_file_name("flashctl"),
    };
    ensure!(flashctl.is_file(), "no {}: build it, or name it", flashctl.display());
    let extra_args = if options.of_state { &FORGETFUL[..] } else { &[] };
    let cluster = cluster::start(options.binary.clone(), extra_args, UNITS).await?;
    let bench = Bench { options: &options, cluster: &cluster, flashctl };
    let mut measured =
        Measured { of_state: options.of_state, storm: None, carried: vec![], skipped: vec![] };
    for kind in &options.targets {
        if let Some(why) = kind.missing() {
            println!("skipped: {why}");
            measured.skipped.push(why);
        }
    }
    let here: Vec<Kind> =
        options.targets.iter().copied().filter(|kind| kind.missing().is_none()).collect();
    if here.contains(&Kind::Postgres) {
        measured.storm = Some(bench.storm().await?);
    }
    growth::fill(&cluster, options.orders, 1).await?;
    for kind in here {
        measured.carried.push(bench.carry(kind).await?);
    }
    std::fs::create_dir_all(&options.out)?;
    let json = options.out.join("sinks.json");
    std::fs::write(&json, report::json(&machine, &measured)?)?;
    println!("samples: {}", json.display());
    Ok(())
}

/// What all of it is measured with.
struct Bench<'a> {
    options: &'a Options,
    cluster: &'a ProcessCluster,
    flashctl: PathBuf,
}

impl Bench<'_> {
    /// Starts a sink, whose peak is looked at until it ends.
    fn sink(&self, args: &[String], more: &[&str]) -> anyhow::Result<Sink> {
        let child = Command::new(&self.flashctl)
            .args(["--json", "--nodes", &self.cluster.addresses().join(","), "sink"])
            .args(args)
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("flashctl does not start")?;
        Ok(Sink { child, peak_mib: 0.0 })
    }

    async fn newest(&self) -> anyhow::Result<Seq> {
        // Above every order's id, so that the list is empty.
        Ok(self.cluster.client()?.orders_after(Seq(u64::MAX >> 11)).await?.seq)
    }

    async fn storm(&self) -> anyhow::Result<Storm> {
        let target = Target::start(Kind::Postgres).await?;
        let [port] = free_ports::<1>()?;
        let metrics = format!("127.0.0.1:{port}");
        let mut sink = self.sink(&target.args, &["--metrics", &metrics])?;
        let plan = Plan {
            targets: self.cluster.addresses(),
            buys_a_second: self.options.buys,
            connections: CONNECTIONS,
            lasting: Duration::from_secs(u64::from(self.options.seconds)),
            salt: "sinks".to_owned(),
        };
        let seen = paced::run(&plan).await?;
        let odd = seen.buys.iter().find(|buy| matches!(buy.outcome, Outcome::Odd(_)));
        ensure!(odd.is_none(), "a buy was answered {odd:?}");
        let (newest, began) = (self.newest().await?, Instant::now());
        while position(&metrics).await.is_none_or(|position| position < newest.0) {
            ensure!(sink.looks_alive()?, "the sink ended");
            ensure!(began.elapsed() < CATCH_UP_MAX, "the sink does not catch up");
            tokio::time::sleep(LOOK).await;
        }
        kill_process(Pid::from_child(&sink.child), Signal::INT)?;
        let (said, peak_mib) = sink.end().await?;
        let storm = Storm {
            due_a_second: self.options.buys,
            accepted_a_second: seen.accepted().count() as f64 / f64::from(self.options.seconds),
            rows: said.rows,
            late_p50_ms: said.late_p50_ms,
            late_p99_ms: said.late_p99_ms,
            peak_mib,
        };
        println!(
            "a storm of {:.0} buys a second, {:.0} accepted: into PostgreSQL, late by {} ms (p50), \
             {} ms (p99); the sink took {peak_mib:.1} MiB",
            storm.due_a_second, storm.accepted_a_second, storm.late_p50_ms, storm.late_p99_ms
        );
        Ok(storm)
    }

    async fn carry(&self, kind: Kind) -> anyhow::Result<Carried> {
        let target = Target::start(kind).await?;
        let began = Instant::now();
        let (said, peak_mib) = self.sink(&target.args, &["--once"])?.end().await?;
        let seconds = began.elapsed().as_secs_f64();
        // The product's change is none of them.
        let (orders, rows_a_second) = (said.position - 1, said.rows_per_s);
        let rows = said.rows;
        println!(
            "{}: {orders} orders, {rows} rows in {seconds:.1} s, {rows_a_second} rows/s; the sink \
             took {peak_mib:.1} MiB",
            kind.name()
        );
        Ok(Carried { target: kind, orders, rows, rows_a_second, seconds, peak_mib })
    }
}

/// Where a sink says that its target stands.
async fn position(metrics: &str) -> Option<u64> {
    let text = reqwest::get(format!("http://{metrics}/metrics")).await.ok()?.text().await.ok()?;
    let line = text.lines().find(|line| line.starts_with("flashnode_sink_position{"))?;
    line.rsplit_once(' ')?.1.parse().ok()
}

/// `flashctl sink` as a process, killed when dropped.
struct Sink {
    child: Child,
    peak_mib: f64,
}

impl Sink {
    /// Looks at its memory, and says whether it runs.
    fn looks_alive(&mut self) -> anyhow::Result<bool> {
        let runs = self.child.try_wait()?.is_none();
        // What has just ended has none.
        if let Ok(mib) = peak_mib_of(&[self.child.id()]) {
            self.peak_mib = self.peak_mib.max(mib);
        }
        Ok(runs)
    }

    /// Waits for its end; what it said, and the most memory that it had.
    async fn end(mut self) -> anyhow::Result<(Said, f64)> {
        while self.looks_alive()? {
            tokio::time::sleep(LOOK).await;
        }
        let status = self.child.wait()?;
        let mut text = String::new();
        self.child.stdout.take().context("no output")?.read_to_string(&mut text)?;
        ensure!(status.success(), "the sink ended with {status}: {text}");
        let said =
            serde_json::from_str(&text).with_context(|| format!("the sink said {text:?}"))?;
        Ok((said, self.peak_mib))
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}
