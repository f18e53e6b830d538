//! `bench failover`: accepted buys around the end of a leader, in spans of 50 ms.
//!
//! The load is an open loop at a part of what the cluster can do, so that what falls due in the
//! gap is not left out. The leader's process is killed, or told to end; it is started again later.

use crate::cluster::{self, WAIT_MAX};
use crate::machine::Machine;
use crate::paced::{self, Outcome, Plan, Seen};
use crate::report::{self, Line};
use crate::samples::Spread;
use clap::Args;
use serde::Serialize;
use std::path::PathBuf;
use std::time::Duration;

const SPAN: Duration = Duration::from_millis(50);
const ENDS_AFTER: Duration = Duration::from_secs(3);
const GONE_FOR: Duration = Duration::from_secs(3);
const LASTING: Duration = Duration::from_secs(9);
const UNITS: u64 = 1_000_000_000;

/// What to measure.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Rounds of each kind; medians are over them
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=100))]
    rounds: u16,
    /// The load, as a part of what a closed loop of 256 connections reaches
    #[arg(long, default_value_t = 0.8)]
    load: f64,
    /// Connections
    #[arg(long, default_value_t = 192)]
    connections: usize,
    /// Where `failover.json` and `failover.svg` go
    #[arg(long, default_value = "target/bench")]
    out: PathBuf,
    /// The flashnode program [default: beside this one, or in target/]
    #[arg(long)]
    binary: Option<PathBuf>,
}

/// How a leader ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
enum End {
    SigKill,
    SigTerm,
}

/// One leader's end.
#[derive(Debug, Serialize)]
struct Round {
    end: End,
    due_a_second: f64,
    /// The longest time between two accepted buys from the end on.
    gap_ms: f64,
    accepted: usize,
    shed: usize,
    unknown: usize,
    /// Accepted buys in each 50 ms.
    line: Vec<usize>,
}

#[derive(Debug, Serialize)]
struct Measured<'a> {
    rounds: &'a [Round],
}

/// Measures, prints, writes.
///
/// # Errors
/// When a node fails, or an answer is none that a buyer should ever get.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let machine = Machine::look();
    println!("{}", machine.in_words());
    let mut rounds = Vec::new();
    for number in 1..=options.rounds {
        for end in [End::SigKill, End::SigTerm] {
            let round = measure(&options, end, number).await?;
            println!(
                "round {number}, {end:?}: {:.0} due a second, gap {:.0} ms, {} accepted, {} shed, \
                 {} unknown",
                round.due_a_second, round.gap_ms, round.accepted, round.shed, round.unknown
            );
            rounds.push(round);
        }
    }
    for end in [End::SigKill, End::SigTerm] {
        let of = rounds.iter().filter(|round| round.end == end).map(|round| round.gap_ms);
        if let Some(Spread { median, least, most }) = Spread::of(of) {
            println!("{end:?}: gap {median:.0} ms ({least:.0}–{most:.0})");
        }
    }
    std::fs::create_dir_all(&options.out)?;
    let (json, plot) = (options.out.join("failover.json"), options.out.join("failover.svg"));
    std::fs::write(&json, report::json(&machine, &Measured { rounds: &rounds })?)?;
    let lines: Vec<Line> = rounds.iter().take(2).map(as_line).collect();
    std::fs::write(&plot, report::lines("Accepted buys in each 50 ms", SPAN, &lines))?;
    println!("samples: {}, plot: {}", json.display(), plot.display());
    Ok(())
}

fn as_line(round: &Round) -> Line {
    let name = format!("{:?} of the leader after {} s", round.end, ENDS_AFTER.as_secs());
    Line { name, values: round.line.iter().map(|count| *count as f64).collect() }
}

async fn measure(options: &Options, end: End, number: u16) -> anyhow::Result<Round> {
    let mut cluster = cluster::start(options.binary.clone(), &[], UNITS).await?;
    let most = cluster::capacity(&cluster, 256, 3, "capacity").await?.requests_a_second;
    let plan = Plan {
        targets: cluster.addresses(),
        buys_a_second: most * options.load,
        connections: options.connections,
        lasting: LASTING,
        salt: format!("f{number}"),
    };
    let leader = cluster.leader().await?;
    let due_a_second = plan.buys_a_second;
    let load = tokio::spawn(async move { paced::run(&plan).await });
    tokio::time::sleep(ENDS_AFTER).await;
    match end {
        End::SigKill => cluster.kill(leader)?,
        End::SigTerm => cluster.terminate(leader)?,
    }
    tokio::time::sleep(GONE_FOR).await;
    if end == End::SigTerm {
        cluster.wait_exit(leader, WAIT_MAX).await?;
    }
    cluster.start_node(leader)?;
    let seen = load.await??;
    if let Some(odd) = seen.buys.iter().find(|buy| matches!(buy.outcome, Outcome::Odd(_))) {
        anyhow::bail!("a buy was answered {:?}", odd.outcome);
    }
    Ok(Round {
        end,
        due_a_second,
        gap_ms: gap(&seen).as_secs_f64() * 1e3,
        accepted: seen.accepted().count(),
        shed: seen.count(|outcome| outcome == Outcome::Shed),
        unknown: seen.count(|outcome| outcome == Outcome::Unknown),
        line: seen.accepted_by(SPAN),
    })
}

/// The longest time between two accepted buys while the leader is gone.
fn gap(seen: &Seen) -> Duration {
    // Whoever was answered just before its end is where the gap begins, so all are moved by that.
    let (begin, end) = (ENDS_AFTER, ENDS_AFTER + GONE_FOR);
    let mut answered: Vec<Duration> = seen
        .accepted()
        .map(|buy| buy.due + buy.latency + SPAN)
        .filter(|at| (begin..end).contains(at))
        .collect();
    // Where nobody is answered any more, the gap lasts as long as it was looked for.
    answered.push(end);
    answered.sort_unstable();
    let pauses = answered.windows(2).map(|pair| pair[1].saturating_sub(pair[0]));
    pauses.max().unwrap_or(GONE_FOR)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paced::Bought;

    /// Answers every 10 ms but in the given times.
    fn gap_without(silent: std::ops::Range<u64>) -> Duration {
        let at = (0..9_000).step_by(10).filter(|at| !silent.contains(at));
        let bought = |at| Bought {
            due: Duration::from_millis(at),
            latency: Duration::ZERO,
            service: Duration::ZERO,
            target: 0,
            outcome: Outcome::Accepted,
        };
        gap(&Seen { buys: at.map(bought).collect() })
    }

    #[test]
    fn a_gap_is_as_long_as_nobody_was_answered() {
        assert_eq!(gap_without(0..0), Duration::from_millis(10));
        assert_eq!(gap_without(3_000..3_400), Duration::from_millis(410));
        assert_eq!(gap_without(3_000..9_000), Duration::from_millis(2_960));
        assert_eq!(gap_without(0..9_000), GONE_FOR);
    }
}
