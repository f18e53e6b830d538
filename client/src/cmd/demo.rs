//! `flashctl demo`: the whole promise in one short story, on real processes.
//!
//! Owns: the plot (form, open, storm, kill, fail over, return, audit), its figures, the verdict.
//! Never does: storm, audit or run processes itself; the library does. A figure that cannot be
//! had is a violation, never left out.

mod outcome;
mod page;
mod stage;

use super::{Exit, Failure, Global, interrupted};
use crate::out;
use client::Client;
use client::audit::{self, Audit};
use client::cluster::{NodeProcess, Options, ProcessCluster};
use client::storm::{self, Plan, Progress, Tally, grouped};
use outcome::{CaughtUp, Fall, Outcome, Parts};
use stage::{Actor, Scene, Stage};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use stock::api::{NodeView, ProductView, PutProduct};
use stock::{NodeId, Sku};

/// The leader is killed once this much of the stock is sold.
const KILL_AT_PERCENT: u64 = 35;
/// How often the plot is looked at; it bounds how late the kill and the restart come.
const PLOT_INTERVAL: Duration = Duration::from_millis(2);
/// How often the live line is redrawn, and over how long its rate is taken.
const SCENE_INTERVAL: Duration = Duration::from_millis(100);
const FORM_DEADLINE: Duration = Duration::from_secs(30);
const CATCH_UP_DEADLINE: Duration = Duration::from_secs(60);
const LEVEL_DEADLINE: Duration = Duration::from_secs(30);
const CATCH_UP_POLL: Duration = Duration::from_millis(5);

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  flashctl demo
  flashctl demo --stock 100000 --buyers 300000 --concurrency 256
  flashctl demo --nodes 5 --keep      leave the cluster running, and print its addresses
  flashctl demo --json | jq .failover_ms

Exits with 0 when the verdict is ok, with 4 when anything is violated.")]
pub(crate) struct Args {
    /// How many nodes: 3 or 5
    #[arg(id = "nodes", long, value_name = "N", default_value = "3")]
    nodes: String,
    /// Units on sale
    #[arg(long, default_value_t = 10_000)]
    #[arg(value_parser = clap::value_parser!(u64).range(100..=100_000_000))]
    stock: u64,
    /// Buyers, one unit each; more than the stock, so that it sells out
    #[arg(long, default_value_t = 30_000, value_parser = clap::value_parser!(u64).range(100..))]
    buyers: u64,
    /// Buyers under way at a time
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u64).range(1..=4096))]
    concurrency: u64,
    /// Leave the cluster running, and print its addresses
    #[arg(long)]
    keep: bool,
    /// The flashnode program [default: the one beside flashctl]
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
}

impl Args {
    fn nodes_count(&self) -> Result<u64, Failure> {
        let usage = || Failure::Usage(format!("demo takes --nodes 3 or 5, not {:?}", self.nodes));
        self.nodes.parse().ok().filter(|count| [3, 5].contains(count)).ok_or_else(usage)
    }
}

pub(crate) async fn run(args: &Args, global: &Global) -> Result<Exit, Failure> {
    let nodes_count = args.nodes_count()?;
    let stage = Stage::new(global.json);
    // Dropping the play drops the cluster, which kills its processes and removes its directory.
    let outcome = tokio::select! {
        outcome = play(args, nodes_count, &stage) => outcome?,
        () = interrupted() => return Err(Failure::Interrupted),
    };
    stage.clear();
    if global.json {
        out::json(&outcome);
    } else {
        out::text(&page::of(&outcome, stage.paint()));
    }
    Ok(if outcome.is_ok() { Exit::Ok } else { Exit::Violated })
}

async fn play(args: &Args, nodes_count: u64, stage: &Stage) -> Result<Outcome, Failure> {
    let mut cluster = form(args, nodes_count, stage).await?;
    let client = Arc::new(cluster.client()?);
    let (plan, before) = open_sale(args, &client, stage).await?;

    let progress = Arc::new(Progress::default());
    let storm = {
        let (client, plan, progress) = (client.clone(), plan.clone(), progress.clone());
        tokio::spawn(async move { storm::run(&client, &plan, &progress).await })
    };
    let mut plot = Plot::new(args, &progress, stage);
    plot.follow(&mut cluster, || storm.is_finished()).await?;
    let tally = match storm.await {
        Ok(tally) => tally,
        Err(error) => return Err(Failure::Failed(format!("the storm broke off: {error}"))),
    };
    stage.milestone(&format!(
        "all {} buyers have an answer: {} yes, {} sold out",
        grouped(tally.decided()),
        grouped(tally.won.len() as u64),
        grouped(tally.sold_out)
    ));
    let (fall, failover, caught_up) = plot.finish().await;

    let level = cluster.wait_level(LEVEL_DEADLINE).await.map_err(|error| error.to_string());
    // The killed node has to have every order back; without it any other is asked.
    let reader = match (&fall, &caught_up) {
        (Some(fall), Some(Ok(_))) => fall.leader,
        _ => cluster.leader().await?,
    };
    let audit = audit_at(&cluster, reader, &plan, &before, &tally).await?;
    let parts = Parts { fall, failover, caught_up, level, reader, audit };
    let mut outcome = Outcome::new(&plan, nodes_count, &tally, parts);
    if args.keep {
        put_more_on_sale(&client).await?;
        outcome.addresses = Some(cluster.addresses());
        outcome.dir = Some(cluster.keep());
    }
    Ok(outcome)
}

async fn form(args: &Args, nodes_count: u64, stage: &Stage) -> Result<ProcessCluster, Failure> {
    let started = Instant::now();
    // The control room may storm a cluster that is left for people to look at.
    let extra_args = args.keep.then(|| "--demo".to_owned()).into_iter().collect();
    let binary = args.binary.clone();
    let options = Options { nodes: nodes_count, binary, extra_args, ..Options::default() };
    let mut cluster = ProcessCluster::start(options)?;
    let pids: Vec<String> =
        cluster.nodes().iter().filter_map(NodeProcess::pid).map(|pid| pid.to_string()).collect();
    stage.milestone(&format!("{nodes_count} flashnode processes start: {}", pids.join(", ")));
    cluster.wait_ready(FORM_DEADLINE).await?;
    let leader = cluster.leader().await?;
    stage.milestone(&format!(
        "they found one another in {} ms; node {leader} leads",
        started.elapsed().as_millis()
    ));
    Ok(cluster)
}

async fn open_sale(
    args: &Args,
    client: &Client,
    stage: &Stage,
) -> Result<(Plan, ProductView), Failure> {
    let sku = Sku::new("sneaker").map_err(|error| Failure::Failed(error.to_string()))?;
    let terms = PutProduct { name: "Sneaker".into(), stock: args.stock, ..PutProduct::default() };
    let product = client.create_product(&sku, &terms).await?;
    let plan = Plan::new(sku, args.buyers, args.concurrency as usize);
    stage.milestone(&format!(
        "the sale opens: {} units; {} buyers come, {} at a time",
        grouped(args.stock),
        grouped(args.buyers),
        args.concurrency
    ));
    Ok((plan, product))
}

/// Something that the shop still has, for whoever opens it after the storm.
async fn put_more_on_sale(client: &Client) -> Result<(), Failure> {
    let sku = Sku::new("poster").map_err(|error| Failure::Failed(error.to_string()))?;
    let terms = r#"{"name": "Festival Poster", "stock": 500, "price": 2500, "currency": "EUR",
        "per_user_limit": 4, "hold_ttl_ms": 120000}"#;
    let terms: PutProduct =
        serde_json::from_str(terms).map_err(|error| Failure::Failed(error.to_string()))?;
    client.create_product(&sku, &terms).await?;
    Ok(())
}

/// Reads product and ledger from one node only. A ledger that cannot be read is a violation.
async fn audit_at(
    cluster: &ProcessCluster,
    reader: NodeId,
    plan: &Plan,
    before: &ProductView,
    tally: &Tally,
) -> Result<Audit, Failure> {
    let client = Client::new(vec![cluster.node(reader).http.clone()])?;
    let audit = audit::audit(&client, plan, before, tally).await;
    Ok(audit.unwrap_or_else(|error| Audit::unread(&error)))
}

type Return = tokio::task::JoinHandle<Result<CaughtUp, String>>;

/// What has happened so far, and what must happen next.
struct Plot<'a> {
    stock: u64,
    progress: &'a Progress,
    stage: &'a Stage,
    fall: Option<Fall>,
    failover: Option<Duration>,
    returning: Option<Return>,
    caught_up: Option<Result<CaughtUp, String>>,
    sold_out_told: bool,
    rate: Rate,
}

/// Accepted buys a second, over the last interval.
struct Rate {
    at: Instant,
    accepted: u64,
    words: String,
}

impl<'a> Plot<'a> {
    fn new(args: &Args, progress: &'a Progress, stage: &'a Stage) -> Self {
        Self {
            stock: args.stock,
            progress,
            stage,
            fall: None,
            failover: None,
            returning: None,
            caught_up: None,
            sold_out_told: false,
            rate: Rate { at: Instant::now(), accepted: 0, words: String::new() },
        }
    }

    /// Follows the storm to its end, kills and restarts on the way.
    async fn follow(
        &mut self,
        cluster: &mut ProcessCluster,
        over: impl Fn() -> bool,
    ) -> Result<(), Failure> {
        loop {
            // Look first: what the storm did last is seen once more after it is over.
            let last_look = over();
            if self.fall.is_none() {
                self.maybe_kill(cluster)?;
            } else if self.failover.is_none() {
                self.maybe_restart(cluster)?;
            }
            self.maybe_returned().await;
            if !self.sold_out_told && self.progress.sold_out_count() > 0 {
                self.sold_out_told = true;
                self.stage.milestone("sold out: from here on every answer is a no");
            }
            self.draw(cluster.nodes().len());
            if last_look {
                // A node that nobody could do without is started again all the same.
                if let (Some(fall), None) = (&self.fall, self.failover) {
                    cluster.start_node(fall.leader)?;
                    self.watch_return(cluster)?;
                }
                return Ok(());
            }
            tokio::time::sleep(PLOT_INTERVAL).await;
        }
    }

    /// Kills the leader once enough is sold, while units are left.
    fn maybe_kill(&mut self, cluster: &mut ProcessCluster) -> Result<(), Failure> {
        let sold = self.progress.accepted_units();
        let Some(leader) = self.progress.leader() else {
            return Ok(());
        };
        let left = self.progress.remaining_min().unwrap_or(self.stock);
        if sold * 100 < self.stock * KILL_AT_PERCENT || left == 0 {
            return Ok(());
        }
        let at = Instant::now();
        cluster.kill(leader)?;
        // Only attempts sent from here on count as failed over: the leader is surely gone.
        self.progress.mark();
        let left = self.progress.remaining_min().unwrap_or(left);
        self.fall = Some(Fall { leader, at, left });
        self.stage.milestone(&self.stage.paint().red(&format!(
            "kill -9: node {leader}, the leader, is gone with {} units left",
            grouped(left)
        )));
        Ok(())
    }

    /// Starts the killed node again once the others sell.
    fn maybe_restart(&mut self, cluster: &mut ProcessCluster) -> Result<(), Failure> {
        let (Some(fall), Some((at, by))) = (&self.fall, self.progress.accepted_after_mark()) else {
            return Ok(());
        };
        let (took, leader) = (at.saturating_duration_since(fall.at), fall.leader);
        self.failover = Some(took);
        let new = match self.progress.leader() {
            Some(new) if new != leader => format!("; node {new} leads now"),
            _ => String::new(),
        };
        self.stage.milestone(&self.stage.paint().green(&format!(
            "{} ms after the kill node {by} says yes again{new}",
            took.as_millis()
        )));
        cluster.start_node(leader)?;
        self.stage.milestone(&format!("node {leader} is started again"));
        self.watch_return(cluster)
    }

    fn watch_return(&mut self, cluster: &ProcessCluster) -> Result<(), Failure> {
        let Some(fall) = &self.fall else {
            return Ok(());
        };
        let client = cluster.client()?;
        let (started, node) = (Instant::now(), fall.leader);
        self.returning = Some(tokio::spawn(async move {
            let watch = catch_up(&client, node, started);
            match tokio::time::timeout(CATCH_UP_DEADLINE, watch).await {
                Ok(caught_up) => Ok(caught_up),
                Err(_) => Err(format!("node {node} was not caught up in {CATCH_UP_DEADLINE:?}")),
            }
        }));
        Ok(())
    }

    async fn maybe_returned(&mut self) {
        if self.returning.as_ref().is_some_and(Return::is_finished) {
            self.returned().await;
        }
    }

    async fn returned(&mut self) {
        let (Some(returning), Some(fall)) = (self.returning.take(), &self.fall) else {
            return;
        };
        let caught_up = returning.await.unwrap_or_else(|error| Err(error.to_string()));
        self.stage.milestone(&match &caught_up {
            Ok(CaughtUp { took, entries }) => self.stage.paint().green(&format!(
                "node {} has caught up, {} ms after its start (entry {entries})",
                fall.leader,
                took.as_millis()
            )),
            Err(why) => self.stage.paint().red(why),
        });
        self.caught_up = Some(caught_up);
    }

    /// Waits for the killed node to be back, and hands over what happened.
    async fn finish(
        mut self,
    ) -> (Option<Fall>, Option<Duration>, Option<Result<CaughtUp, String>>) {
        self.returned().await;
        (self.fall, self.failover, self.caught_up)
    }

    fn draw(&mut self, nodes_count: usize) {
        let passed = self.rate.at.elapsed();
        if passed < SCENE_INTERVAL {
            return;
        }
        let accepted = self.progress.accepted_count();
        let per_second =
            (accepted - self.rate.accepted) * 1000 / (passed.as_millis() as u64).max(1);
        let silent = self.fall.as_ref().filter(|_| self.failover.is_none());
        let left = self.progress.remaining_min().unwrap_or(self.stock);
        let words = match silent {
            Some(fall) => {
                format!("no leader for {} ms", fall.at.elapsed().as_millis())
            }
            None if left == 0 => format!("{} told no", grouped(self.progress.sold_out_count())),
            None => format!("{:>6} yes/s", grouped(per_second)),
        };
        self.rate = Rate { at: Instant::now(), accepted, words };
        let nodes: Vec<Actor> = (1..=nodes_count as u64).map(|id| self.actor(NodeId(id))).collect();
        let scene = Scene { stock: self.stock, left, pulse: &self.rate.words, nodes: &nodes };
        self.stage.show(&scene);
    }

    fn actor(&self, id: NodeId) -> Actor {
        match &self.fall {
            Some(fall) if fall.leader == id && self.failover.is_none() => Actor::Dead,
            Some(fall) if fall.leader == id && self.caught_up.is_none() => Actor::Returning,
            _ if self.progress.leader() == Some(id) => Actor::Leader,
            _ => Actor::Follower,
        }
    }
}

/// From the node's start until it has applied what the cluster had committed at that moment.
async fn catch_up(client: &Client, node: NodeId, started: Instant) -> CaughtUp {
    let others = (0..client.nodes_count()).filter(|at| *at as u64 + 1 != node.0);
    let views = futures_util::future::join_all(others.map(|at| own_view(client, at))).await;
    let entries = views.iter().flatten().map(|view| view.committed).max().unwrap_or_default();
    loop {
        let view = own_view(client, node.0 as usize - 1).await;
        if view.is_some_and(|view| view.applied >= entries) {
            return CaughtUp { took: started.elapsed(), entries };
        }
        tokio::time::sleep(CATCH_UP_POLL).await;
    }
}

async fn own_view(client: &Client, position: usize) -> Option<NodeView> {
    let view = client.cluster(position).await.ok()?;
    let id = view.node;
    view.nodes.into_iter().find(|node| node.id == id)
}
