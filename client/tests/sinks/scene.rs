//! Three nodes, a storm of buyers, and `flashctl sink` as a process that can be killed.

use super::program::{beside, code, flashnode, stderr};
use client::cluster::{Options, ProcessCluster};
use client::storm::{self, Mix, Plan, Progress, Share, Tally};
use client::{Client, Timeouts};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use stock::api::{OrderView, PutProduct};
use stock::{HoldTtl, NodeId, Seq, Sku};
use tokio::sync::{Mutex, MutexGuard};
use tokio::task::JoinHandle;

/// Long enough for a starved machine, short enough to end a test that hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// So few that a storm lasts for as long as things are killed.
const BUYERS_PER_S: f64 = 1_000.0;

/// Three nodes and what runs beside them fill a small machine.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

pub(crate) struct Scene {
    pub(crate) cluster: ProcessCluster,
    pub(crate) client: Arc<Client>,
    _turn: MutexGuard<'static, ()>,
}

impl Scene {
    pub(crate) async fn open(extra_args: &[&str]) -> Self {
        Self::open_with(extra_args, async |_| ()).await.0
    }

    /// As [`Scene::open`], once something was done to the cluster before its nodes start.
    pub(crate) async fn open_with<T>(
        extra_args: &[&str],
        prepare: impl AsyncFnOnce(&mut ProcessCluster) -> T,
    ) -> (Self, T) {
        let turn = ONE_AT_A_TIME.lock().await;
        let extra_args = extra_args.iter().map(ToString::to_string).collect();
        let options = Options { binary: Some(flashnode()), extra_args, ..Options::default() };
        let mut cluster = ProcessCluster::prepare(options).unwrap();
        let prepared = prepare(&mut cluster).await;
        for id in 1..=3 {
            cluster.start_node(NodeId(id)).unwrap();
        }
        cluster.wait_ready(PATIENCE).await.unwrap();
        let timeouts = Timeouts { give_up: PATIENCE, settle: PATIENCE, ..Timeouts::default() };
        let client = Client::with_timeouts(cluster.addresses(), timeouts).unwrap();
        (Self { cluster, client: Arc::new(client), _turn: turn }, prepared)
    }

    pub(crate) fn nodes(&self) -> String {
        self.cluster.addresses().join(",")
    }

    pub(crate) async fn sell(&self, id: &str, stock: u64) -> Sku {
        let sku = Sku::new(id).unwrap();
        let terms = PutProduct { name: id.into(), stock, ..PutProduct::default() };
        self.client.create_product(&sku, &terms).await.unwrap();
        sku
    }

    /// Lets so many buyers loose, of whom a tenth hold first; and hands out what they count.
    pub(crate) fn storm(&self, sku: &Sku, buyers: u64) -> (JoinHandle<Tally>, Arc<Progress>) {
        let percent = |percent: u8| Share::percent(percent).unwrap();
        let mix = Mix {
            holds: percent(10),
            abandon: percent(20),
            release: percent(20),
            ttl: HoldTtl::from_ms(5_000).unwrap(),
        };
        let plan = Plan { mix, rate: Some(BUYERS_PER_S), ..Plan::new(sku.clone(), buyers, 64) };
        let (client, progress) = (Arc::clone(&self.client), Arc::new(Progress::default()));
        let counted = Arc::clone(&progress);
        (tokio::spawn(async move { storm::run(&client, &plan, &progress).await }), counted)
    }

    /// Sells so many units, one a buyer, as fast as it goes.
    pub(crate) async fn rush(&self, sku: &Sku, buyers: u64) {
        let batch = NonZeroUsize::new(1_000);
        let plan = Plan { batch, ..Plan::new(sku.clone(), buyers, 4) };
        let tally = storm::run(&self.client, &plan, &Arc::new(Progress::default())).await;
        assert_eq!(tally.won.len() as u64, buyers);
    }

    /// The newest change.
    pub(crate) async fn newest(&self) -> Seq {
        self.client.orders_after(Seq(u64::MAX >> 11)).await.unwrap().seq
    }

    /// Every order of the cluster, by id.
    pub(crate) async fn orders(&self) -> Vec<OrderView> {
        let (mut orders, mut after) = (Vec::new(), Seq(0));
        loop {
            let page = self.client.orders_after(after).await.unwrap();
            orders.extend(page.orders);
            match page.next_after {
                Some(next) => after = next,
                None => return orders,
            }
        }
    }
}

/// What somebody gets who takes every message, and drops what comes again: an id that is not above
/// all before it must be one that came before, or order is not kept.
///
/// What a state tells in place of lost changes has other ids.
#[derive(Default)]
pub(crate) struct Seen {
    ids: Vec<u64>,
    again: u64,
    /// Changes were lost, so numbers may be left out.
    pub(crate) gaps: bool,
    /// Ids that are no numbers, as they came.
    pub(crate) of_state: Vec<String>,
}

impl Seen {
    /// Of somebody who knows that changes were lost.
    pub(crate) fn with_gaps() -> Self {
        Self { gaps: true, ..Self::default() }
    }

    pub(crate) fn take(&mut self, id: &str) {
        if id.starts_with("state-") {
            assert!(self.gaps, "{id}, though no change was lost");
            return self.of_state.push(id.to_owned());
        }
        let id: u64 = id.parse().unwrap();
        let newest = self.ids.last().copied().unwrap_or(0);
        assert!(id <= newest + 1 || self.gaps, "{id} came after {newest}");
        if id > newest {
            self.ids.push(id);
        } else {
            self.again += 1;
        }
    }

    pub(crate) fn newest(&self) -> u64 {
        self.ids.last().copied().unwrap_or(0)
    }

    /// The numbers that came, each once.
    pub(crate) fn ids(&self) -> &[u64] {
        &self.ids
    }

    pub(crate) fn again(&self) -> u64 {
        self.again
    }
}

/// How many buy.
pub(crate) fn buyers() -> u64 {
    let told = std::env::var("FLASHNODE_SINK_BUYS");
    told.map_or(10_000, |buyers| buyers.parse().unwrap())
}

pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(started.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// `flashctl sink …` as a process; what it says is in a file. Killed when dropped.
pub(crate) struct Sink {
    args: Vec<String>,
    child: Child,
    pub(crate) log: PathBuf,
}

impl Sink {
    pub(crate) fn start(args: &[&str], log: PathBuf) -> Self {
        let args: Vec<String> = args.iter().map(ToString::to_string).collect();
        let child = Self::spawn(&args, &log);
        Self { args, child, log }
    }

    fn spawn(args: &[String], log: &PathBuf) -> Child {
        let log = File::options().create(true).append(true).open(log).unwrap();
        Command::new(env!("CARGO_BIN_EXE_flashctl"))
            .arg("sink")
            .args(args)
            .env_remove("FLASHCTL_NODES")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap()
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn start_again(&mut self) {
        self.child = Self::spawn(&self.args, &self.log);
    }

    /// Stops every thread of it, as when its machine hangs.
    pub(crate) fn pause(&self) {
        kill_process(Pid::from_child(&self.child), Signal::STOP).unwrap();
    }

    pub(crate) fn resume(&self) {
        kill_process(Pid::from_child(&self.child), Signal::CONT).unwrap();
    }

    /// Whether it has said last that it stands by.
    pub(crate) fn stands_by(&self) -> bool {
        let told = self.told();
        let mut lines = told.lines().rev();
        let said = lines.find(|line| line.ends_with("standing by") || line.ends_with(": at work"));
        said.is_some_and(|line| line.ends_with("standing by"))
    }

    /// Where it has said last that its target stands.
    pub(crate) fn position(&self) -> u64 {
        let told = self.told();
        let at = |line: &str| {
            let (position, _) = line.strip_prefix("flashctl: at ")?.split_once(" of ")?;
            position.replace(',', "").parse().ok()
        };
        told.lines().rev().find_map(at).unwrap_or(0)
    }

    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub(crate) fn told(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }
}

/// `flashctl sink …` until the target has what the cluster has.
pub(crate) async fn once(args: &[&str]) {
    let output = beside(&[&["sink"], args, &["--once"]].concat()).await;
    assert_eq!(code(&output), 0, "{args:?}: {}", stderr(&output));
}

impl Drop for Sink {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}
