//! Restore gives back the machine or refuses: one damage of the hot state or the events for each
//! error. What restore accepts is the model test's subject.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use stock::{
    Attempt, Batch, Change, Command, Envelope, Event, HotState, Machine, Outcome, Quantity,
    Refusal, Requester, Restore, RestoreError, Seq, Terms, codec,
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
    let restored = Restore::new().finish(Machine::new().hot_state()).unwrap();
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
