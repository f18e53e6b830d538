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
//! ```
//! AT and FOR are durations; AT counts from the epoch, where the clock begins.
//! Commands take `key=REQUEST_ID`, else they make one, and `attempt=N`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};
use stock::{
    Attempt, Batch, Cancel, Change, Command, Edit, Envelope, Event, Hold, HoldTtl, HotState, Item,
    Items, Line, Machine, Outcome, Price, Product, ProductUpdate, Quantity, Refusal, Reply,
    Requester, Seq, Terms, codec,
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
            ("holds", None) => {
                return self.machine.open_holds().map(|(id, hold)| show_hold(id, hold)).collect();
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

fn requester(text: &str) -> Requester {
    match text {
        "@operator" => Requester::Operator,
        user => Requester::User(user.parse().unwrap()),
    }
}

fn read_items(text: &str) -> Items {
    let item = |word: &str| {
        let (sku, units) = word.split_once(':').unwrap();
        Item { sku: sku.parse().unwrap(), quantity: quantity(units) }
    };
    Items::new(text.split(',').map(item).collect()).unwrap()
}

fn quantity(text: &str) -> Quantity {
    Quantity::new(text.parse().unwrap()).unwrap()
}

fn price(text: &str) -> Price {
    let (minor_units, currency) = text.split_once(':').unwrap();
    Price { minor_units: minor_units.parse().unwrap(), currency: currency.parse().unwrap() }
}

fn duration_ms(text: &str) -> u64 {
    let digits = text.trim_end_matches(char::is_alphabetic);
    let unit_ms = match &text[digits.len()..] {
        "ms" => 1,
        "s" => 1000,
        "h" => 3_600_000,
        unit => panic!("unknown unit {unit}"),
    };
    digits.parse::<u64>().unwrap() * unit_ms
}

/// The `name=value` words of a line.
struct Named<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Named<'a> {
    fn of(words: &[&'a str], place: &str) -> Self {
        let known = [
            "key", "attempt", "stock", "limit", "name", "price", "starts", "ends", "ttl", "match",
            "items",
        ];
        let named = words.iter().map(|word| {
            let (name, value) = word.split_once('=').unwrap();
            assert!(known.contains(&name), "{place}: unknown field {name}");
            (name, value)
        });
        Self(named.collect())
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(key, _)| *key == name).map(|(_, value)| *value)
    }

    fn edit<T>(&self, name: &str, read: impl FnOnce(&str) -> T) -> Edit<T> {
        match self.get(name) {
            None => Edit::Keep,
            Some("none") => Edit::Clear,
            Some(value) => Edit::Set(read(value)),
        }
    }

    fn update(&self, sku: &str) -> ProductUpdate {
        ProductUpdate {
            if_match: self.get("match").map(|seq| Seq(seq.parse().unwrap())),
            name: self.get("name").map(str::to_owned),
            per_user_limit: self.edit("limit", quantity),
            price: self.edit("price", price),
            starts_at_ms: self.edit("starts", duration_ms),
            ends_at_ms: self.edit("ends", duration_ms),
            hold_ttl: self.get("ttl").map(|ttl| HoldTtl::from_ms(duration_ms(ttl)).unwrap()),
            ..ProductUpdate::of(sku.parse().unwrap())
        }
    }
}

fn show_reply(reply: &Reply) -> String {
    let outcome = match &reply.outcome {
        Outcome::ProductCreated(product) => format!("created {}", show_product(product)),
        Outcome::ProductUnchanged(product) => format!("unchanged {}", show_product(product)),
        Outcome::ProductUpdated(product) => {
            format!("updated {} {}", show_terms(&product.terms), show_product(product))
        }
        Outcome::Restocked(product) => format!("restocked {}", show_product(product)),
        Outcome::Bought { remaining } => format!("bought remaining={remaining}"),
        Outcome::BoughtBefore { order } => format!("bought-before order={order}"),
        Outcome::Refused(refusal) => format!("refused {}", show_refusal(refusal)),
        Outcome::Held { expires_at_ms, lines } => {
            format!("held until={expires_at_ms}ms {}", show_lines(lines))
        }
        Outcome::Confirmed { lines } => format!("confirmed {}", show_lines(lines)),
        Outcome::Released { lines } => format!("released {}", show_lines(lines)),
        Outcome::BasketBought { lines } => format!("bought {}", show_lines(lines)),
        Outcome::Cancelled { lines } => format!("cancelled {}", show_lines(lines)),
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
        Refusal::NotOpen { starts_at_ms } => format!("not-open starts={starts_at_ms}ms"),
        Refusal::SaleOver { ends_at_ms } => format!("sale-over ends={ends_at_ms}ms"),
        Refusal::VersionDiffers { seq } => format!("version-differs version={seq}"),
        Refusal::UnknownHold => "unknown-hold".into(),
        Refusal::HoldSettled { settlement } => format!("hold-settled {settlement:?}"),
        Refusal::HoldExpired { seq } => format!("hold-expired at={seq}"),
        Refusal::TooManyUserHolds => "too-many-user-holds".into(),
        Refusal::TooManyHolds => "too-many-holds".into(),
        Refusal::OfItem { sku, refusal } => format!("of {sku}: {}", show_refusal(refusal)),
        Refusal::UnknownOrder => "unknown-order".into(),
        Refusal::AlreadyCancelled => "already-cancelled".into(),
        Refusal::EmptyWindow { starts_at_ms, ends_at_ms } => {
            format!("empty-window starts={starts_at_ms}ms ends={ends_at_ms}ms")
        }
    }
}

fn show_product(product: &Product) -> String {
    let Product { terms: _, stocked, available, held, sold, seq } = product;
    format!("stocked={stocked} available={available} held={held} sold={sold} at={seq}")
}

fn show_lines(lines: &[Line]) -> String {
    let line = |Line { sku, quantity, available }: &Line| format!("{sku}:{quantity}/{available}");
    lines.iter().map(line).collect::<Vec<_>>().join(",")
}

fn show_hold(id: Seq, hold: &Hold) -> String {
    let Hold { user, items, expires_at_ms } = hold;
    let items = items.as_slice().iter().map(|item| format!("{}:{}", item.sku, item.quantity));
    let items: Vec<String> = items.collect();
    format!("hold {id} of {user} until={expires_at_ms}ms {}", items.join(","))
}

/// What the terms say beyond the id and the stock.
fn show_terms(terms: &Terms) -> String {
    let Terms { name, per_user_limit, price, starts_at_ms, ends_at_ms, hold_ttl, .. } = terms;
    let mut words = vec![format!("name={name:?}")];
    words.extend(per_user_limit.map(|limit| format!("limit={limit}")));
    words.extend(price.map(|price| format!("price={}:{}", price.minor_units, price.currency)));
    words.extend(starts_at_ms.map(|at_ms| format!("starts={at_ms}ms")));
    words.extend(ends_at_ms.map(|at_ms| format!("ends={at_ms}ms")));
    words.push(format!("ttl={}ms", hold_ttl.ms()));
    words.join(" ")
}

fn show_event(event: &Event) -> String {
    let change = match &event.change {
        Change::ProductCreated(terms) => format!("created {} stock={}", terms.sku, terms.stock),
        Change::ProductUpdated(terms) => format!("updated {} {}", terms.sku, show_terms(terms)),
        Change::Restocked { sku, quantity, available } => {
            format!("restocked {sku} by {quantity} available={available}")
        }
        Change::Held { user, request_id, expires_at_ms, lines } => {
            format!("held {} by {user} key={request_id} until={expires_at_ms}ms", show_lines(lines))
        }
        Change::Confirmed { hold, user, request_id, lines } => {
            format!("confirmed hold={hold} {} by {user} key={request_id}", show_lines(lines))
        }
        Change::Released { hold, user, lines } => {
            format!("released hold={hold} {} by {user}", show_lines(lines))
        }
        Change::Expired { hold, user, lines } => {
            format!("expired hold={hold} {} by {user}", show_lines(lines))
        }
        Change::BasketOrdered { user, request_id, lines } => {
            format!("ordered {} by {user} key={request_id}", show_lines(lines))
        }
        Change::Cancelled { order, user, hold: _, lines } => {
            format!("cancelled order={order} {} by {user}", show_lines(lines))
        }
        Change::Ordered(order) => format!(
            "ordered {} x{} by {} key={} remaining={}",
            order.sku, order.quantity, order.user, order.request_id, order.remaining
        ),
    };
    format!("event {} at={}ms {change}", event.seq, event.at_ms)
}
