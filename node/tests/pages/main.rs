//! The shop and the control room as people use them: a real browser (Debian's chromium, driven
//! through chromedriver) at a real three-node cluster.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends at what it cannot do without")]

mod access;
mod balanced;
mod browser;
mod catalogue;
mod control;
mod failover;
mod frame;
#[path = "../scene/mod.rs"]
mod scene;
mod shop;
mod upgrade;

use browser::Browser;
use client::Client;
use scene::{Scene, sku};
use stock::api::{OrderView, PutProduct};
use stock::{NodeId, Seq, Sku, UserId};

/// A cluster and a browser.
struct Play {
    // Before the scene, so that it ends first: a browser that loses its nodes would be busy.
    browser: Browser,
    scene: Scene,
}

impl Play {
    /// None where there is no browser.
    async fn open(stock: u64, args: &[&str]) -> Option<Self> {
        Self::before(Scene::open(stock, args)).await
    }

    /// As [`Play::open`], of a [`Scene::open_for_failover`].
    async fn open_for_failover(stock: u64) -> Option<Self> {
        Self::before(Scene::open_for_failover(stock, &[])).await
    }

    async fn before(scene: impl Future<Output = Scene>) -> Option<Self> {
        let programs = browser::programs()?;
        let scene = scene.await;
        let browser = Browser::start(&programs).await;
        Some(Self { browser, scene })
    }

    fn client(&self) -> &Client {
        &self.scene.client
    }

    /// Shows a page of a node.
    async fn visit(&self, node: NodeId, path: &str) {
        let address = &self.scene.cluster.node(node).http;
        self.browser.visit(&format!("http://{address}{path}")).await;
    }

    /// Shows the shop of a node, until the product is there and live.
    async fn enter(&self, node: NodeId) {
        self.visit(node, "/").await;
        self.browser.says(CARD, "Sneaker").await;
        self.browser.says("#live", "Live").await;
    }

    /// As whom the page buys.
    async fn buyer(&self) -> UserId {
        let text = self.browser.text("#buyer").await;
        let name = text.split_whitespace().nth(2).expect("a buyer");
        UserId::new(name).expect("a valid id")
    }

    async fn orders(&self) -> Vec<OrderView> {
        let buyer = self.buyer().await;
        let list = self.client().orders_of(&buyer, Seq(0)).await;
        list.expect("orders can be read").orders
    }

    async fn product(&self, id: &str, put: &PutProduct) {
        let sku = Sku::new(id).expect("a valid id");
        self.client().create_product(&sku, put).await.expect("the product is put on sale");
    }

    async fn left(&self) -> u64 {
        self.client().product(&sku()).await.expect("the product is there").available
    }
}

const CARD: &str = "[data-product=sneaker]";
const BUY: &str = "[data-product=sneaker] .form .buy";
const RESERVE: &str = "[data-product=sneaker] .form .quiet";
const LEFT: &str = "[data-product=sneaker] .left";
const OUTCOME: &str = "[data-product=sneaker] .outcome";
