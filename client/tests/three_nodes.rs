//! `flashctl` and the typed client against a real cluster of three nodes, each in its own process.

#![allow(clippy::unwrap_used, reason = "a test ends at what it cannot go on without")]

mod program;

use client::batch::{BatchBuy, Form};
use client::cluster::{Options, ProcessCluster};
use client::reads::{Consistency, Reads};
use client::storm::{self, Mix, Plan, Progress, Share};
use client::{Answer, BuyAnswer, Client, RefusedKind, Timeouts, audit, new_request_id};
use program::{CALM, beside, code, flashnode, script, stderr, stdout};
use std::sync::Arc;
use std::time::{Duration, Instant};
use stock::api::{ExportLine, PostBuy, PostHold, PutProduct};
use stock::{HoldTtl, NodeId, Quantity, RequestId, Seq, Sku, UserId};
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};

/// Long enough for a starved machine, short enough to end a test that hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// Three nodes and what runs beside them fill a small machine.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

struct Scene {
    cluster: ProcessCluster,
    client: Arc<Client>,
    _turn: MutexGuard<'static, ()>,
}

impl Scene {
    async fn open() -> Self {
        Self::with(&CALM).await
    }

    /// For a test in which the leader may be lost.
    async fn open_for_failover() -> Self {
        Self::with(&[]).await
    }

    async fn with(args: &[&str]) -> Self {
        let turn = ONE_AT_A_TIME.lock().await;
        let extra_args = args.iter().map(ToString::to_string).collect();
        let options = Options { binary: Some(flashnode()), extra_args, ..Options::default() };
        let mut cluster = ProcessCluster::start(options).unwrap();
        cluster.wait_ready(PATIENCE).await.unwrap();
        let timeouts = Timeouts { give_up: PATIENCE, settle: PATIENCE, ..Timeouts::default() };
        let client = Client::with_timeouts(cluster.addresses(), timeouts).unwrap();
        Self { cluster, client: Arc::new(client), _turn: turn }
    }

    fn nodes(&self) -> String {
        self.cluster.addresses().join(",")
    }

    async fn sell(&self, id: &str, stock: u64) -> Sku {
        let sku = Sku::new(id).unwrap();
        let terms = PutProduct { name: id.into(), stock, ..PutProduct::default() };
        self.client.create_product(&sku, &terms).await.unwrap();
        sku
    }
}

async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let started = Instant::now();
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(started.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn buy_of(sku: &Sku, user: &str) -> PostBuy {
    let user_id = UserId::new(user).unwrap();
    PostBuy { product_id: sku.clone(), user_id, quantity: Quantity::ONE }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scripts_print_what_they_say() {
    let scene = Scene::open().await;
    for script in [
        include_str!("scripts/baskets"),
        include_str!("scripts/restocks"),
        include_str!("scripts/exports"),
        include_str!("scripts/cursors"),
        include_str!("scripts/sales"),
        include_str!("scripts/terms"),
        include_str!("scripts/receipts"),
        include_str!("scripts/nodes"),
        include_str!("scripts/imports"),
        include_str!("scripts/probes"),
        include_str!("scripts/completions"),
        include_str!("scripts/storms"),
    ] {
        let nodes = scene.nodes();
        let play = move || script::play(script, &nodes, TempDir::new().unwrap().path());
        tokio::task::spawn_blocking(play).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_is_settled_buy_by_buy() {
    let scene = Scene::open().await;
    let sku = scene.sell("drop", 3).await;
    let keys: Vec<RequestId> = (0..5).map(|_| new_request_id()).collect();
    let buys: Vec<BatchBuy> = (0..)
        .zip(&keys)
        .map(|(at, request)| {
            let product = if at == 1 { Sku::new("unknown").unwrap() } else { sku.clone() };
            BatchBuy { request: request.clone(), buy: buy_of(&product, &format!("u{at}")) }
        })
        .collect();
    let mut orders = Vec::new();
    // The same again, in the other form: the same outcomes, and nothing more is sold.
    for (form, again) in [(Form::Array, false), (Form::Lines, true)] {
        let outcomes = scene.client.buy_batch(&buys, form).await;
        assert_eq!(outcomes.len(), buys.len());
        for (at, outcome) in outcomes.iter().enumerate() {
            match &outcome.answer {
                BuyAnswer::Accepted { order, replayed } => {
                    assert_eq!(order.user_id.as_str(), format!("u{at}"));
                    assert_eq!(*replayed, again);
                    orders.push(order.order_id);
                }
                BuyAnswer::Refused { kind, .. } if at == 1 => {
                    assert_eq!(*kind, RefusedKind::NotFound);
                }
                BuyAnswer::Refused { kind, .. } => assert_eq!(*kind, RefusedKind::SoldOut),
                other => panic!("{at}: {other:?}"),
            }
        }
    }
    assert_eq!(orders.len(), 6);
    assert_eq!(orders[..3], orders[3..]);
    assert_eq!(scene.client.product(&sku).await.unwrap().sold, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_are_as_current_as_they_ask() {
    let scene = Scene::open().await;
    let (client, sku) = (&scene.client, scene.sell("drop", 100).await);
    for buyer in 0..10 {
        let outcome = client.buy(&buy_of(&sku, &format!("u{buyer}")), &new_request_id()).await;
        let BuyAnswer::Accepted { order, .. } = outcome.answer else { panic!("{outcome:?}") };
        let own = Reads { consistency: Consistency::Stale, min_seq: order.seq };
        // At each node in turn, though it may hear of the order later than its buyer.
        let seen = client.reading(own).product(&sku).await.unwrap();
        assert!(seen.seq >= order.seq && seen.sold > buyer, "{seen:?}");
    }
    // A state that no node has is waited for in vain.
    let mut timeouts = Timeouts { attempt: Duration::from_secs(1), ..Timeouts::default() };
    timeouts.give_up = Duration::from_millis(100);
    let hasty = Client::with_timeouts(scene.cluster.addresses(), timeouts).unwrap();
    let never = Reads { consistency: Consistency::Stale, min_seq: Seq(1_000_000) };
    assert!(hasty.reading(never).product(&sku).await.unwrap_err().is_unavailable());
    // What a node says of itself.
    for node in 0..3 {
        client.alive(node).await.unwrap();
        let readiness = client.readiness(node).await.unwrap();
        assert!(readiness.ready && readiness.reason.is_none(), "{readiness:?}");
        let metrics = client.metrics(node).await.unwrap();
        assert!(metrics.contains("flash_sale_requests_total"), "{metrics}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restocks_keep_their_key() {
    let scene = Scene::open().await;
    let (sku, request) = (scene.sell("drop", 1).await, new_request_id());
    for again in [false, true] {
        let restocked = scene.client.restock((&sku, 4), &request).await;
        let Answer::Done { body, replayed } = restocked.answer else { panic!("{restocked:?}") };
        assert_eq!((body.stocked, replayed), (5, again));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_and_the_feed_after_it_are_the_whole_state() {
    let scene = Scene::open().await;
    let (client, sku) = (&scene.client, scene.sell("drop", 100).await);
    let hold = PostHold::one(sku.clone(), Quantity::ONE, UserId::new("holder").unwrap());
    assert!(client.hold(&hold, &new_request_id()).await.answer.is_done());
    for buyer in 0..5 {
        client.buy(&buy_of(&sku, &format!("u{buyer}")), &new_request_id()).await;
    }
    let mut export = client.export().await.unwrap();
    let seq = export.seq();
    let later = client.buy(&buy_of(&sku, "later"), &new_request_id()).await;
    let BuyAnswer::Accepted { order: later, .. } = later.answer else { panic!("{later:?}") };
    let (mut orders, mut holds, mut products) = (0, 0, Vec::new());
    while let Some(line) = export.next().await.unwrap() {
        match line {
            ExportLine::Product(product) => products.push((product.sold, product.held)),
            ExportLine::Hold(_) => holds += 1,
            ExportLine::Order(_) => orders += 1,
            ExportLine::Head { .. }
            | ExportLine::Debt { .. }
            | ExportLine::Cursor { .. }
            | ExportLine::End { .. } => {}
        }
    }
    assert_eq!((orders, holds, products), (5, 1, vec![(5, 1)]), "as it was at its seq");
    assert_eq!(export.next().await.unwrap(), None, "its end stays its end");
    let mut events = client.events(Some(seq));
    assert_eq!(events.next().await.unwrap().seq, later.seq);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn levels_go_on_with_another_node() {
    let mut scene = Scene::open_for_failover().await;
    let (client, sku) = (Arc::clone(&scene.client), scene.sell("drop", 100).await);
    let mut levels = client.levels();
    assert_eq!(levels.next().await.unwrap().stock, 100, "all levels come first");
    // Whichever node tells now, it dies, and is away until another one tells.
    let nodes: Vec<NodeId> = scene.cluster.nodes().iter().map(|node| node.id).collect();
    for (bought, node) in (1..).zip(nodes) {
        scene.cluster.kill(node).unwrap();
        let outcome = client.buy(&buy_of(&sku, &format!("u{bought}")), &new_request_id()).await;
        assert!(matches!(outcome.answer, BuyAnswer::Accepted { .. }), "{outcome:?}");
        while levels.next().await.unwrap().stock > 100 - bought {}
        scene.cluster.start_node(node).unwrap();
        scene.cluster.wait_ready(PATIENCE).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn holds_of_a_storm_outlive_their_leader() {
    let mut scene = Scene::open_for_failover().await;
    let sku = scene.sell("drop", 2_000).await;
    let percent = |share| Share::percent(share).unwrap();
    let mix = Mix {
        holds: percent(60),
        abandon: percent(20),
        release: percent(10),
        ttl: HoldTtl::from_ms(20_000).unwrap(),
    };
    let plan = Plan { mix, ..Plan::new(sku.clone(), 3_000, 32) };
    let before = scene.client.product(&sku).await.unwrap();
    let progress = Arc::new(Progress::default());
    let running = {
        let (client, plan, progress) =
            (Arc::clone(&scene.client), plan.clone(), Arc::clone(&progress));
        tokio::spawn(async move { storm::run(&client, &plan, &progress).await })
    };
    until("some orders", || async { (progress.accepted_count() > 200).then_some(()) }).await;
    let leader = scene.cluster.leader().await.unwrap();
    scene.cluster.kill(leader).unwrap();
    let tally = running.await.unwrap();
    let audit = audit::audit(&scene.client, &plan, &before, &tally).await.unwrap();
    assert_eq!(audit.verdict(), "ok", "{audit}");
    assert!(tally.retried > 0, "nobody met the dead leader");
    assert!(audit.holds_expired > 0 && audit.holds_open == 0, "{audit}");
    assert_eq!(scene.client.product(&sku).await.unwrap().held, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_without_followers_is_no_leader() {
    let mut scene = Scene::open_for_failover().await;
    let nodes = scene.nodes();
    let status = beside(&["status", "--nodes", &nodes]).await;
    assert_eq!(code(&status), 0, "{}", stdout(&status));
    let leader = scene.cluster.leader().await.unwrap();
    let others = [1, 2, 3].map(NodeId).into_iter().filter(|node| *node != leader);
    for node in others {
        scene.cluster.kill(node).unwrap();
    }
    let words = until("the leader to be seen alone", || async {
        let status = beside(&["status", "--nodes", &nodes]).await;
        (code(&status) == 3).then(|| stdout(&status))
    })
    .await;
    assert!(words.contains("no leader"), "{words}");
    let status = beside(&["status", "--json", "--nodes", &nodes]).await;
    assert_eq!((code(&status), &program::json(&status)["quorum"]), (3, &false.into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_at_a_dead_node_says_so() {
    let mut scene = Scene::open_for_failover().await;
    scene.sell("drop", 400).await;
    let (dead, nodes) = (NodeId(2), scene.nodes());
    scene.cluster.kill(dead).unwrap();
    let address = scene.cluster.node(dead).http.clone();
    let args = ["storm", "--product", "drop", "--buyers", "300", "--nodes", &nodes];
    // Only this node: nobody is sent.
    let only = beside(&[&args[..], &["--node", "2"]].concat()).await;
    assert_eq!(code(&only), 3, "{}", stderr(&only));
    assert!(stderr(&only).contains(&address) && stdout(&only).is_empty(), "{}", stderr(&only));
    // Any node: the others serve its buyers.
    let any = beside(&args).await;
    assert_eq!(code(&any), 0, "{} {}", stdout(&any), stderr(&any));
    let says = format!("{address} does not answer; its buyers go to the others");
    assert!(stderr(&any).contains(&says), "{}", stderr(&any));
}
