//! The run up to the point where nothing more happens: everything that was seen.
//!
//! Owns: the cluster, the workers and the nemesis while they run. Never does: judge. Called by
//! `run`.

use super::board::{Board, Progress, Watch};
use super::feed::{self, Trouble};
use super::finals::{self, Patience};
use super::roster::Roster;
use super::worker::{Left, Pace, Shared, Worker};
use super::{Keep, Plan, RunError};
use crate::cluster::{Cluster, Options, Patience as WayBack};
use crate::nemesis::{self, Fault};
use crate::recorder::{Asked, Log, ProductNo, Recorder};
use crate::workload::Shelf;
use checker::flashnode::{Began, Expiries, Ledgers};
use client::{Client, Timeouts};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Deadlines of each attempt: longer than the nodes' own of a second, so that they get to say
/// 503 or 504 themselves. The client's retries are not used here.
const TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_millis(500),
    attempt: Duration::from_millis(1500),
    give_up: Duration::from_secs(2),
    settle: Duration::from_secs(2),
};
/// How long replicas that were level may take to be so again while their ledgers are read.
const LEVEL: Duration = Duration::from_secs(90);
/// How often progress is told.
const TICK: Duration = Duration::from_millis(200);
/// A fault stays for about a share of the run's time that lets each kind have its turn, within
/// bounds: as many shares a kind as there are, and the calm after it is as long.
const SHARES_PER_KIND: u32 = 4;
const FAULT: (Duration, Duration) = (Duration::from_millis(700), Duration::from_secs(5));
/// When the time is over and a kind was not seen to take hold, the run goes on for at most this
/// long for each kind. A slow machine needs longer, and a verdict needs what it was to see.
const OVERTIME_PER_KIND: Duration = Duration::from_secs(15);

/// Everything that was seen.
#[derive(Debug)]
pub struct Evidence {
    /// All operations.
    pub log: Log,
    /// What the replicas held at the end; none when the cluster did not recover.
    pub ledgers: Ledgers,
    /// All faults.
    pub faults: Vec<Fault>,
    /// Why the cluster did not come back, if it did not.
    pub not_recovered: Option<String>,
    /// What of the final state could not be read, if anything, in words.
    pub unread: Option<String>,
    /// Why nobody knows which holds ran out, if that was not read, in words; the ledgers say that
    /// it was not.
    pub unread_feed: Option<String>,
    /// Processes that ended though no fault called for it, each in words.
    pub deaths: Vec<String>,
    /// Promises that nodes were seen to break, besides what the history shows, each in words.
    pub breaches: Vec<String>,
    /// Answers that the contract does not have.
    pub unexpected: Vec<String>,
    /// What the server lacks of what the workload needs.
    pub lacking: Option<String>,
    /// How long clients asked.
    pub asked_for: Duration,
    /// The places of the recorder's order that were taken meanwhile: what was invoked at one of
    /// them was asked by the workload. Before it the sale was opened, behind it are final reads.
    pub asked_at: Range<u64>,
}

/// Starts a cluster, lets clients ask under faults, heals, and gathers what is left.
///
/// # Errors
/// [`RunError`] when the plan cannot be run or the cluster cannot be started.
pub async fn observe(plan: &Plan, watch: Watch<'_>) -> Result<Evidence, RunError> {
    plan.check()?;
    watch(Progress::Stage("starting the cluster"));
    let mut cluster = Cluster::start(options(plan)).await?;
    let client = Client::with_timeouts(cluster.addresses(), TIMEOUTS)?;
    let lacking = lacking(plan, &client).await?;
    let began = Instant::now();
    let shared = Arc::new(share(plan, client, began));
    watch(Progress::Stage("putting products on sale"));
    let opened = open_sale(&shared, plan).await?;
    watch(Progress::Stage("clients ask"));
    // A workload that the server cannot serve is not run under another's name.
    let time = if lacking.is_some() { Duration::ZERO } else { plan.time };
    let times = Times { time, began, first_process: opened.process };
    let asked_from = shared.recorder.position();
    let (mut left, faults) = ask(&mut cluster, &shared, (plan, times), watch).await?;
    let asked_at = asked_from..shared.recorder.position();
    let asked_for = began.elapsed();
    left.push(opened);
    watch(Progress::Stage("healing"));
    let mut not_recovered =
        cluster.recover(WayBack::RUN).await.err().map(|error| error.to_string());
    watch(Progress::Stage("settling and final reads"));
    let patience = if not_recovered.is_none() { Patience::WHOLE } else { Patience::NONE };
    let (last, unread) = finals::ask(&shared, &mut left, patience).await;
    let mut lanes = vec![last];
    watch(Progress::Stage("reading every replica's ledger"));
    let asks_holds = plan.workload.asks_holds();
    // The cluster is new: nothing was changed before the first operation.
    let mut ledgers = Ledgers {
        began: Began::Empty,
        expiries: if asks_holds { Expiries::Unread } else { Expiries::All },
        replicas: Vec::new(),
    };
    if not_recovered.is_none() {
        match finals::ledgers(&cluster, (&shared, asks_holds), LEVEL).await {
            Ok(replicas) => ledgers.replicas = replicas,
            Err(why) => not_recovered = Some(why),
        }
    }
    let mut feed = Feed::default();
    if asks_holds {
        watch(Progress::Stage("reading which holds ran out"));
        feed = read_feed(&cluster, &mut ledgers).await;
        let process = finals::first_free_process(&left, &shared.client);
        lanes.push(feed::lane(&shared.recorder, process, &feed.expiries));
    }
    let breaches = [cluster.breaches(), feed.broken.as_slice()].concat();
    lanes.extend(left.into_iter().map(|left| left.lane));
    cluster.notice_deaths().await;
    let deaths = cluster.deaths().iter().map(ToString::to_string).collect();
    drop(cluster);
    clear(plan)?;
    let (log, unexpected) = (Log::merge(lanes), shared.board.take_unexpected());
    Ok(Evidence {
        log,
        ledgers,
        faults,
        not_recovered,
        unread,
        unread_feed: feed.unread,
        deaths,
        breaches,
        unexpected,
        lacking,
        asked_for,
        asked_at,
    })
}

fn options(plan: &Plan) -> Options {
    let dir = plan.dir.clone();
    let mut options = Options::new(plan.nodes, dir, &plan.nemeses, plan.seed);
    options.binary.clone_from(&plan.binary);
    options.args.clone_from(&plan.args);
    options.env.clone_from(&plan.env);
    options
}

async fn lacking(plan: &Plan, client: &Client) -> Result<Option<String>, RunError> {
    if !plan.workload.asks_holds() || client.serves_holds(0).await? {
        return Ok(None);
    }
    let needs = format!("the workload {} needs holds", plan.workload);
    Ok(Some(format!("{needs}, and this server has no POST /v1/holds")))
}

/// What the change feed told of.
#[derive(Default)]
struct Feed {
    expiries: Vec<feed::Expiry>,
    /// Why nobody knows which holds ran out.
    unread: Option<String>,
    /// What it shows that must not be.
    broken: Option<String>,
}

/// Reads which holds ran out, up to the change that the ledgers are of, and notes there that it is
/// known.
async fn read_feed(cluster: &Cluster, ledgers: &mut Ledgers) -> Feed {
    let read = match ledgers.replicas.first() {
        Some(replica) => feed::read(&cluster.addresses(), replica.seq).await,
        None => Err(Trouble::Unread("the ledgers tell no end of it".into())),
    };
    match read {
        Ok(expiries) => {
            ledgers.expiries = Expiries::All;
            Feed { expiries, ..Feed::default() }
        }
        Err(Trouble::Unread(why)) => Feed { unread: Some(why), ..Feed::default() },
        Err(Trouble::Broken(what)) => {
            Feed { unread: Some(what.clone()), broken: Some(what), ..Feed::default() }
        }
    }
}

fn share(plan: &Plan, client: Client, began: Instant) -> Shared {
    let workload = plan.workload.build();
    let opening = u32::try_from(workload.opening().len()).unwrap_or(u32::MAX);
    Shared {
        roster: Roster::new(client.nodes_count()),
        client,
        recorder: Recorder::new(began),
        shelf: Shelf::new(opening, workload.later_products()),
        workload,
        board: Board::default(),
        pace: Pace::new(plan.rate),
        concurrency: plan.concurrency,
        over: watch::Sender::new(false),
    }
}

/// Puts the first products on sale, as the first worker.
async fn open_sale(shared: &Arc<Shared>, plan: &Plan) -> Result<Left, RunError> {
    let opening = shared.workload.opening();
    let create = |(number, on_sale): (u32, &crate::workload::OnSale)| Asked::Create {
        product: ProductNo(number),
        stock: on_sale.stock,
        limit: on_sale.limit,
    };
    let creates = (0..).zip(&opening).map(create).collect();
    let worker = Worker::new(shared.clone(), 0, plan.seed);
    Ok(tokio::spawn(worker.ask(creates)).await?)
}

/// What the clients and the nemesis go by.
#[derive(Debug, Clone, Copy)]
struct Times {
    /// How long they go on, at least.
    time: Duration,
    /// Time zero of the run.
    began: Instant,
    /// Who takes the first worker's place: it may have been replaced while the sale was opened.
    first_process: u32,
}

/// Clients and the nemesis at once, until the time is over, the last fault is healed and the last
/// operation is settled.
async fn ask(
    cluster: &mut Cluster,
    shared: &Arc<Shared>,
    (plan, times): (&Plan, Times),
    watch: Watch<'_>,
) -> Result<(Vec<Left>, Vec<Fault>), RunError> {
    let Times { time, began, first_process } = times;
    let from = Instant::now();
    let until = from + time;
    let workers: Vec<_> = std::iter::once(first_process)
        .chain(1..plan.concurrency)
        .map(|process| Worker::new(shared.clone(), process, plan.seed))
        .map(|worker| tokio::spawn(worker.run()))
        .collect();
    let inject = async {
        let mut faults = Vec::new();
        if !plan.nemeses.is_empty() && !time.is_zero() {
            let mut tell = |fault: &Fault| watch(Progress::Fault(fault));
            let schedule = schedule(plan, (began, from));
            faults = nemesis::drive(cluster, &plan.nemeses, schedule, &mut tell).await;
        }
        // Of a cluster that does not come back there is nothing more to see.
        if faults.last().is_none_or(|fault| fault.ended_ns.is_some()) {
            tokio::time::sleep_until(until.into()).await;
        }
        // The last fault was healed while clients still asked.
        shared.over.send_replace(true);
        faults
    };
    let joined = futures_util::future::try_join_all(workers);
    let work = async { tokio::join!(joined, inject) };
    tokio::pin!(work);
    let mut tick = tokio::time::interval(TICK);
    let (left, faults) = loop {
        tokio::select! {
            done = &mut work => break done,
            _ = tick.tick() => watch(Progress::Tick(shared.board.tally())),
        }
    };
    watch(Progress::Tick(shared.board.tally()));
    Ok((left?, faults))
}

/// Faults from then on, in a run that began before.
fn schedule(plan: &Plan, (began, from): (Instant, Instant)) -> nemesis::Plan {
    let kinds = plan.nemeses.len() as u32;
    let fault = (plan.time / (SHARES_PER_KIND * kinds)).clamp(FAULT.0, FAULT.1);
    nemesis::Plan {
        seed: plan.seed,
        began,
        until: from + plan.time.saturating_sub(fault),
        at_latest: from + plan.time + OVERTIME_PER_KIND * kinds,
        faults_max: usize::MAX,
        fault,
        calm: fault,
    }
}

/// Removes the nodes' data directories, unless they are to stay.
fn clear(plan: &Plan) -> Result<(), RunError> {
    match plan.keep {
        Keep::Everything => Ok(()),
        Keep::LogsOnly => {
            (1..=plan.nodes).try_for_each(|node| remove(&plan.dir.join(format!("node-{node}"))))
        }
    }
}

fn remove(path: &Path) -> Result<(), RunError> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(RunError::Write { path: path.to_owned(), error })
        }
        _ => Ok(()),
    }
}
