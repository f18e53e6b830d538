//! Runs every `scripts/*.script`: commands, each followed by what the machine answers and by what
//! it recorded. A new case is a new file, without expectations; `UPDATE_SCRIPTS=1 cargo test -p
//! stock --test scripts` writes them, and a person reads them before they are committed.
//!
//! A line is one batch of one command at the script's clock, unless it stands between `batch` and
//! `end`. `#` starts a comment, `>` an expectation. The commands:
//!
//! ```text
//! create SKU stock=N [limit=N] [name=TEXT]    restock SKU QUANTITY
//! buy USER SKU QUANTITY                       (the user `@operator` is no user)
//! tick +DURATION | tick                       moves the clock, applies an empty batch
//! clock +DURATION | -DURATION                 moves the clock only: 5ms, 10s, 24h
//! peek COMMAND                                asks without applying
//! order USER KEY      state      restore      (restore: from hot state and events)
//! ```
//! Commands take `key=REQUEST_ID`, else they make one, and `attempt=N`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};
use stock::{
    Attempt, Batch, Change, Command, CreateProduct, Envelope, Event, HotState, Machine, Outcome,
    Product, Quantity, Refusal, Reply, Requester, codec,
};

#[test]
fn scripts() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
    let mut paths: Vec<PathBuf> =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "no scripts in {}", folder.display());
    let mut failures = String::new();
    for path in &paths {
        let expected = fs::read_to_string(path).unwrap();
        let actual = run(path, &expected);
        if actual == expected {
            continue;
        }
        if env::var_os("UPDATE_SCRIPTS").is_some() {
            fs::write(path, &actual).unwrap();
        } else {
            failures.push_str(&first_difference(path, &expected, &actual));
        }
    }
    assert!(failures.is_empty(), "UPDATE_SCRIPTS=1 accepts these:\n{failures}");
}

fn first_difference(path: &Path, expected: &str, actual: &str) -> String {
    let (mut left, mut right) = (expected.lines(), actual.lines());
    for line in 1.. {
        let (wanted, got) = (left.next(), right.next());
        if wanted != got {
            return format!(
                "{}:{line}\n  expected {}\n  actual   {}\n",
                path.display(),
                wanted.unwrap_or("nothing more"),
                got.unwrap_or("nothing more"),
            );
        }
    }
    unreachable!("lines are counted without end")
}

/// The script with the expectations that its commands lead to now.
fn run(path: &Path, script: &str) -> String {
    let mut trace = Trace::default();
    let mut out = String::new();
    for (number, line) in script.lines().enumerate() {
        if line.starts_with('>') {
            continue;
        }
        writeln!(out, "{line}").unwrap();
        let command = line.split('#').next().unwrap().trim();
        if !command.is_empty() {
            trace.commands += 1;
            for answer in trace.step(command, &format!("{}:{}", path.display(), number + 1)) {
                writeln!(out, "> {answer}").unwrap();
            }
        }
    }
    out
}

#[derive(Default)]
struct Trace {
    machine: Machine,
    events: Vec<Event>,
    clock_ms: u64,
    /// The commands since `batch`.
    open: Option<Vec<Envelope>>,
    /// Numbers the request ids that a script does not name.
    commands: usize,
}

impl Trace {
    fn step(&mut self, line: &str, place: &str) -> Vec<String> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match (word, &mut self.open) {
            ("batch", None) => self.open = Some(Vec::new()),
            ("end", Some(_)) => {
                let commands = self.open.take().unwrap();
                return self.apply(commands);
            }
            ("clock", None) => self.move_clock(rest),
            ("tick", None) => {
                self.move_clock(rest);
                self.apply(Vec::new());
            }
            ("peek", None) => {
                let answer = self.machine.peek(&self.envelope(rest, place));
                return vec![answer.as_ref().map_or("propose".into(), show_reply)];
            }
            ("order", None) => {
                let (user, key) = rest.split_once(' ').unwrap();
                let order = self.machine.order_of(&user.parse().unwrap(), &key.parse().unwrap());
                return vec![order.map_or("none".into(), |order| format!("order={order}"))];
            }
            ("state", None) => return self.state(),
            ("restore", None) => self.restore(),
            (_, None) => {
                let command = self.envelope(line, place);
                return self.apply(vec![command]);
            }
            (_, Some(_)) => {
                let command = self.envelope(line, place);
                self.open.as_mut().unwrap().push(command);
            }
        }
        Vec::new()
    }

    fn apply(&mut self, commands: Vec<Envelope>) -> Vec<String> {
        let applied = self.machine.apply(&Batch { stamp_ms: self.clock_ms, commands });
        assert_eq!(self.machine.state_hash(), self.machine.recompute_hash());
        let replies = applied.replies.iter().map(show_reply);
        let events = applied.events.iter().map(show_event);
        let answers = replies.chain(events).collect();
        self.events.extend(applied.events);
        answers
    }

    fn restore(&mut self) {
        let bytes = codec::encode(&self.machine.hot_state(), u64::MAX).unwrap();
        let hot: HotState = codec::decode(&bytes, u64::MAX).unwrap();
        self.machine = Machine::restore(hot, self.events.iter().cloned()).unwrap();
        assert_eq!(self.machine.state_hash(), self.machine.recompute_hash());
    }

    fn state(&self) -> Vec<String> {
        let machine = &self.machine;
        let head = format!("seq={} time={}ms", machine.seq(), machine.log_time_ms());
        let products = machine
            .products()
            .map(|product| format!("{} {}", product.terms.sku, show_product(product)));
        std::iter::once(head).chain(products).collect()
    }

    fn move_clock(&mut self, by: &str) {
        let (sign, rest) = match by.chars().next() {
            None => return,
            Some('+') => (1, &by[1..]),
            Some('-') => (-1, &by[1..]),
            Some(_) => panic!("write +10s or -10s, not {by}"),
        };
        let digits = rest.trim_end_matches(char::is_alphabetic);
        let unit_ms = match &rest[digits.len()..] {
            "ms" => 1,
            "s" => 1000,
            "h" => 3_600_000,
            unit => panic!("unknown unit {unit}"),
        };
        let by_ms: i64 = digits.parse::<i64>().unwrap() * unit_ms * sign;
        self.clock_ms = self.clock_ms.checked_add_signed(by_ms).unwrap();
    }

    fn envelope(&self, line: &str, place: &str) -> Envelope {
        let (named, words): (Vec<&str>, Vec<&str>) =
            line.split_whitespace().partition(|word| word.contains('='));
        let named: Vec<(&str, &str)> =
            named.into_iter().map(|word| word.split_once('=').unwrap()).collect();
        let get = |name| named.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
        for (name, _) in &named {
            let known = ["key", "attempt", "stock", "limit", "name"];
            assert!(known.contains(name), "{place}: unknown field {name}");
        }
        let quantity = |text: &str| Quantity::new(text.parse().unwrap()).unwrap();
        let (requester, command) = match words[..] {
            ["create", sku] => {
                let terms = CreateProduct {
                    sku: sku.parse().unwrap(),
                    name: get("name").unwrap_or("").into(),
                    stock: get("stock").unwrap().parse().unwrap(),
                    per_user_limit: get("limit").map(quantity),
                };
                (Requester::Operator, Command::CreateProduct(terms))
            }
            ["restock", sku, units] => {
                let (sku, quantity) = (sku.parse().unwrap(), units.parse().unwrap());
                (Requester::Operator, Command::Restock { sku, quantity })
            }
            ["buy", user, sku, units] => {
                let requester = match user {
                    "@operator" => Requester::Operator,
                    user => Requester::User(user.parse().unwrap()),
                };
                let (sku, quantity) = (sku.parse().unwrap(), quantity(units));
                (requester, Command::Buy { sku, quantity })
            }
            _ => panic!("{place}: no such command: {line}"),
        };
        let attempt = match get("attempt") {
            None | Some("1") => Attempt::First,
            Some(_) => Attempt::Later,
        };
        let key = get("key").map_or_else(|| format!("auto-{}", self.commands), String::from);
        Envelope { requester, request_id: key.parse().unwrap(), attempt, command }
    }
}

fn show_reply(reply: &Reply) -> String {
    let outcome = match &reply.outcome {
        Outcome::ProductCreated(product) => format!("created {}", show_product(product)),
        Outcome::ProductUnchanged(product) => format!("unchanged {}", show_product(product)),
        Outcome::Restocked(product) => format!("restocked {}", show_product(product)),
        Outcome::Bought { remaining } => format!("bought remaining={remaining}"),
        Outcome::BoughtBefore { order } => format!("bought-before order={order}"),
        Outcome::Refused(refusal) => format!("refused {}", show_refusal(refusal)),
    };
    let replayed = if reply.replayed { " replayed" } else { "" };
    format!("seq={}{replayed} {outcome}", reply.seq)
}

fn show_refusal(refusal: &Refusal) -> String {
    match refusal {
        Refusal::UnknownProduct => "unknown-product".into(),
        Refusal::ProductDiffers => "product-differs".into(),
        Refusal::SoldOut => "sold-out".into(),
        Refusal::Insufficient { remaining } => format!("insufficient remaining={remaining}"),
        Refusal::LimitReached { limit, bought } => {
            format!("limit-reached limit={limit} bought={bought}")
        }
        Refusal::RestockOutOfRange { available } => {
            format!("restock-out-of-range available={available}")
        }
        Refusal::KeyReused => "key-reused".into(),
        Refusal::TooManyProducts => "too-many-products".into(),
    }
}

fn show_product(product: &Product) -> String {
    let Product { terms: _, stocked, available, held, sold, seq } = product;
    format!("stocked={stocked} available={available} held={held} sold={sold} at={seq}")
}

fn show_event(event: &Event) -> String {
    let change = match &event.change {
        Change::ProductCreated(terms) => format!("created {} stock={}", terms.sku, terms.stock),
        Change::Restocked { sku, quantity, available } => {
            format!("restocked {sku} by {quantity} available={available}")
        }
        Change::Ordered(order) => format!(
            "ordered {} x{} by {} key={} remaining={}",
            order.sku, order.quantity, order.user, order.request_id, order.remaining
        ),
    };
    format!("event {} at={}ms {change}", event.seq, event.at_ms)
}
