//! `jepsen-lite check`: a verdict for each recorded history.
//!
//! Owns: reading the files, the choice of the model, and what is printed. Never does: decide.

use super::Exit;
use anyhow::{Context, bail, ensure};
use checker::flashnode::model::Sale;
use checker::format::{self, FormatError, edn};
use checker::models::{CasRegister, Kv, MultiRegister, Mutex};
use checker::search::{self, Budget, Finding, RanOut, Report, Statistics, Verdict};
use checker::timeline::{self, Page, Told};
use checker::{History, Malformed, Model, Value, explain};
use serde_json::{Value as Json, json};
use std::fs::File;
use std::io::{self, BufWriter, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Decide whether recorded histories are linearizable.
///
/// Exits 4 if one is illegal, else 2 if one cannot be read, else 5 if one is unknown, else 0.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What the history is one of
    #[arg(long, value_enum)]
    pub(crate) model: ModelName,
    /// Histories: EDN, Jepsen's etcd log or JSONL, told by content; - is standard input
    #[arg(required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// One JSON object a file
    #[arg(long)]
    pub(crate) json: bool,
    /// Draw the one history as an HTML file
    #[arg(long, value_name = "OUT.html")]
    pub(crate) timeline: Option<PathBuf>,
    /// Seconds for each file; past it the verdict is unknown
    #[arg(long, default_value_t = 60.0, value_name = "SECONDS")]
    pub(crate) time_limit: f64,
    /// MiB of search memory; past it the verdict is unknown
    #[arg(long, default_value_t = 2048, value_name = "MIB")]
    pub(crate) memory_limit: usize,
    /// What the register holds at first, as EDN; of multi-register, a map such as {:x 0}
    #[arg(long, value_name = "EDN")]
    pub(crate) initial: Option<String>,
}

/// The models, as the command line names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ModelName {
    /// read, write, cas
    CasRegister,
    /// transactions of reads and writes over registers
    MultiRegister,
    /// get, put, append by key
    Kv,
    /// acquire, release
    Mutex,
    /// a flash sale
    Flashnode,
}

/// What came of one file.
pub(crate) struct Checked {
    pub(crate) verdict: Verdict,
    words: Vec<String>,
    json: Json,
}

const MIB: usize = 1 << 20;

/// The most illegal partitions of a file that are told of in words.
const EXPLAINED_MAX: usize = 3;

pub(crate) fn run(args: &Args) -> anyhow::Result<Exit> {
    let budget = budget(args)?;
    let initial = initial(args)?;
    ensure!(
        args.timeline.is_none() || args.files.len() == 1,
        "--timeline is of one history, and there are {}",
        args.files.len()
    );
    let mut worst = Exit::Ok;
    for file in &args.files {
        let began = Instant::now();
        let question =
            Question { initial: initial.as_ref(), budget, timeline: args.timeline.as_deref() };
        let checked = check_file(args.model, file, question);
        let elapsed = began.elapsed();
        let exit = match checked {
            Ok(checked) => {
                print(args, file, &checked, elapsed);
                match checked.verdict {
                    Verdict::Ok => Exit::Ok,
                    Verdict::Illegal => Exit::Illegal,
                    Verdict::Unknown => Exit::Unknown,
                }
            }
            Err(error) => {
                if args.json {
                    println!("{}", unreadable(file, &error));
                }
                eprintln!("jepsen-lite: {error:#}");
                Exit::Unusable
            }
        };
        worst = worse(worst, exit);
    }
    Ok(worst)
}

/// An illegal history is what must not be missed, also beside a file that cannot be read; and
/// what cannot be read may hide an illegal one, which an unknown one was at least searched for.
fn worse(a: Exit, b: Exit) -> Exit {
    let rank = |exit| match exit {
        Exit::Ok => 0,
        Exit::Unknown => 1,
        Exit::Unusable => 2,
        Exit::Illegal => 3,
    };
    if rank(a) >= rank(b) { a } else { b }
}

fn budget(args: &Args) -> anyhow::Result<Budget> {
    let time = Duration::try_from_secs_f64(args.time_limit)
        .with_context(|| format!("--time-limit {}: not a number of seconds", args.time_limit))?;
    Ok(Budget { time, memory_bytes: args.memory_limit.saturating_mul(MIB) })
}

fn initial(args: &Args) -> anyhow::Result<Option<Value>> {
    let Some(text) = &args.initial else { return Ok(None) };
    let value = edn::read_value(text).with_context(|| format!("--initial {text}"))?;
    match args.model {
        ModelName::CasRegister => {}
        ModelName::MultiRegister if matches!(value, Value::Map(_)) => {}
        ModelName::MultiRegister => bail!("--initial {text}: multi-register takes a map"),
        _ => bail!("--initial is for cas-register and multi-register"),
    }
    Ok(Some(value))
}

/// How a file is checked, and what is made of it besides.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Question<'a> {
    pub(crate) initial: Option<&'a Value>,
    pub(crate) budget: Budget,
    /// Where to draw it.
    pub(crate) timeline: Option<&'a Path>,
}

/// Reads, checks and draws one file.
pub(crate) fn check_file(
    model: ModelName,
    file: &Path,
    question: Question<'_>,
) -> anyhow::Result<Checked> {
    let mut bytes = Vec::new();
    let read = if file.as_os_str() == "-" {
        io::stdin().read_to_end(&mut bytes).map(drop)
    } else {
        std::fs::read(file).map(|content| bytes = content)
    };
    read.with_context(|| format!("cannot read {}", file.display()))?;
    // FILE:LINE:COLUMN, as compilers have it, so that editors jump there.
    let at = |error: FormatError| anyhow::anyhow!("{}:{error}", file.display());
    let history = format::read_bytes(&bytes).map_err(at)?;
    drop(bytes);
    let initial = question.initial;
    let checked = match model {
        ModelName::CasRegister => {
            let initial = initial.cloned().unwrap_or(Value::Nil);
            check(&CasRegister { initial }, &history, (file, question))
        }
        ModelName::MultiRegister => {
            let entries = match initial {
                Some(Value::Map(entries)) => entries.iter().cloned().collect(),
                _ => std::collections::BTreeMap::new(),
            };
            check(&MultiRegister { initial: entries }, &history, (file, question))
        }
        ModelName::Kv => check(&Kv, &history, (file, question)),
        ModelName::Mutex => check(&Mutex, &history, (file, question)),
        ModelName::Flashnode => check(&Sale, &history, (file, question)),
    };
    match checked {
        Err(CheckError::Format(error)) => Err(at(error)),
        Err(CheckError::Draw(path, error)) => {
            Err(error).with_context(|| format!("cannot write {}", path.display()))
        }
        Ok(checked) => Ok(checked),
    }
}

enum CheckError {
    Format(FormatError),
    Draw(PathBuf, io::Error),
}

impl From<Malformed> for CheckError {
    fn from(malformed: Malformed) -> Self {
        Self::Format(FormatError::of(&malformed))
    }
}

fn check<M: Model>(
    model: &M,
    history: &History,
    (file, question): (&Path, Question<'_>),
) -> Result<Checked, CheckError> {
    let (began, budget) = (Instant::now(), question.budget);
    let operations = history.operations(model)?;
    let report = search::check(model, &operations, budget);
    let left = Budget { time: budget.time.saturating_sub(began.elapsed()), ..budget };
    let explanations = explain::explain(model, &operations, &report, Some(history), left);
    if let Some(path) = question.timeline {
        let title = file.display().to_string();
        let told = Told { title: &title, verdict: report.verdict, explanations: &explanations };
        let page = timeline::page_of(model, history, told)?;
        draw(&page, path).map_err(|error| CheckError::Draw(path.to_owned(), error))?;
    }
    let mut words = Vec::new();
    for explanation in explanations.iter().take(EXPLAINED_MAX) {
        if report.partitions.len() > 1 {
            words.push(format!("partition {}:", explanation.partition));
        }
        words.push(explanation.words());
    }
    if explanations.len() > EXPLAINED_MAX {
        let more = explanations.len() - EXPLAINED_MAX;
        words.push(format!("and {more} more partitions; --json tells of all"));
    }
    for partition in &report.partitions {
        if let Finding::RanOut(what) = partition.finding {
            let (what, flag) = match what {
                RanOut::Time => ("time", "--time-limit"),
                RanOut::Memory => ("memory", "--memory-limit"),
            };
            let key = &partition.key;
            words.push(format!("partition {key} ran out of {what}; see {flag}"));
        }
    }
    let total = total(&report);
    let json = json!({
        "verdict": report.verdict.name(),
        "model": model.name(),
        "events": history.events.len(),
        "operations": operations.len(),
        "unknown_operations": total.unknown,
        "partitions": report.partitions.len(),
        "steps": total.steps,
        "configurations": total.configurations,
        "explanations": explanations,
    });
    Ok(Checked { verdict: report.verdict, words, json })
}

fn draw(page: &Page, path: &Path) -> io::Result<()> {
    timeline::write_html(page, BufWriter::new(File::create(path)?))
}

fn total<Key, State>(report: &Report<Key, State>) -> Statistics {
    let mut total = Statistics::default();
    for partition in &report.partitions {
        total.unknown += partition.statistics.unknown;
        total.steps += partition.statistics.steps;
        total.configurations += partition.statistics.configurations;
    }
    total
}

fn print(args: &Args, file: &Path, checked: &Checked, elapsed: Duration) {
    let elapsed_ms = elapsed.as_secs_f64() * 1000.0;
    if args.json {
        let mut json = checked.json.clone();
        json["file"] = json!(file.display().to_string());
        json["elapsed_ms"] = json!(elapsed_ms);
        println!("{json}");
        return;
    }
    let operations = &checked.json["operations"];
    println!(
        "{:<8} {}  {operations} operations, {elapsed_ms:.1} ms",
        checked.verdict.name(),
        file.display()
    );
    for words in &checked.words {
        for line in words.lines() {
            println!("         {line}");
        }
    }
}

fn unreadable(file: &Path, error: &anyhow::Error) -> Json {
    json!({
        "file": file.display().to_string(),
        "verdict": "unreadable",
        "error": format!("{error:#}"),
    })
}
