//! Baskets and cancelled orders through real HTTP against a real three-node cluster.

#![allow(clippy::expect_used, reason = "a test ends at what it cannot do without")]

mod scene;

use reqwest::Method;
use scene::Scene;
use scene::http::{Answer, Ask, Caller};
use serde_json::{Value, json};

async fn send(
    caller: &Caller,
    node: usize,
    (method, path): (Method, &str),
    body: Option<&Value>,
    headers: &[(&str, &str)],
) -> Answer {
    let body = body.map(Value::to_string);
    caller.call(node, method, path, Ask { body: body.as_deref(), headers }).await
}

/// A scene with a second and a third product: ten sneakers, two tees, one cap a user.
async fn shelf() -> (Scene, Caller) {
    let scene = Scene::open(10, &[]).await;
    let caller = Caller::new(&scene.cluster);
    for (path, body) in [
        ("/v1/products/tee", json!({"name": "Tee", "stock": 2})),
        ("/v1/products/cap", json!({"name": "Cap", "stock": 9, "per_user_limit": 1})),
    ] {
        let made = send(&caller, 0, (Method::PUT, path), Some(&body), &[]).await;
        assert_eq!(made.status, 201, "{}", made.body);
    }
    (scene, caller)
}

fn basket(user: &str, items: &[(&str, u64)]) -> Value {
    let item =
        |(product, quantity): &(&str, u64)| json!({"product_id": product, "quantity": quantity});
    json!({"user_id": user, "items": items.iter().map(item).collect::<Vec<_>>()})
}

/// Available, held and sold.
async fn counts(caller: &Caller, product: &str) -> (u64, u64, u64) {
    let product = caller.get(2, &format!("/v1/products/{product}")).await.body;
    let count = |name: &str| product[name].as_u64().expect("a count");
    (count("available"), count("held"), count("sold"))
}

async fn all_counts(caller: &Caller) -> [(u64, u64, u64); 3] {
    [counts(caller, "sneaker").await, counts(caller, "tee").await, counts(caller, "cap").await]
}

fn id(answer: &Answer, name: &str) -> u64 {
    assert_eq!(answer.status, 201, "{}", answer.body);
    answer.body[name].as_u64().expect("an id")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_basket_is_bought_whole_or_not_at_all() {
    let (scene, caller) = shelf().await;
    let wants = basket("ann", &[("tee", 1), ("cap", 1), ("sneaker", 3)]);
    let key = [("idempotency-key", "b-1")];
    let won = caller.buy(0, &wants, &key).await;
    let order = id(&won, "order_id");
    assert_eq!(won.header("location"), format!("/v1/orders/{order}"));
    let lines = json!([
        {"product_id": "cap", "quantity": 1, "remaining": 8},
        {"product_id": "sneaker", "quantity": 3, "remaining": 7},
        {"product_id": "tee", "quantity": 1, "remaining": 1},
    ]);
    assert_eq!((&won.body["items"], won.body["seq"].as_u64()), (&lines, Some(order)));
    // The same basket, however it is written down, is the same request.
    let turned = basket("ann", &[("sneaker", 3), ("tee", 1), ("cap", 1)]);
    for node in 0..3 {
        let again = caller.buy(node, &turned, &key).await;
        assert_eq!((again.status, again.header("idempotent-replayed")), (201, "true"));
        assert_eq!((id(&again, "order_id"), &again.body["items"]), (order, &lines));
        let other = caller.buy(node, &basket("ann", &[("tee", 1)]), &key).await;
        assert_eq!((other.status, other.kind()), (422, "/problems/key-reused"));
        let single = json!({"product_id": "tee", "user_id": "ann"});
        let other = caller.buy(node, &single, &key).await;
        assert_eq!((other.status, other.kind()), (422, "/problems/key-reused"));
        let view = caller.get(node, &format!("/v1/orders/{order}")).await.body;
        assert_eq!((&view["items"], &view["cancelled"]), (&lines, &json!(false)));
    }
    let sold = [(7, 0, 3), (1, 0, 1), (8, 0, 1)];
    assert_eq!(all_counts(&caller).await, sold);
    // Whatever is refused names the product, and takes nothing of the others.
    for (items, status, kind, product) in [
        (vec![("sneaker", 1), ("tee", 2)], 409, "insufficient", "tee"),
        (vec![("cap", 1), ("sneaker", 1)], 409, "limit-reached", "cap"),
        (vec![("cap", 2), ("sneaker", 8)], 409, "limit-reached", "cap"),
        (vec![("none", 1), ("sneaker", 1)], 404, "unknown-product", "none"),
    ] {
        let refused = caller.buy(1, &basket("ann", &items), &[]).await;
        let told = (refused.status, refused.kind());
        assert_eq!(told, (status, format!("/problems/{kind}").as_str()), "{}", refused.body);
        let detail = refused.body["detail"].as_str().expect("words");
        assert!(detail.contains(&format!("`{product}`")), "{detail}");
        let wants = basket("ann", &items);
        let held = send(&caller, 1, (Method::POST, "/v1/holds"), Some(&wants), &[]).await;
        assert_eq!(held.kind(), format!("/problems/{kind}"));
        assert_eq!(all_counts(&caller).await, sold, "{items:?} took something");
    }
    for (body, status) in [
        (json!({"user_id": "ann", "items": []}), 422),
        (json!({"user_id": "ann", "items": [{"product_id": "tee"}, {"product_id": "tee"}]}), 422),
        (json!({"user_id": "ann", "items": [{"quantity": 1}]}), 400),
        (json!({"user_id": "ann", "items": [{"product_id": "tee"}], "quantity": 1}), 400),
        (json!({"user_id": "ann", "product_id": "tee", "items": [{"product_id": "tee"}]}), 400),
    ] {
        assert_eq!(caller.buy(0, &body, &[]).await.status, status, "{body}");
    }
    assert_eq!(all_counts(&caller).await, sold);
    scene.assert_equal_states().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_basket_is_held_and_confirmed_whole() {
    let (scene, caller) = shelf().await;
    let wants = basket("ann", &[("tee", 2), ("sneaker", 1)]);
    let made = send(&caller, 0, (Method::POST, "/v1/holds"), Some(&wants), &[]).await;
    let hold = id(&made, "hold_id");
    assert!(made.body["remaining"].is_null(), "there is no one number: {}", made.body);
    let lines = json!([
        {"product_id": "sneaker", "quantity": 1, "remaining": 9},
        {"product_id": "tee", "quantity": 2, "remaining": 0},
    ]);
    assert_eq!(made.body["items"], lines);
    assert_eq!(all_counts(&caller).await, [(9, 1, 0), (0, 2, 0), (9, 0, 0)]);
    let confirm = format!("/v1/holds/{hold}/confirm");
    let user = json!({"user_id": "ann"});
    let sold = send(&caller, 2, (Method::POST, &confirm), Some(&user), &[]).await;
    let order = id(&sold, "order_id");
    assert_eq!(all_counts(&caller).await, [(9, 0, 1), (0, 0, 2), (9, 0, 0)]);
    for node in 0..3 {
        let view = caller.get(node, &format!("/v1/orders/{order}")).await.body;
        assert_eq!((&view["items"], &view["hold_id"]), (&lines, &json!(hold)));
    }
    scene.assert_equal_states().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_order_gives_its_units_back_once() {
    let (scene, caller) = shelf().await;
    let one = caller.buy(0, &json!({"product_id": "cap", "user_id": "ann"}), &[]).await;
    let several = caller.buy(1, &basket("ann", &[("tee", 2), ("sneaker", 4)]), &[]).await;
    let wants = json!({"product_id": "sneaker", "user_id": "ann", "quantity": 5});
    let held = send(&caller, 2, (Method::POST, "/v1/holds"), Some(&wants), &[]).await;
    let confirm = format!("/v1/holds/{}/confirm", id(&held, "hold_id"));
    let user = json!({"user_id": "ann"});
    let confirmed = send(&caller, 0, (Method::POST, &confirm), Some(&user), &[]).await;
    assert_eq!(all_counts(&caller).await, [(1, 0, 9), (0, 0, 2), (8, 0, 1)]);
    let again = caller.buy(0, &json!({"product_id": "cap", "user_id": "ann"}), &[]).await;
    assert_eq!(again.kind(), "/problems/limit-reached");

    let orders = [&one, &several, &confirmed].map(|answer| id(answer, "order_id"));
    for (at, order) in orders.into_iter().enumerate() {
        let path = format!("/v1/orders/{order}/cancel");
        let bob = json!({"user_id": "bob"});
        let theirs = send(&caller, 1, (Method::POST, &path), Some(&bob), &[]).await;
        assert_eq!((theirs.status, theirs.kind()), (404, "/problems/unknown-order"));
        // By the user, and once by the operator, who sends no body.
        let body = (at > 0).then_some(&user);
        let key = format!("x-{order}");
        let key = [("idempotency-key", key.as_str())];
        let back = send(&caller, at, (Method::POST, &path), body, &key).await;
        assert_eq!((back.status, &back.body["order_id"]), (200, &json!(order)), "{}", back.body);
        for node in 0..3 {
            let again = send(&caller, node, (Method::POST, &path), body, &key).await;
            assert_eq!((again.status, again.header("idempotent-replayed")), (200, "true"));
            assert_eq!(again.body, back.body);
            let twice = send(&caller, node, (Method::POST, &path), body, &[]).await;
            assert_eq!((twice.status, twice.kind()), (409, "/problems/already-cancelled"));
            let view = caller.get(node, &format!("/v1/orders/{order}")).await.body;
            assert_eq!(view["cancelled"], json!(true), "the order stays, marked: {view}");
        }
    }
    assert_eq!(all_counts(&caller).await, [(10, 0, 0), (2, 0, 0), (9, 0, 0)]);
    // What was given back counts against no limit any more.
    let again = caller.buy(0, &json!({"product_id": "cap", "user_id": "ann"}), &[]).await;
    id(&again, "order_id");
    for (path, body, status) in [
        ("/v1/orders/999/cancel", None, 404),
        // That is a product, and no order.
        ("/v1/orders/1/cancel", None, 404),
        ("/v1/orders/1/cancel", Some(json!({})), 400),
        ("/v1/orders/1/cancel", Some(json!({"user_id": 7})), 400),
        ("/v1/orders/first/cancel", None, 422),
        ("/v1/orders/1/cancel?user_id=ann", None, 400),
    ] {
        let answer = send(&caller, 1, (Method::POST, path), body.as_ref(), &[]).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
    }
    scene.assert_equal_states().await;
}
