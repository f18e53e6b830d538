//! Exactly the cluster's orders in PostgreSQL, whatever is killed.

use super::program::{beside, code, stderr, stdout};
use super::scene::{PATIENCE, Scene, Sink, buyers, until};
use super::servers::Postgres;
use client::export::Export;
use client::new_request_id;
use sink::postgres::{Database, Postgres as Target};
use sink::{SourceError, State, Target as _};
use std::process::Output;
use stock::api::ExportLine;
use stock::{NodeId, Seq};

pub(crate) struct Copy {
    pub(crate) scene: Scene,
    pub(crate) server: Postgres,
}

impl Copy {
    async fn open(extra_args: &[&str]) -> Option<Self> {
        let server = Postgres::start().await?;
        Some(Self { scene: Scene::open(extra_args).await, server })
    }

    fn sink(&self, name: &str, more: &[&str]) -> Sink {
        let (to, nodes) = (self.server.url(), self.scene.nodes());
        let args = [&["postgres", "--to", &to, "--nodes", &nodes][..], more].concat();
        Sink::start(&args, self.scene.cluster.dir().join(name))
    }

    /// Brings the copy up to date.
    async fn once(&self) {
        let (to, nodes) = (self.server.url(), self.scene.nodes());
        let output = beside(&["sink", "postgres", "--to", &to, "--nodes", &nodes, "--once"]).await;
        assert_eq!(code(&output), 0, "{}", stderr(&output));
    }

    pub(crate) async fn verify(&self, wait_s: u64) -> Output {
        let wait = wait_s.to_string();
        let (to, nodes) = (self.server.url(), self.scene.nodes());
        beside(&["sink", "verify", "--to", &to, "--nodes", &nodes, "--wait", &wait]).await
    }

    /// What `sink verify` looks at, looked at without it.
    pub(crate) async fn assert_same_orders(&self) {
        let database = self.server.client().await;
        let rows = database
            .query(
                "SELECT order_id, user_id, request_id, units, cancelled FROM flashnode.orders
                    ORDER BY order_id",
                &[],
            )
            .await
            .unwrap();
        let orders = self.scene.orders().await;
        assert_eq!(rows.len(), orders.len());
        for (row, order) in rows.iter().zip(&orders) {
            assert_eq!(row.get::<_, i64>(0), i64::try_from(order.order_id.0).unwrap());
            assert_eq!(row.get::<_, &str>(1), order.user_id.as_str());
            assert_eq!(row.get::<_, &str>(2), order.request_id.as_str());
            let units: u32 = order.items.iter().map(|line| line.quantity.get()).sum();
            assert_eq!(row.get::<_, i64>(3), i64::from(units));
            assert_eq!(row.get::<_, bool>(4), order.cancelled, "order {}", order.order_id);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_killed_the_table_ends_with_exactly_the_clusters_orders() {
    let Some(mut copy) = Copy::open(&[]).await else { return };
    let buyers = buyers();
    let sku = copy.scene.sell("drop", buyers - buyers / 10).await;
    let mut first = copy.sink("first.log", &[]);
    let mut second = copy.sink("second.log", &[]);
    let (storm, progress) = copy.scene.storm(&sku, buyers);
    // Killed in turn, at even distances: each is in the middle of its work.
    for (step, what) in (1..).zip(["first", "server", "n1", "second", "n2", "server", "n3"]) {
        let due = buyers * step / 10;
        until("more orders", async || (progress.accepted_count() > due).then_some(())).await;
        match what {
            "server" => {
                copy.server.kill();
                copy.server.start_again().await;
            }
            "first" => {
                first.kill();
                first.start_again();
            }
            "second" => {
                second.kill();
                second.start_again();
            }
            node => copy.scene.replace(NodeId(node[1..].parse().unwrap())).await,
        }
    }
    let tally = storm.await.unwrap();
    assert!(!tally.won.is_empty() && !tally.holds.is_empty(), "nobody won");
    let order = copy.scene.orders().await[7].order_id;
    let cancelled = copy.scene.client.cancel(order, None, &new_request_id()).await;
    assert!(cancelled.answer.is_done(), "{cancelled:?}");
    let verified = copy.verify(PATIENCE.as_secs()).await;
    let told = format!("{}{}\n{}", stdout(&verified), stderr(&verified), first.told());
    assert_eq!(code(&verified), 0, "{told}\n{}", second.told());
    assert!(told.starts_with("0 differences at seq "), "{told}");
    copy.assert_same_orders().await;
    assert!(first.runs() && second.runs(), "{}\n{}", first.told(), second.told());

    // What differs is found, each thing once, and nothing else.
    let database = copy.server.client().await;
    let orders = copy.scene.orders().await;
    let [gone, other] = [orders[3].order_id, orders[11].order_id];
    database
        .batch_execute(&format!(
            "SET search_path TO flashnode;
             DELETE FROM orders WHERE order_id = {gone};
             UPDATE orders SET user_id = 'mallory' WHERE order_id = {other};
             INSERT INTO orders SELECT 1000000000, user_id, request_id, hold_id, items, units,
                 ordered_at, cancelled, cancelled_by FROM orders WHERE order_id = {other};
             UPDATE products SET sold = sold - 1, available = available + 1;
             DELETE FROM stock_events WHERE seq = 1"
        ))
        .await
        .unwrap();
    let verified = copy.verify(5).await;
    let told = stdout(&verified);
    assert_eq!(code(&verified), 4, "{told}");
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines.len(), 6, "{told}");
    for expected in [
        format!("order {gone} is in the cluster and not in the database"),
        format!("order {other}: user_id is {} in the cluster and mallory in", orders[11].user_id),
        "order 1000000000 is in the database and not in the cluster".to_owned(),
        "product drop is ".to_owned(),
        "stock_events has ".to_owned(),
        "5 differences at seq ".to_owned(),
    ] {
        assert!(lines.iter().any(|line| line.starts_with(&expected)), "{expected}\n{told}");
    }
}

/// The cluster's state, as a target takes it.
struct Whole(Export);

impl State for Whole {
    fn seq(&self) -> Seq {
        self.0.seq()
    }

    async fn next(&mut self) -> Result<Option<ExportLine>, SourceError> {
        self.0.next().await.map_err(|why| SourceError::Unavailable(why.to_string()))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_state_stands_in_for_changes_that_the_feed_has_lost() {
    let Some(copy) = Copy::open(&[]).await else { return };
    let sku = copy.scene.sell("drop", 5_000).await;
    for round in 0..3 {
        let (storm, _) = copy.scene.storm(&sku, 500);
        storm.await.unwrap();
        let order = copy.scene.orders().await[round * 7].order_id;
        let cancelled = copy.scene.client.cancel(order, None, &new_request_id()).await;
        assert!(cancelled.answer.is_done(), "{cancelled:?}");
        if round != 1 {
            copy.once().await;
            continue;
        }
        // As if the feed no longer told what happened in this round.
        let database = Database::new(&copy.server.url(), "flashnode", None).unwrap();
        let mut target = Target::new(database);
        let cluster_id = copy.scene.client.cluster(0).await.unwrap().cluster_id.unwrap();
        let from = target.open(&cluster_id).await.unwrap();
        let mut state = Whole(copy.scene.client.export().await.unwrap());
        assert!(state.seq() > from, "{from}");
        target.rebase(from, &mut state).await.unwrap();
    }
    let verified = copy.verify(PATIENCE.as_secs()).await;
    assert_eq!(code(&verified), 0, "{}{}", stdout(&verified), stderr(&verified));
    copy.assert_same_orders().await;
}
