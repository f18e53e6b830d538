//! The page goes on when its node dies: the same buyer, the same place, one order.

use super::scene::{PATIENCE, until};
use super::{BUY, LEFT, OUTCOME, Play};
use stock::NodeId;

/// The click reached the leader, or did not: nobody knows. The leader stands still when it is
/// clicked, and dies before it answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leader_dies_under_a_click() {
    let Some(mut play) = Play::open_for_failover(10).await else { return };
    let leader = play.scene.leader().await;
    play.enter(leader).await;
    play.browser.click(BUY).await;
    play.browser.says(OUTCOME, "Receipt").await;
    let first = play.orders().await;
    assert_eq!(first.len(), 1);

    play.scene.cluster.pause(leader).expect("the leader stands still");
    play.browser.click(BUY).await;
    play.browser.says(OUTCOME, "Asking").await;
    play.scene.cluster.kill(leader).expect("the leader dies");
    let told = play.browser.says(OUTCOME, "It's yours").await;
    let orders = play.orders().await;
    assert_eq!(orders.len(), 2, "the second click is one order: {orders:?}");
    assert!(told.contains(&format!("Order {}", orders[1].order_id)), "{told}");

    // Nothing of the page was lost, it is live again, and it sells.
    play.browser.says("#live", "Live").await;
    play.browser.says(LEFT, "8").await;
    let served = play.browser.says("#served", "Served by node").await;
    assert!(!served.contains(&format!("Served by node {leader}")), "{served}");
    play.browser.click(BUY).await;
    play.browser.says(LEFT, "7").await;
    assert_eq!(play.orders().await.len(), 3);
    play.scene.cluster.start_node(leader).expect("the leader is back");
    play.scene.cluster.wait_ready(PATIENCE).await.expect("all are ready");
    play.scene.assert_equal_states().await;
}

/// The click is an order, and only its answer is lost on the way: asked again, it is that order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_is_lost() {
    let Some(play) = Play::open(10, &[]).await else { return };
    play.enter(NodeId(1)).await;
    let lose = "const real = window.fetch;
        let lost = 0;
        window.fetch = async (...asked) => {
            const answer = await real(...asked);
            if (String(asked[0]).endsWith('/v1/buys') && lost++ === 0) throw new TypeError('lost');
            return answer;
        };";
    play.browser.run(lose).await;
    play.browser.click(BUY).await;
    play.browser.says(OUTCOME, "it was counted once").await;
    let orders = play.orders().await;
    assert_eq!(orders.len(), 1, "{orders:?}");
    assert_eq!(play.left().await, 9);
}

/// Without a quorum a click waits. A reload forgets nothing: it is settled once, under its key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_click_outlives_a_reload() {
    let Some(mut play) = Play::open(10, &[]).await else { return };
    let node = NodeId(1);
    play.enter(node).await;
    for other in [NodeId(2), NodeId(3)] {
        play.scene.cluster.pause(other).expect("a node stands still");
    }
    play.browser.click(BUY).await;
    play.browser.says(OUTCOME, "Asking").await;
    let key = "return Object.keys(JSON.parse(sessionStorage['flashnode.pending'] ?? '{}')).join()";
    let before = until("a request that is kept", || async {
        let key = play.browser.run(key).await;
        (!key.is_empty()).then_some(key)
    })
    .await;
    play.browser.driver.refresh().await.expect("a reload");
    assert_eq!(play.browser.run(key).await, before, "the reload keeps the key");
    for other in [NodeId(2), NodeId(3)] {
        play.scene.cluster.resume(other).expect("a node goes on");
    }
    play.browser.says(OUTCOME, "It's yours").await;
    let orders = play.orders().await;
    assert_eq!(orders.len(), 1, "{orders:?}");
    assert_eq!(orders[0].request_id.as_str(), before);
    assert_eq!((play.left().await, play.browser.run(key).await), (9, String::new()));
}

/// The page is loaded anew while the node that it came from is dead, or stands still: the browser
/// has kept it, and it goes on with the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_outlives_the_pages_own_node() {
    let Some(mut play) = Play::open_for_failover(10).await else { return };
    let node = play.scene.leader().await;
    play.enter(node).await;
    play.browser.click(BUY).await;
    play.browser.says(OUTCOME, "It's yours").await;
    let buyer = play.buyer().await;
    let ready = "return navigator.serviceWorker.ready.then((worker) => worker.active.state)";
    let nodes = "return JSON.parse(localStorage['flashnode.nodes'] ?? '[]').length";
    until("the page to be kept", || async {
        let kept = (play.browser.run(ready).await, play.browser.run(nodes).await);
        (kept == ("activated".to_owned(), "3".to_owned())).then_some(())
    })
    .await;

    play.scene.cluster.kill(node).expect("its node dies");
    play.browser.driver.refresh().await.expect("a reload");
    play.browser.says("#live", "Live").await;
    play.browser.says(LEFT, "9").await;
    assert_eq!(play.buyer().await, buyer);
    play.browser.click(BUY).await;
    play.browser.says(LEFT, "8").await;
    let served = play.browser.says("#served", "Served by node").await;
    assert!(!served.contains(&format!("Served by node {node}")), "{served}");
    assert_eq!(play.orders().await.len(), 2);
    play.visit(node, "/control").await;
    play.browser.says(&format!("#nodes tbody tr:nth-child({node})"), "down").await;

    // It is back, and is asked again. What is kept are pages, and nothing that is said of the
    // stock.
    play.scene.cluster.start_node(node).expect("it is back");
    play.scene.cluster.wait_ready(PATIENCE).await.expect("all are ready");
    play.enter(node).await;
    play.browser.says("#served", &format!("Served by node {node}")).await;
    let kept =
        "return caches.keys().then(([name]) => caches.open(name)).then((kept) => kept.keys())
        .then((all) => all.map(({ url }) => new URL(url).pathname).join(' '))";
    let kept = play.browser.run(kept).await;
    let is_page = |path: &str| matches!(path, "/" | "/control") || path.starts_with("/assets/");
    assert!(kept.split(' ').count() > 10 && kept.split(' ').all(is_page), "{kept}");

    play.scene.cluster.pause(node).expect("it stands still");
    play.browser.driver.refresh().await.expect("a reload");
    play.browser.says(LEFT, "8").await;
    play.browser.says("#live", "Live").await;
    play.browser.click(BUY).await;
    play.browser.says(LEFT, "7").await;
    play.scene.cluster.resume(node).expect("it goes on");
    assert_eq!(play.orders().await.len(), 3);
    play.scene.assert_equal_states().await;
}
