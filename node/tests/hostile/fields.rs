//! Every field of every body: missing, null, of another type, out of range, twice, unknown; and
//! bodies that are no JSON, or too much of it.

use super::bodies::{BATCH_ITEM, BODIES, Body, Least};
use super::scene::http::{Ask, Caller};
use super::scene::{Scene, raw};
use super::state;
use reqwest::Method;
use serde_json::{Value, json};

fn status_of(kind: &str) -> u16 {
    match kind {
        "invalid-value" => 422,
        "too-large" => 413,
        _ => 400,
    }
}

/// Sends bodies to the nodes in turn.
struct Sender {
    nodes: Vec<String>,
    sent: usize,
    wrong: Vec<String>,
}

impl Sender {
    async fn expect(&mut self, body: &Body, text: &[u8], kind: &str, named: &str) {
        let node = &self.nodes[self.sent % self.nodes.len()];
        self.sent += 1;
        let answer = raw::exchange(node, &raw::request(body.method, body.path, text)).await;
        let shown: String = String::from_utf8_lossy(text).chars().take(120).collect();
        let headers = ["flashnode-node: ", "flashnode-leader: ", "flashnode-seq: "];
        let right = (answer.status, answer.kind()) == (status_of(kind), kind)
            && answer.head.contains("application/problem+json")
            && headers.iter().all(|header| answer.head.contains(header))
            && answer.detail().contains(named);
        if !right {
            let (method, path) = (body.method, body.path);
            self.wrong.push(format!("{method} {path} {shown}: not {kind} {named:?}: {answer:?}"));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_field_of_every_body() {
    let scene = Scene::open(5, &[]).await;
    let before = state(&scene).await;
    let mut sender = Sender { nodes: scene.cluster.addresses(), sent: 0, wrong: Vec::new() };
    for body in BODIES {
        for (text, kind, named) in body.wrong() {
            sender.expect(body, text.as_bytes(), kind, named).await;
        }
    }
    assert!(sender.sent > 1_000, "only {} bodies were sent", sender.sent);
    assert!(sender.wrong.is_empty(), "{}", sender.wrong.join("\n"));
    assert_eq!(state(&scene).await, before, "nothing changed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_are_none() {
    let scene = Scene::open(5, &[]).await;
    let before = state(&scene).await;
    let mut sender = Sender { nodes: scene.cluster.addresses(), sent: 0, wrong: Vec::new() };
    for body in BODIES.iter().filter(|body| body.around == ("", "")) {
        let valid = body.with("", None);
        let huge = vec![b' '; 10 * 1024 * 1024];
        let objects = "{\"a\":".repeat(5_000);
        let not_utf8 = [valid.as_bytes(), b"\xff"].concat();
        let marked = [b"\xef\xbb\xbf", valid.as_bytes()].concat();
        let table: &[(&[u8], &str)] = &[
            (b"", "invalid-json"),
            (b" \r\n", "invalid-json"),
            (b"{", "invalid-json"),
            (b"product_id=sneaker&user_id=ann", "invalid-json"),
            (b"<buy/>", "invalid-json"),
            (b"\x00\x01\x02", "invalid-json"),
            (b"[]", "invalid-field"),
            (b"null", "invalid-field"),
            (b"\"sneaker\"", "invalid-field"),
            (b"{}", "invalid-field"),
            (objects.as_bytes(), "invalid-field"),
            (&valid.as_bytes()[..valid.len() - 1], "invalid-json"),
            (&[valid.as_bytes(), b"}"].concat(), "invalid-json"),
            (&[valid.as_bytes(), valid.as_bytes()].concat(), "invalid-json"),
            (&not_utf8, "invalid-json"),
            (&marked, "invalid-json"),
            (&huge, "too-large"),
        ];
        for (text, kind) in table {
            let fine = match body.least {
                Least::Fields => false,
                Least::Object => *text == b"{}",
                Least::Nothing => text.trim_ascii().is_empty(),
            };
            if fine {
                continue;
            }
            sender.expect(body, text, kind, "").await;
        }
    }
    assert!(sender.wrong.is_empty(), "{}", sender.wrong.join("\n"));
    assert_eq!(state(&scene).await, before, "nothing changed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_field_of_a_batchs_items() {
    let scene = Scene::open(5, &[]).await;
    let before = state(&scene).await;
    let caller = Caller::new(&scene.cluster);
    let wrong = BATCH_ITEM.wrong();
    assert!(wrong.len() > 100, "only {} items", wrong.len());
    let lines: Vec<&str> = wrong.iter().map(|(text, ..)| text.as_str()).collect();
    let body = lines.join("\n");
    for node in 0..3 {
        let headers = [("content-type", "application/x-ndjson")];
        let ask = Ask { body: Some(&body), headers: &headers };
        let (answer, text) = caller.text(node, Method::POST, BATCH_ITEM.path, ask).await;
        assert_eq!(answer.status, 200, "{text}");
        let results: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(results.len(), wrong.len(), "one result an item");
        for ((item, kind, named), result) in wrong.iter().zip(&results) {
            let shown: String = item.chars().take(120).collect();
            let problem = &result["problem"];
            assert_eq!(problem["type"], json!(format!("/problems/{kind}")), "{shown}: {result}");
            assert_eq!(result["status"], json!(status_of(kind)), "{shown}: {result}");
            assert_eq!(result["order"], Value::Null, "{shown}: {result}");
            let detail = problem["detail"].as_str().expect("a detail");
            assert!(detail.contains(named), "{shown}: {detail}");
        }
    }
    assert_eq!(state(&scene).await, before, "nothing changed");
}
