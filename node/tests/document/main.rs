//! The OpenAPI document against a real three-node cluster: what it shows is taken, what it demands
//! is missed, what it does not have is refused, and every answer is of the shape that it says.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends at what it cannot do without")]

mod document;
mod pages;
#[path = "../scene/mod.rs"]
mod scene;

use document::{Document, Operation};
use futures_util::future::join_all;
use reqwest::Method;
use scene::Scene;
use scene::http::{Answer, Ask, Caller};
use serde_json::{Map, Value, json};
use stock::NodeId;

/// Which fault of a body is which type; whatever else is answered, the body was understood.
const MALFORMED: &[&str] =
    &["/problems/invalid-json", "/problems/invalid-field", "/problems/invalid-value"];

/// What every read takes.
const WAITS: [&str; 2] = ["consistency", "min_seq"];

struct Stage {
    caller: Caller,
    document: Document,
    /// How many products and cursors were made, each under a name of its own.
    products: usize,
    scene: Scene,
}

impl Stage {
    async fn open() -> Self {
        let args = ["--drop-in-product", "sneaker", "--drop-in-reset", "--demo"];
        let scene = Scene::open(1_000_000, &args).await;
        let caller = Caller::new(&scene.cluster);
        let document = Document::new(caller.get(0, "/openapi.json").await.body);
        let mut stage = Self { caller, document, products: 0, scene };
        let tee = json!({"name": "Tee", "stock": 1_000_000});
        let answer = stage.send("PUT", "/v1/products/tee", &tee).await;
        assert_eq!(answer.status, 201);
        stage
    }

    async fn send(&mut self, method: &str, path: &str, body: &Value) -> Answer {
        let body = body.to_string();
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let headers = [("content-type", "application/json")];
        self.caller.call(1, method, path, Ask { body: Some(&body), headers: &headers }).await
    }

    /// A path of this operation that leads to something new.
    async fn path(&mut self, operation: &Operation) -> String {
        let of = |answer: Answer, id: &str| {
            assert_eq!(answer.status, 201, "{}", answer.body);
            answer.body[id].to_string()
        };
        let body = json!({"product_id": "sneaker", "user_id": "ann"});
        let id = match operation.path.as_str() {
            path if path.starts_with("/v1/holds/") => {
                of(self.send("POST", "/v1/holds", &body).await, "hold_id")
            }
            path if path.starts_with("/v1/orders/") => {
                of(self.send("POST", "/v1/buys", &body).await, "order_id")
            }
            _ if operation.id == "putProduct" => {
                self.products += 1;
                format!("new-{}", self.products)
            }
            _ if operation.id == "putCursor" => {
                self.products += 1;
                format!("sink-{}", self.products)
            }
            _ if operation.id == "getCursor" => {
                let body = json!({"expected": null, "position": 1});
                let answer = self.send("PUT", "/v1/cursors/sold-out", &body).await;
                // Made once; who asks again comes from another place.
                assert!(matches!(answer.status, 200 | 409), "{}", answer.body);
                "sold-out".into()
            }
            _ => "sneaker".into(),
        };
        let name = if operation.path.starts_with("/v1/cursors/") { &id } else { "sold-out" };
        let path = operation.path.replace("{id}", &id).replace("{name}", name);
        path.replace("{file}", "swagger-ui.css")
    }

    /// Sends a body to something new.
    async fn try_body(&mut self, operation: &Operation, body: &Value) -> Answer {
        let path = self.path(operation).await;
        self.send(&operation.method, &path, body).await
    }
}

/// Status and type; of a batch those of its first item.
fn outcome(answer: &Answer) -> (u64, &str) {
    match answer.body.get(0) {
        Some(item) => {
            (item["status"].as_u64().unwrap_or(0), item["problem"]["type"].as_str().unwrap_or(""))
        }
        None => (answer.status.into(), answer.kind()),
    }
}

/// The fields of a body; of a batch those of its first item.
fn fields(body: &mut Value) -> &mut Map<String, Value> {
    let object = match body {
        Value::Array(items) => &mut items[0],
        object => object,
    };
    object.as_object_mut().expect("an object")
}

fn with(body: &Value, name: &str, value: Value) -> Value {
    let mut changed = body.clone();
    fields(&mut changed).insert(name.into(), value);
    changed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_example_is_answered_as_documented() {
    let mut stage = Stage::open().await;
    let mut examples = 0;
    for operation in stage.document.operations() {
        for (name, body) in operation.examples() {
            let answer = stage.try_body(&operation, &body).await;
            let at = format!("{} {} {name:?}", operation.method, operation.path);
            assert!((200..300).contains(&answer.status), "{at}: {}", answer.body);
            let said = stage.document.check(&operation, answer.status, &answer.body);
            assert_eq!(said, Ok(()), "{at}: {}", answer.body);
            for header in ["flashnode-node", "flashnode-leader", "flashnode-seq"] {
                assert!(answer.headers.contains_key(header), "{at} has no {header}");
            }
            examples += 1;
        }
    }
    assert!(examples > 15, "{examples}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_body_is_taken_as_its_schema_says() {
    let mut stage = Stage::open().await;
    for operation in stage.document.operations() {
        for (_, body) in operation.examples() {
            let schema = stage.document.schema_of(&operation, &body);
            let wrong = with(&body, "zzz", json!(1));
            refused(&mut stage, &operation, &wrong, (400, "/problems/invalid-field")).await;
            assert_eq!(schema["additionalProperties"], false, "{}", operation.path);
            for name in schema["required"].as_array().into_iter().flatten() {
                let mut without = body.clone();
                fields(&mut without).remove(name.as_str().expect("a name"));
                refused(&mut stage, &operation, &without, (400, "/problems/invalid-field")).await;
            }
            for (name, property) in schema["properties"].as_object().expect("properties") {
                let property = stage.document.resolved(property);
                limits(&mut stage, &operation, (&body, name), &property).await;
            }
        }
    }
}

async fn refused(
    stage: &mut Stage,
    operation: &Operation,
    body: &Value,
    (status, kind): (u64, &str),
) {
    let answer = stage.try_body(operation, body).await;
    assert_eq!(outcome(&answer), (status, kind), "{} {body}: {}", operation.path, answer.body);
}

async fn understood(stage: &mut Stage, operation: &Operation, body: &Value) {
    let answer = stage.try_body(operation, body).await;
    let (_, kind) = outcome(&answer);
    assert!(!MALFORMED.contains(&kind), "{} {body}: {}", operation.path, answer.body);
}

/// A field at its limits and beyond them, null, and of another type.
async fn limits(
    stage: &mut Stage,
    operation: &Operation,
    (body, name): (&Value, &str),
    property: &Value,
) {
    let is_there = fields(&mut body.clone()).contains_key(name);
    let out_of_range = (422, "/problems/invalid-value");
    let not_of_type = (400, "/problems/invalid-field");
    let kinds = document::types(property);
    for (limit, step) in [("minimum", -1), ("maximum", 1)] {
        let Some(at) = document::limit(property, limit) else { continue };
        if is_there {
            understood(stage, operation, &with(body, name, json!(at))).await;
        }
        let beyond = with(body, name, json!(at + step));
        refused(stage, operation, &beyond, out_of_range).await;
    }
    if let Some(longest) = document::limit(property, "maxLength") {
        let text = "A".repeat(usize::try_from(longest).expect("a length"));
        if is_there {
            understood(stage, operation, &with(body, name, json!(text))).await;
        }
        refused(stage, operation, &with(body, name, json!(text + "A")), out_of_range).await;
    }
    if kinds.contains(&"null") {
        // `null` for a price takes its currency away with it.
        if is_there && !["price", "currency"].contains(&name) {
            understood(stage, operation, &with(body, name, Value::Null)).await;
        }
    } else {
        let null = with(body, name, Value::Null);
        let answer = stage.try_body(operation, &null).await;
        let (status, _) = outcome(&answer);
        assert!(matches!(status, 400 | 422), "{} {null}: {}", operation.path, answer.body);
    }
    for (kind, value) in [("boolean", json!(true)), ("string", json!("1")), ("integer", json!(1))] {
        if !kinds.contains(&kind) {
            refused(stage, operation, &with(body, name, value), not_of_type).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_query_is_taken_as_documented() {
    let mut stage = Stage::open().await;
    for operation in stage.document.operations() {
        if ["events", "levelEvents", "levels"].contains(&operation.id.as_str()) {
            continue;
        }
        let (path, good) = (stage.path(&operation).await, operation.query(&stage.document));
        let method = Method::from_bytes(operation.method.as_bytes()).expect("a method");
        let ask = async |query: &[(String, String)]| {
            let url = reqwest::Url::parse_with_params("http://x", query).expect("a query");
            let path = format!("{path}?{}", url.query().unwrap_or(""));
            stage.caller.call(2, method.clone(), &path, Ask::default()).await
        };
        if !operation.knows(400, "/problems/invalid-query") {
            assert!(good.iter().all(|(name, _)| name == "verbose"), "{}", operation.path);
            continue;
        }
        let unknown = [("zzz".to_owned(), "1".to_owned())];
        let answer = ask(&[&good[..], &unknown].concat()).await;
        assert_eq!(answer.kind(), "/problems/invalid-query", "{}: {}", operation.id, answer.body);
        for (at, (name, _)) in good.iter().enumerate() {
            let mut query = good.clone();
            query[at].1 = " ".into();
            let answer = ask(&query).await;
            assert!(matches!(answer.status, 400 | 422), "{} {name}", operation.id);
            assert!(answer.body["detail"].to_string().contains(name.as_str()), "{}", answer.body);
            query.remove(at);
            if operation.requires(name) {
                let answer = ask(&query).await;
                assert_eq!(answer.kind(), "/problems/invalid-query", "{} {name}", operation.id);
            }
        }
        if operation.method == "GET" {
            let answer = ask(&good).await;
            assert_eq!(answer.status, 200, "{}: {}", operation.id, answer.body);
            let said = stage.document.check(&operation, 200, &answer.body);
            assert_eq!(said, Ok(()), "{}: {}", operation.id, answer.body);
        }
    }
}

/// Every read takes a state to wait for and says when it does not come, and asks a majority unless
/// it is told not to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_read_is_as_current_as_it_is_asked_to_be() {
    let mut stage = Stage::open().await;
    let mut reads = Vec::new();
    for operation in stage.document.operations() {
        let query = operation.query(&stage.document);
        // The cluster's view is each node's own, at once.
        let is_own = operation.path == "/v1/cluster";
        if !is_own && query.iter().any(|(name, _)| name == "min_seq") {
            let path = stage.path(&operation).await;
            let own = query.into_iter().filter(|(name, _)| !WAITS.contains(&name.as_str()));
            reads.push((path, own.collect::<Vec<_>>()));
        }
    }
    assert!(reads.len() >= 10, "{reads:?}");
    let ask = async |stage: &Stage, (path, own): &(String, Vec<(String, String)>), more: &[_]| {
        let more = more.iter().map(|(name, text): &(&str, &str)| ((*name).into(), (*text).into()));
        let query: Vec<(String, String)> = own.iter().cloned().chain(more).collect();
        let url = reqwest::Url::parse_with_params("http://x", &query).expect("a query");
        stage.caller.get(2, &format!("{path}?{}", url.query().unwrap_or(""))).await
    };
    let far = ("min_seq", "1000000000");
    // At once: each of them waits for as long as there is.
    let (fresh, relaxed) = ([far], [far, ("consistency", "stale")]);
    let late = [&fresh[..], &relaxed]
        .into_iter()
        .flat_map(|more| reads.iter().map(move |read| (read, more)))
        .map(async |(read, more)| (read, ask(&stage, read, more).await));
    for (read, late) in join_all(late).await {
        assert_eq!((late.status, late.kind()), (503, "/problems/lagging"), "{}", read.0);
    }
    for read in &reads {
        let known = ask(&stage, read, &[("min_seq", "1")]).await;
        assert_eq!(known.status, 200, "{}: {}", read.0, known.body);
    }
    for id in [1, 2].map(NodeId) {
        stage.scene.cluster.kill(id).expect("it runs");
    }
    let alone = join_all(reads.iter().map(|read| ask(&stage, read, &[]))).await;
    for (read, alone) in reads.iter().zip(alone) {
        let kinds = ["/problems/no-leader", "/problems/read-timeout"];
        assert!(alone.status == 503 && kinds.contains(&alone.kind()), "{}", read.0);
        let told = ask(&stage, read, &[("consistency", "stale")]).await;
        assert_eq!(told.status, 200, "{}: {}", read.0, told.body);
    }
}
