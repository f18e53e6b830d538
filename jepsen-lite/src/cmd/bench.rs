//! `jepsen-lite bench`: what the checks take on clean histories that grow, and on a folder of
//! recorded ones.
//!
//! Owns: the table. Never does: judge by a time. Each row runs
//! in a process of its own, because a process's peak memory only rises.

use super::Exit;
use super::check::{self, ModelName, Question};
use anyhow::{Context, bail, ensure};
use checker::flashnode::synthetic::{Doubt, Plan, Synthetic, generate};
use checker::flashnode::{exact, witness};
use checker::models::{CasRegister, synthetic};
use checker::search::{self, Budget, Verdict};
use serde::{Deserialize, Serialize};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
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
/// Products of a sale.
const PRODUCTS: usize = 20;

pub(crate) fn run(args: &Args) -> anyhow::Result<Exit> {
    if let (Some(size), Some(check)) = (args.only, args.check) {
        let row = row(check, size, args.seed)?;
        writeln!(io::stdout(), "{}", serde_json::to_string(&row)?)?;
        return Ok(Exit::Ok);
    }
    let mut out = io::stdout().lock();
    writeln!(out, "clean histories of {CLIENTS} clients, seed {}", args.seed)?;
    writeln!(
        out,
        "check     operations  check ms  ns/operation  history MiB  + check MiB  configurations  \
         verdict"
    )?;
    let mut worst = Exit::Ok;
    for check in Check::ALL {
        let mut rows = Vec::new();
        for &size in &args.sizes {
            let row = row_of_a_process(check, size, args.seed)?;
            writeln!(out, "{}", row.text(check))?;
            if row.verdict != Verdict::Ok.name() {
                worst = Exit::Unknown;
            }
            rows.push(row);
        }
        if let Some(words) = growth(&rows) {
            writeln!(out, "{words}")?;
        }
    }
    if let Some(dir) = &args.histories {
        let exit = folder(&mut out, dir)?;
        if worst == Exit::Ok {
            worst = exit;
        }
    }
    Ok(worst)
}

/// One size of one check.
#[derive(Debug, Serialize, Deserialize)]
struct Row {
    operations: usize,
    elapsed_ns: u64,
    /// The most memory of the process before the check.
    history_kib: u64,
    /// What the check came to need beyond it.
    check_kib: u64,
    /// Those that a search remembered; none of the witness.
    configurations: Option<usize>,
    verdict: String,
}

impl Row {
    fn ns_an_operation(&self) -> u64 {
        self.elapsed_ns / self.operations.max(1) as u64
    }

    fn text(&self, check: Check) -> String {
        format!(
            "{:<8}  {:>10}  {:>8.1}  {:>12}  {:>11}  {:>11}  {:>14}  {}",
            check.name(),
            self.operations,
            self.elapsed_ns as f64 / 1e6,
            self.ns_an_operation(),
            self.history_kib / 1024,
            self.check_kib / 1024,
            self.configurations.map_or("-".to_owned(), |count| count.to_string()),
            self.verdict,
        )
    }
}

/// What an operation costs in the two longest histories: the same, where time and memory grow
/// with the length and no faster.
fn growth(rows: &[Row]) -> Option<String> {
    let mut rows: Vec<&Row> = rows.iter().collect();
    rows.sort_by_key(|row| row.operations);
    let [.., shorter, longer] = rows[..] else { return None };
    let bytes = |row: &Row| row.check_kib * 1024 / row.operations.max(1) as u64;
    let times = longer.ns_an_operation() as f64 / shorter.ns_an_operation().max(1) as f64;
    Some(format!(
        "          {} operations: {times:.2} times the time, an operation, of {}; {} bytes an \
         operation, after {}",
        longer.operations,
        shorter.operations,
        bytes(longer),
        bytes(shorter),
    ))
}

fn row_of_a_process(check: Check, size: usize, seed: u64) -> anyhow::Result<Row> {
    let program = std::env::current_exe().context("where this program is")?;
    let output = Command::new(&program)
        .args(["bench", "--check", check.name(), "--only", &size.to_string()])
        .args(["--seed", &seed.to_string()])
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start a process for one row")?;
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).with_context(|| {
        format!("the process for {size} operations of {} ended without a row", check.name())
    })
}

/// What a check came to.
struct Came {
    verdict: Verdict,
    configurations: Option<usize>,
}

fn row(check: Check, size: usize, seed: u64) -> anyhow::Result<Row> {
    match check {
        Check::Register => {
            let operations =
                synthetic::register(synthetic::Plan { seed, operations: size, clients: CLIENTS });
            timed(size, || {
                let model = CasRegister::default();
                let report = search::check(&model, &operations, Budget::default());
                let all = report.partitions.iter().map(|it| it.statistics.configurations);
                Came { verdict: report.verdict, configurations: Some(all.sum()) }
            })
        }
        Check::Sale => {
            let Synthetic { records, ledgers } = sale(size, seed);
            timed(size, || {
                let found = exact::check(&records, &ledgers, Budget::default());
                let all = found.statistics.iter().map(|it| it.configurations);
                Came { verdict: found.verdict, configurations: Some(all.sum()) }
            })
        }
        Check::Witness => {
            let Synthetic { records, ledgers } = sale(size, seed);
            timed(size, || {
                let found = witness::check(&records, &ledgers);
                Came { verdict: found.verdict, configurations: None }
            })
        }
    }
}

fn sale(size: usize, seed: u64) -> Synthetic {
    let (products, doubt) = (PRODUCTS, Doubt::Nothing);
    let (operations, clients) = (size, CLIENTS as u32);
    generate(Plan { operations, clients, products, nodes: 1, doubt, ..Plan::small(seed) })
}

/// Runs a check.
fn timed(operations: usize, run: impl FnOnce() -> Came) -> anyhow::Result<Row> {
    let history_kib = peak_kib()?;
    let began = Instant::now();
    let Came { verdict, configurations } = run();
    let elapsed_ns = began.elapsed().as_nanos() as u64;
    let check_kib = peak_kib()? - history_kib;
    let verdict = verdict.name().to_owned();
    Ok(Row { operations, elapsed_ns, history_kib, check_kib, configurations, verdict })
}

/// The most memory that this process ever had resident, in KiB.
fn peak_kib() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status").context("cannot read VmHWM")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.context("no VmHWM in /proc/self/status")?.parse().context("VmHWM")
}

/// Checks each history of a folder; reading the files is part of the time.
fn folder(out: &mut impl Write, dir: &Path) -> anyhow::Result<Exit> {
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
            let (is, due) = (result.verdict.name(), expected.name());
            writeln!(out, "wrong: {file} is {is}, not {due}")?;
            wrong += 1;
        }
        checked += 1;
    }
    ensure!(checked > 0, "{} lists no histories", table.display());
    let elapsed_ms = began.elapsed().as_secs_f64() * 1000.0;
    writeln!(out, "{checked} recorded histories: {elapsed_ms:.1} ms, {wrong} wrong")?;
    Ok(if wrong == 0 { Exit::Ok } else { Exit::Illegal })
}
