//! The stage of the fault tests: a real three-node cluster, a product on sale, a storm, an audit.
//!
//! Scenes of one test binary play one after the other: three nodes and a storm fill two cores, and
//! a starved node would look like a dead one.

#![allow(dead_code, reason = "each test binary uses its part of the stage")]
#![allow(clippy::expect_used, clippy::panic, reason = "a test ends at what it cannot do without")]

pub(crate) mod http;
pub(crate) mod raw;

use client::audit::{self, Audit};
use client::cluster::{Options, ProcessCluster};
use client::storm::{self, Plan, Progress, Tally};
use client::{BuyAnswer, Client, Timeouts};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use stock::api::{PostBuy, ProductView, PutProduct};
use stock::{NodeId, Quantity, Sku, UserId};
use tokio::sync::{Mutex, MutexGuard};
use tokio::task::JoinHandle;

/// Long enough for a starved machine, short enough to end a test that hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
fn timeouts() -> Timeouts {
    Timeouts { give_up: PATIENCE, settle: PATIENCE, ..Timeouts::default() }
}

/// Elections that only a leader's death leads to: its followers wait for three seconds, and longer,
/// where a default's tenths of a second may pass on a starved machine. The first leader of a fresh
/// cluster is elected at once all the same.
pub(crate) const CALM: [&str; 6] =
    ["--heartbeat-ms", "100", "--election-min-ms", "1500", "--election-max-ms", "3000"];

/// Also because a process that is just being forked holds the ports of all scenes for a moment.
pub(crate) static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

pub(crate) struct Scene {
    pub(crate) cluster: ProcessCluster,
    pub(crate) client: Arc<Client>,
    pub(crate) before: ProductView,
    _turn: MutexGuard<'static, ()>,
}

pub(crate) struct Storm {
    pub(crate) plan: Plan,
    pub(crate) progress: Arc<Progress>,
    pub(crate) running: JoinHandle<Tally>,
}

pub(crate) fn sku() -> Sku {
    Sku::new("sneaker").expect("a valid id")
}

pub(crate) fn binary() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_flashnode"))
}

pub(crate) fn options(extra_args: &[&str]) -> Options {
    Options {
        nodes: 3,
        binary: Some(binary()),
        dir: None,
        extra_args: extra_args.iter().map(ToString::to_string).collect(),
    }
}

/// Waits for a condition; fails the test, saying which, when it does not come true.
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut look: impl FnMut() -> F,
) -> T {
    let started = Instant::now();
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(started.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

impl Scene {
    /// Three nodes that are ready, and a product with this stock. Whoever leads goes on leading,
    /// also where nodes get little of the processor: see [`CALM`].
    pub(crate) async fn open(stock: u64, extra_args: &[&str]) -> Self {
        Self::open_for_failover(stock, &[&CALM, extra_args].concat()).await
    }

    /// As [`Scene::open`], for a test in which a leader may be lost: another is elected as soon as
    /// by default, which a starved leader that is well may see, too.
    pub(crate) async fn open_for_failover(stock: u64, extra_args: &[&str]) -> Self {
        let turn = ONE_AT_A_TIME.lock().await;
        let mut cluster = ProcessCluster::start(options(extra_args)).expect("nodes start");
        cluster.wait_ready(PATIENCE).await.expect("the cluster forms");
        let client = Client::with_timeouts(cluster.addresses(), timeouts()).expect("addresses");
        let put = PutProduct { name: "Sneaker".into(), stock, ..PutProduct::default() };
        client.create_product(&sku(), &put).await.expect("the sale opens");
        let before = client.product(&sku()).await.expect("the product is there");
        Self { cluster, client: Arc::new(client), before, _turn: turn }
    }

    /// Lets buyers loose on all nodes.
    pub(crate) fn storm(&self, buyers: u64, concurrency: usize) -> Storm {
        let plan = Plan::new(sku(), buyers, concurrency);
        let progress = Arc::new(Progress::default());
        let (client, planned, counts) =
            (Arc::clone(&self.client), plan.clone(), Arc::clone(&progress));
        let running = tokio::spawn(async move { storm::run(&client, &planned, &counts).await });
        Storm { plan, progress, running }
    }

    /// The storm's end: everyone is settled, and what they were told is what the cluster holds.
    pub(crate) async fn audit(&self, storm: Storm) -> (Tally, Audit) {
        let tally = storm.running.await.expect("the storm runs to its end");
        let audit = audit::audit(&self.client, &storm.plan, &self.before, &tally)
            .await
            .expect("the cluster can be read");
        assert_eq!(audit.verdict(), "ok", "{:?}", audit.violations);
        (tally, audit)
    }

    /// All running nodes at the same index, with the same state.
    pub(crate) async fn assert_equal_states(&self) {
        let views = self.cluster.wait_level(PATIENCE).await.expect("the nodes become level");
        for pair in views.windows(2) {
            assert_eq!(pair[0].state_hash, pair[1].state_hash, "states differ: {views:?}");
        }
    }

    pub(crate) async fn leader(&self) -> NodeId {
        self.cluster.leader().await.expect("somebody leads")
    }

    pub(crate) async fn follower(&self) -> NodeId {
        self.leader_and_follower().await.1
    }

    /// The leader, and one that follows it: asked for one after the other, they could be one node.
    pub(crate) async fn leader_and_follower(&self) -> (NodeId, NodeId) {
        let leader = self.leader().await;
        let mut ids = self.cluster.nodes().iter().map(|node| node.id);
        (leader, ids.find(|id| *id != leader).expect("more than one node"))
    }

    /// One attempt by one buyer at one node.
    pub(crate) async fn buy_at(&self, node: NodeId, user: &str) -> BuyAnswer {
        let position = usize::try_from(node.0 - 1).expect("a small id");
        let request = client::new_request_id();
        self.client.buy_once(position, &buy(user), &request, 1).await
    }

    pub(crate) fn log(&self, node: NodeId) -> String {
        std::fs::read_to_string(&self.cluster.node(node).log).unwrap_or_default()
    }

    /// Waits until a node's log says this.
    pub(crate) async fn says(&self, node: NodeId, words: &str) {
        until(&format!("node {node} to say {words:?}"), || async {
            self.log(node).contains(words).then_some(())
        })
        .await;
    }
}

/// A copy of a node's directory.
pub(crate) fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory");
    for entry in std::fs::read_dir(from).expect("a listing").flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("a copy");
        }
    }
}

/// A leader dies in a storm and comes back: every buyer is settled, every unit is sold once.
pub(crate) async fn the_leader_dies_in_a_storm(extra_args: &[&str]) {
    let mut scene = Scene::open_for_failover(3_000, extra_args).await;
    let storm = scene.storm(4_000, 32);
    storm.sold(500).await;
    let leader = scene.leader().await;
    scene.cluster.kill(leader).expect("it runs");
    let left = storm.progress.remaining_min().unwrap_or(0);
    assert!(left > 0, "the kill fell after the sale");
    storm.progress.mark();
    until("a yes after the kill", || async { storm.progress.accepted_after_mark() }).await;
    scene.cluster.start_node(leader).expect("it starts again");
    let (tally, _) = scene.audit(storm).await;
    assert_eq!(tally.won.len(), 3_000, "every unit was sold");
    assert!(tally.unsettled.is_empty(), "{:?}", tally.unsettled);
    scene.cluster.wait_ready(PATIENCE).await.expect("the killed node is back");
    scene.assert_equal_states().await;
}

impl Storm {
    /// Waits until so many units are sold.
    pub(crate) async fn sold(&self, units: u64) {
        until(&format!("{units} units to be sold"), || async {
            (self.progress.accepted_units() >= units).then_some(())
        })
        .await;
    }
}

pub(crate) fn buy(user: &str) -> PostBuy {
    let user_id = UserId::new(user).expect("a valid user id");
    PostBuy { product_id: sku(), user_id, quantity: Quantity::ONE }
}
