//! The OpenAPI document against a real three-node cluster: what it shows is taken, what it demands
//! is missed, what it does not have is refused, and every answer is of the shape that it says.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends at what it cannot do without")]

mod document;
mod pages;
#[path = "../scene/mod.rs"]
mod scene;

use document::{Document, Operation};
use reqwest::Method;
use scene::Scene;
use scene::http::{Answer, Ask, Caller};
use serde_json::{Map, Value, json};

/// Which fault of a body is which type; whatever else is answered, the body was understood.
const MALFORMED: &[&str] =
    &["/problems/invalid-json", "/problems/invalid-field", "/problems/invalid-value"];

struct Stage {
    caller: Caller,
    document: Document,
    /// How many products were made, each under a name of its own.
    products: usize,
    _scene: Scene,
}

impl Stage {
    async fn open() -> Self {
        let args = ["--drop-in-product", "sneaker", "--drop-in-reset", "--demo"];
        let scene = Scene::open(1_000_000, &args).await;
        let caller = Caller::new(&scene.cluster);
        let document = Document::new(caller.get(0, "/openapi.json").await.body);
        let mut stage = Self { caller, document, products: 0, _scene: scene };
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
        let of = |answer: Answer, id: &str| answer.body[id].to_string();
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
            _ if operation.id == "getCursor" => {
                let body = json!({"expected": null, "position": 1});
                self.send("PUT", "/v1/cursors/sold-out", &body).await;
                "sold-out".into()
            }
            _ => "sneaker".into(),
        };
        let path = operation.path.replace("{id}", &id).replace("{name}", "sold-out");
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
