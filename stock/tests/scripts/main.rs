//! Runs every `scripts/*.script`: commands, each followed by what the machine answers and by what
//! it recorded. A new case is a new file, without expectations; `UPDATE_SCRIPTS=1 cargo test -p
//! stock --test scripts` writes them, and a person reads them before they are committed.
//!
//! A line is one batch of one command at the script's clock, unless it stands between `batch` and
//! `end`. `#` starts a comment, `>` an expectation. The commands:
//!
//! ```text
//! create SKU stock=N [limit=N] [name=TEXT] [price=MINOR:CURRENCY] [starts=AT] [ends=AT] [ttl=FOR]
//! update SKU [match=SEQ] and the same but stock; `none` takes away what a product may lack
//! restock SKU QUANTITY
//! basket USER SKU:QUANTITY,…                  hold USER SKU:QUANTITY,… [ttl=FOR]
//! confirm USER HOLD      release USER HOLD      cancel USER ORDER [items=SKU:QUANTITY,…]
//! buy USER SKU QUANTITY                       (the user `@operator` is no user)
//! tick +DURATION | tick                       moves the clock, applies an empty batch
//! clock +DURATION | -DURATION                 moves the clock only: 5ms, 10s, 24h
//! peek COMMAND                                asks without applying
//! due                                         the next instant that needs a tick
//! holds                                       the open holds
//! order USER KEY      state      restore      (restore: from hot state and events)
//! rules two|three|four                        from here on; `rules one` is where a script begins
//! bounds stored=N operators=N [counters=N]    of outcomes of users, operators, counters; comes first
//! done USER KEY                               the hold, release or cancel of a request
//! count USER SKU BY [debt=on]                 set USER SKU UNITS [only=missing|present]
//! withdraw USER SKU                           key SKU           (its count)
//! move CURSOR EXPECTED|none POSITION [target=TEXT]      remove CURSOR EXPECTED      cursors
//! ```
//! AT and FOR are durations; AT counts from the epoch, where the clock begins.
//! Commands take `key=REQUEST_ID`, else they make one, and `attempt=N`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod read;
mod show;

use read::{Named, duration_ms, quantity, read_items, requester};
use show::{show_event, show_hold, show_product, show_reply};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};
use stock::{
    Attempt, Batch, Bounds, COUNTER_STORED_MAX, Cancel, Command, CursorMove, CursorMoveFor,
    CursorRemoval, Debt, Envelope, Event, HoldTtl, HotState, Items, Machine, Requester, Restore,
    Rules, Seq, SetIf, Terms, codec,
};

#[test]
fn scripts() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
    let mut paths: Vec<PathBuf> =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "script"));
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
    bounds: Bounds,
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
                return self.apply(Vec::new());
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
            ("done", None) => {
                let (user, key) = rest.split_once(' ').unwrap();
                let change = self.machine.done_by(&user.parse().unwrap(), &key.parse().unwrap());
                return vec![change.map_or("none".into(), |change| format!("change={change}"))];
            }
            ("rules", None) => {
                self.machine.adopt(match rest {
                    "two" => Rules::Two,
                    "three" => Rules::Three,
                    "four" => Rules::Four,
                    other => panic!("{place}: there are no rules {other}"),
                });
                assert_eq!(self.machine.state_hash(), self.machine.recompute_hash());
            }
            ("bounds", None) => self.bound(rest, place),
            ("holds", None) => {
                return self.machine.open_holds().map(|(id, hold)| show_hold(id, hold)).collect();
            }
            ("key", None) => {
                let count = self.machine.count(&rest.parse().unwrap());
                return vec![count.map_or("none".into(), |count| format!("count={count}"))];
            }
            ("cursors", None) => {
                let cursors = self.machine.cursors();
                let show = |(name, at): (&_, _)| match self.machine.cursor_target(name) {
                    Some(target) => format!("{name} at={at} target={target}"),
                    None => format!("{name} at={at}"),
                };
                return cursors.map(show).collect();
            }
            ("due", None) => {
                let due = self.machine.next_due_ms();
                return vec![due.map_or("nothing".into(), |at_ms| format!("at={at_ms}ms"))];
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
        let mut restore = Restore::with_bounds(hot, self.bounds);
        for event in &self.events {
            restore.event(event).unwrap();
        }
        self.machine = restore.finish().unwrap();
        assert_eq!(self.machine.state_hash(), self.machine.recompute_hash());
    }

    fn bound(&mut self, words: &str, place: &str) {
        assert_eq!(self.machine.state_hash(), Machine::new().state_hash(), "{place}: comes first");
        let words: Vec<&str> = words.split_whitespace().collect();
        let named = Named::of(&words, place);
        let count = |name| named.get(name).unwrap().parse().unwrap();
        let (stored, operator_stored) = (count("stored"), count("operators"));
        let counter_stored =
            named.get("counters").map_or(COUNTER_STORED_MAX, |_| count("counters"));
        self.bounds = Bounds { stored, operator_stored, counter_stored, ..Bounds::default() };
        self.machine = Machine::with_bounds(self.bounds);
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
        let by_ms = i64::try_from(duration_ms(rest)).unwrap() * sign;
        self.clock_ms = self.clock_ms.checked_add_signed(by_ms).unwrap();
    }

    /// Names the order as whoever proposes would, from its event; one that is none by heart.
    fn cancel(&self, order: Seq) -> Cancel {
        let event = self.events.iter().find(|event| event.seq == order);
        match event.and_then(|event| event.change.order()) {
            Some(content) => Cancel {
                order,
                user: content.user.clone(),
                request_id: content.request_id.clone(),
                items: Items::new(content.items()).unwrap(),
                hold: content.hold,
            },
            None => Cancel {
                order,
                user: "nobody".parse().unwrap(),
                request_id: "nothing".parse().unwrap(),
                items: read_items("tee:1"),
                hold: None,
            },
        }
    }

    fn envelope(&self, line: &str, place: &str) -> Envelope {
        let (named, words): (Vec<&str>, Vec<&str>) =
            line.split_whitespace().partition(|word| word.contains('='));
        let named = Named::of(&named, place);
        let get = |name| named.get(name);
        let (requester, command) = match words[..] {
            ["create", sku] => {
                let stock = get("stock").unwrap().parse().unwrap();
                let terms = Terms::plain(sku.parse().unwrap(), "", stock);
                let terms = terms.updated(&named.update(sku));
                (Requester::Operator, Command::CreateProduct(Box::new(terms)))
            }
            ["update", sku] => {
                let update = Box::new(named.update(sku));
                (Requester::Operator, Command::UpdateProduct(update))
            }
            ["restock", sku, units] => {
                let (sku, quantity) = (sku.parse().unwrap(), units.parse().unwrap());
                (Requester::Operator, Command::Restock { sku, quantity })
            }
            ["buy", user, sku, units] => {
                let (sku, quantity) = (sku.parse().unwrap(), quantity(units));
                (requester(user), Command::Buy { sku, quantity })
            }
            ["basket", user, items] => {
                (requester(user), Command::BuyBasket { items: read_items(items) })
            }
            ["hold", user, items] => {
                let ttl = get("ttl").map(|ttl| HoldTtl::from_ms(duration_ms(ttl)).unwrap());
                (requester(user), Command::Hold { items: read_items(items), ttl })
            }
            ["confirm", user, hold] => {
                (requester(user), Command::Confirm { hold: Seq(hold.parse().unwrap()) })
            }
            ["release", user, hold] => {
                (requester(user), Command::Release { hold: Seq(hold.parse().unwrap()) })
            }
            ["cancel", user, order] => {
                let order = Seq(order.parse().unwrap());
                let mut cancel = self.cancel(order);
                if let Some(items) = get("items") {
                    cancel.items = read_items(items);
                }
                (requester(user), Command::Cancel(Box::new(cancel)))
            }
            ["count", user, sku, by] => {
                let debt = if get("debt").is_some() { Debt::Allowed } else { Debt::Refused };
                let (sku, by) = (sku.parse().unwrap(), by.parse().unwrap());
                (requester(user), Command::Count { sku, by, debt })
            }
            ["set", user, sku, available] => {
                let only = match get("only") {
                    None => SetIf::Always,
                    Some("missing") => SetIf::Missing,
                    Some("present") => SetIf::Present,
                    Some(other) => panic!("{place}: only={other}"),
                };
                let (sku, available) = (sku.parse().unwrap(), available.parse().unwrap());
                (requester(user), Command::SetAvailable { sku, available, only })
            }
            ["withdraw", user, sku] => {
                (requester(user), Command::Withdraw { sku: sku.parse().unwrap() })
            }
            ["move", name, expected, position] => {
                let expected = (expected != "none").then(|| expected.parse().unwrap());
                let (name, position) = (name.parse().unwrap(), position.parse().unwrap());
                let moved = CursorMove { name, expected, position };
                let command = match get("target") {
                    None => Command::MoveCursor(moved),
                    Some(target) => {
                        let target = target.parse().unwrap();
                        Command::MoveCursorFor(Box::new(CursorMoveFor { moved, target }))
                    }
                };
                (Requester::Operator, command)
            }
            ["remove", name, expected] => {
                let (name, expected) = (name.parse().unwrap(), expected.parse().unwrap());
                (Requester::Operator, Command::RemoveCursor(CursorRemoval { name, expected }))
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
