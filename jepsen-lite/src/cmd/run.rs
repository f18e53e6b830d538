//! `jepsen-lite run`: one run, watched, with a verdict that a person can read.

use super::Exit;
use checker::flashnode::judge::name;
use checker::search::Verdict;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jepsen_lite::aside;
use jepsen_lite::nemesis::{self, Effect, Fault};
use jepsen_lite::report::reasons;
use jepsen_lite::run::{self, Keep, Plan, Progress, RunReport, Tally};
use jepsen_lite::workload;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

/// Where nobody looks at a bar, a line tells of progress this often.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// The most reasons printed; the report has all.
const REASONS_MAX: usize = 10;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Nodes of the cluster: 3 or 5
    #[arg(long, value_name = "N", default_value_t = 3)]
    nodes: u64,
    /// Seconds during which clients ask and faults come and go; longer, up to 15 s a kind, until
    /// each kind of fault was seen to take hold
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0)]
    time: f64,
    /// What clients ask: buy, hold, mixed, read-heavy or hot-product
    #[arg(long, value_name = "NAME", default_value_t = workload::Kind::Mixed)]
    workload: workload::Kind,
    /// Faults, comma separated, or `all` or `none`: kill, pause, partition, slow, lossy, clock,
    /// disk-full, corrupt, truncate, purge, wipe, rolling, unsynced
    #[arg(long, value_name = "LIST", default_value = "all")]
    nemesis: String,
    /// Clients that ask at the same time
    #[arg(long, value_name = "C", default_value_t = 16)]
    concurrency: u32,
    /// Operations a second at most, over all clients [default: unbounded]
    #[arg(long, value_name = "R")]
    rate: Option<u32>,
    /// Decides operations, faults and what stays unsettled [default: from the clock, printed]
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Where everything goes [default: ./jepsen-runs/SECONDS-SEED]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// The flashnode program [default: beside this one, or in target/]
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// Keep the nodes' data directories; logs always stay
    #[arg(long)]
    keep: bool,
    /// Print results.json instead of words
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<Exit> {
    let plan = plan(args)?;
    if !args.json {
        writeln!(io::stdout(), "{}", in_words(&plan))?;
    }
    let screen = Screen::new(plan.time);
    let runtime = tokio::runtime::Runtime::new()?;
    let show = |progress: Progress<'_>| screen.show(progress);
    let report = runtime.block_on(async {
        tokio::select! {
            report = run::run(&plan, &show) => Some(report.map_err(anyhow::Error::new)),
            // The cluster is dropped with the run, and its nodes are ended.
            interrupted = interrupted() => interrupted.err().map(|error| Err(error.into())),
            // Nobody looks any more: `| head` ends a run as Ctrl-C does.
            () = screen.closed.notified() => Some(Err(closed_pipe())),
        }
    });
    // A check that goes on after an interruption is not waited for.
    runtime.shutdown_background();
    screen.bar.finish_and_clear();
    let Some(report) = report else { anyhow::bail!("interrupted; nothing was decided") };
    let report = report?;
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", std::fs::read_to_string(plan.dir.join("results.json"))?)?;
    } else {
        conclude(&mut out, &plan, &report)?;
    }
    Ok(match report.verdict {
        Verdict::Ok => Exit::Ok,
        Verdict::Illegal => Exit::Illegal,
        Verdict::Unknown => Exit::Unknown,
    })
}

fn closed_pipe() -> anyhow::Error {
    io::Error::from(io::ErrorKind::BrokenPipe).into()
}

/// Ends at SIGINT, which is Ctrl-C, or SIGTERM.
async fn interrupted() -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted,
        _ = terminate.recv() => Ok(()),
    }
}

fn plan(args: &Args) -> anyhow::Result<Plan> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // A short number is easier to type again.
    let seed = args.seed.unwrap_or(u64::from(now.subsec_nanos()) % 1_000_000);
    let time = Duration::try_from_secs_f64(args.time)
        .map_err(|why| anyhow::anyhow!("--time {}: {why}; use seconds, such as 60", args.time))?;
    let dir = args.dir.clone();
    let dir = dir.unwrap_or_else(|| format!("jepsen-runs/{}-{seed}", now.as_secs()).into());
    let mut plan = Plan::new(seed, dir);
    plan.nodes = args.nodes;
    plan.time = time;
    plan.workload = args.workload;
    plan.nemeses = nemesis::Kind::parse_list(&args.nemesis)
        .map_err(|why| anyhow::anyhow!("--nemesis: {why}"))?;
    plan.concurrency = args.concurrency;
    plan.rate = args.rate;
    plan.binary.clone_from(&args.binary);
    plan.keep = if args.keep { Keep::Everything } else { Keep::LogsOnly };
    Ok(plan)
}

fn in_words(plan: &Plan) -> String {
    let nemeses: Vec<&str> = plan.nemeses.iter().map(|kind| kind.name()).collect();
    format!(
        "{} nodes, {:?} of {} from {} clients, {}, faults: {}, seed {}",
        plan.nodes,
        plan.time,
        plan.workload,
        plan.concurrency,
        plan.rate.map_or("as fast as it goes".into(), |rate| format!("{rate} a second at most")),
        if nemeses.is_empty() { "none".into() } else { nemeses.join(", ") },
        plan.seed
    )
}

fn conclude(out: &mut impl Write, plan: &Plan, report: &RunReport) -> io::Result<()> {
    let Tally { ok, fail, info, expired } = report.tally;
    let expired = match expired {
        0 => String::new(),
        count => format!(", and {count} holds ran out"),
    };
    writeln!(
        out,
        "\n{} operations, {:.0} a second: {ok} ok, {fail} fail, {info} info{expired}",
        report.tally.asked(),
        report.rate
    )?;
    let installed = |fault: &&Fault| fault.effect == Effect::Installed;
    writeln!(
        out,
        "{} faults, {} seen to take hold",
        report.faults.len(),
        report.faults.iter().filter(installed).count()
    )?;
    for finding in &report.judgement.layers {
        writeln!(
            out,
            "  {:8} {:8} {:6.0} ms  {}",
            format!("{:?}", finding.layer).to_lowercase(),
            name(finding.verdict),
            finding.took.as_secs_f64() * 1e3,
            finding.notes.join("; ")
        )?;
    }
    writeln!(out, "\nverdict: {}", name(report.verdict))?;
    let reasons = reasons::in_short(&report.why);
    for why in reasons.iter().take(REASONS_MAX) {
        writeln!(out, "  {}", reasons::cut(why))?;
    }
    if reasons.len() > REASONS_MAX {
        writeln!(out, "  and {} more", reasons.len() - REASONS_MAX)?;
    }
    writeln!(out, "\nreport: {}", plan.dir.join("report.html").display())?;
    writeln!(out, "again:  {}", jepsen_lite::report::repeat(plan))
}

/// A bar on a terminal, which is as long as clients are to ask; now and then a line elsewhere.
struct Screen {
    bar: ProgressBar,
    began: Instant,
    seen: Mutex<Seen>,
    /// Told once nobody reads standard error any more.
    closed: Notify,
}

#[derive(Default)]
struct Seen {
    asking_since: Option<Instant>,
    line_at: Option<Instant>,
    before: Option<(Instant, u64)>,
    rate: f64,
    fault: String,
}

impl Screen {
    fn new(time: Duration) -> Self {
        let bar = ProgressBar::new(time.as_secs() + u64::from(time.subsec_nanos() > 0));
        if std::io::stderr().is_terminal() {
            bar.set_style(
                ProgressStyle::with_template("{spinner} {bar:24} {pos}/{len} s  {prefix}  {msg}")
                    .unwrap_or_else(|_| ProgressStyle::default_bar()),
            );
            bar.enable_steady_tick(Duration::from_millis(100));
        } else {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        Self { bar, began: Instant::now(), seen: Mutex::default(), closed: Notify::new() }
    }

    fn show(&self, progress: Progress<'_>) {
        let mut seen = self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match progress {
            Progress::Stage(stage) => {
                self.bar.set_prefix(stage.to_owned());
                self.bar.set_message("");
                self.line(stage);
            }
            Progress::Fault(fault) => {
                let told = told(fault);
                seen.fault = if fault.ended_ns.is_some() { String::new() } else { told.clone() };
                if self.bar.is_hidden() {
                    self.line(&told);
                } else {
                    self.bar.println(&told);
                }
            }
            Progress::Tick(tally) => {
                let now = Instant::now();
                let asked_for = now - *seen.asking_since.get_or_insert(now);
                let total_s = self.bar.length().unwrap_or(0);
                // Beyond it the run waits for a fault to take hold, or to be healed.
                self.bar.set_position(asked_for.as_secs().min(total_s));
                let (then, before) = *seen.before.get_or_insert((now, 0));
                if now - then >= Duration::from_secs(1) {
                    seen.rate = (tally.total() - before) as f64 / (now - then).as_secs_f64();
                    seen.before = Some((now, tally.total()));
                }
                let Tally { ok, fail, info, .. } = tally;
                let fault = if seen.fault.is_empty() { "no fault" } else { &seen.fault };
                let text =
                    format!("{:5.0} ops/s  ok {ok}  fail {fail}  info {info}  {fault}", seen.rate);
                self.bar.set_message(text.clone());
                if seen.line_at.is_none_or(|then| now - then >= LINE_EVERY) {
                    seen.line_at = Some(now);
                    self.line(&format!("{:3} of {total_s} s  {text}", asked_for.as_secs()));
                }
            }
        }
    }

    /// On standard error: standard output is the result's.
    fn line(&self, text: &str) {
        if self.bar.is_hidden() {
            let at = self.began.elapsed().as_secs_f64();
            if aside::line(format_args!("{at:7.2} s  {text}")).is_err() {
                self.closed.notify_one();
            }
        }
    }
}

fn told(fault: &Fault) -> String {
    let what = &fault.what;
    match (fault.effect, fault.ended_ns) {
        (Effect::Skipped, _) => format!("{} skipped: {what}", fault.kind),
        (_, Some(_)) => format!("{} healed: {what}", fault.kind),
        (Effect::Installed, None) => format!("{}: {what}", fault.kind),
        (Effect::Indeterminate, None) => format!("{}, perhaps: {what}", fault.kind),
    }
}
