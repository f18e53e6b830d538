//! `jepsen-lite check`: a verdict for each recorded history.
//!
//! Owns: reading the files, the choice of the model, and what is printed. Never does: decide.
//!
//! | module | what it owns |
//! |---|---|
//! | `general` | a history against a model that the search alone decides |
//! | `sale` | a run of a flash sale, which every layer of `run` judges |

mod general;
mod sale;

use super::Exit;
use anyhow::{Context, bail, ensure};
use checker::Value;
use checker::flashnode::Ledgers;
use checker::format::{self, FormatError, edn};
use checker::models::{CasRegister, FailedCas, Kv, MultiRegister, Mutex};
use checker::search::{Budget, Verdict};
use checker::timeline::{self, Page};
use serde_json::{Value as Json, json};
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Decide whether recorded histories are linearizable.
///
/// Exits 4 if one is illegal, else 2 if one cannot be read, else 5 if one is unknown, else 0.
/// A history without a client's operation is unknown.
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
    /// Of cas-register, what a cas that failed tells
    #[arg(long, value_enum, default_value_t = Failed::Nothing)]
    pub(crate) failed_cas: Failed,
    /// Of flashnode, the ledgers.json beside the one history: judge the replicas, too
    #[arg(long, value_name = "LEDGERS.json")]
    pub(crate) ledgers: Option<PathBuf>,
}

/// What a compare-and-set tells that failed, as the command line names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Failed {
    /// Nothing, as Knossos has it: it did not happen
    Nothing,
    /// That the register held another value, unless an :error names another cause
    Mismatch,
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
    /// a recorded run of a flash sale, judged as `run` judges it
    Flashnode,
}

/// What came of one file.
pub(crate) struct Checked {
    pub(crate) verdict: Verdict,
    words: Vec<String>,
    json: Json,
}

const MIB: usize = 1 << 20;

/// Said of a history without a client's operation, which is unknown.
const NOTHING: &str = "nothing to check: no client does anything in it";
/// Said of one that is ok whatever the order.
const NOTHING_TOLD: &str = "shows nothing: no operation took place or told of what it met";

pub(crate) fn run(args: &Args) -> anyhow::Result<Exit> {
    let budget = budget(args)?;
    let initial = initial(args)?;
    ensure!(
        args.timeline.is_none() || args.files.len() == 1,
        "--timeline is of one history, and there are {}",
        args.files.len()
    );
    ensure!(
        args.failed_cas == Failed::Nothing || args.model == ModelName::CasRegister,
        "--failed-cas is for --model cas-register"
    );
    let ledgers = args.ledgers.as_ref().map(|path| ledgers(args, path)).transpose()?;
    let question = Question {
        initial: initial.as_ref(),
        failed_cas: match args.failed_cas {
            Failed::Nothing => FailedCas::Nothing,
            Failed::Mismatch => FailedCas::Mismatch,
        },
        ledgers: ledgers.as_ref(),
        budget,
        timeline: args.timeline.as_deref(),
    };
    let mut out = io::stdout().lock();
    let mut worst = Exit::Ok;
    for file in &args.files {
        let began = Instant::now();
        let checked = check_file(args.model, file, question);
        let elapsed = began.elapsed();
        let exit = match checked {
            Ok(checked) => {
                print(&mut out, args, (file, &checked), elapsed)?;
                match checked.verdict {
                    Verdict::Ok => Exit::Ok,
                    Verdict::Illegal => Exit::Illegal,
                    Verdict::Unknown => Exit::Unknown,
                }
            }
            Err(error) => {
                if args.json {
                    writeln!(out, "{}", unreadable(file, &error))?;
                }
                jepsen_lite::aside::say(format_args!("jepsen-lite: {error:#}"));
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

fn ledgers(args: &Args, path: &Path) -> anyhow::Result<Ledgers> {
    ensure!(args.model == ModelName::Flashnode, "--ledgers is for --model flashnode");
    ensure!(
        args.files.len() == 1,
        "--ledgers is of one history, and there are {}",
        args.files.len()
    );
    let json = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ledgers::read(&json).map_err(|error| in_file(path, &error))
}

/// FILE:LINE:COLUMN, as compilers have it, so that editors jump there.
fn in_file(file: &Path, error: &FormatError) -> anyhow::Error {
    anyhow::anyhow!("{}:{error}", file.display())
}

/// How a file is checked, and what is made of it besides.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Question<'a> {
    pub(crate) initial: Option<&'a Value>,
    pub(crate) failed_cas: FailedCas,
    pub(crate) ledgers: Option<&'a Ledgers>,
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
    let checked = check_bytes(model, &bytes, (file, question));
    checked.map_err(|error| match error.downcast_ref() {
        Some(error) => in_file(file, error),
        None => error,
    })
}

fn check_bytes(
    model: ModelName,
    bytes: &[u8],
    (file, question): (&Path, Question<'_>),
) -> anyhow::Result<Checked> {
    let text = format::text(bytes)?;
    let history = || format::read(text);
    let Question { initial, failed_cas, .. } = question;
    match model {
        ModelName::CasRegister => {
            let initial = initial.cloned().unwrap_or(Value::Nil);
            general::check(&CasRegister { initial, failed_cas }, &history()?, (file, question))
        }
        ModelName::MultiRegister => {
            let initial = match initial {
                Some(Value::Map(entries)) => entries.iter().cloned().collect(),
                _ => std::collections::BTreeMap::new(),
            };
            general::check(&MultiRegister { initial }, &history()?, (file, question))
        }
        ModelName::Kv => general::check(&Kv, &history()?, (file, question)),
        ModelName::Mutex => general::check(&Mutex, &history()?, (file, question)),
        ModelName::Flashnode => sale::check(text, (file, question)),
    }
}

fn draw(page: &Page, path: &Path) -> anyhow::Result<()> {
    let write = || timeline::write_html(page, BufWriter::new(File::create(path)?));
    write().with_context(|| format!("cannot write {}", path.display()))
}

fn print(
    out: &mut impl Write,
    args: &Args,
    (file, checked): (&Path, &Checked),
    elapsed: Duration,
) -> io::Result<()> {
    let elapsed_ms = elapsed.as_secs_f64() * 1000.0;
    if args.json {
        let mut json = checked.json.clone();
        json["file"] = json!(file.display().to_string());
        json["elapsed_ms"] = json!(elapsed_ms);
        return writeln!(out, "{json}");
    }
    let (verdict, operations) = (checked.verdict.name(), &checked.json["operations"]);
    writeln!(out, "{verdict:<8} {}  {operations} operations, {elapsed_ms:.1} ms", file.display())?;
    for line in checked.words.iter().flat_map(|words| words.lines()) {
        writeln!(out, "         {line}")?;
    }
    Ok(())
}

fn unreadable(file: &Path, error: &anyhow::Error) -> Json {
    json!({
        "file": file.display().to_string(),
        "verdict": "unreadable",
        "error": format!("{error:#}"),
    })
}
