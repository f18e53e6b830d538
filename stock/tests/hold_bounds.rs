//! How many holds can be open: of one user, and of all. Each bound is met exactly, and room that
//! is made is there at once.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use stock::{
    Attempt, Batch, Command, Envelope, HoldTtl, Items, Machine, OPEN_HOLDS_MAX, Outcome, Quantity,
    Refusal, Reply, Requester, Seq, Sku, Terms, USER_HOLDS_MAX,
};

const STAMP_MS: u64 = 1_000;

fn sku() -> Sku {
    "tee".parse().unwrap()
}

fn sale(stock: u64) -> Machine {
    let mut machine = Machine::new();
    let command = Command::CreateProduct(Box::new(Terms::plain(sku(), "Tee", stock)));
    let create = Envelope {
        requester: Requester::Operator,
        request_id: "create".parse().unwrap(),
        attempt: Attempt::First,
        command,
    };
    let applied = machine.apply(&Batch { stamp_ms: STAMP_MS, commands: vec![create] });
    assert!(matches!(applied.replies[0].outcome, Outcome::ProductCreated(_)));
    machine
}

fn ask(user: &str, key: &str, command: Command) -> Envelope {
    let requester = Requester::User(user.parse().unwrap());
    Envelope { requester, request_id: key.parse().unwrap(), attempt: Attempt::First, command }
}

fn hold() -> Command {
    let ttl = Some(HoldTtl::DEFAULT);
    Command::Hold { items: Items::one(sku(), Quantity::ONE), ttl }
}

fn apply(machine: &mut Machine, stamp_ms: u64, envelope: Envelope) -> Reply {
    let peeked = machine.peek(&envelope);
    let reply = machine.apply(&Batch { stamp_ms, commands: vec![envelope] }).replies.remove(0);
    if stamp_ms == machine.log_time_ms() && matches!(reply.outcome, Outcome::Refused(_)) {
        assert_eq!(peeked.as_ref(), Some(&reply), "peek and apply must agree");
    }
    reply
}

fn held(reply: &Reply) -> Seq {
    assert!(matches!(reply.outcome, Outcome::Held { .. }), "{reply:?}");
    reply.seq
}

#[test]
fn one_user_has_a_hundred() {
    let mut machine = sale(1_000);
    let mut holds = Vec::new();
    for at in 0..USER_HOLDS_MAX {
        let reply = apply(&mut machine, STAMP_MS, ask("ann", &format!("h{at}"), hold()));
        holds.push(held(&reply));
    }
    let refused = Outcome::Refused(Refusal::TooManyUserHolds);
    assert_eq!(apply(&mut machine, STAMP_MS, ask("ann", "over", hold())).outcome, refused);
    held(&apply(&mut machine, STAMP_MS, ask("bob", "h", hold())));
    // Each way in which a hold ends makes room for one.
    let ends = [Command::Release { hold: holds[0] }, Command::Confirm { hold: holds[1] }];
    for (at, end) in ends.into_iter().enumerate() {
        apply(&mut machine, STAMP_MS, ask("ann", &format!("end{at}"), end));
        held(&apply(&mut machine, STAMP_MS, ask("ann", &format!("again{at}"), hold())));
        let over = ask("ann", &format!("over{at}"), hold());
        assert_eq!(apply(&mut machine, STAMP_MS, over).outcome, refused);
    }
    let expired = STAMP_MS + HoldTtl::DEFAULT.ms();
    held(&apply(&mut machine, expired, ask("ann", "later", hold())));
    assert_eq!(machine.open_holds().len(), 1, "all others have expired");
}

#[test]
fn a_million_are_open() {
    let users = OPEN_HOLDS_MAX / USER_HOLDS_MAX;
    let mut machine = sale(2_000_000);
    for user in 0..users {
        let commands = (0..USER_HOLDS_MAX)
            .map(|at| ask(&format!("u{user}"), &format!("h{at}"), hold()))
            .collect();
        let applied = machine.apply(&Batch { stamp_ms: STAMP_MS, commands });
        for reply in &applied.replies {
            held(reply);
        }
    }
    assert_eq!(machine.open_holds().len(), OPEN_HOLDS_MAX);
    let refused = Outcome::Refused(Refusal::TooManyHolds);
    assert_eq!(apply(&mut machine, STAMP_MS, ask("ann", "over", hold())).outcome, refused);
    let (first, _) = machine.open_holds().next().unwrap();
    let release = Command::Release { hold: first };
    apply(&mut machine, STAMP_MS, ask("u0", "end", release));
    held(&apply(&mut machine, STAMP_MS, ask("ann", "again", hold())));
    assert_eq!(apply(&mut machine, STAMP_MS, ask("bob", "over", hold())).outcome, refused);
    // All of them end in one apply, and the state is what it would be without them.
    let expired = STAMP_MS + HoldTtl::DEFAULT.ms();
    let tick = machine.apply(&Batch { stamp_ms: expired, commands: Vec::new() });
    assert_eq!((tick.events.len(), machine.open_holds().len()), (OPEN_HOLDS_MAX, 0));
    assert_eq!(machine.product(&sku()).unwrap().available, 2_000_000);
    assert_eq!(machine.state_hash(), machine.recompute_hash());
}
