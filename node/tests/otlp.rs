//! Spans at a collector, of a build that can export them.

#![cfg(feature = "otlp")]
#![allow(clippy::expect_used, reason = "a test ends at what it cannot do without")]

mod scene;

use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::routing::post;
use scene::http::Caller;
use scene::{Scene, until};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use stock::NodeId;
use tokio::net::TcpListener;

/// A collector, as far as it is one: it takes what is posted.
struct Collector {
    endpoint: String,
    taken: Arc<Mutex<Vec<Value>>>,
}

/// A span with the node that it came from.
type Span = (String, Value);

impl Collector {
    async fn open() -> Self {
        let taken = Arc::<Mutex<Vec<Value>>>::default();
        let inbox = Arc::clone(&taken);
        let take = move |body: Bytes| async move {
            let body = serde_json::from_slice(&body).expect("JSON");
            inbox.lock().expect("no panic").push(body);
            (StatusCode::OK, "{}")
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        let app = Router::new().route("/v1/traces", post(take));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { endpoint, taken }
    }

    /// The spans of a request that have come so far.
    fn spans_of(&self, request: &str) -> Vec<Span> {
        let taken = self.taken.lock().expect("no panic");
        let list = |value: &Value, name: &str| value[name].as_array().cloned().unwrap_or_default();
        let resources = taken.iter().flat_map(|body| list(body, "resourceSpans"));
        let spans = resources.flat_map(|resource| {
            let node = attribute(&resource["resource"], "service.instance.id");
            assert_eq!(attribute(&resource["resource"], "service.name"), "flashnode");
            let scopes = list(&resource, "scopeSpans");
            let spans = scopes.into_iter().flat_map(move |scope| list(&scope, "spans"));
            spans.map(move |span| (node.clone(), span))
        });
        spans.filter(|(_, span)| attribute(span, "request_id") == request).collect()
    }
}

fn attribute(of: &Value, name: &str) -> String {
    let all = of["attributes"].as_array().expect("attributes");
    let found = all.iter().find(|field| field["key"] == name);
    let value = found.and_then(|field| field["value"].as_object()?.values().next().cloned());
    value
        .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
        .unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_spans_of_one_buy_are_one_trace() {
    let collector = Collector::open().await;
    let scene = Scene::open(5, &["--otlp-endpoint", &collector.endpoint]).await;
    let caller = Caller::new(&scene.cluster);
    let (leader, follower) = scene.leader_and_follower().await;
    let asked = usize::try_from(follower.0 - 1).expect("a small id");
    let buy = json!({"product_id": "sneaker", "user_id": "ann"});
    let bought = caller.buy(asked, &buy, &[("idempotency-key", "ann-1")]).await;
    assert_eq!(bought.status, 201, "{}", bought.body);
    let spans = until("the spans of the buy", || async {
        let spans = collector.spans_of("ann-1");
        (spans.len() >= 7).then_some(spans)
    })
    .await;
    let mut stages: Vec<(&str, &str)> = spans
        .iter()
        .map(|(node, span)| (span["name"].as_str().expect("a name"), node.as_str()))
        .collect();
    stages.sort_unstable();
    let (follower, leader) = (follower.to_string(), leader.to_string());
    let mut wanted = vec![
        ("apply", "1"),
        ("apply", "2"),
        ("apply", "3"),
        ("forward", follower.as_str()),
        ("propose", leader.as_str()),
        ("request", follower.as_str()),
        ("wait", follower.as_str()),
    ];
    wanted.sort_unstable();
    assert_eq!(stages, wanted);
    let named = |name: &str| &spans.iter().find(|(_, span)| span["name"] == name).expect(name).1;
    let root = named("request");
    assert_eq!(attribute(root, "http.response.status_code"), "201");
    assert!(root["parentSpanId"].as_str().is_none_or(str::is_empty), "{root}");
    let nanos = |span: &Value, name: &str| -> u64 {
        span[name].as_str().and_then(|text| text.parse().ok()).expect("an instant")
    };
    for (_, span) in &spans {
        assert_eq!(span["traceId"], root["traceId"], "{span}");
        assert!(nanos(span, "startTimeUnixNano") <= nanos(span, "endTimeUnixNano"), "{span}");
        assert_eq!(attribute(span, "user_id"), "ann");
        if span["name"] != "request" {
            assert_eq!(span["parentSpanId"], root["spanId"], "{span}");
        }
    }
    let mut ids: Vec<&str> = spans.iter().filter_map(|(_, span)| span["spanId"].as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), spans.len(), "each has an id of its own");
    let words: Vec<&Value> =
        root["events"].as_array().expect("events").iter().map(|event| &event["name"]).collect();
    assert_eq!(words, ["decoded", "answered"]);
    // The log has none of it: its filter is another matter.
    for node in [1, 2, 3].map(NodeId) {
        assert!(!scene.log(node).contains("ann-1"), "{}", scene.log(node));
    }
}

/// One collector takes connections and never answers, the other is not there: nobody notices.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_hangs_or_is_gone_holds_up_no_buy() {
    /// More spans than the queue holds, and than a second one would.
    const BUYERS: u64 = 3_000;
    let hangs = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = hangs.local_addr().expect("an address");
    let hanging = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((tcp, _)) = hangs.accept().await {
            held.push(tcp);
        }
    });
    let gone = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let nowhere = gone.local_addr().expect("an address");
    drop(gone);
    for endpoint in [address, nowhere] {
        let endpoint = format!("http://{endpoint}/");
        let mut scene = Scene::open(BUYERS, &["--otlp-endpoint", &endpoint]).await;
        let storm = scene.storm(BUYERS, 64);
        let (tally, _) = scene.audit(storm).await;
        assert_eq!(tally.won.len() as u64, BUYERS);
        // Nor does it hold up the end.
        let follower = scene.follower().await;
        scene.cluster.terminate(follower).expect("it runs");
        let status = scene.cluster.wait_exit(follower, scene::PATIENCE).await.expect("it ends");
        assert!(status.success(), "{status}");
    }
    hanging.abort();
}
