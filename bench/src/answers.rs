//! `bench answers`: what is asked of a sale besides single buys: "sold out" to those who come too
//! late, linearizable reads of the stock, and batches.
//!
//! Sold-out answers and reads are ratios to the no-op's buys and reads of the same round.

use crate::cluster;
use crate::contender::Contender;
use crate::load::{self, Load, Script};
use crate::machine::Machine;
use crate::report;
use crate::samples::Spread;
use anyhow::ensure;
use clap::Args;
use serde::Serialize;
use std::path::PathBuf;

/// More than any run sells.
const UNITS: u64 = 1_000_000_000;

/// What to measure.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Connections, comma separated
    #[arg(long, value_delimiter = ',', default_values_t = [64, 256])]
    connections: Vec<usize>,
    /// Rounds; medians are over them
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=100))]
    rounds: u16,
    /// Seconds of each sample
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Buys in a call of the batch endpoint
    #[arg(long, default_value_t = 8_000, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    batch: u64,
    /// Where `answers.json` goes
    #[arg(long, default_value = "target/bench")]
    out: PathBuf,
    /// The flashnode program [default: beside this one, or in target/]
    #[arg(long)]
    binary: Option<PathBuf>,
}

/// One kind of answer at one number of connections, in one round.
#[derive(Debug, Clone, Serialize)]
struct Sample {
    what: String,
    a_second: f64,
    /// To the no-op, where there is a like of it.
    ratio: Option<f64>,
    p99_ms: f64,
}

#[derive(Debug, Serialize)]
struct Measured<'a> {
    rounds: &'a [Vec<Sample>],
}

/// Measures, prints, writes.
///
/// # Errors
/// When a server fails, or answered otherwise than it should.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let machine = Machine::look();
    println!("{}", machine.in_words());
    let mut rounds: Vec<Vec<Sample>> = Vec::new();
    for round in 1..=options.rounds {
        let samples = measure(&options, round).await?;
        for Sample { what, a_second, ratio, p99_ms } in &samples {
            let ratio =
                ratio.map_or_else(String::new, |ratio| format!(", {ratio:.2} of the no-op"));
            println!("round {round}, {what}: {a_second:.0}/s{ratio}, p99 {p99_ms:.1} ms");
        }
        rounds.push(samples);
    }
    println!("\n| what | a second | of the no-op's | p99 ms |\n|---|---|---|---|");
    // Every round has the same samples, in the same order.
    for (at, first) in rounds.first().into_iter().flatten().enumerate() {
        let of = |value: fn(&Sample) -> Option<f64>, places: usize| {
            let values = rounds.iter().filter_map(|samples| value(&samples[at]));
            Spread::of(values).map_or("–".to_owned(), |Spread { median, least, most }| {
                format!("{median:.places$} ({least:.places$}–{most:.places$})")
            })
        };
        println!(
            "| {} | {} | {} | {} |",
            first.what,
            of(|sample| Some(sample.a_second), 0),
            of(|sample| sample.ratio, 2),
            of(|sample| Some(sample.p99_ms), 1)
        );
    }
    let json = options.out.join("answers.json");
    std::fs::create_dir_all(&options.out)?;
    std::fs::write(&json, report::json(&machine, &Measured { rounds: &rounds })?)?;
    println!("samples: {}", json.display());
    Ok(())
}

impl Sample {
    fn of(what: String, seen: &load::Seen, noop_a_second: f64) -> Self {
        let ratio = Some(seen.requests_a_second / noop_a_second);
        let p99_ms = seen.p99_us as f64 / 1e3;
        Self { what, a_second: seen.requests_a_second, ratio, p99_ms }
    }
}

async fn measure(options: &Options, round: u16) -> anyhow::Result<Vec<Sample>> {
    let mut samples = Vec::new();
    let load = |targets: &[String], script, connections, salt: &str| Load {
        targets: targets.to_vec(),
        script,
        connections,
        seconds: options.seconds,
        salt: format!("{salt}-{round}-{connections}"),
    };
    let noop = Contender::Noop.start(None).await?;
    let mut base = Vec::new();
    for &connections in &options.connections {
        let buys = load::run(&load(&noop.targets, Script::Buys, connections, "n")).await?;
        let reads = load::run(&load(&noop.targets, Script::Reads, connections, "n")).await?;
        ensure!(buys.errors + reads.errors == 0, "the no-op answered with errors");
        base.push((buys.requests_a_second, reads.requests_a_second));
    }
    drop(noop);

    let cluster = cluster::start(options.binary.clone(), &[], 1).await?;
    let addresses = cluster.addresses();
    // The one unit that there is.
    let first =
        load::run(&Load { seconds: 1, ..load(&addresses, Script::Buys, 3, "first") }).await?;
    ensure!(first.errors > 0, "the sneaker does not sell out");
    for (&connections, &(buys, reads)) in options.connections.iter().zip(&base) {
        let told = load::run(&load(&addresses, Script::Buys, connections, "late")).await?;
        let refused = told.errors as f64 / (told.requests_a_second * options.seconds as f64);
        ensure!(refused > 0.9, "{refused} of the answers were refusals");
        let what = format!("sold out, {connections} connections");
        samples.push(Sample::of(what, &told, buys));
        let read = load::run(&load(&addresses, Script::Reads, connections, "r")).await?;
        ensure!(read.errors == 0, "{} reads were no 200", read.errors);
        let what = format!("linearizable reads, {connections} connections");
        samples.push(Sample::of(what, &read, reads));
    }
    drop(cluster);
    samples.push(batches(options, round).await?);
    Ok(samples)
}

/// Accepted buys in calls of many, as the product itself counts them.
async fn batches(options: &Options, round: u16) -> anyhow::Result<Sample> {
    let cluster = cluster::start(options.binary.clone(), &[], UNITS).await?;
    let script = Script::Batch { size: options.batch as usize, products: 1 };
    let load = Load {
        targets: cluster.addresses(),
        script,
        connections: 6,
        seconds: options.seconds,
        salt: format!("b{round}"),
    };
    let began = std::time::Instant::now();
    let told = load::run(&load).await?;
    ensure!(told.errors == 0, "{} calls were no 200", told.errors);
    let sold = cluster::product(&cluster).await?.sold;
    let a_second = sold as f64 / began.elapsed().as_secs_f64();
    let what = format!("buys in calls of {}", options.batch);
    Ok(Sample { what, a_second, ratio: None, p99_ms: told.p99_us as f64 / 1e3 })
}
