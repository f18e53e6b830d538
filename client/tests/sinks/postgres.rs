//! Exactly the cluster's orders in PostgreSQL, whatever is killed.

use super::program::{beside, code, stderr, stdout};
use super::scene::{PATIENCE, Scene, Sink, buyers, once, until};
use super::servers::Postgres;
use client::new_request_id;
use std::process::Output;

pub(crate) struct Copy {
    pub(crate) scene: Scene,
    pub(crate) server: Postgres,
}

impl Copy {
    pub(crate) async fn open(extra_args: &[&str]) -> Option<Self> {
        let server = Postgres::start().await?;
        Some(Self { scene: Scene::open(extra_args).await, server })
    }

    fn sink(&self, name: &str, more: &[&str]) -> Sink {
        let (to, nodes) = (self.server.url(), self.scene.nodes());
        let args = [&["postgres", "--to", &to, "--nodes", &nodes][..], more].concat();
        Sink::start(&args, self.scene.cluster.dir().join(name))
    }

    /// Brings the copy up to date.
    pub(crate) async fn once(&self) {
        let (to, nodes) = (self.server.url(), self.scene.nodes());
        once(&["postgres", "--to", &to, "--nodes", &nodes]).await;
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
    let mut sinks = ["first.log", "second.log"].map(|log| copy.sink(log, &[]));
    let (storm, progress) = copy.scene.storm(&sku, buyers);
    copy.scene.kill_in_turn((&progress, buyers), &mut sinks, &mut copy.server).await;
    let tally = storm.await.unwrap();
    assert!(!tally.won.is_empty() && !tally.holds.is_empty(), "nobody won");
    let order = copy.scene.orders().await[7].order_id;
    let cancelled = copy.scene.client.cancel(order, None, &new_request_id()).await;
    assert!(cancelled.answer.is_done(), "{cancelled:?}");
    let verified = copy.verify(PATIENCE.as_secs()).await;
    let said: String = sinks.iter().map(|sink| sink.told() + "--\n").collect();
    let told = format!("{}{}\n{said}", stdout(&verified), stderr(&verified));
    assert_eq!(code(&verified), 0, "{told}");
    assert!(told.starts_with("0 differences at seq "), "{told}");
    copy.assert_same_orders().await;
    assert!(sinks.iter_mut().all(Sink::runs), "{said}");
}

/// Where nobody can listen in there is nothing to warn of.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clear_text_is_warned_of_and_a_unix_socket_is_none() {
    let Some(copy) = Copy::open(&[]).await else { return };
    copy.scene.sell("drop", 1).await;
    let (nodes, url) = (copy.scene.nodes(), copy.server.url());
    let (meant, required) = (format!("{url}?sslmode=disable"), format!("{url}?sslmode=require"));
    let told = async |to: &str| {
        let args = ["sink", "postgres", "--to", to, "--nodes", &nodes, "--once"];
        let output = beside(&args).await;
        (code(&output), stderr(&output))
    };
    for (to, warned) in [(&url, true), (&meant, false), (&copy.server.url_of_socket(), false)] {
        let (code, told) = told(to).await;
        assert_eq!((code, told.contains("in clear text")), (0, warned), "{to}: {told}");
    }
    // Its server has no TLS: it is asked again and again, and nothing goes over in clear text.
    let mut refused = Sink::start(
        &["postgres", "--to", &required, "--nodes", &nodes],
        copy.scene.cluster.dir().join("required.log"),
    );
    until("the refusal", async || {
        (refused.told().contains("TLS") || !refused.runs()).then_some(())
    })
    .await;
    assert!(!refused.told().contains(" rows written"), "{}", refused.told());
}
