//! `flashctl sink`: the committed changes, carried into the systems that a shop already has.
//!
//! Owns: the options of each target, and how a sink is run in a terminal: a line on standard error
//! every few seconds, metrics where they are asked for, an end at Ctrl-C after the write under
//! way. The work is the crate `sink`'s.

mod brokers;
mod cluster;
mod files;
mod kept;
mod metrics;
mod postgres;
mod webhook;

use super::{Exit, Failure, Global, interrupted};
use crate::out;
use client::storm::grouped;
use cluster::Cluster;
use sink::cursor::{Cursored, Delivery};
use sink::report::{REPORTED, Report, is_report};
use sink::{Options, Progress, SinkError, Target};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use stock::CursorName;
use tokio::sync::watch;
use tokio::time::timeout;

/// Between two looks whether there is something to say.
const LOOK: Duration = Duration::from_millis(500);
/// How long the report of where a target stands at the end may take.
const LAST_REPORT_MAX: Duration = Duration::from_secs(2);
/// Between two lines while nothing but the position changes.
const LINE_EVERY: Duration = Duration::from_secs(5);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Into PostgreSQL: orders, holds, products and all changes as tables, each exactly once
    Postgres(postgres::Args),
    /// Into files: a line a change, rotated, each exactly once
    Files(files::Args),
    /// To an HTTP receiver: signed POSTs, at least once under stable ids
    Webhook(webhook::Args),
    /// Into a durable queue of RabbitMQ, at least once under stable ids
    Rabbitmq(brokers::RabbitMqArgs),
    /// Into a stream of NATS JetStream, at least once under stable ids
    Nats(brokers::NatsArgs),
    /// All orders at one seq as CSV
    Csv(files::CsvArgs),
    /// Compare a PostgreSQL database with the cluster at one seq, and print each difference
    Verify(postgres::VerifyArgs),
}

/// Options of every sink.
#[derive(Debug, Clone, clap::Args)]
struct Running {
    /// End once the target has every change that the cluster has now
    #[arg(long)]
    once: bool,
    /// The most changes written at once [default: 2000; of a webhook 500]
    #[arg(long, value_name = "N",
        value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=50_000))]
    batch: Option<usize>,
    /// The most rows, messages or lines written in a second, also where the whole state is taken
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_rows_per_second: Option<u32>,
    /// Serve /metrics for Prometheus at this address, such as 127.0.0.1:9150
    #[arg(long, value_name = "IP:PORT")]
    metrics: Option<SocketAddr>,
}

pub(crate) async fn run(args: &Args, global: &Global) -> Result<Exit, Failure> {
    match &args.command {
        Command::Postgres(args) => postgres::run(args, global).await,
        Command::Files(args) => files::run(args, global).await,
        Command::Webhook(args) => webhook::run(args, global).await,
        Command::Rabbitmq(args) => brokers::rabbitmq(args, global).await,
        Command::Nats(args) => Box::pin(brokers::nats(args, global)).await,
        Command::Csv(args) => files::csv(args, global).await,
        Command::Verify(args) => postgres::verify(args, global).await,
    }
}

impl Running {
    fn options(&self) -> Options {
        let default = Options::default();
        Options {
            batch_max: self.batch.unwrap_or(default.batch_max),
            rows_per_second: self.max_rows_per_second,
            until_caught_up: self.once,
        }
    }
}

/// Runs a sink until it is to end, whose target says itself where it stands: that is reported to
/// the cluster, for `flashctl status`.
async fn carry<T: Target>(
    (name, identity): (&str, &str),
    target: T,
    running: &Running,
    global: &Global,
) -> Result<Exit, Failure> {
    let source = Arc::new(Cluster::new(global.client()?));
    let report = Some(Report::new(identity));
    carry_from(&source, (name, report), target, running, global).await
}

/// The same, into a target whose position is a cursor of the cluster.
async fn carry_under<D: Delivery>(
    cursor: &CursorName,
    delivery: D,
    running: &Running,
    global: &Global,
) -> Result<Exit, Failure> {
    if is_report(cursor) {
        let why =
            format!("--cursor {cursor}: what begins with {REPORTED} is a report; use another");
        return Err(Failure::Usage(why));
    }
    let source = Arc::new(Cluster::new(global.client()?));
    let target = Cursored::new(Arc::clone(&source), cursor.clone(), delivery);
    carry_from(&source, (cursor.as_str(), None), target, running, global).await
}

async fn carry_from<T: Target>(
    source: &Arc<Cluster>,
    (name, report): (&str, Option<Report>),
    mut target: T,
    running: &Running,
    global: &Global,
) -> Result<Exit, Failure> {
    let progress = Arc::new(Progress::new(name));
    if let Some(address) = running.metrics {
        let served = metrics::serve(address, Arc::clone(&progress)).await;
        served.map_err(|why| Failure::Failed(format!("--metrics {address}: {why}")))?;
    }
    let (stop, stopping) = watch::channel(false);
    tokio::spawn(async move {
        interrupted().await;
        stop.send_replace(true);
        // Whoever asks twice does not want to wait for the write.
        interrupted().await;
        std::process::exit(Exit::Interrupted as i32);
    });
    let options = running.options();
    let telling = tokio::spawn(tell(Arc::clone(&progress)));
    let began = Instant::now();
    let reporting = async {
        match &report {
            Some(report) => report.keep(source.as_ref(), &progress).await,
            None => std::future::pending().await,
        }
    };
    let ended = tokio::select! {
        ended = sink::run(source, &mut target, &options, &progress, stopping) => ended,
        () = reporting => unreachable!("it has no end"),
    };
    telling.abort();
    if let Some(report) = &report {
        // What is not told in time is told by the next runner.
        let _told = timeout(LAST_REPORT_MAX, report.end(source.as_ref(), &progress)).await;
    }
    warn(&progress);
    match ended {
        Ok(()) => {
            summary(&progress, began.elapsed(), global);
            Ok(Exit::Ok)
        }
        Err(error @ (SinkError::Target(_) | SinkError::Source(_))) => {
            Err(Failure::Failed(error.to_string()))
        }
    }
}

fn warn(progress: &Progress) {
    if let Some(why) = progress.new_warning() {
        eprintln!("flashctl: warning: {why}");
    }
}

/// A line whenever something is wrong, or goes on, or a while has passed.
async fn tell(progress: Arc<Progress>) {
    let (mut told, mut told_at, mut trouble) = (None, Instant::now(), None);
    let mut standby = false;
    loop {
        tokio::time::sleep(LOOK).await;
        warn(&progress);
        let now = progress.trouble();
        if now != trouble {
            if let Some(why) = &now {
                eprintln!("flashctl: {why}; trying again");
            }
            trouble = now;
        }
        if progress.standby() != standby {
            standby = progress.standby();
            let what = if standby { "another runner is at work: standing by" } else { "at work" };
            eprintln!("flashctl: {what}");
        }
        let position = progress.position();
        let due = told.is_none() || (told_at.elapsed() >= LINE_EVERY && told != Some(position));
        if due && !standby && position.0 > 0 {
            eprintln!("flashctl: {}", line(&progress));
            (told, told_at) = (Some(position), Instant::now());
        }
    }
}

fn line(progress: &Progress) -> String {
    format!(
        "at {} of {}; {} rows written; late by {} ms at the 99th percentile",
        grouped(progress.position().0),
        grouped(progress.newest().0),
        grouped(progress.rows()),
        grouped(progress.late_ms_at(0.99)),
    )
}

fn summary(progress: &Progress, took: Duration, global: &Global) {
    let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX).max(1);
    let rows_per_s = progress.rows().saturating_mul(1_000) / took_ms;
    if global.json {
        out::json(&serde_json::json!({
            "position": progress.position(),
            "newest": progress.newest(),
            "rows": progress.rows(),
            "rows_per_s": rows_per_s,
            "late_p50_ms": progress.late_ms_at(0.5),
            "late_p99_ms": progress.late_ms_at(0.99),
        }));
    } else {
        out::text(&format!("{}; {} rows/s\n", line(progress), grouped(rows_per_s)));
    }
}
