//! `bench buys`: accepted buys over HTTP.
//!
//! Owns the order of things: in each round every contender is started anew, warmed up and loaded
//! at each number of connections, one contender after the other, so that what disturbs the machine
//! for a while disturbs all alike. A ratio is to the no-op of the same round.

use crate::contender::{Contender, Running};
use crate::load::{self, Load, Script, Seen};
use crate::machine::Machine;
use crate::report;
use crate::samples::{Row, Sample};
use crate::usage::{cpu_of, peak_mib_of};
use anyhow::{Context, ensure};
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// What to measure.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Connections, comma separated
    #[arg(long, value_delimiter = ',', default_values_t = [1, 64, 256])]
    connections: Vec<usize>,
    /// Rounds; medians are over them
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=100))]
    rounds: u16,
    /// Seconds of each sample
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Seconds of load before each sample that are not measured
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=60))]
    warm_up: u64,
    /// Who, comma separated; the no-op is always there [default: all that can be]
    #[arg(long, value_delimiter = ',')]
    contenders: Vec<Contender>,
    /// Where `buys.json` and `buys.svg` go
    #[arg(long, default_value = "target/bench")]
    out: PathBuf,
    /// The flashnode program [default: beside this one, or in target/]
    #[arg(long)]
    binary: Option<PathBuf>,
}

/// Measures, prints, writes.
///
/// # Errors
/// When a server or a client fails, or answered anything but 201: such a figure says nothing.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let most = options.connections.iter().max();
    ensure!(
        options.connections.iter().all(|number| (1..=10_000).contains(number)) && most.is_some(),
        "--connections wants numbers from 1 to 10000"
    );
    let contenders = present(&options.contenders)?;
    let machine = Machine::look();
    println!("{}", machine.in_words());
    let mut samples: Vec<Sample> = Vec::new();
    for round in 1..=usize::from(options.rounds) {
        for contender in &contenders {
            let measured = measure(*contender, round, &options, &samples).await;
            samples.extend(measured.with_context(|| contender.name())?);
        }
    }
    let rows = Row::all(&samples);
    print!("{}", report::table(&rows));
    std::fs::create_dir_all(&options.out)?;
    let (json, plot) = (options.out.join("buys.json"), options.out.join("buys.svg"));
    std::fs::write(
        &json,
        report::json(&machine, &report::Sale { rows: &rows, samples: &samples })?,
    )?;
    std::fs::write(&plot, report::plot(&rows))?;
    println!("\nsamples: {}, plot: {}", json.display(), plot.display());
    Ok(())
}

/// The no-op first, and of the others those whose servers are on this machine.
///
/// # Errors
/// Where one is missing and nothing may be skipped.
fn present(chosen: &[Contender]) -> anyhow::Result<Vec<Contender>> {
    let mut contenders: Vec<Contender> = if chosen.is_empty() {
        Contender::value_variants().to_vec()
    } else {
        chosen.iter().copied().chain([Contender::Noop]).collect()
    };
    contenders.sort_unstable();
    contenders.dedup();
    let missing: Vec<String> = contenders.iter().filter_map(|one| one.missing()).collect();
    let may_skip = std::env::var_os("FLASHNODE_NO_SKIPS").is_none();
    ensure!(missing.is_empty() || may_skip, "nothing may be skipped here: {}", missing.join("; "));
    for missing in missing {
        println!("skipped: {missing}");
    }
    contenders.retain(|contender| contender.missing().is_none());
    Ok(contenders)
}

async fn measure(
    contender: Contender,
    round: usize,
    options: &Options,
    earlier: &[Sample],
) -> anyhow::Result<Vec<Sample>> {
    let running = contender.start(options.binary.clone()).await?;
    let mut samples = Vec::new();
    for &connections in &options.connections {
        let load = |name: &str, seconds| Load {
            targets: turned(&running, round),
            script: Script::Buys,
            connections,
            seconds,
            salt: format!("{name}-{round}-{connections}"),
        };
        let warm = load::run(&load("w", options.warm_up)).await?;
        ensure!(warm.errors == 0, "{} answers were no 201, in the warm-up", warm.errors);
        let pids = running.pids();
        let before = cpu_of(&pids)?;
        let seen = load::run(&load("m", options.seconds)).await?;
        ensure!(seen.errors == 0, "{} answers were no 201", seen.errors);
        let seconds = options.seconds as f64;
        let (ratio, p99_ratio) = ratios(&seen, contender, connections, round, earlier);
        let sample = Sample {
            contender,
            connections,
            round,
            buys_a_second: seen.requests_a_second,
            ratio,
            p99_ratio,
            p50_us: seen.p50_us,
            p99_us: seen.p99_us,
            errors: seen.errors,
            clients_cores: seen.cpu.0 / seconds,
            servers_cores: (cpu_of(&pids)? - before).0 / seconds,
            servers_peak_mib: peak_mib_of(&pids)?,
        };
        println!("round {round}, {}", report::sample(&sample));
        samples.push(sample);
    }
    Ok(samples)
}

/// The listeners, each round another one first, which matters where one alone is loaded.
fn turned(running: &Running, round: usize) -> Vec<String> {
    let mut targets = running.targets.clone();
    let by = round % targets.len().max(1);
    targets.rotate_left(by);
    targets
}

/// Of the buys a second and of the 99th percentiles, to the no-op's of the round.
fn ratios(
    seen: &Seen,
    contender: Contender,
    connections: usize,
    round: usize,
    earlier: &[Sample],
) -> (f64, f64) {
    let noop = earlier.iter().find(|sample| {
        (sample.contender, sample.connections, sample.round)
            == (Contender::Noop, connections, round)
    });
    match noop {
        _ if contender == Contender::Noop => (1.0, 1.0),
        Some(noop) => (
            seen.requests_a_second / noop.buys_a_second,
            seen.p99_us as f64 / noop.p99_us.max(1) as f64,
        ),
        None => (f64::NAN, f64::NAN),
    }
}
