//! Heads that are no HTTP, or too much of it, and lengths that lie.
//!
//! What hyper cannot parse has no route, so its answer is bare: a status and nothing else.

use super::scene::{Scene, raw};
use super::{DEADLINE, state};

const BUY: &str = "{\"product_id\":\"sneaker\",\"user_id\":\"ann\",\"quantity\":0}";

/// One that would be taken, were it not for its head.
const TAKEN: &str = "{\"product_id\":\"sneaker\",\"user_id\":\"ann\"}";

/// What it is, its bytes, a status (0: closed without an answer), and the type of problem where a
/// route was reached.
type Row = (&'static str, Vec<u8>, u16, &'static str);

fn post(headers: &str, body: &str) -> Vec<u8> {
    format!("POST /v1/buys HTTP/1.1\r\nhost: h\r\n{headers}\r\n{body}").into_bytes()
}

fn get(headers: &str) -> Vec<u8> {
    format!("GET /livez HTTP/1.1\r\nhost: h\r\n{headers}\r\n").into_bytes()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_that_are_none() {
    let scene = Scene::open(5, &DEADLINE).await;
    let before = state(&scene).await;
    let length = BUY.len();
    let close = "connection: close\r\n";
    let many = "x: 1\r\n".repeat(200);
    let table: Vec<Row> = vec![
        ("two lengths", post("content-length: 5\r\ncontent-length: 6\r\n", BUY), 400, ""),
        ("a list of lengths", post("content-length: 5, 6\r\n", BUY), 400, ""),
        ("a negative length", post("content-length: -1\r\n", BUY), 400, ""),
        ("a hex length", post("content-length: 0x10\r\n", BUY), 400, ""),
        ("a length past 64 bits", post("content-length: 99999999999999999999\r\n", BUY), 400, ""),
        (
            "one length twice",
            post(&format!("{close}content-length: {length}\r\ncontent-length: {length}\r\n"), BUY),
            422,
            "invalid-value",
        ),
        ("the largest length", post("content-length: 18446744073709551615\r\n", BUY), 431, ""),
        (
            "a length of 8 EiB",
            post("content-length: 9223372036854775807\r\n", BUY),
            413,
            "too-large",
        ),
        ("a length too long", post("content-length: 4000\r\n", BUY), 408, "request-timeout"),
        (
            "a body too long for its length",
            post(&format!("{close}content-length: 3\r\n"), BUY),
            400,
            "invalid-json",
        ),
        (
            "chunks, and a length too",
            post("transfer-encoding: chunked\r\ncontent-length: 5\r\n", "zz\r\n"),
            400,
            "invalid-json",
        ),
        (
            "a chunk of no size",
            post("transfer-encoding: chunked\r\n", "zz\r\n"),
            400,
            "invalid-json",
        ),
        (
            "a chunk of every size",
            post("transfer-encoding: chunked\r\n", "ffffffffffffffffff\r\n"),
            400,
            "invalid-json",
        ),
        ("no such coding", post("transfer-encoding: gzip\r\n", BUY), 400, ""),
        ("64 KiB in one header", get(&format!("x: {}\r\n", "y".repeat(65_536))), 431, ""),
        ("200 headers", get(&many), 431, ""),
        ("a nameless header", get(": 1\r\n"), 400, ""),
        ("a header with NUL", get("x: a\0b\r\n"), 400, ""),
        ("a folded header", get("x: a\r\n b\r\n"), 400, ""),
        ("a header with a bare CR", get("x: a\rb\r\n"), 400, ""),
        ("a space before the colon", get("x : a\r\n"), 400, ""),
        ("no version", b"GET /livez\r\n\r\n".to_vec(), 400, ""),
        ("another version", b"GET /livez HTTP/7.1\r\n\r\n".to_vec(), 400, ""),
        ("no method", b" /livez HTTP/1.1\r\n\r\n".to_vec(), 400, ""),
        ("HTTP/2 by surprise", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), 0, ""),
        (
            "TLS by surprise",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".to_vec(),
            400,
            "",
        ),
        (
            "a path of 100 kB",
            format!("GET /{} HTTP/1.1\r\n\r\n", "p".repeat(100_000)).into_bytes(),
            431,
            "",
        ),
    ];
    assert_answers(&scene, &table).await;
    assert_eq!(state(&scene).await, before, "nothing changed");
}

/// Buys that would be taken, were it not for their heads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_that_must_not_be_believed() {
    let scene = Scene::open(5, &DEADLINE).await;
    let before = state(&scene).await;
    let close = "connection: close\r\n";
    let table: Vec<Row> = vec![
        (
            "two hosts",
            post(&format!("{close}host: i\r\ncontent-length: {}\r\n", TAKEN.len()), TAKEN),
            400,
            "invalid-header",
        ),
        (
            "no host",
            format!(
                "POST /v1/buys HTTP/1.1\r\n{close}content-length: {}\r\n\r\n{TAKEN}",
                TAKEN.len()
            )
            .into_bytes(),
            400,
            "invalid-header",
        ),
        (
            "a body that calls itself compressed",
            post(
                &format!("{close}content-encoding: gzip\r\ncontent-length: {}\r\n", TAKEN.len()),
                TAKEN,
            ),
            415,
            "unsupported-media-type",
        ),
        (
            "a page of another site",
            post(
                &format!(
                    "{close}origin: http://evil.example\r\nsec-fetch-site: cross-site\r\n\
                     content-length: {}\r\n",
                    TAKEN.len()
                ),
                TAKEN,
            ),
            403,
            "foreign-origin",
        ),
    ];
    assert_answers(&scene, &table).await;
    assert_eq!(state(&scene).await, before, "nothing changed");
}

async fn assert_answers(scene: &Scene, table: &[Row]) {
    let nodes = scene.cluster.addresses();
    let mut wrong = Vec::new();
    // At once, so that one that is waited for holds up no other.
    let rows = table.iter().enumerate();
    let asked = rows.map(|(row, (_, bytes, ..))| raw::exchange(&nodes[row % 3], bytes));
    let answers = futures_util::future::join_all(asked).await;
    for ((what, _, status, kind), answer) in table.iter().zip(answers) {
        if (answer.status, answer.kind()) != (*status, *kind) {
            wrong.push(format!("{what}: not {status} {kind:?} but {answer:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
