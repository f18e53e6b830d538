//! The pages for whoever sees little, has no mouse, or is made ill by what moves.

use super::browser::Browser;
use super::scene::{sku, until};
use super::{BUY, CARD, LEFT, OUTCOME, Play, RESERVE};
use stock::api::{PostBuy, PostHold};
use stock::{NodeId, Quantity, Sku, UserId};
use thirtyfour::Key;

/// What WCAG 2.1 AA asks of colours (1.4.3, 1.4.11), of all that is seen: a list of what falls
/// short. It spares what is disabled; here that has to be read, too.
const CONTRAST: &str = include_str!("contrast.js");

/// Whether the page is wider than what shows it, or a text than its box, and which.
const OVERFLOW: &str = "const wide = document.documentElement.clientWidth;
    const boxes = [...document.body.querySelectorAll('*')].filter((one) => one.checkVisibility());
    const bursts = (one) => one.clientWidth > 0 && one.scrollWidth > one.clientWidth + 1 &&
        getComputedStyle(one).overflowX === 'visible';
    const out = boxes.filter((one) => !one.closest('.scroll, .unseen, svg') &&
        (one.getBoundingClientRect().right > wide + 0.5 || bursts(one)));
    const page = document.documentElement.scrollWidth > wide ? ['the page'] : [];
    return [...page, ...out.map((one) => `${one.tagName}.${one.className}`)].join(', ')";

/// Tables that are wider than their place.
const TABLES: &str = "return [...document.querySelectorAll('.scroll')]
    .filter((one) => one.scrollWidth > one.clientWidth).length";

/// A product with a name that fits into no line.
const LONG: &str = r#"{"name":"Longer than others: Donaudampfschifffahrtsgesellschaftskapitänsmütze",
    "stock":900,"per_user_limit":1}"#;

/// Looks at the page as it is, in both schemes, on a phone and on a desk.
async fn looks_well(browser: &Browser, page: &str) {
    for scheme in ["light", "dark"] {
        browser.prefers("prefers-color-scheme", scheme).await;
        for width in [390, 1440] {
            browser.wide(width).await;
            // What fades from one colour to the next is looked at when it has. A countdown's bar is
            // never still.
            let still = "return document.getAnimations().filter((one) =>
                one instanceof CSSTransition && one.transitionProperty !== 'transform').length";
            until("transitions to end", || async {
                (browser.run(still).await == "0").then_some(())
            })
            .await;
            assert_eq!(browser.run(CONTRAST).await, "", "{page}, {scheme}, {width} px");
            assert_eq!(browser.run(OVERFLOW).await, "", "{page}, {scheme}, {width} px");
            // On a desk no table has to be moved aside to be read.
            let tables = browser.run(TABLES).await;
            assert!(width < 1000 || tables == "0", "{page}, {scheme}, {width} px: {tables}");
            browser.picture(&format!("{page}-{scheme}-{width}")).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_shop_is_read_in_any_light_and_at_any_width() {
    let Some(play) = Play::open(1_200, &[]).await else { return };
    for (id, terms) in [
        ("last", r#"{"name":"The last ones","stock":20,"price":8900,"currency":"EUR"}"#),
        ("gone", r#"{"name":"Gone","stock":1,"price":12900,"currency":"EUR"}"#),
        ("later", r#"{"name":"Later","stock":5,"starts_at":"2100-01-01T00:00:00Z"}"#),
        ("over", r#"{"name":"Over","stock":5,"ends_at":"2020-01-01T00:00:00Z"}"#),
        ("limited", LONG),
    ] {
        play.product(id, &serde_json::from_str(terms).expect("terms")).await;
    }
    let browser = &play.browser;
    play.enter(NodeId(2)).await;
    for (id, buys) in [("gone", 1), ("last", 19), ("limited", 1)] {
        let user = UserId::new(format!("{id}-buyer")).expect("an id");
        for _ in 0..buys {
            let sku = Sku::new(id).expect("an id");
            let user_id = user.clone();
            let wants = PostBuy { product_id: sku, user_id, quantity: Quantity::ONE };
            play.client().buy(&wants, &client::new_request_id()).await;
        }
    }
    browser.says("[data-product=last].low .left", "1").await;
    browser.says("[data-product=gone] .buy", "Sold out").await;
    browser.click(BUY).await;
    browser.says(OUTCOME, "Receipt").await;
    browser.click("[data-product=limited] .form .buy").await;
    // The last that is told of it: nothing comes later and hides what is told of the next.
    browser.says("[data-product=limited] .outcome", "Receipt").await;
    browser.click("[data-product=limited] .form .buy").await;
    browser.says("[data-product=limited] .outcome.bad", "limit").await;
    browser.click(RESERVE).await;
    browser.says("[data-product=sneaker] .checkout", "Reserved").await;
    looks_well(browser, "shop").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_control_room_is_read_in_any_light_and_at_any_width() {
    let Some(mut play) = Play::open(2_000, &["--demo"]).await else { return };
    play.product("limited", &serde_json::from_str(LONG).expect("terms")).await;
    let hold = PostHold::one(sku(), Quantity::ONE, UserId::new("ann").expect("an id"));
    play.client().hold(&hold, &client::new_request_id()).await;
    let follower = play.scene.follower().await;
    play.visit(play.scene.leader().await, "/control").await;
    play.browser.says("#nodes table", "leader").await;
    play.browser.run("document.querySelector('#storm-buyers').value = 400").await;
    play.browser.click("#storm .buy").await;
    play.browser.says("#storm .state", "Over: 400 of 400").await;
    play.scene.cluster.kill(follower).expect("a node dies");
    play.browser.says("#nodes tr.unreachable", "down").await;
    play.browser.says("#holds table", "Sneaker").await;
    looks_well(&play.browser, "control").await;
    play.scene.cluster.start_node(follower).expect("it is back");
}

/// What has the focus is seen to have it: inside the window, with a line around it that stands out.
async fn focus_is_seen(browser: &Browser) {
    let seen = "const one = document.activeElement;
        const style = getComputedStyle(one);
        const { top, bottom, left, right, width } = one.getBoundingClientRect();
        const name = `${one.tagName}.${one.className} ${one.innerText}`;
        if (one === document.body) return `${name}: nothing has the focus`;
        if (style.outlineStyle === 'none' || parseFloat(style.outlineWidth) < 2)
            return `${name}: no line around it`;
        if (!width || bottom <= 0 || right <= 0 || top >= innerHeight || left >= innerWidth)
            return `${name}: it is not in the window`;
        return ''";
    until("the focus to be in the window", || async {
        let said = browser.run(seen).await;
        // A browser scrolls there first.
        (!said.contains("window")).then_some(())
    })
    .await;
    assert_eq!(browser.run(seen).await, "");
}

/// Presses Tab until this has the focus.
async fn tab_to(browser: &Browser, css: &str) {
    let there = format!("return document.activeElement.matches({css:?})");
    for _ in 0..40 {
        browser.press(Key::Tab).await;
        focus_is_seen(browser).await;
        if browser.run(&there).await == "true" {
            // A button that rests swallows what is pressed.
            let rests = format!("{css}[aria-disabled=true]");
            return browser.gone(&rests).await;
        }
    }
    panic!("no way to {css} by keyboard");
}

async fn has_focus(browser: &Browser, css: &str) {
    let there = format!("return document.activeElement.matches({css:?})");
    until(&format!("{css} to have the focus"), || async {
        (browser.run(&there).await == "true").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keyboard_is_enough_to_buy() {
    let Some(play) = Play::open(10, &[]).await else { return };
    let browser = &play.browser;
    play.enter(NodeId(1)).await;
    // The first thing to come to is a way past the bar.
    browser.press(Key::Tab).await;
    has_focus(browser, ".skip").await;
    focus_is_seen(browser).await;
    browser.press(Key::Enter).await;
    tab_to(browser, BUY).await;
    browser.press(Key::Enter).await;
    browser.says(OUTCOME, "Receipt").await;
    // Whoever wants another one is still there.
    has_focus(browser, BUY).await;
    browser.press(" ").await;
    browser.says(LEFT, "8").await;
    browser.says(OUTCOME, "Receipt").await;

    tab_to(browser, RESERVE).await;
    browser.press(Key::Enter).await;
    // The reservation is what one goes on with.
    has_focus(browser, ".checkout").await;
    tab_to(browser, ".checkout .buy").await;
    browser.press(Key::Enter).await;
    let told = browser.says(OUTCOME, "It's yours").await;
    has_focus(browser, OUTCOME).await;
    let orders = play.orders().await;
    assert_eq!(orders.len(), 3, "{orders:?}");
    assert!(told.contains(&format!("Order {}", orders[2].order_id)), "{told}");
    assert_eq!(play.left().await, 7);

    // And in the control room everything can be come to.
    play.visit(NodeId(1), "/control").await;
    browser.says("#nodes table", "leader").await;
    tab_to(browser, "#elections .scroll").await;
    tab_to(browser, "footer a:last-child").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_moves_for_who_does_not_want_it() {
    let Some(play) = Play::open(10, &[]).await else { return };
    let browser = &play.browser;
    play.enter(NodeId(1)).await;
    let moving = "return document.getAnimations().length";
    assert_ne!(browser.run(moving).await, "0", "the pill beats");
    browser.prefers("prefers-reduced-motion", "reduce").await;
    let seen = "window.moved = 0;
        const look = () => {
            window.moved += document.getAnimations().length;
            requestAnimationFrame(look);
        };
        requestAnimationFrame(look);";
    browser.run(seen).await;
    browser.click(BUY).await;
    browser.says(OUTCOME, "It's yours").await;
    browser.says(&format!("{CARD} .left"), "9").await;
    assert_eq!(browser.run("return window.moved").await, "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_told_is_said_aloud() {
    let Some(play) = Play::open(10, &[]).await else { return };
    let browser = &play.browser;
    play.enter(NodeId(1)).await;
    browser.click(BUY).await;
    browser.says(&format!("{OUTCOME}[role=status]"), "It's yours").await;
    // Everything that can be used has a name, and no id is there twice.
    let nameless = "const all = [...document.querySelectorAll('a, button, input, select, [role=meter]')];
        const name = (one) => one.innerText?.trim() || one.getAttribute('aria-label') ||
            one.labels?.[0]?.innerText || '';
        const ids = [...document.querySelectorAll('[id]')].map(({ id }) => id);
        const twice = ids.filter((id, n) => ids.indexOf(id) !== n);
        return [...all.filter((one) => one.checkVisibility() && !name(one)).map((one) => one.outerHTML),
            ...twice].join(' ')";
    assert_eq!(browser.run(nameless).await, "");
    play.visit(NodeId(1), "/control").await;
    browser.says("#nodes table", "leader").await;
    assert_eq!(browser.run(nameless).await, "");
}
