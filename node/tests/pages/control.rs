//! The control room: true under a storm and an election.

use super::scene::until;
use super::{Play, sku};
use stock::NodeId;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_and_an_election_are_seen() {
    let Some(mut play) = Play::open(200, &["--demo"]).await else { return };
    let leader = play.scene.leader().await;
    play.visit(leader, "/control").await;
    let browser = &play.browser;
    browser.says("#nodes table", "leader").await;
    assert_eq!(browser.count("#nodes tbody tr").await, 3);
    assert_eq!(browser.count("#nodes tr.leader").await, 1);
    browser.says("#storm", "No storm yet").await;
    browser.run("document.querySelector('#storm-buyers').value = 300").await;
    // A rate is the difference of two looks.
    browser.says("#rates figcaption", "accepted").await;
    browser.click("#storm .buy").await;
    let told = browser.says("#storm .state", "Over: 300 of 300").await;
    browser.says("#storm .counts", "200 accepted, 100 refused, 0 failed").await;
    assert_eq!(play.left().await, 0, "{told}");
    browser.says("#tiles", "Units sold\n200").await;
    browser.says("#orders table", "storm-").await;
    let drawn = "return document.querySelector('#stock canvas').ariaLabel";
    until("the chart to come down", || async {
        browser.run(drawn).await.contains("Sneaker 0").then_some(())
    })
    .await;

    play.scene.cluster.kill(leader).expect("the leader dies");
    let next = until("another leader", || async {
        let text = play.browser.text("#elections").await;
        let lines: Vec<&str> = text.lines().collect();
        let is_next = |line: &&&str| {
            line.contains(" leads, term ") && !line.contains(&format!("Node {leader} "))
        };
        lines.iter().find(is_next).map(|line| (*line).to_owned())
    })
    .await;
    assert!(next.starts_with("Node "), "{next}");
    play.browser.says(&format!("#nodes tbody tr:nth-child({leader})"), "down").await;
    play.scene.cluster.start_node(leader).expect("it is back");
    play.browser.says(&format!("#nodes tbody tr:nth-child({leader})"), "follower").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn holds_and_orders_are_seen_and_no_storm_is_offered_elsewhere() {
    let Some(play) = Play::open(20, &[]).await else { return };
    let hold = stock::api::PostHold::one(
        sku(),
        stock::Quantity::ONE,
        stock::UserId::new("ann").expect("an id"),
    );
    play.client().hold(&hold, &client::new_request_id()).await;
    play.visit(NodeId(3), "/control").await;
    play.browser.says("#holds", "1 × Sneaker").await;
    play.browser.says("#holds", "1 open").await;
    play.browser.says("#tiles", "Units on hold\n1").await;
    play.browser.says("#storm", "--demo").await;
    assert_eq!(
        play.browser.run("return document.querySelector('#storm form').hidden").await,
        "true"
    );
}
