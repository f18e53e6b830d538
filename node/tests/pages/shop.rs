//! Buying in the shop.

use super::scene::{buy, sku, until};
use super::{BUY, CARD, LEFT, OUTCOME, Play, RESERVE};
use client::new_request_id;
use stock::api::PutProduct;
use stock::{HoldTtl, NodeId};

const CHECKOUT: &str = "[data-product=sneaker] .checkout";

fn ttl(ms: u64) -> HoldTtl {
    serde_json::from_value(ms.into()).expect("a hold's time")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_click_is_an_order() {
    let Some(play) = Play::open(5, &[]).await else { return };
    let browser = &play.browser;
    play.enter(NodeId(2)).await;
    browser.says(LEFT, "5").await;
    browser.click("[data-product=sneaker] .steps button:last-child").await;
    browser.click(BUY).await;
    let told = browser.says(OUTCOME, "It's yours").await;
    browser.says(OUTCOME, "Receipt").await;
    let orders = play.orders().await;
    assert_eq!(orders.len(), 1, "{orders:?}");
    assert_eq!(orders[0].items[0].quantity.get(), 2);
    assert!(told.contains(&format!("Order {}", orders[0].order_id)), "{told}");
    browser.says(LEFT, "3").await;
    browser.says("#orders", &orders[0].receipt.to_string()[..12]).await;
    let leader = play.scene.leader().await;
    browser.says("#served", &format!("Served by node 2, leader node {leader}")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_buy_is_seen_until_it_is_sold_out_and_back_again() {
    let Some(play) = Play::open(2, &[]).await else { return };
    let browser = &play.browser;
    play.enter(NodeId(1)).await;
    play.client().buy(&buy("ann"), &new_request_id()).await;
    browser.says(LEFT, "1").await;
    play.client().buy(&buy("bob"), &new_request_id()).await;
    browser.says(BUY, "Sold out").await;
    assert!(!browser.is_enabled(BUY).await);
    play.client().restock((&sku(), 1), &new_request_id()).await;
    browser.says(BUY, "Buy now").await;
    browser.click(BUY).await;
    browser.says(OUTCOME, "It's yours").await;
    assert_eq!(play.left().await, 0);
    browser.says(BUY, "Sold out").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_runs_out_and_its_units_are_back() {
    let Some(play) = Play::open(3, &[]).await else { return };
    let short = PutProduct {
        name: "Short".into(),
        stock: 3,
        hold_ttl_ms: Some(ttl(2_000)),
        ..PutProduct::default()
    };
    play.product("short", &short).await;
    let browser = &play.browser;
    play.enter(NodeId(3)).await;
    browser.says("[data-product=short]", "Reserve for 00:02").await;
    browser.click("[data-product=short] .form .quiet").await;
    browser.says("[data-product=short] .outcome", "ran out").await;
    browser.gone(".checkout").await;
    browser.says("[data-product=short] .left", "3").await;
    assert!(play.orders().await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_outlives_a_reload_and_is_confirmed_or_given_back() {
    let Some(play) = Play::open(3, &[]).await else { return };
    let browser = &play.browser;
    play.enter(NodeId(1)).await;
    browser.click(RESERVE).await;
    browser.says(CHECKOUT, "Reserved for you").await;
    browser.says(LEFT, "2").await;
    browser.driver.refresh().await.expect("a reload");
    browser.says(CHECKOUT, "Reserved for you").await;
    browser.click(&format!("{CHECKOUT} .buy")).await;
    browser.says(OUTCOME, "It's yours").await;
    let orders = play.orders().await;
    assert!(orders.len() == 1 && orders[0].hold_id.is_some(), "{orders:?}");
    // What came of it is told before its buttons go.
    browser.gone(CHECKOUT).await;

    browser.click(RESERVE).await;
    browser.click(&format!("{CHECKOUT} .quiet")).await;
    browser.says(OUTCOME, "Given back").await;
    assert_eq!(play.left().await, 2);
    assert_eq!(play.orders().await.len(), 1);
    browser.gone(".checkout").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_tabs_are_one_buyer() {
    let Some(play) = Play::open(5, &[]).await else { return };
    let limit = r#"{"name":"One","stock":5,"price":1290,"currency":"EUR","per_user_limit":1}"#;
    play.product("one", &serde_json::from_str(limit).expect("terms")).await;
    let browser = &play.browser;
    play.enter(NodeId(1)).await;
    let first = browser.driver.window().await.expect("a window");
    let buyer = play.buyer().await;
    let second = browser.driver.new_tab().await.expect("a tab");
    browser.driver.switch_to_window(second.clone()).await.expect("the tab");
    play.enter(NodeId(1)).await;
    assert_eq!(play.buyer().await, buyer, "both tabs are one buyer");

    let (buy, outcome) = ("[data-product=one] .form .buy", "[data-product=one] .outcome");
    assert!(browser.says(buy, "€12.90").await.contains("Buy now"));
    browser.click(buy).await;
    browser.says(outcome, "It's yours").await;
    browser.driver.switch_to_window(first).await.expect("the tab");
    browser.says("[data-product=one] .left", "4").await;
    browser.click(buy).await;
    browser.says(outcome, "limit for one person").await;
    browser.says("#orders", "1 × One").await;
    assert_eq!(play.orders().await.len(), 1);
}

/// A browser opens six connections to a node for all its tabs: a tab that nobody sees takes none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_tabs_leave_one_another_room() {
    const TABS: usize = 8;
    let Some(play) = Play::open(5, &[]).await else { return };
    let browser = &play.browser;
    play.enter(NodeId(1)).await;
    let first = browser.driver.window().await.expect("a window");
    for _ in 1..TABS {
        let tab = browser.driver.new_tab().await.expect("a tab");
        browser.driver.switch_to_window(tab).await.expect("the tab");
        play.enter(NodeId(1)).await;
    }
    browser.click(BUY).await;
    browser.says(OUTCOME, "It's yours").await;
    // Who comes back to the first one sees what is left now.
    browser.driver.switch_to_window(first).await.expect("the tab");
    browser.says("#live", "Live").await;
    browser.says(LEFT, "4").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sale_opens_while_the_page_is_there() {
    let Some(play) = Play::open(5, &[]).await else { return };
    let later = r#"{"name":"Later","stock":5,"starts_at":"2100-01-01T00:00:00Z"}"#;
    play.product("later", &serde_json::from_str(later).expect("terms")).await;
    let browser = &play.browser;
    play.enter(NodeId(2)).await;
    let (buy, timer) = ("[data-product=later] .form .buy", "[data-product=later] .timer");
    browser.says(buy, "Not open yet").await;
    browser.says(timer, "days").await;
    assert!(!browser.is_enabled(buy).await);
    let soon = std::time::SystemTime::now() + std::time::Duration::from_secs(3);
    let soon_ms = soon.duration_since(std::time::UNIX_EPOCH).expect("a clock").as_millis();
    let soon = stock::api::Timestamp::at_most(u64::try_from(soon_ms).expect("an instant"));
    let patch = serde_json::json!({ "starts_at": soon });
    let patch = serde_json::from_value(patch).expect("an update");
    let id = stock::Sku::new("later").expect("a valid id");
    play.client().update_product((&id, &patch), None, &new_request_id()).await;
    browser.says(buy, "Buy now").await;
    // A leader that has not yet seen the instant refuses; a person clicks again.
    until("an order", || async {
        browser.click(buy).await;
        let told = browser.says("[data-product=later] .outcome", ".").await;
        told.contains("It's yours").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_is_text_whatever_it_says() {
    let Some(play) = Play::open(5, &["--demo"]).await else { return };
    let name =
        r#"<img src=x onerror="document.title='owned'"><script>document.title='owned'</script>"#;
    let put = PutProduct { name: name.into(), stock: 5, ..PutProduct::default() };
    play.product("hostile", &put).await;
    let browser = &play.browser;
    play.enter(NodeId(1)).await;
    browser.says("[data-product=hostile] h2", name).await;
    browser.click("[data-product=hostile] .form .buy").await;
    browser.says("[data-product=hostile] .outcome", name).await;
    browser.says("#orders", name).await;
    assert_eq!(browser.count(&format!("{CARD} img, #orders img, #products img")).await, 0);
    assert_eq!(browser.run("return document.title").await, "Shop · flashnode");

    play.visit(NodeId(1), "/control").await;
    browser.says("#orders", name).await;
    browser.says("#stock figcaption", name).await;
    assert_eq!(browser.run("return document.querySelectorAll('main img').length").await, "0");
    assert_eq!(browser.run("return document.title").await, "Control room · flashnode");
}
