//! Tens of thousands of holds of one deadline: each entry lets its share expire, and none of those
//! that wait can be had, given up or sold meanwhile.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};
use stock::{
    Attempt, Batch, Command, EXPIRIES_PER_APPLY_MAX, Envelope, Event, HoldState, HoldTtl, Items,
    Machine, Outcome, Quantity, Refusal, Reply, Requester, Rules, Seq, Settlement, Sku, Terms,
    USER_HOLDS_MAX,
};

const HOLDS: usize = 40_000;
const STAMP_MS: u64 = 1_000;
const DUE_MS: u64 = STAMP_MS + HoldTtl::MIN_MS;

fn sku() -> Sku {
    "tee".parse().unwrap()
}

fn ask(user: &str, key: &str, command: Command) -> Envelope {
    let requester = Requester::User(user.parse().unwrap());
    Envelope { requester, request_id: key.parse().unwrap(), attempt: Attempt::First, command }
}

fn user_of(nth: usize) -> String {
    format!("u{}", nth / USER_HOLDS_MAX)
}

/// A machine of which every unit is held, all until one instant; the holds by age, and all events.
fn held(rules: Rules) -> (Machine, Vec<Seq>, Vec<Event>) {
    let mut machine = Machine::new();
    machine.adopt(rules);
    let terms = Terms::plain(sku(), "Tee", HOLDS as u64);
    let create = Command::CreateProduct(Box::new(terms));
    let commands = vec![ask("op", "create", create)];
    let mut events = machine.apply(&Batch { stamp_ms: STAMP_MS, commands }).events;
    let ttl = Some(HoldTtl::from_ms(HoldTtl::MIN_MS).unwrap());
    let hold = || Command::Hold { items: Items::one(sku(), Quantity::ONE), ttl };
    let mut holds = Vec::new();
    for first in (0..HOLDS).step_by(1_000) {
        let commands = (first..first + 1_000)
            .map(|nth| ask(&user_of(nth), &format!("h{nth}"), hold()))
            .collect();
        let applied = machine.apply(&Batch { stamp_ms: STAMP_MS, commands });
        holds.extend(applied.replies.iter().map(|reply| reply.seq));
        events.extend(applied.events);
    }
    assert_eq!((machine.open_holds().len(), holds.len()), (HOLDS, HOLDS));
    (machine, holds, events)
}

fn tick(machine: &mut Machine, commands: Vec<Envelope>) -> (Vec<Reply>, Vec<Event>, Duration) {
    let started = Instant::now();
    let applied = machine.apply(&Batch { stamp_ms: DUE_MS, commands });
    (applied.replies, applied.events, started.elapsed())
}

fn available(machine: &Machine) -> usize {
    usize::try_from(machine.product(&sku()).unwrap().available).unwrap()
}

#[test]
fn each_entry_lets_its_share_expire() {
    let (mut machine, holds, mut all) = held(Rules::Two);
    let mut longest = Duration::ZERO;
    let mut entries = 0;
    while machine.next_due_ms().is_some() {
        let left = machine.open_holds().len();
        let (_, events, took) = tick(&mut machine, Vec::new());
        assert_eq!(events.len(), left.min(EXPIRIES_PER_APPLY_MAX));
        assert_eq!(available(&machine), HOLDS - machine.open_holds().len());
        longest = longest.max(took);
        entries += 1;
        all.extend(events);
    }
    assert_eq!(entries, HOLDS.div_ceil(EXPIRIES_PER_APPLY_MAX));
    println!("{HOLDS} due holds: {entries} entries, the longest took {longest:?}");
    // In order: the first that was made is the first to go.
    let ended = |hold: Seq| match machine.hold(hold) {
        Some(HoldState::Settled(Settlement::Expired { seq })) => seq,
        other => panic!("hold {hold} is {other:?}"),
    };
    assert!(holds.iter().map(|hold| ended(*hold)).is_sorted());
    assert_eq!(machine.state_hash(), machine.recompute_hash());
}

#[test]
fn what_waits_for_its_turn_cannot_be_had() {
    let (mut machine, holds, mut all) = held(Rules::Two);
    let last = |nth: usize| (holds[HOLDS - 1 - nth], user_of(HOLDS - 1 - nth));
    let confirm = |nth, key: &str| {
        let (hold, user) = last(nth);
        ask(&user, key, Command::Confirm { hold })
    };
    let (released, owner) = last(2);
    let commands = vec![
        confirm(0, "c0"),
        ask("thief", "c1", Command::Confirm { hold: last(1).0 }),
        ask(&owner, "r2", Command::Release { hold: released }),
        confirm(0, "again"),
        ask("buyer", "all", Command::Buy { sku: sku(), quantity: Quantity::new(2_051).unwrap() }),
        ask("buyer", "some", Command::Buy { sku: sku(), quantity: Quantity::new(2_050).unwrap() }),
    ];
    let (replies, events, _) = tick(&mut machine, commands);
    // Its share, the two that were asked for by name, and the order.
    assert_eq!(events.len(), EXPIRIES_PER_APPLY_MAX + 3);
    all.extend(events);
    let expired = |reply: &Reply| match reply.outcome {
        Outcome::Refused(Refusal::HoldExpired { seq }) => seq,
        _ => panic!("{reply:?}"),
    };
    let first = expired(&replies[0]);
    assert_eq!(replies[1].outcome, Outcome::Refused(Refusal::UnknownHold));
    assert_eq!(expired(&replies[2]), Seq(first.0 + 1));
    assert_eq!(expired(&replies[3]), first, "what was told once is told again");
    let remaining = EXPIRIES_PER_APPLY_MAX as u64 + 2;
    assert_eq!(replies[4].outcome, Outcome::Refused(Refusal::Insufficient { remaining }));
    assert_eq!(replies[5].outcome, Outcome::Bought { remaining: 0 });
    // Between entries, too: it must be proposed, for the answer is yet to be made.
    assert_eq!(machine.peek(&confirm(1, "c1")), None);
    let (hold, _) = last(1);
    assert!(matches!(machine.hold(hold), Some(HoldState::Open(_))), "the thief moved nothing");
    // A restart in the middle goes on where it was.
    let restored = Machine::restore(machine.hot_state(), all.iter().cloned()).unwrap();
    let mut both = [machine, restored];
    while both[0].next_due_ms().is_some() {
        let [(_, ours, _), (_, theirs, _)] = both.each_mut().map(|one| tick(one, Vec::new()));
        assert_eq!(ours, theirs);
    }
    assert_eq!(both[0].state_hash(), both[1].state_hash());
    assert_eq!(available(&both[0]), HOLDS - 2_050);
}

/// What the first rules do, for old logs; the time is what the second rules are for.
#[test]
fn under_the_first_rules_all_expire_at_once() {
    let (mut machine, _, _) = held(Rules::One);
    let (_, events, took) = tick(&mut machine, Vec::new());
    assert_eq!(events.len(), HOLDS);
    println!("{HOLDS} due holds in one entry took {took:?}");
}
