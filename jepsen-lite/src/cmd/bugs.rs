//! `jepsen-lite bugs`: plants bugs in synthetic histories, and counts which layer finds which.
//!
//! Owns: the table. Never does: plant or look for them (`checker::flashnode`). Called by `main`.

use super::Exit;
use anyhow::{Context, ensure};
use checker::flashnode::bugs::{Bug, plant};
use checker::flashnode::judge::EXACT_ALL_MAX;
use checker::flashnode::synthetic::{Doubt, Plan, Synthetic, generate};
use checker::flashnode::{Layer, judge};
use checker::search::{Budget, Verdict};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

/// A history offers a bug no place once in a few seeds; so many are tried for each that is wanted.
const TRIES_PER_SEED: u64 = 20;
/// Far above what a history of this size takes, so that no verdict hangs on the machine's speed.
const BUDGET: Budget = Budget { time: Duration::from_secs(30), memory_bytes: 256 << 20 };
/// The column of all layers' joint verdict.
const TOGETHER: &str = "together";
/// Wide enough for the longest bug's name.
const NAME_WIDTH: usize = 28;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Histories for each bug
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    seeds: u64,
    /// Operations of each history, at least 50: a shorter one has no room for some of the bugs
    #[arg(long, default_value_t = Plan::small(0).operations, value_name = "N",
          value_parser = at_least_some)]
    operations: usize,
    /// Print one JSON document instead of a table
    #[arg(long)]
    json: bool,
}

/// What was found in the histories of one row.
#[derive(Debug, Default, Serialize)]
struct Row {
    name: String,
    histories: u64,
    /// Seeds whose history offered the bug no place where anybody could notice it; others were
    /// taken for them.
    passed_over: u64,
    /// Histories in which a layer was asked: of long ones, the search is only where the witness
    /// rejects.
    asked: BTreeMap<String, u64>,
    /// Histories that were called illegal, by layer.
    illegal: BTreeMap<String, u64>,
    /// Histories of which all layers together could not tell.
    unknown: u64,
}

#[derive(Debug, Serialize)]
struct Table {
    seeds: u64,
    operations: usize,
    /// Must be illegal, every one.
    bugs: Vec<Row>,
    /// The same bugs where anything may be in doubt. What is in doubt may explain a bug, and then
    /// nobody can tell: so these are shown, and none is due.
    doubted: Vec<Row>,
    /// Must not be illegal, any.
    correct: Vec<Row>,
}

/// Histories of fewer operations than this offer some bugs no place.
const OPERATIONS_MIN: usize = 50;

fn at_least_some(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(operations) if operations >= OPERATIONS_MIN => Ok(operations),
        Ok(_) => Err(format!("at least {OPERATIONS_MIN}")),
        Err(error) => Err(format!("{error}")),
    }
}

pub(crate) fn run(args: &Args) -> anyhow::Result<Exit> {
    let mut table = Table {
        seeds: args.seeds,
        operations: args.operations,
        bugs: Vec::new(),
        doubted: Vec::new(),
        correct: Vec::new(),
    };
    let plan = |seed| Plan { operations: args.operations, ..Plan::small(seed) };
    for bug in Bug::ALL {
        table.bugs.push(planted(bug, args.seeds, plan)?);
    }
    for bug in Bug::ALL {
        let plan = |seed| Plan { doubt: Doubt::Anything, ..plan(seed) };
        table.doubted.push(planted(bug, args.seeds, plan)?);
    }
    for (name, doubt) in [
        ("correct, none in doubt", Doubt::Nothing),
        ("correct, orders in doubt", Doubt::Orders),
        ("correct, any in doubt", Doubt::Anything),
    ] {
        let mut row = Row { name: name.to_owned(), ..Row::default() };
        for seed in 0..args.seeds {
            row.count(&generate(Plan { doubt, ..plan(seed) }))?;
        }
        table.correct.push(row);
    }
    let text = if args.json { serde_json::to_string_pretty(&table)? + "\n" } else { table.text() };
    std::io::stdout().lock().write_all(text.as_bytes()).context("cannot write the table")?;
    Ok(if table.holds() { Exit::Ok } else { Exit::Illegal })
}

/// Plants a bug in as many histories as are wanted.
fn planted(bug: Bug, seeds: u64, plan: impl Fn(u64) -> Plan) -> anyhow::Result<Row> {
    let mut row = Row { name: bug.name().to_owned(), ..Row::default() };
    for seed in 0..seeds * TRIES_PER_SEED {
        if row.histories == seeds {
            break;
        }
        match plant(bug, plan(seed)) {
            Some(history) => row.count(&history)?,
            None => row.passed_over += 1,
        }
    }
    ensure!(
        row.histories == seeds,
        "{} found a place in only {} of {} histories: not a bug of the server's but of the \
         generator's",
        row.name,
        row.histories,
        seeds * TRIES_PER_SEED
    );
    Ok(row)
}

impl Row {
    fn count(&mut self, history: &Synthetic) -> anyhow::Result<()> {
        let judged = judge(&history.records, &history.ledgers, BUDGET);
        self.histories += 1;
        for found in &judged.layers {
            let illegal = u64::from(found.verdict == Verdict::Illegal);
            *self.asked.entry(layer_name(found.layer)?).or_default() += 1;
            *self.illegal.entry(layer_name(found.layer)?).or_default() += illegal;
        }
        *self.asked.entry(TOGETHER.to_owned()).or_default() += 1;
        let together = u64::from(judged.verdict == Verdict::Illegal);
        *self.illegal.entry(TOGETHER.to_owned()).or_default() += together;
        self.unknown += u64::from(judged.verdict == Verdict::Unknown);
        Ok(())
    }

    /// How many a layer calls illegal; none where it was never asked.
    fn cell(&self, column: &str) -> String {
        match self.asked.get(column) {
            None => "not asked".to_owned(),
            Some(_) => self.share(self.illegal.get(column).copied().unwrap_or(0)),
        }
    }

    fn share(&self, count: u64) -> String {
        format!("{:.0} %", count as f64 * 1e2 / self.histories as f64)
    }

    fn together(&self) -> u64 {
        self.illegal.get(TOGETHER).copied().unwrap_or(0)
    }
}

/// As the report's JSON has it.
fn layer_name(layer: Layer) -> anyhow::Result<String> {
    let name = serde_json::to_value(layer)?;
    name.as_str().map(str::to_owned).context("a layer's name is a text")
}

impl Table {
    /// Every bug is caught in every history, by some layer; and no layer cries wolf.
    fn holds(&self) -> bool {
        self.bugs.iter().all(|row| row.together() == row.histories)
            && self.correct.iter().all(|row| row.illegal.values().all(|&count| count == 0))
    }

    /// The layers by name, all together last.
    fn columns(&self) -> Vec<&str> {
        let rows = self.bugs.iter().chain(&self.doubted).chain(&self.correct);
        let names: BTreeSet<&str> =
            rows.flat_map(|row| row.illegal.keys()).map(String::as_str).collect();
        names.into_iter().filter(|name| *name != TOGETHER).chain([TOGETHER]).collect()
    }

    fn text(&self) -> String {
        let mut text = format!(
            "Histories called illegal, of {} for each row, of {} operations and more.\n\n",
            self.seeds, self.operations
        );
        let columns = self.columns();
        let mut line = |name: &str, cells: Vec<String>| {
            let _ = write!(text, "{name:<NAME_WIDTH$}");
            for cell in cells {
                let _ = write!(text, "{cell:>10}");
            }
            text.push('\n');
        };
        let head = columns.iter().copied().chain(["unknown"]);
        line("bug", head.map(str::to_owned).collect());
        let blank = || vec![String::new(); columns.len() + 1];
        let cells = |row: &Row| columns.iter().map(|column| row.cell(column)).collect::<Vec<_>>();
        for row in self.bugs.iter().chain(&self.correct) {
            line(&row.name, [cells(row), vec![row.share(row.unknown)]].concat());
        }
        line("anything in doubt, and", blank());
        for row in &self.doubted {
            line(&row.name, [cells(row), vec![row.share(row.unknown)]].concat());
        }
        text.push('\n');
        text.push_str(&self.footnote());
        if self.operations >= EXACT_ALL_MAX {
            let _ = writeln!(
                text,
                "Of more than {EXACT_ALL_MAX} operations, the search is asked only where the \
                 witness rejects: first\nabout the window around that.",
            );
        }
        text.push_str(&self.conclusion());
        text
    }

    /// The shares are of histories in which the bug could be noticed. How many were not is told.
    fn footnote(&self) -> String {
        let passed = self.bugs.iter().filter(|row| row.passed_over > 0);
        let passed: Vec<String> =
            passed.map(|row| format!("{} {}", row.name, row.passed_over)).collect();
        if passed.is_empty() {
            return "Every seed tried offered each bug a place.\n".to_owned();
        }
        format!(
            "Seeds passed over, and others taken, where a history offered a bug no place that \
             anybody could\nnotice: {}.\n",
            passed.join(", ")
        )
    }

    fn conclusion(&self) -> String {
        if self.holds() {
            return "Every bug is caught in every history, with no false alarm. Where anything may \
                    be in doubt, what is\nin doubt may explain a bug, and then it is none.\n"
                .to_owned();
        }
        let missed = self.bugs.iter().filter(|row| row.together() < row.histories);
        let missed: Vec<&str> = missed.map(|row| row.name.as_str()).collect();
        let alarms = self.correct.iter().filter(|row| row.illegal.values().any(|&count| count > 0));
        let alarms: Vec<&str> = alarms.map(|row| row.name.as_str()).collect();
        let told = |names: Vec<&str>| match names.len() {
            0 => "none".to_owned(),
            _ => names.join("; "),
        };
        format!("Missed at times: {}. False alarms: {}.\n", told(missed), told(alarms))
    }
}
