//! Restore gives back the machine or refuses: one damage of the hot state or the events for each
//! error. What restore accepts is the model test's subject.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use stock::{
    Attempt, Batch, Bounds, Change, Command, Envelope, Event, HotState, Items, Machine, Outcome,
    Quantity, Refusal, Requester, Restore, RestoreError, Rules, Seq, Sku, Terms, codec,
};

fn buy(user: &str, key: &str, quantity: u64, attempt: Attempt) -> Envelope {
    let quantity = Quantity::new(quantity).unwrap();
    Envelope {
        requester: Requester::User(user.parse().unwrap()),
        request_id: key.parse().unwrap(),
        attempt,
        command: Command::Buy { sku: "tee".parse().unwrap(), quantity },
    }
}

/// Five events: a product, an order, a restock, two orders; and two stored refusals.
fn sale() -> (HotState, Vec<Event>) {
    let operator = |key: &str, command| Envelope {
        requester: Requester::Operator,
        request_id: key.parse().unwrap(),
        attempt: Attempt::First,
        command,
    };
    let per_user_limit = Some(Quantity::new(2).unwrap());
    let terms = Terms { per_user_limit, ..Terms::plain("tee".parse().unwrap(), "Tee", 3) };
    let restock = Command::Restock { sku: terms.sku.clone(), quantity: 2 };
    let mut machine = Machine::new();
    let mut events = machine
        .apply(&Batch {
            stamp_ms: 1_000,
            commands: vec![
                operator("c1", Command::CreateProduct(Box::new(terms))),
                buy("ann", "a1", 2, Attempt::First),
                buy("ann", "a2", 1, Attempt::Later),
            ],
        })
        .events;
    let rest = machine.apply(&Batch {
        stamp_ms: 2_000,
        commands: vec![
            operator("r1", restock),
            buy("bob", "b1", 1, Attempt::Later),
            buy("cid", "c1", 1, Attempt::First),
            buy("dan", "d1", 2, Attempt::Later),
        ],
    });
    events.extend(rest.events);
    assert_eq!(events.len(), 5);
    (machine.hot_state(), events)
}

fn refusal(hot: HotState, events: Vec<Event>) -> RestoreError {
    match Machine::restore(hot, events.into_iter()) {
        Ok(machine) => panic!("restored {machine:?} from damaged parts"),
        Err(error) => error,
    }
}

#[test]
fn sound_parts_are_restored() {
    let (hot, events) = sale();
    let machine = Machine::restore(hot.clone(), events.into_iter()).unwrap();
    assert_eq!(machine.hot_state(), hot);
    assert_eq!(machine.order_of(&"cid".parse().unwrap(), &"c1".parse().unwrap()), Some(Seq(5)));
}

#[test]
fn the_empty_machine_is_restored() {
    let restored = Restore::towards(Machine::new().hot_state()).finish().unwrap();
    assert_eq!(restored.state_hash(), Machine::new().state_hash());
}

#[test]
fn missing_and_repeated_events_are_found() {
    let (hot, mut events) = sale();
    events.remove(2);
    assert!(matches!(refusal(hot, events), RestoreError::NotDense { last: Seq(2), found: Seq(4) }));
    let (hot, mut events) = sale();
    events.insert(2, events[1].clone());
    assert!(matches!(refusal(hot, events), RestoreError::NotDense { last: Seq(2), found: Seq(2) }));
    let (hot, mut events) = sale();
    events.pop();
    assert!(matches!(
        refusal(hot, events),
        RestoreError::EventCount { hot: Seq(5), events: Seq(4) }
    ));
}

#[test]
fn log_time_that_goes_back_is_found() {
    let (hot, mut events) = sale();
    events[3].at_ms = 1_999;
    assert!(matches!(
        refusal(hot, events),
        RestoreError::TimeGoesBack { seq: Seq(4), last_ms: 2_000, found_ms: 1_999 }
    ));
    let (mut hot, events) = sale();
    hot.log_time_ms = 1_500;
    assert!(matches!(refusal(hot, events), RestoreError::TimeGoesBack { seq: Seq(5), .. }));
}

#[test]
fn events_that_cannot_have_happened_are_found() {
    let (hot, mut events) = sale();
    let Change::Ordered(order) = &mut events[3].change else { panic!("{:?}", events[3]) };
    order.request_id = "d1".parse().unwrap();
    order.user = "dan".parse().unwrap();
    let Change::Ordered(order) = &mut events[4].change else { panic!("{:?}", events[4]) };
    (order.user, order.request_id) = ("dan".parse().unwrap(), "d1".parse().unwrap());
    assert!(matches!(
        refusal(hot, events),
        RestoreError::SecondOrder { seq: Seq(5), order: Seq(4) }
    ));

    let (hot, mut events) = sale();
    let Change::Ordered(order) = &mut events[3].change else { panic!("{:?}", events[3]) };
    order.user = "ann".parse().unwrap();
    let RestoreError::Refused { seq: Seq(4), outcome } = refusal(hot, events) else {
        panic!("a user past the limit was restored");
    };
    assert!(matches!(outcome, Outcome::Refused(Refusal::LimitReached { bought: 2, .. })));

    let (hot, mut events) = sale();
    let Change::Ordered(order) = &mut events[3].change else { panic!("{:?}", events[3]) };
    order.remaining += 1;
    assert!(matches!(refusal(hot, events), RestoreError::ChangeDiffers { seq: Seq(4), .. }));
}

#[test]
fn damaged_products_are_found() {
    let (mut hot, events) = sale();
    hot.products[0].available += 1;
    assert!(matches!(refusal(hot, events), RestoreError::ProductDiffers { .. }));
    let (mut hot, events) = sale();
    hot.products.clear();
    assert!(matches!(refusal(hot, events), RestoreError::ProductDiffers { hot: None, .. }));
    let (mut hot, events) = sale();
    hot.products.push(hot.products[0].clone());
    assert!(matches!(refusal(hot, events), RestoreError::ProductDiffers { derived: None, .. }));
}

#[test]
fn what_only_the_hash_knows_is_found() {
    let (mut hot, events) = sale();
    hot.state_hash ^= 1;
    assert!(matches!(refusal(hot, events), RestoreError::HashDiffers { .. }));
    let (hot, mut events) = sale();
    let Change::Ordered(order) = &mut events[3].change else { panic!("{:?}", events[3]) };
    order.request_id = "b2".parse().unwrap();
    assert!(matches!(refusal(hot, events), RestoreError::HashDiffers { .. }));
}

/// Under the second rules, with something forgotten of each kind: a hold that was confirmed and
/// one that was given up, of which only the latter is known; its release is all that is known of
/// what was done. An operator's outcome and a user's are stored.
fn held() -> (HotState, Vec<Event>, Bounds) {
    let bounds = Bounds {
        done: 1,
        stored: 1,
        operator_stored: 1,
        counter_stored: 1,
        settled: 1,
        expiries: 1,
    };
    let ask = |key: &str, command| Envelope {
        requester: Requester::User("ann".parse().unwrap()),
        request_id: key.parse().unwrap(),
        attempt: Attempt::Later,
        command,
    };
    let sku: Sku = "tee".parse().unwrap();
    let create = Command::CreateProduct(Box::new(Terms::plain(sku.clone(), "Tee", 9)));
    let hold = || Command::Hold { items: Items::one(sku.clone(), Quantity::ONE), ttl: None };
    let mut machine = Machine::with_bounds(bounds);
    machine.adopt(Rules::Two);
    let mut events = Vec::new();
    for commands in [
        vec![
            Envelope { requester: Requester::Operator, ..ask("c1", create) },
            ask("h1", hold()),
            ask("h2", hold()),
            ask("r0", Command::Release { hold: Seq(9) }),
        ],
        vec![ask("o1", Command::Confirm { hold: Seq(2) })],
        vec![ask("r1", Command::Release { hold: Seq(3) }), ask("h1", hold())],
        Vec::new(),
    ] {
        events.extend(machine.apply(&Batch { stamp_ms: 1_000, commands }).events);
    }
    assert_eq!(events.len(), 6);
    assert_eq!(machine.hold(Seq(2)), None, "forgotten");
    assert!(machine.hold(Seq(3)).is_some() && machine.hold(Seq(6)).is_some());
    (machine.hot_state(), events, bounds)
}

fn bounded_restore(
    hot: HotState,
    events: &[Event],
    bounds: Bounds,
) -> Result<Machine, RestoreError> {
    let mut restore = Restore::with_bounds(hot, bounds);
    events.iter().try_for_each(|event| restore.event(event))?;
    restore.finish()
}

#[test]
fn no_flipped_bit_of_the_second_layout_is_restored_as_another_state() {
    let (hot, events, bounds) = held();
    let bytes = codec::encode(&hot, u64::MAX).unwrap();
    assert_eq!(bounded_restore(hot.clone(), &events, bounds).unwrap().hot_state(), hot);
    let mut refused = 0;
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let Ok(damaged) = codec::decode::<HotState>(&damaged, 1 << 20) else {
            continue;
        };
        match bounded_restore(damaged, &events, bounds) {
            Ok(machine) => assert_eq!(machine.hot_state(), hot, "bit {bit}"),
            Err(RestoreError::Forgotten { .. }) => refused += 1,
            Err(_) => {}
        }
    }
    assert!(refused > 0, "no bit was of what is forgotten");
}

/// Any one bit of a snapshot's hot state: not decodable, refused, or the very same machine.
#[test]
fn no_flipped_bit_is_restored_as_another_state() {
    let (hot, events) = sale();
    let bytes = codec::encode(&hot, u64::MAX).unwrap();
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let Ok(damaged) = codec::decode::<HotState>(&damaged, 1 << 20) else {
            continue;
        };
        if let Ok(machine) = Machine::restore(damaged, events.iter().cloned()) {
            assert_eq!(machine.hot_state(), hot, "bit {bit}");
        }
    }
}

/// Whose an ended hold was decides what a user is told of it, so it is in the hash, also when no
/// request is known any more that has the user in its fingerprint.
#[test]
fn no_flipped_bit_of_an_ended_holds_owner_is_restored() {
    const DAY_MS: u64 = 86_400_000;
    let sku: Sku = "tee".parse().unwrap();
    let create = Command::CreateProduct(Box::new(Terms::plain(sku.clone(), "Tee", 9)));
    let hold = Command::Hold { items: Items::one(sku, Quantity::ONE), ttl: None };
    let ask = |requester, key: &str, command| Envelope {
        requester,
        request_id: key.parse().unwrap(),
        attempt: Attempt::First,
        command,
    };
    let owner = Requester::User("ann".parse().unwrap());
    let mut machine = Machine::new();
    machine.adopt(Rules::Two);
    let mut events = Vec::new();
    let commands = vec![ask(Requester::Operator, "c1", create), ask(owner.clone(), "h1", hold)];
    for (stamp_ms, commands) in [(1_000, commands), (1_000 + DAY_MS, Vec::new())] {
        events.extend(machine.apply(&Batch { stamp_ms, commands }).events);
    }
    assert_eq!(events.len(), 3, "created, held, expired");
    let confirm = |requester| ask(requester, "o1", Command::Confirm { hold: Seq(2) });
    let expired = Outcome::Refused(Refusal::HoldExpired { seq: Seq(3) });
    assert_eq!(machine.peek(&confirm(owner)).unwrap().outcome, expired);
    let hot = machine.hot_state();
    Machine::restore(hot.clone(), events.iter().cloned()).unwrap();
    let mut refused = 0;
    for bit in 0..3 * 8 {
        let mut name = *b"ann";
        name[bit / 8] ^= 1 << (bit % 8);
        let Some(other) = std::str::from_utf8(&name).ok().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let mut damaged = events.clone();
        for event in &mut damaged {
            if let Change::HeldFor { user, .. } | Change::Expired { user, .. } = &mut event.change {
                user.clone_from(&other);
            }
        }
        let error = refusal(hot.clone(), damaged);
        assert!(matches!(error, RestoreError::HashDiffers { .. }), "{other}: {error}");
        refused += 1;
    }
    assert!(refused > 8, "{refused} other names");
}

/// A state that is further, or of other rules, or of another history, leads to no snapshot.
#[test]
fn only_an_earlier_state_of_the_same_history_goes_on() {
    let (hot, events, bounds) = held();
    let went_on = |machine: Machine, hot: &HotState| {
        let mut restore = Restore::from_earlier(machine, hot.clone())?;
        let first = usize::try_from(restore.seq().0).unwrap();
        events[first..].iter().try_for_each(|event| restore.event(event))?;
        restore.finish()
    };
    let end = bounded_restore(hot.clone(), &events, bounds).unwrap();
    assert_eq!(went_on(end.clone(), &hot).unwrap().hot_state(), hot, "by no event at all");

    let mut further = hot.clone();
    further.seq.0 -= 1;
    let error = went_on(end.clone(), &further).unwrap_err();
    assert!(matches!(error, RestoreError::NotOnTheWay { .. }), "{error}");
    let error = went_on(Machine::with_bounds(bounds), &hot).unwrap_err();
    assert!(matches!(error, RestoreError::NotOnTheWay { .. }), "of the first rules: {error}");

    let mut of_another = Machine::with_bounds(bounds);
    of_another.adopt(Rules::Two);
    let create = Command::CreateProduct(Box::new(Terms::plain("cap".parse().unwrap(), "", 9)));
    let create = Envelope {
        requester: Requester::Operator,
        request_id: "c2".parse().unwrap(),
        attempt: Attempt::First,
        command: create,
    };
    of_another.apply(&Batch { stamp_ms: 1, commands: vec![create] });
    assert!(went_on(of_another, &hot).is_err());
}

/// Each apply forgets a few ended holds beyond the bound, also one that changes nothing; so a state
/// can be on the way to another with no event between them.
#[test]
fn what_is_forgotten_without_an_event_is_forgotten_on_the_way_too() {
    let bounds = Bounds { settled: 1, ..Bounds::default() };
    let mut machine = Machine::with_bounds(bounds);
    machine.adopt(Rules::NEWEST);
    let hold = |user: &str| Envelope {
        requester: Requester::User(user.parse().unwrap()),
        request_id: "hold".parse().unwrap(),
        attempt: Attempt::First,
        command: Command::Hold {
            items: Items::one("tee".parse().unwrap(), Quantity::ONE),
            ttl: Some(stock::HoldTtl::DEFAULT),
        },
    };
    let create = Envelope {
        requester: Requester::Operator,
        request_id: "create".parse().unwrap(),
        attempt: Attempt::First,
        command: Command::CreateProduct(Box::new(Terms::plain("tee".parse().unwrap(), "Tee", 20))),
    };
    let users: Vec<String> = (0..12).map(|user| format!("u{user}")).collect();
    let holds = users.iter().map(|user| hold(user));
    machine
        .apply(&Batch { stamp_ms: 1_000, commands: [create].into_iter().chain(holds).collect() });
    let due = machine.apply(&Batch { stamp_ms: 10_000_000, commands: Vec::new() });
    assert_eq!(due.events.len(), users.len());
    let mut steps_without_an_event = 0;
    for _ in 0..users.len() {
        let earlier = machine.clone();
        let applied = machine.apply(&Batch { stamp_ms: 10_000_000, commands: Vec::new() });
        assert!(applied.events.is_empty());
        if earlier.state_hash() != machine.state_hash() {
            steps_without_an_event += 1;
        }
        let hot = machine.hot_state();
        let restored = Restore::from_earlier(earlier, hot).unwrap().finish().unwrap();
        assert_eq!(restored.state_hash(), machine.state_hash());
    }
    assert!(steps_without_an_event > 0, "nothing was left to forget");
}
