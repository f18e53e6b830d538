//! Order lists, receipts and explanations through real HTTP against a real three-node cluster.

#![allow(clippy::expect_used, reason = "a test ends at what it cannot do without")]

mod scene;

use client::verify::Verified;
use reqwest::Method;
use scene::Scene;
use scene::http::{Answer, Ask, Caller};
use serde_json::{Value, json};
use stock::api::{Explanation, OrderList, OrderView, Verdict};
use stock::{Receipt, Seq};

async fn post(caller: &Caller, node: usize, path: &str, body: &Value) -> Answer {
    let body = body.to_string();
    caller.call(node, Method::POST, path, Ask { body: Some(&body), headers: &[] }).await
}

async fn list(caller: &Caller, node: usize, query: &str) -> OrderList {
    let answer = caller.get(node, &format!("/v1/orders?{query}")).await;
    assert_eq!(answer.status, 200, "{query}: {}", answer.body);
    serde_json::from_value(answer.body).expect("a list of orders")
}

/// Every page of a list.
async fn pages(caller: &Caller, node: usize, query: &str) -> Vec<OrderView> {
    let (mut orders, mut after) = (Vec::new(), Seq(0));
    loop {
        let page = list(caller, node, &format!("{query}&after={after}")).await;
        orders.extend(page.orders);
        match page.next_after {
            Some(next) => after = next,
            None => return orders,
        }
    }
}

fn order_id(answer: &Answer) -> Seq {
    assert_eq!(answer.status, 201, "{}", answer.body);
    Seq(answer.body["order_id"].as_u64().expect("an order's id"))
}

/// One order of each kind for ann, several for bob; ann's and all of them, by id.
async fn sell(caller: &Caller) -> (Vec<Seq>, Vec<Seq>) {
    let one = |user: &str| json!({"product_id": "sneaker", "user_id": user});
    let basket =
        |user: &str| json!({"user_id": user, "items": [{"product_id": "sneaker", "quantity": 2}]});
    let (mut anns, mut all) = (Vec::new(), Vec::new());
    for round in 0..5 {
        let node = round % 3;
        anns.push(order_id(&caller.buy(node, &one("ann"), &[]).await));
        all.push(order_id(&caller.buy(node, &one("bob"), &[]).await));
        anns.push(order_id(&caller.buy(node, &basket("ann"), &[]).await));
        let held = post(caller, node, "/v1/holds", &one("ann")).await;
        let confirm = format!("/v1/holds/{}/confirm", held.body["hold_id"]);
        anns.push(order_id(&post(caller, node, &confirm, &json!({"user_id": "ann"})).await));
    }
    all.extend(&anns);
    all.sort_unstable();
    (anns, all)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_order_is_listed_with_its_receipt() {
    let mut scene =
        Scene::open_for_failover(1_000, &["--snapshot-entries", "20", "--keep-entries", "5"]).await;
    let caller = Caller::new(&scene.cluster);
    let (anns, all) = sell(&caller).await;
    let cancel = format!("/v1/orders/{}/cancel", anns[1]);
    assert_eq!(post(&caller, 1, &cancel, &json!({"user_id": "ann"})).await.status, 200);
    // A node that comes back builds its index anew, from a snapshot and the log.
    let restarted = scene.follower().await;
    scene.cluster.kill(restarted).expect("it runs");
    scene.cluster.start_node(restarted).expect("it starts again");
    scene.cluster.wait_ready(scene::PATIENCE).await.expect("it is back");
    let mut first_copy: Option<Vec<OrderView>> = None;
    for node in 0..3 {
        let found = pages(&caller, node, "limit=3").await;
        let ids: Vec<Seq> = found.iter().map(|order| order.order_id).collect();
        assert_eq!(ids, all, "every order once, at node {node}");
        let mut before = Receipt::START;
        for (order, place) in found.iter().zip(1..) {
            assert_eq!(order.place, place, "{order:?}");
            before = order.receipt_after(before);
            assert_eq!(order.receipt, before, "{order:?}");
            assert_eq!(order.cancelled, order.order_id == anns[1]);
            let alone = caller.get(node, &format!("/v1/orders/{}", order.order_id)).await.body;
            assert_eq!(alone, serde_json::to_value(order).expect("JSON"));
        }
        let of_ann = pages(&caller, node, "user_id=ann&limit=4").await;
        let expected: Vec<&OrderView> =
            found.iter().filter(|order| anns.contains(&order.order_id)).collect();
        assert_eq!(of_ann.iter().collect::<Vec<_>>(), expected, "at node {node}");
        assert!(pages(&caller, node, "user_id=cy").await.is_empty());
        let product = caller.get(node, "/v1/products/sneaker").await.body;
        let sold = found.iter().filter(|order| !order.cancelled);
        let units: u32 = sold.flat_map(|order| &order.items).map(|line| line.quantity.get()).sum();
        assert_eq!(product["sold"], json!(units), "orders and stock agree at node {node}");
        if let Some(first) = &first_copy {
            assert_eq!(*first, found, "the copies of all nodes are the same");
        }
        first_copy = Some(found);
    }
    let last = first_copy.and_then(|copy| copy.last().cloned()).expect("orders");
    let sound = Verified::Sound { orders: all.len() as u64, receipt: last.receipt };
    assert_eq!(scene.client.verify(&[0, 1, 2]).await.expect("three copies"), sound);
    scene.assert_equal_states().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_is_of_the_state_that_it_names() {
    let scene = Scene::open(100_000, &[]).await;
    let caller = Caller::new(&scene.cluster);
    let storm = scene.storm(20_000, 32);
    storm.sold(200).await;
    // While orders are made and one after the other is cancelled: whatever a page shows as sold
    // is what the product has sold at the page's seq.
    for round in 0..20 {
        let node = round % 3;
        let page = list(&caller, node, "limit=1000").await;
        let last = page.orders.last().expect("orders").order_id;
        let cancel = format!("/v1/orders/{}/cancel", page.orders[round].order_id);
        let back = post(&caller, node, &cancel, &json!({})).await;
        assert_eq!(back.status, 400, "a body has a user");
        let ask = Ask::default();
        let back = caller.call(node, Method::POST, &cancel, ask).await;
        assert_eq!(back.status, 200, "{}", back.body);
        let at = Seq(back.body["seq"].as_u64().expect("a seq"));
        for other in 0..3 {
            let again = list(&caller, other, "limit=1000").await;
            assert!(again.seq >= at, "linearizable");
            assert!(again.orders[round].cancelled, "{:?}", again.orders[round]);
            assert!(again.orders.last().expect("orders").order_id >= last);
            let cancelled = again.orders.iter().filter(|order| order.cancelled).count();
            assert_eq!(cancelled, round + 1, "no more and no fewer than were acknowledged");
        }
    }
    storm.progress.stop();
    let _tally = storm.running.await.expect("the storm ends");
    let product = caller.get(1, "/v1/products/sneaker").await.body;
    let orders = pages(&caller, 2, "limit=1000").await;
    let sold = orders.iter().filter(|order| !order.cancelled).count();
    assert_eq!(product["sold"], json!(sold));
    scene.assert_equal_states().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_became_of_a_request_is_explained() {
    let scene = Scene::open(2, &[]).await;
    let caller = Caller::new(&scene.cluster);
    let wants = |user: &str| json!({"product_id": "sneaker", "user_id": user});
    let key = |key: &'static str| [("idempotency-key", key)];
    let first = order_id(&caller.buy(0, &wants("ann"), &key("a")).await);
    let second = order_id(&caller.buy(1, &wants("bob"), &key("b")).await);
    // Refused and forgotten; refused for good.
    assert_eq!(caller.buy(2, &wants("cy"), &key("c")).await.status, 410);
    let final_attempt = [("idempotency-key", "d"), ("flashnode-attempt", "2")];
    assert_eq!(caller.buy(2, &wants("dan"), &final_attempt).await.status, 410);
    for node in 0..3 {
        let explain = |user: &'static str, request: &'static str| {
            let caller = &caller;
            async move {
                let path = format!("/v1/explain?user_id={user}&request_id={request}");
                let answer = caller.get(node, &path).await;
                assert_eq!(answer.status, 200, "{}", answer.body);
                serde_json::from_value::<Explanation>(answer.body).expect("an explanation")
            }
        };
        let won = explain("ann", "a").await;
        assert_eq!(won.text, format!("won as order 1 of 2, at seq {first}"));
        let order = won.order.expect("the order");
        assert_eq!((won.verdict, won.orders, order.place), (Verdict::Won, 2, 1));
        let won = explain("bob", "b").await;
        assert_eq!(won.text, format!("won as order 2 of 2, at seq {second}"));

        let refused = explain("dan", "d").await;
        assert_eq!((refused.verdict, refused.decided_at), (Verdict::Refused, Some(second)));
        assert!(refused.text.starts_with(&format!("refused at seq {second}: ")), "{refused:?}");
        assert_eq!(refused.problem.expect("why").kind, "/problems/sold-out");

        let none = explain("cy", "c").await;
        assert_eq!(none.verdict, Verdict::NoOrder);
        assert_eq!(none.text, format!("no order; sneaker is sold out since seq {second}"));
        assert_eq!(none.sold_out[0].since, second);
        let none = explain("bob", "a").await;
        assert_eq!(none.verdict, Verdict::NoOrder, "keys belong to users");
    }
    // Since the last unit went, not since the last change of the product.
    let cap = json!({"name": "Cap", "stock": 1});
    let body = cap.to_string();
    let ask = Ask { body: Some(&body), headers: &[] };
    assert_eq!(caller.call(0, Method::PUT, "/v1/products/cap", ask).await.status, 201);
    let path = "/v1/explain?user_id=cy&request_id=c&product_id=cap";
    let none = caller.get(1, path).await.body;
    assert_eq!(none["text"], json!("no order; cap is not sold out"));
    let held = post(&caller, 0, "/v1/holds", &json!({"product_id": "cap", "user_id": "eve"})).await;
    let none = caller.get(2, path).await.body;
    let since = &held.body["hold_id"];
    assert_eq!(none["text"], json!(format!("no order; cap is sold out since seq {since}")));
    let renamed = Ask { body: Some(r#"{"name": "Hat"}"#), headers: &[] };
    let renamed = caller.call(1, Method::PATCH, "/v1/products/cap", renamed).await;
    assert!(renamed.body["seq"].as_u64() > since.as_u64(), "{}", renamed.body);
    let none = caller.get(2, path).await.body;
    assert_eq!(none["text"], json!(format!("no order; cap is sold out since seq {since}")));
}

/// What became of holds, and of an order that was taken back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_became_of_holds_and_cancelled_orders_is_explained() {
    let scene = Scene::open(5, &[]).await;
    let caller = Caller::new(&scene.cluster);
    let wants = json!({"product_id": "sneaker", "user_id": "ann"}).to_string();
    let user = json!({"user_id": "ann"}).to_string();
    let send = async |method: Method, path: String, body: Option<&str>, key: &str| {
        let headers = [("idempotency-key", key)];
        let answer = caller.call(1, method, &path, Ask { body, headers: &headers }).await;
        assert!(answer.status < 300, "{path}: {}", answer.body);
        answer.body
    };
    let hold = async |key: &str| {
        let held = send(Method::POST, "/v1/holds".into(), Some(&wants), key).await;
        held["hold_id"].as_u64().expect("a hold")
    };
    let (kept, given_up) = (hold("h1").await, hold("h2").await);
    let path = format!("/v1/holds/{given_up}?user_id=ann");
    let released = send(Method::DELETE, path, None, "r1").await["seq"].clone();
    let path = format!("/v1/holds/{kept}/confirm");
    let sold = send(Method::POST, path, Some(&user), "c1").await["order_id"].clone();
    let path = format!("/v1/orders/{sold}/cancel");
    let back = send(Method::POST, path, Some(&user), "x1").await["seq"].clone();
    for node in 0..3 {
        for (key, verdict, text, at) in [
            ("h1", "done", format!("units were held at seq {kept}"), json!(kept)),
            ("h2", "done", format!("units were held at seq {given_up}"), json!(given_up)),
            ("r1", "done", format!("a hold was released at seq {released}"), released.clone()),
            (
                "c1",
                "won",
                format!("won as order 1 of 1, at seq {sold}; it was cancelled since"),
                sold.clone(),
            ),
            ("x1", "done", format!("an order was cancelled at seq {back}"), back.clone()),
        ] {
            let path = format!("/v1/explain?user_id=ann&request_id={key}");
            let told = caller.get(node, &path).await.body;
            let expected = (&json!(verdict), &json!(text), &at);
            assert_eq!((&told["verdict"], &told["text"], &told["decided_at"]), expected, "{key}");
            let path = format!("/v1/explain?user_id=bob&request_id={key}");
            let others = caller.get(node, &path).await.body;
            assert_eq!(others["text"], json!("no order; nothing is sold out"), "{key}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn products_are_listed_page_by_page() {
    let scene = Scene::open(1, &[]).await;
    let caller = Caller::new(&scene.cluster);
    for product in ["a", "b", "c", "d"] {
        let body = json!({"name": product, "stock": 1}).to_string();
        let ask = Ask { body: Some(&body), headers: &[] };
        let path = format!("/v1/products/{product}");
        assert_eq!(caller.call(0, Method::PUT, &path, ask).await.status, 201);
    }
    for (limit, pages) in [(1, 5), (2, 3), (4, 2), (5, 1), (1000, 1)] {
        let (mut ids, mut after, mut count) = (Vec::new(), String::new(), 0);
        loop {
            let path = format!("/v1/products?limit={limit}{after}");
            let page = caller.get(count % 3, &path).await.body;
            count += 1;
            let products = page["products"].as_array().expect("products");
            ids.extend(products.iter().map(|product| product["id"].clone()));
            match page["next_after"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => break,
            }
        }
        assert_eq!(json!(ids), json!(["a", "b", "c", "d", "sneaker"]));
        assert_eq!(count, pages, "with a limit of {limit}");
    }
    for (query, status) in [("limit=0", 422), ("limit=1001", 422), ("after=", 422), ("x=1", 400)] {
        assert_eq!(caller.get(1, &format!("/v1/products?{query}")).await.status, status, "{query}");
    }
}
