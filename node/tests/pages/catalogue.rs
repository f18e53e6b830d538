//! A shop with hundreds of products.

use super::Play;
use super::scene::until;
use futures_util::{StreamExt, stream};
use stock::NodeId;
use stock::api::PutProduct;
use thirtyfour::Key;

/// With the one that every scene has, 300.
const MORE: usize = 299;
const SHOWN: &str = "return [...document.querySelectorAll('.card')]
    .filter((one) => one.checkVisibility()).map((one) => one.dataset.product).join(' ')";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_three_hundred_is_found_and_bought() {
    let Some(play) = Play::open(10, &[]).await else { return };
    let put = |n: usize| {
        let put = PutProduct { name: format!("Print {n:03}"), stock: 10, ..PutProduct::default() };
        let play = &play;
        async move { play.product(&format!("print-{n:03}"), &put).await }
    };
    stream::iter(1..=MORE).map(put).buffer_unordered(16).collect::<()>().await;
    let browser = &play.browser;
    browser.wide(390).await;
    play.enter(NodeId(1)).await;
    until("all to be there", || async { (browser.count(".card").await == MORE + 1).then_some(()) })
        .await;
    browser.says("#seek-found", "300 of 300 products").await;
    let line = "return document.querySelector('#seek-found').offsetHeight < 40";
    assert_eq!(browser.run(line).await, "true", "it is told in one line");
    browser.picture("catalogue-390").await;

    // By keyboard, and by any part of a name.
    browser.run("document.querySelector('#seek-text').focus()").await;
    browser.press("PRINT 21").await;
    browser.says("#seek-found", "10 of 300 products").await;
    browser.press("7").await;
    browser.says("#seek-found", "1 of 300 products").await;
    assert_eq!(browser.run(SHOWN).await, "print-217");
    let reaches = "return document.activeElement.matches('[data-product=print-217] .form .buy')";
    for _ in 0..8 {
        browser.press(Key::Tab).await;
        if browser.run(reaches).await == "true" {
            break;
        }
    }
    browser.press(Key::Enter).await;
    browser.says("[data-product=print-217] .outcome", "It's yours").await;
    browser.says("[data-product=print-217] .left", "9").await;
    browser.picture("catalogue-found-390").await;
    let orders = play.orders().await;
    assert_eq!(orders.len(), 1, "{orders:?}");

    // What is looked for stays so, whatever is put on sale meanwhile; a reservation is never
    // hidden.
    browser.click("[data-product=print-217] .form .quiet").await;
    browser.says("[data-product=print-217] .checkout", "Reserved").await;
    let late = PutProduct { name: "Late".into(), stock: 3, ..PutProduct::default() };
    play.product("late", &late).await;
    browser.says("#seek-found", "1 of 301 products").await;
    browser.run("document.querySelector('#seek-text').select()").await;
    browser.press("no such thing").await;
    browser.says("#seek-found", "Nothing on sale is called “no such thing”").await;
    assert_eq!(browser.run(SHOWN).await, "print-217");
    browser.run("document.querySelector('#seek-text').select()").await;
    browser.press(Key::Backspace).await;
    browser.says("#seek-found", "301 of 301 products").await;
    assert_eq!(browser.run(SHOWN).await.split(' ').count(), 301);

    // The control room counts all of them.
    play.visit(NodeId(1), "/control").await;
    browser.says("#tiles", "Units left\n3,001").await;
    assert_eq!(browser.count("#storm option").await, 301);
}

/// Twelve are seen at a look: no field to look for one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_few_products_need_no_search() {
    let Some(play) = Play::open(10, &[]).await else { return };
    play.enter(NodeId(1)).await;
    assert_eq!(play.browser.run("return document.querySelector('#seek').hidden").await, "true");
}
