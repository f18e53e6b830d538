//! The drop-in routes, through real HTTP against a real three-node cluster, as the scripts call
//! them.

#![allow(clippy::expect_used, reason = "a test ends at what it cannot do without")]

mod scene;

use reqwest::Method;
use scene::Scene;
use scene::http::{Answer, Ask, Caller};
use serde_json::{Value, json};

const JSON: (&str, &str) = ("content-type", "application/json");

async fn post(caller: &Caller, node: usize, path: &str, headers: &[(&str, &str)]) -> Answer {
    caller.call(node, Method::POST, path, Ask { body: None, headers }).await
}

async fn api_buy(caller: &Caller, node: usize, body: &Value) -> Answer {
    let body = body.to_string();
    let ask = Ask { body: Some(&body), headers: &[JSON] };
    caller.call(node, Method::POST, "/api/buy", ask).await
}

async fn flash_sale(caller: &Caller, node: usize, query: &str) -> (u16, String) {
    let path = format!("/api/flash-sale/buy?{query}");
    let (answer, text) = caller.text(node, Method::POST, &path, Ask::default()).await;
    (answer.status, text)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clicks_of_three_kinds_share_one_stock() {
    let args = ["--drop-in-product", "sneaker", "--drop-in-reset"];
    let scene = Scene::open(4, &args).await;
    let caller = Caller::new(&scene.cluster);

    let bought = post(&caller, 0, "/beli", &[]).await;
    let expected = json!({"status": "success", "msg": "bought", "container": "node-1", "sisa": 3});
    assert_eq!((bought.status, &bought.body), (200, &expected));
    // The same click again, on another node, is the same order.
    let key = [("idempotency-key", "click-1")];
    let first = post(&caller, 1, "/beli", &key).await;
    let again = post(&caller, 2, "/beli", &key).await;
    assert_eq!((&first.body["sisa"], &again.body["sisa"]), (&json!(2), &json!(2)));
    assert_eq!(again.body["container"], "node-3");

    let bought = api_buy(&caller, 1, &json!({"user_id": 17, "product_id": "sneaker"})).await;
    assert_eq!(bought.status, 202, "{}", bought.body);
    assert_eq!(bought.body["remaining_stock"], 1);
    assert_eq!(bought.body["status"], "success");
    let (status, words) = flash_sale(&caller, 2, "userId=ann&productId=sneaker").await;
    assert_eq!(status, 202, "{words}");

    let fail = post(&caller, 2, "/beli", &[]).await;
    assert_eq!(
        (fail.status, &fail.body["status"], &fail.body["sisa"]),
        (200, &json!("fail"), &json!(0))
    );
    let fail = api_buy(&caller, 0, &json!({"user_id": "ben", "product_id": "sneaker"})).await;
    assert_eq!((fail.status, &fail.body), (400, &json!({"error": "Sold out!"})));
    let (status, words) = flash_sale(&caller, 1, "userId=ben&productId=sneaker").await;
    assert_eq!((status, words.as_str()), (410, "Sold out"));

    let reset = post(&caller, 1, "/reset", &[]).await;
    assert_eq!((reset.status, &reset.body["sisa"]), (200, &json!(4)), "{}", reset.body);
    let product = caller.get(0, "/v1/products/sneaker").await.body;
    assert_eq!((&product["sold"], &product["stocked"]), (&json!(4), &json!(8)), "{product}");
    assert_eq!(post(&caller, 0, "/beli", &[]).await.body["sisa"], 3);
    let (_, metrics) = caller.text(0, Method::GET, "/metrics", Ask::default()).await;
    assert!(metrics.contains("flash_sale_requests_total{status=\"success\"} 2"), "{metrics}");
}

/// Each sets what is on sale, so however many there are at once, it is what it was at first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resets_at_once_make_no_units() {
    let args = ["--drop-in-product", "sneaker", "--drop-in-reset"];
    let scene = Scene::open(40, &args).await;
    let caller = Caller::new(&scene.cluster);
    let beli = async |click: usize| post(&caller, click % 3, "/beli", &[]).await;
    let reset = async |node: usize| post(&caller, node, "/reset", &[]).await;
    for _ in 0..5 {
        let clicks = futures_util::future::join_all((0..10).map(beli)).await;
        assert!(clicks.iter().all(|click| click.body["status"] == "success"));
        let resets = futures_util::future::join_all((0..12).map(|at| reset(at % 3))).await;
        assert!(resets.iter().all(|reset| reset.status == 200 && reset.body["sisa"] == 40));
        let product = caller.get(0, "/v1/products/sneaker").await.body;
        assert_eq!(product["available"], 40, "{product}");
    }
    // The same reset again is the same one, also when something was sold since.
    assert_eq!(post(&caller, 2, "/beli", &[]).await.status, 200);
    let key = [("idempotency-key", "reset-1")];
    for _ in 0..2 {
        let answer = post(&caller, 1, "/reset", &key).await;
        assert_eq!((answer.status, &answer.body["sisa"]), (200, &json!(40)), "{}", answer.body);
        assert_eq!(post(&caller, 2, "/beli", &[]).await.status, 200);
    }
    assert_eq!(caller.get(0, "/v1/products/sneaker").await.body["available"], 38);
}

/// Who clicks without a name is nobody whom the shop knows, and takes nobody's limit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nameless_click_is_no_users() {
    let scene = Scene::open(9, &["--drop-in-product", "sneaker"]).await;
    let caller = Caller::new(&scene.cluster);
    let key = [("idempotency-key", "ann")];
    assert_eq!(post(&caller, 0, "/beli", &key).await.body["status"], "success");
    let orders = caller.get(1, "/v1/orders?user_id=ann").await.body;
    assert_eq!(orders["orders"], json!([]), "{orders}");
    let orders = caller.get(1, "/v1/orders?user_id=anonymous:ann").await.body;
    assert_eq!(orders["orders"].as_array().map(Vec::len), Some(1), "{orders}");
    // Nor can anybody be one of them: the order would be theirs.
    let bought = json!({"user_id": "anonymous:ann", "product_id": "sneaker"}).to_string();
    let ask = Ask { body: Some(&bought), headers: &[JSON, key[0]] };
    let refused = caller.call(2, Method::POST, "/v1/buys", ask).await;
    assert_eq!((refused.status, refused.kind()), (422, "/problems/invalid-value"));

    let limit = Ask { body: Some("{\"per_user_limit\": 1}"), headers: &[JSON] };
    let patched = caller.call(0, Method::PATCH, "/v1/products/sneaker", limit).await;
    assert_eq!(patched.status, 200, "{}", patched.body);
    let path = format!("/v1/products/sneaker?min_seq={}", patched.body["seq"]);
    assert_eq!(caller.get(1, &path).await.status, 200);
    let fail = post(&caller, 1, "/beli", &[]).await;
    assert_eq!((fail.status, &fail.body["status"]), (200, &json!("fail")), "{}", fail.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_set_up_or_not_understood_is_said() {
    let scene = Scene::open(4, &[]).await;
    let caller = Caller::new(&scene.cluster);
    let unset = post(&caller, 0, "/beli", &[]).await;
    assert_eq!((unset.status, unset.kind()), (404, "/problems/unknown-product"));
    assert!(unset.body["detail"].as_str().is_some_and(|why| why.contains("--drop-in-product")));
    let off = post(&caller, 0, "/reset", &[]).await;
    assert_eq!((off.status, off.kind()), (404, "/problems/not-found"));
    for (body, status) in [
        (json!({"user_id": "ann"}), 400),
        (json!({"user_id": "ann", "product_id": true}), 400),
        (json!({"user_id": "ann", "product_id": "sneaker", "quantity": 2}), 400),
        (json!({"user_id": "", "product_id": "sneaker"}), 422),
        (json!({"user_id": "ann", "product_id": "nothing"}), 404),
    ] {
        let refused = api_buy(&caller, 0, &body).await;
        assert_eq!(refused.status, status, "{body}: {}", refused.body);
        assert!(!refused.kind().is_empty(), "{}", refused.body);
    }
    for (query, expected) in [
        ("userId=ann", 400),
        ("userId=ann&productId=sneaker&x=1", 400),
        ("userId=ann&productId=nothing", 404),
        ("userId=&productId=sneaker", 422),
    ] {
        let (status, words) = flash_sale(&caller, 1, query).await;
        assert_eq!(status, expected, "{query}: {words}");
    }
    let after = caller.get(2, "/v1/products/sneaker").await.body;
    assert_eq!(after["sold"], 0, "nothing was bought: {after}");
}
