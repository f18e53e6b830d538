//! Prices, windows and updates of products, through real HTTP against a real three-node cluster.

#![allow(clippy::expect_used, reason = "a test ends at what it cannot do without")]

mod scene;

use reqwest::Method;
use scene::http::{Answer, Ask, Caller};
use scene::{Scene, until};
use serde_json::{Value, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use stock::api::Timestamp;

/// How far off an opening is that is waited for.
const SOON: Duration = Duration::from_secs(1);

/// RFC 3339, so long from now.
fn from_now(wait: Duration) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    let ms = u64::try_from((now + wait).as_millis()).expect("a clock of our time");
    Timestamp::from_ms(ms).expect("a year before 10000").to_string()
}

async fn send(caller: &Caller, method: Method, path: &str, body: &Value) -> Answer {
    send_with(caller, method, path, body, &[]).await
}

async fn send_with(
    caller: &Caller,
    method: Method,
    path: &str,
    body: &Value,
    headers: &[(&str, &str)],
) -> Answer {
    let body = body.to_string();
    let mut all = vec![("content-type", "application/json")];
    all.extend_from_slice(headers);
    caller.call(1, method, path, Ask { body: Some(&body), headers: &all }).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sale_opens_and_ends_by_log_time() {
    let scene = Scene::open(1, &[]).await;
    let caller = Caller::new(&scene.cluster);
    let terms = json!({
        "name": "Drop", "stock": 5, "price": 12_900, "currency": "EUR",
        "starts_at": "9999-01-01T00:00:00Z", "ends_at": "9999-12-31T23:59:59Z", "hold_ttl_ms": 60_000,
    });
    let made = send(&caller, Method::PUT, "/v1/products/drop", &terms).await;
    assert_eq!(made.status, 201, "{}", made.body);
    for field in ["price", "currency", "starts_at", "ends_at", "hold_ttl_ms"] {
        assert_eq!(made.body[field], terms[field], "{field}: {}", made.body);
    }
    let again = send(&caller, Method::PUT, "/v1/products/drop", &terms).await;
    assert_eq!(again.status, 200, "the same terms again: {}", again.body);
    let wants = json!({"product_id": "drop", "user_id": "ann"});
    let early = caller.buy(0, &wants, &[]).await;
    assert_eq!((early.status, early.kind()), (409, "/problems/not-open"), "{}", early.body);
    assert!(early.header("retry-after").parse::<u64>().is_ok_and(|seconds| seconds >= 1));
    let soon = json!({"starts_at": from_now(SOON)});
    let patched = send(&caller, Method::PATCH, "/v1/products/drop", &soon).await;
    assert_eq!((patched.status, &patched.body["starts_at"]), (200, &soon["starts_at"]));
    // Nothing else happens meanwhile: the cluster itself must notice that the hour has come.
    until("the sale to open", || async {
        let buy = caller.buy(2, &wants, &[]).await;
        (buy.status == 201).then_some(())
    })
    .await;
    let closed = json!({"ends_at": "2020-01-01T00:00:00Z", "starts_at": null});
    let patched = send(&caller, Method::PATCH, "/v1/products/drop", &closed).await;
    assert_eq!(patched.status, 200, "{}", patched.body);
    for node in 0..3 {
        let late = caller.buy(node, &wants, &[]).await;
        assert_eq!((late.status, late.kind()), (410, "/problems/sale-over"), "{}", late.body);
        assert_eq!(late.header("cache-control"), "no-store");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn updates_name_the_version_that_they_are_meant_for() {
    let scene = Scene::open(5, &[]).await;
    let caller = Caller::new(&scene.cluster);
    let path = "/v1/products/sneaker";
    let seen = caller.get(0, path).await;
    let tag = seen.header("etag").to_owned();
    let update = |name: &str| json!({"name": name, "per_user_limit": 1});
    let renamed =
        send_with(&caller, Method::PATCH, path, &update("Air"), &[("if-match", &tag)]).await;
    assert_eq!((renamed.status, &renamed.body["name"]), (200, &json!("Air")), "{}", renamed.body);
    assert_eq!(renamed.body["per_user_limit"], json!(1));
    assert_ne!(renamed.header("etag"), tag, "the version is another");
    let stale =
        send_with(&caller, Method::PATCH, path, &update("Old"), &[("if-match", &tag)]).await;
    assert_eq!((stale.status, stale.kind()), (412, "/problems/version-differs"), "{}", stale.body);
    // A merge patch may say that it is one (RFC 7396).
    for (content_type, status) in [("application/merge-patch+json", 200), ("text/plain", 415)] {
        let headers = [("content-type", content_type)];
        let ask = Ask { body: Some("{}"), headers: &headers };
        assert_eq!(caller.call(2, Method::PATCH, path, ask).await.status, status, "{content_type}");
    }
    let any = send_with(&caller, Method::PATCH, path, &json!({}), &[("if-match", "*")]).await;
    assert_eq!(any.status, 200, "{}", any.body);
    let none = send(&caller, Method::PATCH, "/v1/products/none", &update("x")).await;
    assert_eq!((none.status, none.kind()), (404, "/problems/unknown-product"));
    let empty = json!({"starts_at": "2030-01-02T00:00:00Z", "ends_at": "2030-01-01T00:00:00Z"});
    let empty = send(&caller, Method::PATCH, path, &empty).await;
    assert_eq!((empty.status, empty.kind()), (422, "/problems/empty-window"), "{}", empty.body);

    // The limit holds from now on.
    let wants = json!({"product_id": "sneaker", "user_id": "ann"});
    assert_eq!(caller.buy(0, &wants, &[]).await.status, 201);
    let second = caller.buy(1, &wants, &[]).await;
    assert_eq!((second.status, second.kind()), (409, "/problems/limit-reached"));

    for node in 0..3 {
        let now = caller.get(node, path).await;
        let tag = now.header("etag").to_owned();
        let ask = Ask { body: None, headers: &[("if-none-match", tag.as_str())] };
        let known = caller.call(node, Method::GET, path, ask).await;
        assert_eq!((known.status, known.header("etag")), (304, tag.as_str()));
        assert!(!known.header("flashnode-seq").is_empty(), "every answer has its seq");
    }
}
