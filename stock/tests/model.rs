//! Random batches, on the machine and on a naive model of it that keeps every request and every
//! event in lists and adds them up anew for each question. Shares no code with the machine.
//!
//! Properties: equal replies; the invariants; peek agrees with apply; equal logs cut into batches
//! otherwise give equal hashes; the kept hash is that of the state; a restored machine is the
//! machine, then and for all that follows.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use std::collections::BTreeMap;
use stock::{
    Applied, Attempt, Batch, Change, Command, CreateProduct, Envelope, Event, HotState, Machine,
    Outcome, Product, Quantity, Refusal, Reply, Requester, Seq, Sku, UserId, codec,
};

const DAY_MS: u64 = 86_400_000;

/// One request that was decided for good, as an order or stored.
struct Decided {
    envelope: Envelope,
    at_ms: u64,
    reply: Reply,
}

#[derive(Default)]
struct Model {
    now_ms: u64,
    events: Vec<Event>,
    decided: Vec<Decided>,
}

impl Model {
    fn apply(&mut self, batch: &Batch) -> Vec<Reply> {
        self.now_ms = self.now_ms.max(batch.stamp_ms);
        batch.commands.iter().map(|envelope| self.execute(envelope)).collect()
    }

    fn seq(&self) -> Seq {
        Seq(self.events.len() as u64)
    }

    fn execute(&mut self, envelope: &Envelope) -> Reply {
        if let Some(reply) = self.earlier(envelope) {
            return reply;
        }
        let outcome = self.answer(envelope);
        let changed = matches!(
            outcome,
            Outcome::ProductCreated(_) | Outcome::Restocked(_) | Outcome::Bought { .. }
        );
        let reply = Reply { seq: self.seq(), replayed: false, outcome };
        if changed || envelope.attempt == Attempt::Later {
            let (envelope, reply) = (envelope.clone(), reply.clone());
            self.decided.push(Decided { envelope, at_ms: self.now_ms, reply });
        }
        reply
    }

    fn earlier(&self, envelope: &Envelope) -> Option<Reply> {
        let earlier = self.decided.iter().find(|earlier| {
            earlier.envelope.requester == envelope.requester
                && earlier.envelope.request_id == envelope.request_id
                && (matches!(earlier.reply.outcome, Outcome::Bought { .. })
                    || self.now_ms < earlier.at_ms + DAY_MS)
        })?;
        let now = |replayed, outcome| Some(Reply { seq: self.seq(), replayed, outcome });
        if earlier.envelope.command != envelope.command {
            return now(false, Outcome::Refused(Refusal::KeyReused));
        }
        match &earlier.reply.outcome {
            Outcome::Bought { .. } => now(true, Outcome::BoughtBefore { order: earlier.reply.seq }),
            _ => Some(Reply { replayed: true, ..earlier.reply.clone() }),
        }
    }

    fn answer(&mut self, envelope: &Envelope) -> Outcome {
        match (&envelope.command, &envelope.requester) {
            (Command::CreateProduct(terms), _) => match self.product(&terms.sku) {
                Some(product) if product.terms == *terms => Outcome::ProductUnchanged(product),
                Some(_) => Outcome::Refused(Refusal::ProductDiffers),
                None => {
                    self.push(Change::ProductCreated(terms.clone()));
                    Outcome::ProductCreated(self.product(&terms.sku).unwrap())
                }
            },
            (Command::Restock { sku, quantity }, _) => {
                let Some(product) = self.product(sku) else {
                    return Outcome::Refused(Refusal::UnknownProduct);
                };
                let available = i128::from(product.available) + i128::from(*quantity);
                let stocked = i128::from(product.stocked) + i128::from(*quantity);
                if *quantity == 0 || available < 0 || stocked > 1_000_000_000_000 {
                    let available = product.available;
                    return Outcome::Refused(Refusal::RestockOutOfRange { available });
                }
                let available = u64::try_from(available).unwrap();
                self.push(Change::Restocked { sku: sku.clone(), quantity: *quantity, available });
                Outcome::Restocked(self.product(sku).unwrap())
            }
            (Command::Buy { .. }, Requester::Operator) => Outcome::Refused(Refusal::UnknownProduct),
            (Command::Buy { sku, quantity }, Requester::User(user)) => {
                match self.buy(sku, user, *quantity) {
                    Err(refusal) => Outcome::Refused(refusal),
                    Ok(remaining) => {
                        self.push(Change::Ordered(stock::Order {
                            sku: sku.clone(),
                            user: user.clone(),
                            request_id: envelope.request_id.clone(),
                            quantity: *quantity,
                            remaining,
                        }));
                        Outcome::Bought { remaining }
                    }
                }
            }
        }
    }

    fn buy(&self, sku: &Sku, user: &UserId, quantity: Quantity) -> Result<u64, Refusal> {
        let product = self.product(sku).ok_or(Refusal::UnknownProduct)?;
        let (units, available) = (u64::from(quantity), product.available);
        if available == 0 {
            return Err(Refusal::SoldOut);
        }
        let bought = self.bought(sku, user);
        match product.terms.per_user_limit {
            Some(limit) if bought + units > u64::from(limit) => {
                Err(Refusal::LimitReached { limit, bought })
            }
            _ if units > available => Err(Refusal::Insufficient { remaining: available }),
            _ => Ok(available - units),
        }
    }

    fn push(&mut self, change: Change) {
        let seq = Seq(self.seq().0 + 1);
        self.events.push(Event { seq, at_ms: self.now_ms, change });
    }

    /// The product as all events so far add up to.
    fn product(&self, wanted: &Sku) -> Option<Product> {
        let mut found: Option<Product> = None;
        for event in &self.events {
            let (sku, stocked, sold) = match &event.change {
                Change::ProductCreated(terms) if terms.sku == *wanted => {
                    found = Some(Product {
                        terms: terms.clone(),
                        stocked: terms.stock,
                        available: 0,
                        held: 0,
                        sold: 0,
                        seq: event.seq,
                    });
                    continue;
                }
                Change::ProductCreated(_) => continue,
                Change::Restocked { sku, quantity, .. } => (sku, *quantity, 0),
                Change::Ordered(order) => (&order.sku, 0, u64::from(order.quantity)),
            };
            if sku == wanted {
                let product = found.as_mut().unwrap();
                product.stocked = product.stocked.checked_add_signed(stocked).unwrap();
                product.sold += sold;
                product.seq = event.seq;
            }
        }
        let mut product = found?;
        product.available = product.stocked - product.sold;
        Some(product)
    }

    fn bought(&self, sku: &Sku, user: &UserId) -> u64 {
        let orders = self.events.iter().filter_map(|event| match &event.change {
            Change::Ordered(order) if order.sku == *sku && order.user == *user => {
                Some(u64::from(order.quantity))
            }
            _ => None,
        });
        orders.sum()
    }
}

const SKUS: [&str; 3] = ["cap", "mug", "tee"];

fn sku() -> impl Strategy<Value = Sku> {
    prop::sample::select(&SKUS[..]).prop_map(|sku| sku.parse().unwrap())
}

fn requester() -> impl Strategy<Value = Requester> {
    prop_oneof![
        1 => Just(Requester::Operator),
        6 => prop::sample::select(vec!["ann", "bob", "cid"])
            .prop_map(|user| Requester::User(user.parse().unwrap())),
    ]
}

fn command() -> impl Strategy<Value = Command> {
    let limit = prop::option::of((1..5u64).prop_map(|units| Quantity::new(units).unwrap()));
    // Half of the names are one, so that the same terms come again.
    let create = (sku(), 0..6u64, limit, prop::sample::select(vec!["", "", "other"])).prop_map(
        |(sku, stock, per_user_limit, name)| {
            let name = name.to_owned();
            Command::CreateProduct(CreateProduct { sku, name, stock, per_user_limit })
        },
    );
    let quantity = prop_oneof![
        20 => -5..6i64,
        1 => Just(i64::MIN),
        1 => Just(i64::MAX),
        1 => Just(999_999_999_998),
    ];
    let restock = (sku(), quantity).prop_map(|(sku, quantity)| Command::Restock { sku, quantity });
    let buy = (sku(), 1..4u64)
        .prop_map(|(sku, units)| Command::Buy { sku, quantity: Quantity::new(units).unwrap() });
    prop_oneof![2 => create, 2 => restock, 8 => buy]
}

fn envelope() -> impl Strategy<Value = Envelope> {
    let attempt = prop::sample::select(vec![Attempt::First, Attempt::First, Attempt::Later]);
    (requester(), 0..12u32, attempt, command()).prop_map(|(requester, key, attempt, command)| {
        Envelope { requester, request_id: format!("key-{key}").parse().unwrap(), attempt, command }
    })
}

/// Batches whose stamps mostly go on, at times jump by about a day, at times go back.
fn log() -> impl Strategy<Value = Vec<Batch>> {
    let hour = 3_600_000;
    let step = prop::sample::select(vec![
        0,
        0,
        1,
        7,
        -3,
        -2 * hour,
        hour,
        11 * hour,
        24 * hour - 1,
        24 * hour,
    ]);
    // Attempts come again, in the same batch or a later one: repeat some of what was sent.
    let batch =
        (step, prop::collection::vec((envelope(), any::<Option<prop::sample::Index>>()), 0..8));
    prop::collection::vec(batch, 1..25).prop_map(|batches| {
        let mut sent: Vec<Envelope> = Vec::new();
        let mut clock_ms: u64 = 50 * 3_600_000;
        let mut log = Vec::new();
        for (step_ms, commands) in batches {
            clock_ms = clock_ms.saturating_add_signed(step_ms);
            let mut batch = Batch { stamp_ms: clock_ms, commands: Vec::new() };
            for (fresh, repeat) in commands {
                let envelope = match repeat {
                    Some(index) if !sent.is_empty() => {
                        Envelope { attempt: fresh.attempt, ..index.get(&sent).clone() }
                    }
                    _ => fresh,
                };
                sent.push(envelope.clone());
                batch.commands.push(envelope);
            }
            log.push(batch);
        }
        log
    })
}

/// What peek says before a batch is what apply says to its first command, when time stands still.
fn check_peek(machine: &Machine, batch: &Batch, peeked: Option<&Option<Reply>>, applied: &Applied) {
    let (Some(peeked), Some(first)) = (peeked, batch.commands.first()) else {
        return;
    };
    if let Some(reply) = peeked {
        assert_eq!(*reply, applied.replies[0], "peek at {first:?}");
        // What a later attempt is answered, every copy of it must be answered from now on.
        let decided = reply.replayed || reply.outcome == Outcome::Refused(Refusal::KeyReused);
        let for_good = decided || first.attempt == Attempt::First;
        assert!(for_good, "peek answers {first:?} with {reply:?}, which is stored nowhere");
    } else {
        let reply = &applied.replies[0];
        let changed = applied.events.first().is_some_and(|event| event.seq == reply.seq);
        let stored = first.attempt == Attempt::Later && machine.peek(first).is_some();
        assert!((changed && !reply.replayed) || stored, "peek let {first:?} pass for {reply:?}");
    }
}

fn check_invariants(machine: &Machine, model: &Model) {
    assert_eq!(machine.state_hash(), machine.recompute_hash());
    assert_eq!(machine.seq(), model.seq());
    assert_eq!(machine.log_time_ms(), model.now_ms);
    let skus: Vec<Sku> = SKUS.iter().map(|sku| sku.parse().unwrap()).collect();
    for sku in &skus {
        assert_eq!(machine.product(sku).cloned(), model.product(sku));
    }
    assert!(machine.products().map(|product| &product.terms.sku).is_sorted());
    for product in machine.products() {
        assert_eq!(product.available + product.held + product.sold, product.stocked);
        for user in ["ann", "bob", "cid"] {
            let bought = model.bought(&product.terms.sku, &user.parse().unwrap());
            let limit = product.terms.per_user_limit.map_or(u64::MAX, u64::from);
            assert!(bought <= limit, "{user} has {bought} of {product:?}");
        }
    }
    for event in &model.events {
        if let Change::Ordered(order) = &event.change {
            assert_eq!(machine.order_of(&order.user, &order.request_id), Some(event.seq));
        }
    }
}

/// The machine, after a trip through its snapshot's bytes.
fn restored(machine: &Machine, events: &[Event]) -> Machine {
    let bytes = codec::encode(&machine.hot_state(), u64::MAX).unwrap();
    let hot: HotState = codec::decode(&bytes, u64::MAX).unwrap();
    let restored = Machine::restore(hot, events.iter().cloned()).unwrap();
    assert_eq!(restored.state_hash(), machine.state_hash());
    assert_eq!(restored.recompute_hash(), machine.state_hash());
    assert_eq!(restored.hot_state(), machine.hot_state());
    restored
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config(1500))]

    #[test]
    fn machine_is_the_model(log in log()) {
        let (mut machine, mut model) = (Machine::new(), Model::default());
        for batch in &log {
            let peeked = (batch.stamp_ms <= machine.log_time_ms())
                .then(|| batch.commands.first().and_then(|first| machine.peek(first)));
            let seq_before = machine.seq();
            let applied = machine.apply(batch);
            prop_assert_eq!(&applied.replies, &model.apply(batch), "batch {:?}", batch);
            prop_assert_eq!(&applied.events, &model.events[seq_before.0 as usize..]);
            check_peek(&machine, batch, peeked.as_ref(), &applied);
            check_invariants(&machine, &model);
        }
    }

    #[test]
    fn hash_does_not_depend_on_batches(log in log(), cut in 1..5usize) {
        let (mut whole, mut parts) = (Machine::new(), Machine::new());
        for batch in &log {
            let stamp_ms = batch.stamp_ms;
            let expected = whole.apply(batch);
            let mut actual = Applied { replies: Vec::new(), events: Vec::new() };
            for commands in batch.commands.chunks(cut) {
                let part = parts.apply(&Batch { stamp_ms, commands: commands.to_vec() });
                actual.replies.extend(part.replies);
                actual.events.extend(part.events);
            }
            if batch.commands.is_empty() {
                parts.apply(batch);
            }
            prop_assert_eq!(expected, actual);
            prop_assert_eq!(whole.state_hash(), parts.state_hash());
        }
    }

    #[test]
    fn restored_machine_is_the_machine(log in log(), at in any::<prop::sample::Index>()) {
        let at = at.index(log.len());
        let (mut machine, mut events) = (Machine::new(), Vec::new());
        for batch in &log[..at] {
            events.extend(machine.apply(batch).events);
        }
        let mut other = restored(&machine, &events);
        for batch in &log[at..] {
            let applied = machine.apply(batch);
            prop_assert_eq!(&applied, &other.apply(batch));
            prop_assert_eq!(machine.state_hash(), other.state_hash());
            events.extend(applied.events);
        }
        restored(&other, &events);
    }

    /// Equal hashes are worth something only if unequal states differ in them.
    #[test]
    fn every_change_changes_the_hash(log in log()) {
        let mut machine = Machine::new();
        let mut seen: BTreeMap<u128, HotState> = BTreeMap::new();
        for batch in &log {
            machine.apply(batch);
            let state = machine.hot_state();
            let before = seen.insert(machine.state_hash(), state.clone());
            prop_assert!(before.is_none_or(|before| before == state));
        }
    }
}
