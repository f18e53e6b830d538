//! `bench answers`: what is asked of a sale besides single buys: "sold out" to those who come too
//! late, linearizable reads of the stock, and batches.
//!
//! Sold-out answers and reads are ratios to the no-op's buys and reads of the same round.

use crate::cluster;
use crate::contender::Contender;
use crate::load::{self, Load, Script};
use crate::machine::Machine;
use crate::samples::Spread;
use anyhow::ensure;
use clap::Args;
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
    /// The flashnode program [default: beside this one, or in target/]
    #[arg(long)]
    binary: Option<PathBuf>,
}

/// One kind of answer at one number of connections.
#[derive(Debug)]
struct Figures {
    what: String,
    a_second: Vec<f64>,
    /// To the no-op.
    ratio: Vec<f64>,
    p99_ms: Vec<f64>,
}

/// Measures and prints a table.
///
/// # Errors
/// When a server fails, or answered otherwise than it should.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    println!("{}", Machine::look().in_words());
    let mut all: Vec<Figures> = Vec::new();
    for round in 1..=options.rounds {
        for (what, a_second, ratio, p99_us) in measure(&options, round).await? {
            println!("round {round}, {what}: {a_second:.0}/s, of the no-op's: {ratio:.2}");
            let known = all.iter().position(|figures| figures.what == what);
            let at = known.unwrap_or_else(|| {
                let (a_second, ratio, p99_ms) = (Vec::new(), Vec::new(), Vec::new());
                all.push(Figures { what, a_second, ratio, p99_ms });
                all.len() - 1
            });
            all[at].a_second.push(a_second);
            all[at].ratio.push(ratio);
            all[at].p99_ms.push(p99_us as f64 / 1e3);
        }
    }
    println!("\n| what | a second | of the no-op's | p99 ms |\n|---|---|---|---|");
    for Figures { what, a_second, ratio, p99_ms } in all {
        let in_words = |values: Vec<f64>, places: usize| {
            Spread::of(values).map_or_else(String::new, |Spread { median, least, most }| {
                if median.is_nan() {
                    return "–".to_owned();
                }
                format!("{median:.places$} ({least:.places$}–{most:.places$})")
            })
        };
        println!(
            "| {what} | {} | {} | {} |",
            in_words(a_second, 0),
            in_words(ratio, 2),
            in_words(p99_ms, 1)
        );
    }
    Ok(())
}

type Sample = (String, f64, f64, u64);

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
        let ratio = told.requests_a_second / buys;
        samples.push((what, told.requests_a_second, ratio, told.p99_us));
        let read = load::run(&load(&addresses, Script::Reads, connections, "r")).await?;
        ensure!(read.errors == 0, "{} reads were no 200", read.errors);
        let what = format!("linearizable reads, {connections} connections");
        let ratio = read.requests_a_second / reads;
        samples.push((what, read.requests_a_second, ratio, read.p99_us));
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
    Ok((format!("buys in calls of {}", options.batch), a_second, f64::NAN, told.p99_us))
}
