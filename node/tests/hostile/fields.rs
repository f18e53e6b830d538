//! Every field of every body: missing, null, of another type, out of range, twice, unknown; and
//! bodies that are no JSON, or too much of it.
//!
//! A further endpoint is a row of [`BODIES`].

use super::scene::{Scene, raw};
use super::state;

/// What a field holds, which says what is wrong for it.
#[derive(Clone, Copy, PartialEq)]
enum Holds {
    /// An id, or another text that may not be empty.
    Id,
    /// A text that may be empty.
    Text,
    /// A number from 1.
    Units,
    /// A number from 0.
    Count,
    /// A number that may be negative, but not 0.
    Change,
}

struct Field {
    name: &'static str,
    /// A valid value, as JSON.
    valid: &'static str,
    holds: Holds,
    required: bool,
    /// Whether null is as good as absent.
    nullable: bool,
}

struct Body {
    method: &'static str,
    path: &'static str,
    fields: &'static [Field],
}

const fn required(name: &'static str, valid: &'static str, holds: Holds) -> Field {
    Field { name, valid, holds, required: true, nullable: false }
}

const PRODUCT: Field = required("product_id", "\"sneaker\"", Holds::Id);
const USER: Field = required("user_id", "\"ann\"", Holds::Id);
const UNITS: Field =
    Field { name: "quantity", valid: "1", holds: Holds::Units, required: false, nullable: false };
const TTL: Field =
    Field { name: "ttl_ms", valid: "60000", holds: Holds::Count, required: false, nullable: true };
const LIMIT: Field = Field {
    name: "per_user_limit",
    valid: "2",
    holds: Holds::Units,
    required: false,
    nullable: true,
};

const BODIES: &[Body] = &[
    Body { method: "POST", path: "/v1/buys", fields: &[PRODUCT, USER, UNITS] },
    Body { method: "POST", path: "/v1/holds", fields: &[PRODUCT, USER, UNITS, TTL] },
    Body { method: "POST", path: "/v1/holds/1/confirm", fields: &[USER] },
    Body {
        method: "PUT",
        path: "/v1/products/other",
        fields: &[
            required("name", "\"Other\"", Holds::Text),
            required("stock", "5", Holds::Count),
            LIMIT,
        ],
    },
    Body {
        method: "POST",
        path: "/v1/products/sneaker/restock",
        fields: &[required("quantity", "1", Holds::Change)],
    },
];

/// The body with one field replaced, or left out.
fn with(body: &Body, changed: &Field, value: Option<&str>) -> String {
    let mut pairs = Vec::new();
    for field in body.fields {
        let value = if field.name == changed.name { value } else { Some(field.valid) };
        pairs.extend(value.map(|value| format!("\"{}\":{value}", field.name)));
    }
    format!("{{{}}}", pairs.join(","))
}

/// A wrong value and the type of problem that it is.
type Wrong = (String, &'static str);

fn wrong_values(field: &Field) -> Vec<Wrong> {
    let deep = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
    let mut wrong: Vec<Wrong> = Vec::new();
    let mut add = |kind: &'static str, values: &[&str]| {
        wrong.extend(values.iter().map(|value| ((*value).to_owned(), kind)));
    };
    // What is no JSON, whatever the field holds.
    add("invalid-json", &["NaN", "Infinity", "-", "+1", "01", "1.", ".5", "'a'", "tru", ""]);
    add("invalid-json", &["\"\\ud800\"", "\"\\x\"", "\"\t\""]);
    add("invalid-field", &["true", "[]", "{}", "[1]", "{\"a\":1}", &deep]);
    if !field.nullable {
        add("invalid-field", &["null"]);
    }
    let (long, shoe) = (format!("\"{}\"", "x".repeat(129)), "\"👟\"");
    match field.holds {
        Holds::Id => {
            add("invalid-field", &["7", "0", "-1", "1e300"]);
            add("invalid-value", &["\"\"", "\" \"", "\"a\\u0000\"", "\"\\u0085\"", &long, shoe]);
        }
        Holds::Text => {
            add("invalid-field", &["7", "0", "-1", "1e300"]);
            add(
                "invalid-value",
                &["\"a\\u0000\"", "\"a\\nb\"", &format!("\"{}\"", "n".repeat(257))],
            );
        }
        Holds::Units | Holds::Count | Holds::Change => {
            add("invalid-field", &["\"1\"", "\"\"", shoe]);
            add("invalid-value", &["1.5", "1e2", "1e300", "-1e300", "1e999", "-1e999", "0.1"]);
            add("invalid-value", &["18446744073709551616", "-9223372036854775809"]);
            add("invalid-value", &["18446744073709551615", "-9223372036854775808"]);
        }
    }
    match field.holds {
        Holds::Units => add("invalid-value", &["0", "-0", "-1", "1000001"]),
        Holds::Count => add("invalid-value", &["-1", "1000000000001"]),
        Holds::Change => add("invalid-value", &["0", "-0", "1000000000001"]),
        Holds::Id | Holds::Text => {}
    }
    wrong
}

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
        for field in body.fields {
            for (value, kind) in wrong_values(field) {
                // A break in the JSON has a place, and may come before the field's end.
                let named = if kind == "invalid-json" { "" } else { field.name };
                // And so has a number that no machine type holds, or a depth that is not read.
                let placed = value.len() > 10_000 || value.ends_with("1e999");
                let named = if placed { "" } else { named };
                let text = with(body, field, Some(&value));
                sender.expect(body, text.as_bytes(), kind, named).await;
            }
            if field.required {
                let text = with(body, field, None);
                sender.expect(body, text.as_bytes(), "invalid-field", field.name).await;
            }
            let name = field.name;
            let twice = with(body, field, Some(&format!("{0},\"{name}\":{0}", field.valid)));
            sender.expect(body, twice.as_bytes(), "invalid-field", name).await;
            let unknown = with(body, field, Some(&format!("{},\"colour\":1", field.valid)));
            sender.expect(body, unknown.as_bytes(), "invalid-field", "colour").await;
        }
    }
    assert!(sender.sent > 200, "only {} bodies were sent", sender.sent);
    assert!(sender.wrong.is_empty(), "{}", sender.wrong.join("\n"));
    assert_eq!(state(&scene).await, before, "nothing changed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_are_none() {
    let scene = Scene::open(5, &[]).await;
    let before = state(&scene).await;
    let mut sender = Sender { nodes: scene.cluster.addresses(), sent: 0, wrong: Vec::new() };
    for body in BODIES {
        let valid = with(body, &UNKNOWN, None);
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
            sender.expect(body, text, kind, "").await;
        }
    }
    assert!(sender.wrong.is_empty(), "{}", sender.wrong.join("\n"));
    assert_eq!(state(&scene).await, before, "nothing changed");
}

/// Matches no field, so [`with`] leaves the body as it is.
const UNKNOWN: Field = required("", "", Holds::Text);
