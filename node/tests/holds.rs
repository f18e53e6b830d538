//! Holds through real HTTP against a real three-node cluster: their life, their ends, and the one
//! winner of every race for them.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends at what it cannot do without")]

mod scene;

use client::{Answer as Told, RefusedKind, new_request_id};
use reqwest::Method;
use scene::http::{Answer, Ask, Caller};
use scene::{PATIENCE, Scene, sku, until};
use serde_json::{Value, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use stock::api::{HoldAccepted, HoldStatus, PostHold, Timestamp};
use stock::{HoldTtl, Quantity, Seq, UserId};

/// The shortest time of a hold.
const SHORT_MS: u64 = HoldTtl::MIN_MS;

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

async fn hold(caller: &Caller, node: usize, body: &Value, headers: &[(&str, &str)]) -> Answer {
    send(caller, node, (Method::POST, "/v1/holds"), Some(body), headers).await
}

async fn confirm(
    caller: &Caller,
    node: usize,
    (id, user): (u64, &str),
    headers: &[(&str, &str)],
) -> Answer {
    let path = format!("/v1/holds/{id}/confirm");
    let body = json!({"user_id": user});
    send(caller, node, (Method::POST, &path), Some(&body), headers).await
}

async fn release(caller: &Caller, node: usize, query: &str, headers: &[(&str, &str)]) -> Answer {
    let path = format!("/v1/holds/{query}");
    send(caller, node, (Method::DELETE, &path), None, headers).await
}

fn id_of(answer: &Answer) -> u64 {
    assert_eq!(answer.status, 201, "{}", answer.body);
    answer.body["hold_id"].as_u64().expect("a hold's id")
}

/// Available, held and sold.
async fn counts(caller: &Caller, node: usize) -> (u64, u64, u64) {
    let product = caller.get(node, "/v1/products/sneaker").await.body;
    let count = |name: &str| product[name].as_u64().expect("a count");
    (count("available"), count("held"), count("sold"))
}

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    u64::try_from(now.as_millis()).expect("a clock of our time")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_life_of_a_hold_at_every_node() {
    let scene = Scene::open(10, &[]).await;
    let caller = Caller::new(&scene.cluster);
    let wants = json!({"product_id": "sneaker", "user_id": "ann", "quantity": 2});
    let key = [("idempotency-key", "h-1")];
    let first = hold(&caller, 0, &wants, &key).await;
    let id = id_of(&first);
    assert_eq!(first.header("location"), format!("/v1/holds/{id}"));
    assert_eq!(first.header("flashnode-seq"), id.to_string());
    assert_eq!((&first.body["remaining"], &first.body["seq"]), (&json!(8), &json!(id)));
    let line = json!([{"product_id": "sneaker", "quantity": 2, "remaining": 8}]);
    assert_eq!(first.body["items"], line);
    let expires_at = first.body["expires_at"].as_str().expect("an instant");
    let ttl_ms = Timestamp::parse(expires_at).expect("RFC 3339").ms().saturating_sub(now_ms());
    assert!((540_000..=601_000).contains(&ttl_ms), "ten minutes, not {ttl_ms} ms");

    for node in 0..3 {
        let again = hold(&caller, node, &wants, &[("idempotency-key", "\"h-1\"")]).await;
        assert_eq!((again.status, again.header("idempotent-replayed")), (201, "true"));
        assert_eq!(again.body["hold_id"], json!(id), "one key, one hold");
        assert_eq!(again.body["expires_at"], first.body["expires_at"], "and one deadline");
        let other = json!({"product_id": "sneaker", "user_id": "ann", "quantity": 3});
        let other = hold(&caller, node, &other, &key).await;
        assert_eq!((other.status, other.kind()), (422, "/problems/key-reused"));
        let view = caller.get(node, &format!("/v1/holds/{id}")).await;
        assert_eq!((view.status, &view.body["state"]), (200, &json!("open")), "{}", view.body);
        assert_eq!(view.body["items"], json!([{"product_id": "sneaker", "quantity": 2}]));
        let list = caller.get(node, "/v1/holds?user_id=ann").await;
        assert_eq!(list.body["holds"], json!([view.body]), "the list has what the view has");
        let none = caller.get(node, "/v1/holds?user_id=bob").await;
        assert_eq!((none.status, &none.body["holds"]), (200, &json!([])));
        assert_eq!(counts(&caller, node).await, (8, 2, 0), "at node {node}");
    }

    // Another user's hold is unknown to whoever asks for it.
    let theirs = confirm(&caller, 1, (id, "bob"), &[]).await;
    assert_eq!((theirs.status, theirs.kind()), (404, "/problems/unknown-hold"));
    let theirs = release(&caller, 2, &format!("{id}?user_id=bob"), &[]).await;
    assert_eq!((theirs.status, theirs.kind()), (404, "/problems/unknown-hold"));

    let key = [("idempotency-key", "c-1")];
    let sold = confirm(&caller, 1, (id, "ann"), &key).await;
    assert_eq!(sold.status, 201, "{}", sold.body);
    let order = sold.body["order_id"].as_u64().expect("an order's id");
    assert_eq!(sold.header("location"), format!("/v1/orders/{order}"));
    assert_eq!((&sold.body["items"], &sold.body["hold_id"]), (&line, &json!(id)));
    for node in 0..3 {
        let again = confirm(&caller, node, (id, "ann"), &key).await;
        assert_eq!((again.status, again.header("idempotent-replayed")), (201, "true"));
        assert_eq!(again.body["order_id"], json!(order), "one key, one order: {}", again.body);
        assert_eq!(again.body["items"], line);
        let reused = confirm(&caller, node, (id + 1, "ann"), &key).await;
        assert_eq!((reused.status, reused.kind()), (422, "/problems/key-reused"));
        let other_key = confirm(&caller, node, (id, "ann"), &[]).await;
        assert_eq!((other_key.status, other_key.kind()), (409, "/problems/hold-settled"));
        let late = release(&caller, node, &format!("{id}?user_id=ann"), &[]).await;
        assert_eq!((late.status, late.kind()), (409, "/problems/hold-settled"));
        let view = caller.get(node, &format!("/v1/holds/{id}")).await.body;
        assert_eq!((&view["state"], &view["ended_by"]), (&json!("confirmed"), &json!(order)));
        assert_eq!(view["items"], json!([{"product_id": "sneaker", "quantity": 2}]));
        assert_eq!(caller.get(node, "/v1/holds?user_id=ann").await.body["holds"], json!([]));
        let ordered = caller.get(node, &format!("/v1/orders/{order}")).await;
        assert_eq!((ordered.status, &ordered.body["items"]), (200, &line), "{}", ordered.body);
        assert_eq!(ordered.body["hold_id"], json!(id));
        let found = caller.get(node, "/v1/orders?user_id=ann&request_id=c-1").await;
        assert_eq!(found.body["orders"], json!([ordered.body]), "a confirmed hold is an order");
        assert_eq!(counts(&caller, node).await, (8, 0, 2), "at node {node}");
    }
    scene.assert_equal_states().await;
}

/// Without a time of its own a hold lasts as long as its product says; of several the shortest.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_lasts_as_long_as_its_products_say() {
    let scene = Scene::open(10, &[]).await;
    let caller = Caller::new(&scene.cluster);
    for (product, ttl_ms) in [("short", 60_000), ("long", 7_200_000)] {
        let put = json!({"name": "P", "stock": 9, "hold_ttl_ms": ttl_ms});
        let path = format!("/v1/products/{product}");
        assert_eq!(send(&caller, 0, (Method::PUT, &path), Some(&put), &[]).await.status, 201);
    }
    let basket =
        json!({"user_id": "ann", "items": [{"product_id": "long"}, {"product_id": "short"}]});
    let one = |product: &str| json!({"user_id": "ann", "product_id": product});
    let asked = json!({"user_id": "ann", "product_id": "long", "ttl_ms": 5_000});
    for (wants, lasts_ms) in [
        (one("short"), 60_000),
        (one("long"), 7_200_000),
        (one("sneaker"), 600_000),
        (basket, 60_000),
        (asked, 5_000),
    ] {
        let held = hold(&caller, 1, &wants, &[]).await;
        let path = format!("/v1/events?after={}", id_of(&held) - 1);
        let url = format!("http://{}{path}", caller.nodes[2]);
        let mut feed = caller.http.get(url).send().await.expect("an answer");
        let mut text = String::new();
        let event: Value = loop {
            if let Some((block, _)) = text.split_once("}\n\n") {
                let data = block.split_once("data: ").expect("an event").1;
                break serde_json::from_str(&format!("{data}}}")).expect("JSON");
            }
            let chunk = feed.chunk().await.expect("it is told").expect("the stream goes on");
            text.push_str(std::str::from_utf8(&chunk).expect("text"));
        };
        // In log time, to the millisecond: the hold began with its event.
        let until = held.body["expires_at"].as_str().expect("an instant");
        let until_ms = Timestamp::parse(until).expect("RFC 3339").ms();
        assert_eq!(json!(until_ms - lasts_ms), event["at_ms"], "{wants}: {event}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_released_hold_is_sold_to_somebody_else() {
    let scene = Scene::open(1, &[]).await;
    let caller = Caller::new(&scene.cluster);
    let wants = |user: &str| json!({"product_id": "sneaker", "user_id": user});
    let id = id_of(&hold(&caller, 0, &wants("ann"), &[]).await);
    let gone = caller.buy(1, &wants("bob"), &[]).await;
    assert_eq!((gone.status, gone.kind()), (410, "/problems/sold-out"), "what is held is held");
    let key = [("idempotency-key", "r-1")];
    let query = format!("{id}?user_id=ann");
    let freed = release(&caller, 2, &query, &key).await;
    assert_eq!((freed.status, &freed.body["hold_id"]), (200, &json!(id)), "{}", freed.body);
    let line = json!([{"product_id": "sneaker", "quantity": 1, "remaining": 1}]);
    assert_eq!(freed.body["items"], line);
    for node in 0..3 {
        let again = release(&caller, node, &query, &key).await;
        assert_eq!((again.status, again.header("idempotent-replayed")), (200, "true"));
        assert_eq!(again.body, freed.body);
        let twice = release(&caller, node, &query, &[]).await;
        assert_eq!((twice.status, twice.kind()), (409, "/problems/hold-settled"));
        let late = confirm(&caller, node, (id, "ann"), &[]).await;
        assert_eq!((late.status, late.kind()), (409, "/problems/hold-settled"));
        let view = caller.get(node, &format!("/v1/holds/{id}")).await.body;
        assert_eq!((&view["state"], &view["ended_by"]), (&json!("released"), &freed.body["seq"]));
    }
    assert_eq!(caller.buy(1, &wants("bob"), &[]).await.status, 201);
    // An operator may release anybody's.
    let restock = json!({"quantity": 1});
    let path = (Method::POST, "/v1/products/sneaker/restock");
    assert_eq!(send(&caller, 0, path, Some(&restock), &[]).await.status, 200);
    let id = id_of(&hold(&caller, 0, &wants("cy"), &[]).await);
    assert_eq!(release(&caller, 1, &id.to_string(), &[]).await.status, 200);
    assert_eq!(counts(&caller, 2).await, (1, 0, 1));
    scene.assert_equal_states().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_expires_on_an_idle_cluster() {
    let scene = Scene::open(2, &[]).await;
    let caller = Caller::new(&scene.cluster);
    let wants = json!(
        {"product_id": "sneaker", "user_id": "ann", "quantity": 2, "ttl_ms": SHORT_MS}
    );
    let key = [("idempotency-key", "h")];
    let first = hold(&caller, 1, &wants, &key).await;
    let id = id_of(&first);
    let text = first.body["expires_at"].as_str().expect("an instant").to_owned();
    let deadline_ms = Timestamp::parse(&text).expect("RFC 3339").ms();
    // Nobody asks for anything but a stale read, which moves no log time.
    let stale = |path: String| {
        let caller = &caller;
        async move { caller.get(2, &format!("{path}?consistency=stale")).await.body }
    };
    until("the hold to expire", || async {
        (stale(format!("/v1/holds/{id}")).await["state"] == json!("expired")).then_some(())
    })
    .await;
    println!("sellable {} ms after the deadline", now_ms().saturating_sub(deadline_ms));
    assert_eq!(stale("/v1/products/sneaker".into()).await["available"], json!(2));
    for node in 0..3 {
        let view = caller.get(node, &format!("/v1/holds/{id}")).await.body;
        assert_eq!((&view["state"], &view["expires_at"]), (&json!("expired"), &json!(text)));
        assert!(view["ended_by"].as_u64() > Some(id), "{view}");
        let late = confirm(&caller, node, (id, "ann"), &[]).await;
        assert_eq!((late.status, late.kind()), (410, "/problems/hold-expired"));
        assert_eq!(late.header("cache-control"), "no-store");
        let late = release(&caller, node, &format!("{id}?user_id=ann"), &[]).await;
        assert_eq!((late.status, late.kind()), (410, "/problems/hold-expired"));
        // The hold was made, whatever became of it.
        let again = hold(&caller, node, &wants, &key).await;
        assert_eq!((again.status, again.header("idempotent-replayed")), (201, "true"));
        assert_eq!(again.body["hold_id"], json!(id));
    }
    let wants = json!({"product_id": "sneaker", "user_id": "bob", "quantity": 2});
    assert_eq!(caller.buy(0, &wants, &[]).await.status, 201, "expired units are sold at once");
    scene.assert_equal_states().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_survives_a_killed_leader() {
    let mut scene = Scene::open_for_failover(2, &[]).await;
    let caller = Caller::new(&scene.cluster);
    let ttl_ms = HoldTtl::from_ms(4 * SHORT_MS).expect("a valid time");
    let user = UserId::new("ann").expect("a valid id");
    let short = PostHold { ttl_ms: Some(ttl_ms), ..PostHold::one(sku(), Quantity::ONE, user) };
    let long = PostHold { ttl_ms: None, ..short.clone() };
    let hold = |wants: PostHold| {
        let client = scene.client.clone();
        async move { client.hold(&wants, &new_request_id()).await.done("").expect("a hold") }
    };
    let (short, long): (HoldAccepted, HoldAccepted) = (hold(short).await, hold(long).await);
    let leader = scene.leader().await;
    scene.cluster.kill(leader).expect("it runs");
    let survivor = usize::from(leader.0 == 1);
    let state = |hold: Seq| {
        let caller = &caller;
        async move {
            let path = format!("/v1/holds/{hold}?consistency=stale");
            caller.get(survivor, &path).await.body["state"].as_str().map(str::to_owned)
        }
    };
    until("the hold to expire under another leader", || async {
        (state(short.hold_id).await.as_deref() == Some("expired")).then_some(())
    })
    .await;
    let (late_ms, now) = (now_ms().saturating_sub(short.expires_at.ms()), now_ms());
    println!("expired {late_ms} ms after its deadline, {now}");
    // By the wall clock, which log time follows within half a second.
    assert!(now + 500 >= short.expires_at.ms(), "it expired {short:?} before its deadline, {now}");
    assert_eq!(state(long.hold_id).await.as_deref(), Some("open"), "the other's time is not over");
    let view = scene.client.hold_view(long.hold_id).await.expect("the new leader knows it");
    assert_eq!((view.state, view.expires_at), (HoldStatus::Open, long.expires_at));
    let sold = scene.client.confirm(long.hold_id, &view.user_id, &new_request_id()).await;
    assert!(matches!(sold.answer, Told::Done { .. }), "{:?}", sold.answer);
    scene.cluster.start_node(leader).expect("it starts again");
    scene.cluster.wait_ready(PATIENCE).await.expect("it is back");
    scene.assert_equal_states().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_confirm_that_races_its_expiry_has_one_winner() {
    const HOLDS: u64 = 200;
    /// What all of them take to be made, and one to be confirmed, on a busy machine.
    const TTL_MS: u64 = 5 * SHORT_MS;
    /// Log time is as far off at most.
    const OFF_MS: u64 = 500;
    let scene = Scene::open(HOLDS, &[]).await;
    let ttl = HoldTtl::from_ms(TTL_MS).expect("a valid time");
    let races = (0..HOLDS).map(|racer| {
        let client = scene.client.clone();
        async move {
            let user = UserId::new(format!("u{racer}")).expect("a valid id");
            let wants =
                PostHold { ttl_ms: Some(ttl), ..PostHold::one(sku(), Quantity::ONE, user.clone()) };
            let held = client.hold(&wants, &new_request_id()).await.done("").expect("a hold");
            // Most around the deadline, some before and some after. Of each ten, one long before
            // and one long after: they make sure that there are both, whatever becomes of the rest.
            let at_ms = match racer % 10 {
                0 => 0,
                1 => held.expires_at.ms() + 2 * OFF_MS,
                _ => held.expires_at.ms() + racer % 100 - 50,
            };
            let wait = Duration::from_millis(at_ms.saturating_sub(now_ms()));
            tokio::time::sleep(wait).await;
            match client.confirm(held.hold_id, &user, &new_request_id()).await.answer {
                Told::Done { body, .. } => (held.hold_id, Some(body.order_id)),
                Told::Refused { problem } => {
                    let kind = RefusedKind::of(&problem);
                    assert_eq!(kind, RefusedKind::HoldExpired, "{problem:?}");
                    (held.hold_id, None)
                }
                other => panic!("{other:?}"),
            }
        }
    });
    let outcomes = futures_util::future::join_all(races).await;
    let confirmed = outcomes.iter().filter(|(_, order)| order.is_some()).count();
    println!("{confirmed} of {HOLDS} confirmed in time");
    assert!(confirmed > 0 && confirmed < outcomes.len(), "{confirmed} of {HOLDS}: no race");
    for (hold, order) in &outcomes {
        let view = scene.client.hold_view(*hold).await.expect("a hold");
        match order {
            Some(order) => {
                assert_eq!((view.state, view.ended_by), (HoldStatus::Confirmed, Some(*order)));
                let sold = scene.client.order(*order).await.expect("an order");
                assert!(sold.at_ms < view.expires_at.ms(), "after its deadline: {sold:?} {view:?}");
            }
            None => assert_eq!(view.state, HoldStatus::Expired, "{view:?}"),
        }
    }
    let product = scene.client.product(&sku()).await.expect("the product");
    assert_eq!((product.sold, product.held), (confirmed as u64, 0), "{product:?}");
    assert_eq!(product.available, HOLDS - confirmed as u64);
    scene.assert_equal_states().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_and_their_words() {
    let scene = Scene::open(3, &[]).await;
    let caller = Caller::new(&scene.cluster);
    let put =
        json!({"name": "T", "stock": 9, "per_user_limit": 1, "ends_at": "2020-01-01T00:00:00Z"});
    assert_eq!(
        send(&caller, 0, (Method::PUT, "/v1/products/old"), Some(&put), &[]).await.status,
        201
    );
    let soon = json!({"name": "S", "stock": 9, "starts_at": "9999-01-01T00:00:00Z"});
    let path = (Method::PUT, "/v1/products/soon");
    assert_eq!(send(&caller, 0, path, Some(&soon), &[]).await.status, 201);
    let wants = |product: &str, quantity: u64| json!({"product_id": product, "user_id": "ann", "quantity": quantity});
    for (body, status, kind) in [
        (wants("none", 1), 404, "unknown-product"),
        (wants("old", 1), 410, "sale-over"),
        (wants("soon", 1), 409, "not-open"),
        (wants("sneaker", 4), 409, "insufficient"),
        (wants("sneaker", 0), 422, "invalid-value"),
        (json!({"product_id": "sneaker", "user_id": "a", "ttl_ms": 999}), 422, "invalid-value"),
        (
            json!({"product_id": "sneaker", "user_id": "a", "ttl_ms": 86_400_001}),
            422,
            "invalid-value",
        ),
        (json!({"product_id": "sneaker", "user_id": "a", "ttl_ms": "1s"}), 400, "invalid-field"),
        (json!({"product_id": "sneaker"}), 400, "invalid-field"),
    ] {
        let answer = hold(&caller, 2, &body, &[]).await;
        let told = (answer.status, answer.kind());
        assert_eq!(told, (status, format!("/problems/{kind}").as_str()), "{body}: {}", answer.body);
    }
    // A first attempt's refusal is forgotten, a later one's is final.
    let (first, later) =
        ([("idempotency-key", "f")], [("idempotency-key", "l"), ("flashnode-attempt", "2")]);
    let all = id_of(&hold(&caller, 0, &wants("sneaker", 3), &[]).await);
    assert_eq!(hold(&caller, 1, &wants("sneaker", 1), &first).await.status, 410);
    assert_eq!(hold(&caller, 1, &wants("sneaker", 1), &later).await.status, 410);
    assert_eq!(release(&caller, 2, &all.to_string(), &[]).await.status, 200);
    let again = hold(&caller, 1, &wants("sneaker", 1), &first).await;
    assert_eq!((again.status, again.header("idempotent-replayed")), (201, ""), "{}", again.body);
    let again = hold(&caller, 1, &wants("sneaker", 1), &later).await;
    assert_eq!((again.status, again.header("idempotent-replayed")), (410, "true"));
    // As for holds, so for confirms.
    assert_eq!(confirm(&caller, 0, (all, "ann"), &later).await.status, 422, "the key is taken");
    let later = [("idempotency-key", "c"), ("flashnode-attempt", "2")];
    let refused = confirm(&caller, 0, (all, "ann"), &later).await;
    assert_eq!((refused.status, refused.kind()), (409, "/problems/hold-settled"));
    let again = confirm(&caller, 1, (all, "ann"), &later).await;
    assert_eq!((again.status, again.header("idempotent-replayed")), (409, "true"));

    for (method, path) in [
        (Method::GET, "/v1/holds/999"),
        (Method::DELETE, "/v1/holds/999"),
        (Method::GET, "/v1/holds/1"),
    ] {
        let answer = send(&caller, 1, (method, path), None, &[]).await;
        assert_eq!((answer.status, answer.kind()), (404, "/problems/unknown-hold"), "{path}");
    }
    let unknown = confirm(&caller, 1, (999, "ann"), &[]).await;
    assert_eq!((unknown.status, unknown.kind()), (404, "/problems/unknown-hold"));
    let whose = caller.get(0, "/v1/holds").await;
    assert_eq!((whose.status, whose.kind()), (400, "/problems/invalid-query"));

    // The most holds of one user.
    let path = (Method::POST, "/v1/products/sneaker/restock");
    assert_eq!(send(&caller, 0, path, Some(&json!({"quantity": 200})), &[]).await.status, 200);
    let user = json!({"product_id": "sneaker", "user_id": "cy"});
    for _ in 0..stock::USER_HOLDS_MAX {
        id_of(&hold(&caller, 0, &user, &[]).await);
    }
    let one_more = hold(&caller, 1, &user, &[]).await;
    assert_eq!((one_more.status, one_more.kind()), (409, "/problems/too-many-user-holds"));
    let list = caller.get(2, "/v1/holds?user_id=cy").await.body;
    assert_eq!(list["holds"].as_array().map(Vec::len), Some(stock::USER_HOLDS_MAX));
    scene.assert_equal_states().await;
}
