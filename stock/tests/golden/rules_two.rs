//! What came with the second rules: events that say what was asked, the reply that names them, and
//! the second layout of the hot state.

use super::*;
use stock::{By, Rules};

#[test]
fn events_say_what_was_asked() {
    let event = |change| Event { seq: Seq(251), at_ms: 1_763_715_600_123, change };
    let user = || "ann".parse().unwrap();
    let request_id = || "a1".parse().unwrap();
    let held = |ttl| Change::HeldFor {
        user: user(),
        request_id: request_id(),
        ttl,
        expires_at_ms: 1_763_716_200_123,
        lines: lines(),
    };
    check(
        &event(held(None)),
        "fbfb00fdfb4ea4a59a0100000a03616e6e02613100fdbb76ada59a01000002036361700109037465\
         650209",
    );
    check(
        &event(held(Some(HoldTtl::from_ms(1_000).unwrap()))),
        "fbfb00fdfb4ea4a59a0100000a03616e6e02613101fbe803fdbb76ada59a01000002036361700109\
         037465650209",
    );
    let released = |by| {
        let (user, request_id, lines) = (user(), request_id(), lines());
        Change::ReleasedFor { hold: Seq(9), user, by, request_id, lines }
    };
    check(
        &event(released(By::Owner)),
        "fbfb00fdfb4ea4a59a0100000b0903616e6e0002613102036361700109037465650209",
    );
    check(
        &event(released(By::Operator)),
        "fbfb00fdfb4ea4a59a0100000b0903616e6e0102613102036361700109037465650209",
    );
    let cancelled = |hold| Change::CancelledFor {
        order: Seq(8),
        user: user(),
        hold,
        ordered_as: "o1".parse().unwrap(),
        by: By::Operator,
        request_id: request_id(),
        lines: lines(),
    };
    check(
        &event(cancelled(None)),
        "fbfb00fdfb4ea4a59a0100000c0803616e6e00026f310102613102036361700109037465650209",
    );
    check(
        &event(cancelled(Some(Seq(9)))),
        "fbfb00fdfb4ea4a59a0100000c0803616e6e0109026f310102613102036361700109037465650209",
    );
}

#[test]
fn a_reply_names_the_change() {
    let outcome = Outcome::DoneBefore { change: Seq(9) };
    check(&Reply { seq: Seq(251), replayed: true, outcome }, "fbfb00010c09");
}

/// Also freezes the hashes of the second rules: of the rules, of what was done, of ended holds with
/// their users, and of operators' outcomes.
#[test]
fn hot_state_under_the_second_rules() {
    let mut machine = Machine::new();
    machine.adopt(Rules::Two);
    check(
        &machine.hot_state(),
        "fdffffffffffffffff020000fe83be763aab107f6f00aee7a3cb6c0789000001000000",
    );
    let hold = |ttl_ms| Command::Hold {
        items: Items::one("tee".parse().unwrap(), units(2)),
        ttl: Some(HoldTtl::from_ms(ttl_ms).unwrap()),
    };
    machine.apply(&Batch {
        stamp_ms: 1_000,
        commands: vec![
            operator("c1", Command::CreateProduct(Box::new(terms(None)))),
            buyer("ann", "h1", Attempt::First, hold(5_000)),
            buyer("ann", "h2", Attempt::First, hold(1_000)),
            buyer("bob", "h1", Attempt::First, hold(9_000)),
            buyer("bob", "b1", Attempt::First, buy(50)),
            buyer("ann", "o1", Attempt::First, Command::Confirm { hold: Seq(2) }),
            buyer("bob", "r1", Attempt::Later, Command::Release { hold: Seq(4) }),
            buyer("bob", "r2", Attempt::Later, Command::Release { hold: Seq(4) }),
        ],
    });
    check(
        &machine.hot_state(),
        "fdffffffffffffffff0207fbe803fe86d9586d2c269b0c332e4eadc66807ee010374656506546565\
         20c3bcfb2c0100fb2c01f602340701fe7dbd9c12b888cfe5e3b3430d2d186c0cfbe803fc6fa2f6cd\
         07000d010701000001fea4acdfbd8bfb9a1adc93379e1dddc99afbe803fc39cf90ef010100037465\
         650654656520c3bcfb2c0100fb2c01fb2c01000001",
    );
    // What was done is forgotten after a day.
    machine.apply(&Batch { stamp_ms: 1_000 + 86_400_000, commands: Vec::new() });
    check(
        &machine.hot_state(),
        "fdffffffffffffffff0208fce85f2605fe56cba7dc9d243fe53a054c6a7683856501037465650654\
         656520c3bcfb2c0100fb2c01f80034080001070000",
    );
}
