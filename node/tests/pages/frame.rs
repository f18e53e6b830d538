//! How the pages are served: to whom they may speak, who may speak to a node, what is cached.

use super::scene::http::{Answer, Ask, Caller};
use super::scene::{Scene, until};
use reqwest::Method;

const ORIGIN: &str = "access-control-allow-origin";

async fn get(caller: &Caller, path: &str, headers: &[(&str, &str)]) -> Answer {
    caller.call(0, Method::GET, path, Ask { body: None, headers }).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_policy_and_cors_name_the_nodes_and_nobody_else() {
    let mut scene = Scene::open_for_failover(1, &[]).await;
    let caller = Caller::new(&scene.cluster);
    let mut nodes = scene.cluster.addresses();
    nodes.sort();
    for path in ["/", "/control"] {
        let page = get(&caller, path, &[]).await;
        assert_eq!((page.status, page.header("x-content-type-options")), (200, "nosniff"));
        let policy = page.header("content-security-policy").to_owned();
        let connect = policy.split("; ").find_map(|part| part.strip_prefix("connect-src 'self' "));
        let mut named: Vec<&str> = connect.expect("whom it may ask").split(' ').collect();
        named.sort_unstable();
        let wanted = nodes.iter().map(|node| format!("http://{node}"));
        assert_eq!(named, wanted.collect::<Vec<_>>(), "{policy}");
        for part in ["default-src 'none'", "script-src 'self'", "style-src 'self'"] {
            assert!(policy.contains(part), "{policy}");
        }
        assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
    }
    // A node that died is still named: it may come back.
    let other = stock::NodeId(2);
    scene.cluster.kill(other).expect("a node dies");
    let gone = scene.cluster.node(other).http.clone();
    assert!(get(&caller, "/", &[]).await.header("content-security-policy").contains(&gone));

    let ours = format!("http://{gone}");
    let welcome = until("the origin to be known", || async {
        let answer = get(&caller, "/v1/products", &[("origin", &ours)]).await;
        (answer.header(ORIGIN) == ours).then_some(answer)
    })
    .await;
    assert!(welcome.header("access-control-expose-headers").contains("flashnode-node"));
    assert_eq!(welcome.header("vary"), "origin");
    // A refusal is read too, or the page could not tell it.
    let refusal = get(&caller, "/v1/products/none", &[("origin", &ours)]).await;
    assert_eq!((refusal.status, refusal.header(ORIGIN)), (404, ours.as_str()));

    let ask =
        |origin: &'static str| [("origin", origin), ("access-control-request-method", "POST")];
    let preflight = [("origin", ours.as_str()), ("access-control-request-method", "POST")];
    let buys = Ask { body: None, headers: &preflight };
    let answer = caller.call(0, Method::OPTIONS, "/v1/buys", buys).await;
    assert_eq!((answer.status, answer.header(ORIGIN)), (200, ours.as_str()));
    assert!(answer.header("access-control-allow-headers").contains("idempotency-key"));
    for stranger in ["http://evil.example", "null", "https://127.0.0.1"] {
        let headers = ask(stranger);
        let asked = Ask { body: None, headers: &headers };
        let answer = caller.call(0, Method::OPTIONS, "/v1/buys", asked).await;
        assert_eq!((answer.status, answer.header(ORIGIN)), (405, ""), "{stranger}");
        let answer = get(&caller, "/v1/products", &[("origin", stranger)]).await;
        assert_eq!((answer.status, answer.header(ORIGIN)), (200, ""), "{stranger}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_are_asked_for_again_and_sent_once() {
    let scene = Scene::open(1, &[]).await;
    let caller = Caller::new(&scene.cluster);
    for (path, kind) in [
        ("/", "text/html; charset=utf-8"),
        ("/assets/shop.js", "text/javascript; charset=utf-8"),
        ("/assets/page.css", "text/css; charset=utf-8"),
        ("/assets/icon.svg", "image/svg+xml"),
    ] {
        let file = get(&caller, path, &[]).await;
        assert_eq!((file.status, file.header("content-type")), (200, kind), "{path}");
        assert_eq!(file.header("cache-control"), "no-cache");
        let tag = file.header("etag").to_owned();
        let again = get(&caller, path, &[("if-none-match", &tag)]).await;
        assert_eq!((again.status, again.header("etag")), (304, tag.as_str()), "{path}");
    }
    for nothing in ["/assets/none.js", "/assets/shop.html", "/assets/..%2fCargo.toml"] {
        let answer = get(&caller, nothing, &[]).await;
        assert_eq!((answer.status, answer.kind()), (404, "/problems/not-found"), "{nothing}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_is_for_demonstrations() {
    let scene = Scene::open(1, &[]).await;
    let caller = Caller::new(&scene.cluster);
    let json = [("content-type", "application/json")];
    let storm = r#"{"product_id":"sneaker","buyers":1}"#;
    let asked = Ask { body: Some(storm), headers: &json };
    let answer = caller.call(0, Method::POST, "/v1/demo/storm", asked).await;
    assert_eq!((answer.status, answer.kind()), (404, "/problems/demo-off"));
    let answer = caller.call(0, Method::DELETE, "/v1/demo/storm", Ask::default()).await;
    assert_eq!((answer.status, answer.kind()), (404, "/problems/demo-off"));
    let room = get(&caller, "/v1/control", &[]).await;
    assert_eq!(room.body["demo"], false, "{}", room.body);
    drop(scene);

    let scene = Scene::open(100, &["--demo"]).await;
    let caller = Caller::new(&scene.cluster);
    // A stranger's page could send this without asking first.
    let bare = Ask { body: Some(storm), headers: &[] };
    assert_eq!(caller.call(0, Method::POST, "/v1/demo/storm", bare).await.status, 415);
    for wrong in [
        r#"{"product_id":"sneaker","buyers":20001}"#,
        r#"{"product_id":"sneaker","buyers":0}"#,
        r#"{"product_id":"sneaker","buyers":1,"at_a_time":129}"#,
    ] {
        let asked = Ask { body: Some(wrong), headers: &json };
        assert_eq!(
            caller.call(0, Method::POST, "/v1/demo/storm", asked).await.status,
            422,
            "{wrong}"
        );
    }
    let many = r#"{"product_id":"sneaker","buyers":20000,"at_a_time":2}"#;
    let asked = || Ask { body: Some(many), headers: &json };
    assert_eq!(caller.call(0, Method::POST, "/v1/demo/storm", asked()).await.status, 200);
    let second = caller.call(0, Method::POST, "/v1/demo/storm", asked()).await;
    assert_eq!((second.status, second.kind()), (409, "/problems/storm-running"));
    let stopped = caller.call(0, Method::DELETE, "/v1/demo/storm", Ask::default()).await;
    assert_eq!(stopped.status, 200);
    until("the storm to end", || async {
        let room = get(&caller, "/v1/control", &[]).await;
        (room.body["storm"]["running"] == false).then_some(())
    })
    .await;
}
