//! Each nemesis on a real cluster of three: it takes hold, the cluster comes back from it, what
//! was sold before is sold still, and more can be sold.

#![allow(clippy::expect_used, reason = "a test ends at what it cannot do without")]

mod program;

use client::{BuyAnswer, Client, Timeouts};
use jepsen_lite::cluster::{Cluster, Options};
use jepsen_lite::nemesis::{self, Effect, Fault, Kind, Plan};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};
use stock::api::{PostBuy, PutProduct};
use stock::{Quantity, Sku, UserId};
use tokio::sync::{Mutex, MutexGuard, watch};
use tokio::task::JoinHandle;

const SEED: u64 = 11;
/// Long enough for a starved machine, short enough to end a test that hangs.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long a fault stays, about: several election timeouts.
const FAULT: Duration = Duration::from_millis(600);

/// Who buys at the same time where a fault needs load.
const BUYERS: u64 = 8;
/// How often each variant has its turn, until it was seen to take hold.
const ROUNDS_MAX: u64 = 10;
/// Longer than any test: faults end by their number.
const FAR: Duration = Duration::from_secs(3600);

/// Three nodes fill two cores, and a starved node would look like a dead one.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

struct Scene {
    cluster: Cluster,
    client: Client,
    kinds: Vec<Kind>,
    sold: u64,
    dir: tempfile::TempDir,
    _turn: MutexGuard<'static, ()>,
}

fn sku() -> Sku {
    Sku::new("sneaker").expect("a valid id")
}

fn buy(user: &str) -> PostBuy {
    let user_id = UserId::new(user).expect("a valid id");
    PostBuy { product_id: sku(), user_id, quantity: Quantity::ONE }
}

impl Scene {
    async fn open(names: &str, nodes: u64) -> Self {
        let turn = ONE_AT_A_TIME.lock().await;
        let kinds = Kind::parse_list(names).expect("kinds");
        let dir = tempfile::tempdir().expect("a directory");
        let mut options = Options::new(nodes, dir.path().join("run"), &kinds, SEED);
        options.binary = Some(program::flashnode());
        let cluster = Cluster::start(options).await.expect("the cluster forms");
        let client = patient(&cluster);
        let put = PutProduct { name: "Sneaker".into(), stock: 100_000, ..PutProduct::default() };
        client.create_product(&sku(), &put).await.expect("the sale opens");
        Self { cluster, client, kinds, sold: 0, dir, _turn: turn }
    }

    async fn sell(&mut self, units: u64) {
        for _ in 0..units {
            let buy = buy(&format!("user-{}", self.sold));
            let outcome = self.client.buy(&buy, &client::new_request_id()).await;
            let answer = &outcome.answer;
            assert!(matches!(answer, BuyAnswer::Accepted { .. }), "{answer:?}");
            self.sold += 1;
        }
    }

    /// Injects faults, so many one after the other that each variant has its turn, until each of
    /// these was seen to take hold, by what is told of it. A machine that is busy may not show one
    /// at once, so there are some rounds for it. All are healed; none are left when one of the
    /// kinds cannot be had here.
    async fn inject(&mut self, turns: usize, variants: &[&str]) -> Vec<Fault> {
        let mut all: Vec<Fault> = Vec::new();
        for round in 0..ROUNDS_MAX {
            let faults = self.inject_once(SEED + round, turns).await;
            if let Some(skipped) = faults.iter().find(|fault| fault.effect == Effect::Skipped) {
                let why = format!("SKIPPED: {}: {}", skipped.kind, skipped.what);
                assert!(std::env::var_os("FLASHNODE_NO_SKIPS").is_none(), "{why}");
                eprintln!("{why}");
                return Vec::new();
            }
            all.extend(faults);
            if not_seen(&all, variants).is_empty() {
                return all;
            }
        }
        panic!(
            "{:?} not seen to take hold in {ROUNDS_MAX} rounds: {all:#?}",
            not_seen(&all, variants)
        );
    }

    async fn inject_once(&mut self, seed: u64, faults_max: usize) -> Vec<Fault> {
        let began = Instant::now();
        let (until, calm) = (began + FAR, Duration::ZERO);
        let at_latest = until;
        let plan = Plan { seed, began, until, at_latest, faults_max, fault: FAULT, calm };
        let mut told = Vec::new();
        let mut tell = |fault: &Fault| {
            println!("seed {seed}: {fault:?}");
            told.push(fault.clone());
        };
        let all = nemesis::drive(&mut self.cluster, &self.kinds, plan, &mut tell).await;
        if all.iter().all(|fault| fault.effect != Effect::Skipped) {
            assert_eq!(all.len(), faults_max, "{all:?}");
        }
        for fault in all.iter().filter(|fault| fault.effect != Effect::Skipped) {
            assert!(fault.ended_ns.is_some(), "{fault:?}");
            let told_of = told.iter().filter(|other| other.began_ns == fault.began_ns).count();
            assert_eq!(told_of, 2, "{fault:?}");
        }
        all
    }

    /// All nodes are back, level, equal, and have what was sold.
    async fn close(mut self) {
        self.cluster
            .recover(jepsen_lite::cluster::Patience::RUN)
            .await
            .expect("the cluster recovers");
        let before = self.sold;
        self.sell(5).await;
        let product = self.client.product(&sku()).await.expect("a read");
        assert_eq!(product.sold, before + 5, "sold and forgotten, or never sold");
        let views = self.cluster.processes.wait_level(PATIENCE).await.expect("all are level");
        assert_eq!(views.len(), self.cluster.ids().len(), "{views:?}");
        for pair in views.windows(2) {
            assert_eq!(pair[0].state_hash, pair[1].state_hash, "states differ: {views:?}");
        }
        assert!(self.cluster.deaths().is_empty(), "{:?}", self.cluster.deaths());
        assert!(self.cluster.breaches().is_empty(), "{:?}", self.cluster.breaches());
        drop(self.cluster);
        self.dir.close().expect("nothing is left in the way");
    }
}

/// A client that goes on until it has an answer. Who is at a node that is cut off goes to another
/// one soon.
fn patient(cluster: &Cluster) -> Client {
    let timeouts = Timeouts {
        attempt: Duration::from_millis(500),
        settle: PATIENCE,
        give_up: PATIENCE,
        ..Timeouts::default()
    };
    Client::with_timeouts(cluster.addresses(), timeouts).expect("addresses")
}

/// Buyers at all nodes, until they are told to stop.
struct Load {
    stop: watch::Sender<bool>,
    buyers: Vec<JoinHandle<u64>>,
}

impl Load {
    fn begin(cluster: &Cluster) -> Self {
        let stop = watch::Sender::new(false);
        let buyer = |number| tokio::spawn(buy_until(patient(cluster), number, stop.subscribe()));
        let buyers = (0..BUYERS).map(buyer).collect();
        Self { stop, buyers }
    }

    /// How often they were told yes.
    async fn end(self) -> u64 {
        self.stop.send_replace(true);
        let mut sold = 0;
        for buyer in self.buyers {
            sold += buyer.await.expect("every buy is accepted");
        }
        sold
    }
}

/// Buys one after the other; returns how often.
async fn buy_until(client: Client, buyer: u64, stop: watch::Receiver<bool>) -> u64 {
    let mut sold = 0;
    while !*stop.borrow() {
        let buy = buy(&format!("buyer-{buyer}-{sold}"));
        let outcome = client.buy(&buy, &client::new_request_id()).await;
        let answer = outcome.answer;
        assert!(matches!(answer, BuyAnswer::Accepted { .. }), "{answer:?}");
        sold += 1;
    }
    sold
}

/// The nemesis takes hold in each of these variants, of which there are so many, and the cluster
/// survives it.
async fn survives(name: &str, turns: usize, variants: &[&str]) {
    let mut scene = Scene::open(name, 3).await;
    scene.sell(20).await;
    scene.inject(turns, variants).await;
    scene.close().await;
}

/// As [`survives`], while buyers buy all the time.
async fn survives_under_load(names: &str, turns: usize, variants: &[&str]) {
    let mut scene = Scene::open(names, 3).await;
    let load = Load::begin(&scene.cluster);
    scene.inject(turns, variants).await;
    scene.sold += load.end().await;
    scene.close().await;
}

/// What was not seen to take hold.
fn not_seen<'a>(faults: &[Fault], variants: &[&'a str]) -> Vec<&'a str> {
    let seen = |words: &str| {
        let is = |fault: &Fault| fault.effect == Effect::Installed && fault.what.contains(words);
        faults.iter().any(is)
    };
    variants.iter().copied().filter(|words| !seen(words)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill() {
    let variants = [", one of them", ", the leader", ", a minority", ", a majority", ", all"];
    survives("kill", variants.len(), &variants).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pause() {
    survives("pause", 3, &["the leader among them"]).await;
}

const PARTITIONS: [&str; 7] = [
    "is alone",
    "without",
    "a ring of majorities",
    "only over",
    "hears nobody and is heard",
    "hears all and is not heard",
    "does not hear",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partition() {
    survives("partition", PARTITIONS.len(), &PARTITIONS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partition_of_five() {
    let mut scene = Scene::open("partition", 5).await;
    scene.sell(20).await;
    scene.inject(PARTITIONS.len(), &PARTITIONS).await;
    scene.close().await;
}

const LINKS: [&str; 3] = ["all links", "the links of the leader", "the links of one follower"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow() {
    survives("slow", LINKS.len(), &LINKS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lossy() {
    survives("lossy", LINKS.len(), &LINKS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wipe() {
    survives("wipe", 2, &["is lost"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rolling() {
    survives("rolling", 1, &["SIGTERM"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clock() {
    survives("clock", 3, &[" s ahead on ", " s behind on ", " s ahead and right in turns on "])
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn disk_full() {
    let variants = [
        "the leader, has less than its reserve",
        "the leader, has nothing",
        "a follower, has less than its reserve",
        "a follower, has nothing",
    ];
    survives("disk-full", variants.len(), &variants).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn corrupt() {
    survives_under_load("corrupt", 2, &["it stopped, and said why"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn truncate() {
    survives_under_load("truncate", 2, &["it stopped, and said why"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn purge() {
    survives_under_load("purge", 2, &[" down for ", " cut off for "]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unsynced() {
    survives_under_load("unsynced", 7, &["all lost", "some lost", "the last lost"]).await;
}

/// Both need nodes that were started in their own way: the journal is on the disk that fills up,
/// and a power cut takes back what was written before and after it was full. The clock's library
/// is preloaded before the journal's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn disk_full_and_unsynced_and_clock_in_one_cluster() {
    let mut scene = Scene::open("disk-full,unsynced,clock", 3).await;
    let load = Load::begin(&scene.cluster);
    // A sync of memory takes no time, so that a power cut finds little but marks to take here.
    let faults = scene.inject(6, &["the disk of", "the clock is"]).await;
    scene.sold += load.end().await;
    if !faults.is_empty() {
        assert!(faults.iter().any(|fault| fault.what.contains("power cut at")), "{faults:?}");
        for node in scene.cluster.processes.nodes() {
            let device = |path: &Path| path.metadata().expect("it is there").dev();
            let journal = node.dir.with_extension("unsynced").join("journal");
            assert_eq!(device(&journal), device(&node.dir), "a grave is one rename away");
            assert_ne!(device(&node.dir), device(scene.dir.path()), "the disk is a small one");
        }
    }
    scene.close().await;
}
