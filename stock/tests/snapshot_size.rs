//! What a hold that has ended costs: nothing in a snapshot, however many there are, and a bounded
//! number of bytes in the history.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use stock::{
    Attempt, Batch, Command, Envelope, Items, Machine, Outcome, Quantity, Requester, Rules, Seq,
    Sku, Terms, codec,
};

/// Holds, each of which is given up: a million outcomes.
const HOLDS: usize = 500_000;
const HOLDS_A_BATCH: usize = 500;
/// A snapshot of a machine with one product, whatever it has done; two numbers may need more bytes.
const HOT_BYTES_MAX: u64 = 128;
/// The events of a hold and of its release, with ids of 8 to 9 bytes.
const EVENT_BYTES_MAX: u64 = 2 * 64;

fn sku() -> Sku {
    "tee".parse().unwrap()
}

fn machine(rules: Rules) -> Machine {
    let mut machine = Machine::new();
    machine.adopt(rules);
    let terms = Terms::plain(sku(), "Tee", 1_000_000);
    let create = Envelope {
        requester: Requester::Operator,
        request_id: "create".parse().unwrap(),
        attempt: Attempt::First,
        command: Command::CreateProduct(Box::new(terms)),
    };
    machine.apply(&Batch { stamp_ms: 1_000, commands: vec![create] });
    // What is stored of the product's creation leaves after a day.
    machine.apply(&Batch { stamp_ms: 1_000 + 86_400_000, commands: Vec::new() });
    machine
}

fn ask(user: usize, key: &str, command: Command) -> Envelope {
    let requester = Requester::User(format!("user{user}").parse().unwrap());
    Envelope { requester, request_id: key.parse().unwrap(), attempt: Attempt::First, command }
}

/// Makes so many holds, gives each up, and returns the bytes of the events.
fn hold_and_release(machine: &mut Machine, first: usize, holds: usize) -> u64 {
    let stamp_ms = machine.log_time_ms();
    let users = first..first + holds;
    let hold = || Command::Hold { items: Items::one(sku(), Quantity::ONE), ttl: None };
    let commands = users.clone().map(|user| ask(user, "h", hold())).collect();
    let made = machine.apply(&Batch { stamp_ms, commands });
    let release = |(user, hold): (usize, Seq)| ask(user, "r", Command::Release { hold });
    let ids = made.replies.iter().map(|reply| reply.seq);
    let commands = users.zip(ids).map(release).collect();
    let released = machine.apply(&Batch { stamp_ms, commands });
    for reply in &released.replies {
        assert!(matches!(reply.outcome, Outcome::Released { .. }), "{reply:?}");
    }
    made.events.iter().chain(&released.events).map(codec::encoded_len).sum()
}

fn hot_bytes(machine: &Machine) -> u64 {
    codec::encoded_len(&machine.hot_state())
}

#[test]
fn ended_holds_cost_nothing_in_a_snapshot() {
    let mut machine = machine(Rules::Two);
    let mut event_bytes = 0;
    for first in (0..HOLDS).step_by(HOLDS_A_BATCH) {
        event_bytes += hold_and_release(&mut machine, first, HOLDS_A_BATCH);
        if first % 50_000 == 0 {
            assert!(hot_bytes(&machine) <= HOT_BYTES_MAX, "{} bytes", hot_bytes(&machine));
        }
    }
    let bytes = hot_bytes(&machine);
    assert!(bytes <= HOT_BYTES_MAX, "{bytes} bytes after {HOLDS} holds");
    let each = event_bytes / HOLDS as u64;
    assert!(each <= EVENT_BYTES_MAX, "{each} bytes of events a hold");
    println!("{HOLDS} holds: {bytes} bytes of hot state, {each} bytes of events each");
    // All of them are known none the less.
    for user in [0, HOLDS / 2, HOLDS - 1] {
        let again =
            ask(user, "h", Command::Hold { items: Items::one(sku(), Quantity::ONE), ttl: None });
        let reply = machine.peek(&again).unwrap();
        assert!(matches!(reply.outcome, Outcome::DoneBefore { .. }), "{reply:?}");
    }
}

/// So the test above can fail: this is what a million of them cost once.
#[test]
fn under_the_first_rules_they_do() {
    let mut machine = machine(Rules::One);
    hold_and_release(&mut machine, 0, HOLDS_A_BATCH);
    let each = hot_bytes(&machine) / HOLDS_A_BATCH as u64;
    assert!(each > 80, "{each} bytes");
    println!("{each} bytes of hot state a hold");
}
