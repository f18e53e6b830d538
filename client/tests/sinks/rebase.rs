//! The feed of a real cluster no longer reaches back to where the targets stand: 410, and the whole
//! state in place of what is lost, for each kind of target.

use super::brokers::Broker as _;
use super::differences::hold;
use super::files::lines;
use super::postgres::Copy;
use super::program::{beside, code, json, stderr, stdout};
use super::scene::{PATIENCE, Scene, Seen, once, until};
use super::servers::{Nats, Postgres, RabbitMq};
use super::webhook::{Receiver, SECRET};
use client::{ClientError, new_request_id};
use std::collections::BTreeSet;
use std::sync::PoisonError;
use stock::api::OrderView;
use stock::{Seq, Sku};

/// Five segments, of which a mebibyte is one and two stay in memory.
const BUYS: u64 = 80_000;
/// Longer than any test.
const HOLD_MS: u64 = 3_600_000;
/// Events are sealed, and forgotten, with a snapshot.
const FORGETFUL: [&str; 6] =
    ["--events-mib", "1", "--snapshot-entries", "10", "--keep-entries", "10"];

/// Sells so much that no node tells the changes after this one any more.
async fn forget(scene: &Scene, sku: &Sku, after: Seq) {
    scene.rush(sku, BUYS).await;
    for node in 0..3 {
        until("the changes to be gone", async || {
            let mut events = scene.client.events_at(node, Some(after));
            let gone =
                matches!(events.next().await, Err(ClientError::Refused(why)) if why.status == 410);
            (gone && events.node() == node).then_some(())
        })
        .await;
    }
}

async fn cancel(scene: &Scene, place: usize) {
    let order = scene.orders().await[place].order_id;
    let cancelled = scene.client.cancel(order, None, &new_request_id()).await;
    assert!(cancelled.answer.is_done(), "{cancelled:?}");
}

/// A scene whose changes before and after some that are lost are told.
async fn with_changes() -> (Scene, Sku) {
    let scene = Scene::open(&FORGETFUL).await;
    let sku = scene.sell("drop", 2 * BUYS).await;
    let (storm, _) = scene.storm(&sku, 500);
    storm.await.unwrap();
    cancel(&scene, 7).await;
    (scene, sku)
}

/// Returns a hold that was made by one of those that are lost, and is open.
async fn lose_some(scene: &Scene, sku: &Sku) -> Seq {
    let before = scene.newest().await;
    cancel(scene, 9).await;
    let hold = hold(scene, sku, HOLD_MS).await;
    forget(scene, sku, before).await;
    hold
}

/// As [`once`], at most so many rows a second.
async fn once_paced(args: &[&str], rows_per_second: u64) {
    let rate = rows_per_second.to_string();
    let output =
        beside(&[&["--json", "sink"], args, &["--max-rows-per-second", &rate, "--once"]].concat())
            .await;
    assert_eq!(code(&output), 0, "{args:?}: {}", stderr(&output));
    let said = json(&output);
    let number = |field: &str| said[field].as_u64().unwrap();
    assert!(number("rows") >= BUYS, "{said}");
    // The first page, an eighth of a second's, is not waited for.
    let most = rows_per_second + rows_per_second * rows_per_second / 8 / BUYS + 1;
    assert!(number("rows_per_s") <= most, "{args:?}: at most {most}: {said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_stand_for_changes_that_the_feed_has_lost() {
    let Some(server) = Postgres::start().await else { return };
    let (scene, sku) = with_changes().await;
    let (to, nodes) = (server.url(), scene.nodes());
    let args = ["postgres", "--to", &to, "--nodes", &nodes];
    once(&args).await;
    let hold = lose_some(&scene, &sku).await;
    once_paced(&args, 10_000).await;
    cancel(&scene, 11).await;
    once(&args).await;
    let copy = Copy { scene, server };
    let verified = copy.verify(PATIENCE.as_secs()).await;
    let told = format!("{}{}", stdout(&verified), stderr(&verified));
    assert_eq!(code(&verified), 0, "{told}");
    assert!(told.contains("the changes from "), "{told}");
    copy.assert_same_orders().await;
    let gaps = "SELECT count(*) FROM flashnode.stock_events WHERE change = 'gap'";
    let database = copy.server.client().await;
    let gaps: i64 = database.query_one(gaps, &[]).await.unwrap().get(0);
    assert_eq!(gaps, 1);
    // Of a hold that no change tells, the state tells what is compared.
    for (set, column) in [
        ("items = jsonb_set(items, '{0,more}', '1')", "items"),
        ("request_id = 'another'", "request_id"),
        ("ended_by = 7", "ended_by"),
    ] {
        let change = format!(
            "CREATE TABLE public.kept AS TABLE flashnode.holds;
             UPDATE flashnode.holds SET {set} WHERE hold_id = {hold}"
        );
        database.batch_execute(&change).await.unwrap();
        let verified = copy.verify(PATIENCE.as_secs()).await;
        let told = format!("{}{}", stdout(&verified), stderr(&verified));
        assert_eq!(code(&verified), 4, "{set}: {told}");
        assert!(told.starts_with(&format!("hold {hold}: {column} is ")), "{set}: {told}");
        assert!(told.contains("\n1 differences at seq "), "{set}: {told}");
        let restore = "TRUNCATE flashnode.holds; INSERT INTO flashnode.holds TABLE public.kept;
            DROP TABLE public.kept";
        database.batch_execute(restore).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_stand_for_changes_that_the_feed_has_lost() {
    let (scene, sku) = with_changes().await;
    let nodes = scene.nodes();
    let dir = scene.cluster.dir().join("events");
    let dir_text = dir.display().to_string();
    let (url, receiver) = Receiver::kind().start().await;
    let (queue, stream) = (RabbitMq::start().await, Nats::start().await);
    let queue_url = queue.as_ref().map(RabbitMq::url);
    let stream_url = stream.as_ref().map(Nats::url);
    let mut all: Vec<Vec<&str>> = vec![
        vec!["files", "--dir", &dir_text, "--rotate-mib", "1", "--nodes", &nodes],
        vec!["webhook", "--url", &url, "--secret", SECRET, "--nodes", &nodes],
    ];
    all.extend(queue_url.iter().map(|url| vec!["rabbitmq", "--to", url, "--nodes", &nodes]));
    all.extend(stream_url.iter().map(|url| vec!["nats", "--to", url, "--nodes", &nodes]));
    for args in &all {
        once(args).await;
    }
    receiver.lock().unwrap_or_else(PoisonError::into_inner).seen.gaps = true;
    lose_some(&scene, &sku).await;
    once_paced(&all[0], 16_000).await;
    for args in &all[1..] {
        once(args).await;
    }
    cancel(&scene, 11).await;
    for args in &all {
        once(args).await;
    }

    let (orders, newest) = (scene.orders().await, scene.newest().await);
    let mut in_files = Seen::with_gaps();
    for line in lines(&dir) {
        in_files.take(line["id"].as_str().unwrap());
    }
    assert_eq!(in_files.again(), 0);
    assert_whole("files", &in_files, &orders);
    assert_whole("the receiver", &receiver.lock().unwrap().seen, &orders);
    let enough = |seen: &Seen| seen.newest() >= newest.0;
    if let Some(queue) = &queue {
        let mut seen = Seen::with_gaps();
        queue.drain(&mut seen, enough).await;
        assert_whole("the queue", &seen, &orders);
    }
    if let Some(stream) = &stream {
        let mut seen = Seen::with_gaps();
        stream.drain(&mut seen, enough).await;
        assert_whole("the stream", &seen, &orders);
    }
}

/// Every order came as the change that made it; then what stands for the rest, the gap last.
fn assert_whole(whose: &str, seen: &Seen, orders: &[OrderView]) {
    let ids: BTreeSet<u64> = seen.ids().iter().copied().collect();
    assert_eq!(ids.len(), seen.ids().len(), "{whose}: in order");
    let missing = orders.iter().filter(|order| !ids.contains(&order.order_id.0)).count();
    assert_eq!(missing, 0, "{whose}: orders are missing");
    let of_state = &seen.of_state;
    let ends = |end: &str| of_state.iter().filter(|id| id.ends_with(end)).count();
    assert_eq!((ends("-gap"), ends("-product-drop")), (1, 1), "{whose}: {of_state:?}");
    assert!(of_state.last().unwrap().ends_with("-gap"), "{whose}: {of_state:?}");
    // The two that were taken back by then, as they stand.
    let cancelled = of_state.iter().filter(|id| id.contains("-order-")).count();
    assert_eq!(cancelled, 2, "{whose}: {of_state:?}");
}
