//! Headers that a route reads, with values that are none: on every write, and on what else reads
//! one. Heads that are no HTTP at all are `heads`.

use super::scene::{Scene, raw};
use super::state;

const BUY: &str = r#"{"product_id":"sneaker","user_id":"ann"}"#;
const USER: &str = r#"{"user_id":"ann"}"#;

/// Every write that has a key, with a body that it would take.
const WRITES: &[(&str, &str, &str)] = &[
    ("POST", "/v1/buys", BUY),
    ("POST", "/v1/holds", BUY),
    ("POST", "/v1/holds/1/confirm", USER),
    ("DELETE", "/v1/holds/1?user_id=ann", ""),
    ("POST", "/v1/orders/1/cancel", USER),
    ("PATCH", "/v1/products/sneaker", r#"{"name":"Shoe"}"#),
    ("POST", "/v1/products/sneaker/restock", r#"{"quantity":1}"#),
    ("PUT", "/v1/cursors/sink", r#"{"expected":null,"position":1}"#),
    ("DELETE", "/v1/cursors/sink?expected=1", ""),
    ("POST", "/beli", ""),
    ("POST", "/api/buy", BUY),
    ("POST", "/api/flash-sale/buy?userId=ann&productId=sneaker", ""),
];

/// A request with these lines in its head, after which the connection closes.
fn request((method, path, body): (&str, &str, &str), lines: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: flashnode\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n"
    );
    [head.as_bytes(), lines, b"\r\n", body.as_bytes()].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_write_refuses_a_key_or_an_attempt_that_is_none() {
    let scene = Scene::open(5, &["--drop-in-product", "sneaker"]).await;
    let before = state(&scene).await;
    let long = format!("idempotency-key: {}\r\n", "k".repeat(129));
    let keyed = |attempt: &str| format!("idempotency-key: k\r\nflashnode-attempt: {attempt}\r\n");
    let attempts = ["", "0", "-1", "+2", "2.0", "1e1", "two", "2, 3", "4294967296"].map(keyed);
    let mut lines: Vec<&[u8]> = vec![
        b"idempotency-key:\r\n",
        b"idempotency-key: \"\r\n",
        b"idempotency-key: \"\"\r\n",
        b"idempotency-key: \"open\r\n",
        b"idempotency-key: \"a\"b\"\r\n",
        b"idempotency-key: \"a\";q=1\r\n",
        b"idempotency-key: two words\r\n",
        b"idempotency-key: a\tb\r\n",
        b"idempotency-key: \xff\xfe\r\n",
        b"idempotency-key: a\r\nidempotency-key: b\r\n",
        b"idempotency-key: a\r\nidempotency-key: a\r\n",
        // Only the key of an earlier attempt makes it a later one.
        b"flashnode-attempt: 2\r\n",
        b"idempotency-key: k\r\nflashnode-attempt: 2\r\nflashnode-attempt: 2\r\n",
        "idempotency-key: 👟\r\n".as_bytes(),
        long.as_bytes(),
    ];
    lines.extend(attempts.iter().map(String::as_bytes));
    let nodes = scene.cluster.addresses();
    let mut wrong = Vec::new();
    for (row, write) in WRITES.iter().enumerate() {
        for (at, lines) in lines.iter().enumerate() {
            let node = &nodes[(row + at) % nodes.len()];
            let answer = raw::exchange(node, &request(*write, lines)).await;
            if (answer.status, answer.kind()) != (400, "invalid-header") {
                let lines = String::from_utf8_lossy(lines);
                wrong.push(format!("{} {} with {lines:?}: {answer:?}", write.0, write.1));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(state(&scene).await, before, "nothing changed");
}

/// A request's method, path and body; the lines that its head has besides; status and type.
type Row<'a> = ((&'a str, &'a str, &'a str), &'a [u8], u16, &'a str);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_else_is_read_of_a_head() {
    let scene = Scene::open(5, &[]).await;
    let before = state(&scene).await;
    let patch = ("PATCH", "/v1/products/sneaker", r#"{"name":"Shoe"}"#);
    let (buy, events) = (("POST", "/v1/buys", BUY), ("GET", "/v1/events", ""));
    let table: &[Row<'_>] = &[
        (patch, b"if-match: 7\r\n", 400, "invalid-header"),
        (patch, b"if-match:\r\n", 400, "invalid-header"),
        (patch, b"if-match: \"7\", \"8\"\r\n", 400, "invalid-header"),
        (patch, b"if-match: \"7\"\r\nif-match: \"7\"\r\n", 400, "invalid-header"),
        (patch, b"if-match: W/\"7\"\r\n", 412, "version-differs"),
        (patch, b"if-match: \"18446744073709551616\"\r\n", 412, "version-differs"),
        (events, b"last-event-id:\r\n", 400, "invalid-header"),
        (events, b"last-event-id: -1\r\n", 400, "invalid-header"),
        (events, b"last-event-id: 1.5\r\n", 400, "invalid-header"),
        (events, b"last-event-id: 18446744073709551616\r\n", 400, "invalid-header"),
        (events, b"last-event-id: \xff\r\n", 400, "invalid-header"),
        (buy, b"expect: the-unexpected\r\nflashnode-attempt: 0\r\n", 400, "invalid-header"),
    ];
    let nodes = scene.cluster.addresses();
    for (row, (what, lines, status, kind)) in table.iter().enumerate() {
        let answer = raw::exchange(&nodes[row % nodes.len()], &request(*what, lines)).await;
        let shown = String::from_utf8_lossy(lines);
        assert_eq!((answer.status, answer.kind()), (*status, *kind), "{shown:?}: {answer:?}");
    }
    assert_eq!(state(&scene).await, before, "nothing changed");
}
