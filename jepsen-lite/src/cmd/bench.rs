//! `jepsen-lite bench`: what the checks take on clean histories that grow, and on a folder of
//! recorded ones.
//!
//! Owns: the synthetic register histories and the table. Never does: judge by a time. Each row runs
//! in a process of its own, because a process's peak memory only rises.

use super::Exit;
use super::check::{self, ModelName, Question};
use anyhow::{Context, bail, ensure};
use checker::Value;
use checker::flashnode::synthetic::{Doubt, Plan, Synthetic, generate};
use checker::flashnode::{exact, witness};
use checker::models::cas_register::{Kind, Op};
use checker::models::{CasRegister, Key};
use checker::search::{self, Budget, Operation, Verdict};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// Time the checks on clean histories that grow
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Operations of each synthetic history
    #[arg(long, value_delimiter = ',', default_value = "1000,10000,100000,1000000")]
    sizes: Vec<usize>,
    /// Decides the synthetic histories
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Also a folder of recorded histories with its verdicts.csv: file,model,linearizable
    #[arg(long, value_name = "DIR")]
    histories: Option<PathBuf>,
    /// Run one size of one check in this process
    #[arg(long, hide = true, requires = "check")]
    only: Option<usize>,
    /// Which
    #[arg(long, hide = true)]
    check: Option<Check>,
}

/// What is timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Check {
    /// The exact search on the model cas-register.
    Register,
    /// The exact search on the model flashnode, holds and expiries among its operations.
    Sale,
    /// The witness on the same histories.
    Witness,
}

impl Check {
    const ALL: [Self; 3] = [Self::Register, Self::Sale, Self::Witness];

    fn name(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::Sale => "sale",
            Self::Witness => "witness",
        }
    }
}

const CLIENTS: usize = 16;
const VALUES: i64 = 5;
/// Products of a sale.
const PRODUCTS: usize = 20;

pub(crate) fn run(args: &Args) -> anyhow::Result<Exit> {
    if let (Some(size), Some(check)) = (args.only, args.check) {
        return one_row(check, size, args.seed);
    }
    println!("clean histories of {CLIENTS} clients, seed {}", args.seed);
    println!(
        "check     operations  check ms  ns/operation  history MiB  + check MiB  configurations  \
         verdict"
    );
    let program = std::env::current_exe().context("where this program is")?;
    let mut worst = Exit::Ok;
    for check in Check::ALL {
        for size in args.sizes.iter().map(ToString::to_string) {
            let seed = args.seed.to_string();
            let status = Command::new(&program)
                .args(["bench", "--check", check.name(), "--only", &size, "--seed", &seed])
                .status()
                .context("cannot start a process for one row")?;
            if !status.success() {
                worst = Exit::Unknown;
            }
        }
    }
    if let Some(dir) = &args.histories {
        let exit = folder(dir)?;
        if worst == Exit::Ok {
            worst = exit;
        }
    }
    Ok(worst)
}

/// What a check came to.
struct Came {
    verdict: Verdict,
    /// Those that a search remembered; none of the witness.
    configurations: Option<usize>,
}

fn one_row(check: Check, size: usize, seed: u64) -> anyhow::Result<Exit> {
    match check {
        Check::Register => {
            let operations = synthetic(size, seed);
            timed(check, size, || {
                let model = CasRegister::default();
                let report = search::check(&model, &operations, Budget::default());
                let all = report.partitions.iter().map(|it| it.statistics.configurations);
                Came { verdict: report.verdict, configurations: Some(all.sum()) }
            })
        }
        Check::Sale => {
            let Synthetic { records, ledgers } = sale(size, seed);
            timed(check, size, || {
                let found = exact::check(&records, &ledgers, Budget::default());
                let all = found.statistics.iter().map(|it| it.configurations);
                Came { verdict: found.verdict, configurations: Some(all.sum()) }
            })
        }
        Check::Witness => {
            let Synthetic { records, ledgers } = sale(size, seed);
            timed(check, size, || {
                let found = witness::check(&records, &ledgers);
                Came { verdict: found.verdict, configurations: None }
            })
        }
    }
}

fn sale(size: usize, seed: u64) -> Synthetic {
    let (products, doubt) = (PRODUCTS, Doubt::Nothing);
    generate(Plan { seed, operations: size, clients: CLIENTS as u32, products, nodes: 1, doubt })
}

/// Runs a check and prints its row.
fn timed(check: Check, size: usize, run: impl FnOnce() -> Came) -> anyhow::Result<Exit> {
    let history_kib = peak_kib()?;
    let began = Instant::now();
    let Came { verdict, configurations } = run();
    let elapsed = began.elapsed();
    println!(
        "{:<8}  {size:>10}  {:>8.1}  {:>12}  {:>11}  {:>11}  {:>14}  {}",
        check.name(),
        elapsed.as_secs_f64() * 1000.0,
        elapsed.as_nanos() / size.max(1) as u128,
        history_kib / 1024,
        (peak_kib()? - history_kib) / 1024,
        configurations.map_or("-".to_owned(), |count| count.to_string()),
        verdict.name(),
    );
    Ok(if verdict == Verdict::Ok { Exit::Ok } else { Exit::Unknown })
}

/// The most memory that this process ever had resident, in KiB.
fn peak_kib() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status").context("cannot read VmHWM")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.context("no VmHWM in /proc/self/status")?.parse().context("VmHWM")
}

/// Where a client's operation is.
enum Stage {
    Idle,
    Invoked { at: usize, asked: Kind },
    Effective { at: usize, kind: Kind },
}

/// A clean history: each operation takes effect at one moment between its ends.
fn synthetic(size: usize, seed: u64) -> Vec<Operation<Op>> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut clients: Vec<Stage> = (0..CLIENTS).map(|_| Stage::Idle).collect();
    let mut register = Value::Nil;
    let mut operations = Vec::with_capacity(size);
    let mut clock = 0;
    while operations.len() < size {
        let client = &mut clients[rng.random_range(0..CLIENTS)];
        clock += 1;
        *client = match std::mem::replace(client, Stage::Idle) {
            Stage::Idle => {
                let mut value = || Value::Int(rng.random_range(0..VALUES));
                let (a, b) = (value(), value());
                let asked = match rng.random_range(0..3) {
                    0 => Kind::Read(a),
                    1 => Kind::Write(a),
                    _ => Kind::Cas(a, b),
                };
                Stage::Invoked { at: clock, asked }
            }
            Stage::Invoked { at, asked } => {
                let kind = take_effect(&mut register, asked);
                Stage::Effective { at, kind }
            }
            Stage::Effective { at, kind } => {
                let op = Op { key: Key(None), kind };
                operations.push(Operation { op, invoked: at, returned: Some(clock) });
                Stage::Idle
            }
        };
    }
    // What took effect and never returned may have been seen.
    for client in clients {
        if let Stage::Effective { at, kind: kind @ (Kind::Write(_) | Kind::Cas(..)) } = client {
            let op = Op { key: Key(None), kind };
            operations.push(Operation { op, invoked: at, returned: None });
        }
    }
    operations
}

fn take_effect(register: &mut Value, asked: Kind) -> Kind {
    match asked {
        Kind::Read(_) => Kind::Read(register.clone()),
        Kind::Write(value) => {
            *register = value.clone();
            Kind::Write(value)
        }
        Kind::Cas(old, new) | Kind::Mismatch(old, new) if *register != old => {
            Kind::Mismatch(old, new)
        }
        Kind::Cas(old, new) | Kind::Mismatch(old, new) => {
            *register = new.clone();
            Kind::Cas(old, new)
        }
    }
}

/// Checks each history of a folder; reading the files is part of the time.
fn folder(dir: &Path) -> anyhow::Result<Exit> {
    let began = Instant::now();
    let table = dir.join("verdicts.csv");
    let rows = std::fs::read_to_string(&table)
        .with_context(|| format!("cannot read {}", table.display()))?;
    let (mut checked, mut wrong) = (0, 0);
    for (index, row) in rows.lines().enumerate().skip(1) {
        let [file, model, linearizable] = row.split(',').collect::<Vec<_>>()[..] else {
            bail!("{}:{}: file,model,linearizable is due", table.display(), index + 1)
        };
        let name = <ModelName as clap::ValueEnum>::from_str(model, false)
            .map_err(|what| anyhow::anyhow!("{}:{}: {what}", table.display(), index + 1))?;
        let result = check::check_file(name, &dir.join(file), Question::default())?;
        let expected = if linearizable == "true" { Verdict::Ok } else { Verdict::Illegal };
        if result.verdict != expected {
            println!("wrong: {file} is {}, not {}", result.verdict.name(), expected.name());
            wrong += 1;
        }
        checked += 1;
    }
    ensure!(checked > 0, "{} lists no histories", table.display());
    let elapsed_ms = began.elapsed().as_secs_f64() * 1000.0;
    println!("{checked} recorded histories: {elapsed_ms:.1} ms, {wrong} wrong");
    Ok(if wrong == 0 { Exit::Ok } else { Exit::Illegal })
}
