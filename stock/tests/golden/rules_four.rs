//! What came with the fourth rules: cursors with a target and their removal, orders by counters
//! that owe, and the fourth layout of the hot state.

use super::*;
use stock::{CursorMove, CursorMoveFor, CursorRemoval, Debt, Rules, SetIf};

fn count(by: i64, debt: Debt) -> Command {
    Command::Count { sku: "tee".parse().unwrap(), by, debt }
}

fn set(available: u64) -> Command {
    Command::SetAvailable { sku: "tee".parse().unwrap(), available, only: SetIf::Always }
}

fn moved_for(expected: Option<u64>, position: u64) -> Command {
    let moved = CursorMove { name: "pg".parse().unwrap(), expected, position };
    let target = "nats://a".parse().unwrap();
    Command::MoveCursorFor(Box::new(CursorMoveFor { moved, target }))
}

fn removed(expected: u64) -> Command {
    Command::RemoveCursor(CursorRemoval { name: "pg".parse().unwrap(), expected })
}

#[test]
fn commands_of_cursors() {
    check(&moved_for(None, 251), "0d02706700fbfb00086e6174733a2f2f61");
    check(&moved_for(Some(251), 7), "0d02706701fbfb0007086e6174733a2f2f61");
    check(&removed(251), "0e027067fbfb00");
}

/// An order of a counter that owed.
#[test]
fn an_event_of_a_debtor() {
    let order = Order {
        sku: "tee".parse().unwrap(),
        user: "web".parse().unwrap(),
        request_id: "d1".parse().unwrap(),
        quantity: units(2),
        remaining: 7,
    };
    let change = Change::Counted { order, owed: 300 };
    check(
        &Event { seq: Seq(251), at_ms: 1_763_715_600_123, change },
        "fbfb00fdfb4ea4a59a0100000d03746565037765620264310207fb2c01",
    );
}

#[test]
fn replies_of_cursors() {
    let reply = |outcome| Reply { seq: Seq(251), replayed: false, outcome };
    check(&reply(Outcome::CursorRemoved { position: 251 }), "fbfb000010fbfb00");
    check(&reply(Outcome::Refused(Refusal::CursorOfAnother)), "fbfb00000516");
    check(&reply(Outcome::Refused(Refusal::UnknownCursor)), "fbfb00000517");
}

/// Also freezes the hash of a target. A cursor without one hashes as under the third rules.
#[test]
fn hot_state_of_cursors() {
    let mut machine = Machine::new();
    machine.adopt(Rules::Four);
    let at = |stamp_ms, commands| Batch { stamp_ms, commands };
    machine.apply(&at(1_000, vec![operator("m1", moved_for(None, 251))]));
    check(
        &machine.hot_state(),
        "fdffffffffffffffff0400fbe803fe26c662f17b8300d0c58b2cc190543ec4000003000001fe4c10\
         e8417db11ba3c659dc7a8ef3810cfbe803fc8049cbe800010dfbfb000001027067fbfb00fe4c10e8\
         417db11ba3c659dc7a8ef3810c0001027067086e6174733a2f2f61",
    );
    machine.apply(&at(1_000, vec![operator("m2", moved_for(Some(251), 7))]));
    machine.apply(&at(1_000, vec![operator("r1", removed(7))]));
    check(
        &machine.hot_state(),
        "fdffffffffffffffff0400fbe803fe57e4293d3f55fdef51f1912b5554f454000003000002fe4c10\
         e8417db11ba3c659dc7a8ef3810cfbe803fc8049cbe800010dfbfb00fe3250335f1d08720db2982e\
         b85753b7d6fbe803fc761da02a0001100700000000",
    );
}

/// A state of the third rules that the fourth take over, and what they make of it. Also freezes the
/// hashes of counters' outcomes.
#[test]
fn hot_state_under_the_fourth_rules() {
    let mut machine = Machine::new();
    machine.adopt(Rules::Three);
    machine.apply(&Batch {
        stamp_ms: 1_000,
        commands: vec![
            buyer("web", "s1", Attempt::First, set(3)),
            buyer("ann", "b1", Attempt::Later, buy(9)),
            buyer("web", "d1", Attempt::Later, count(-9, Debt::Refused)),
        ],
    });
    check(
        &machine.hot_state(),
        "fdffffffffffffffff0301fbe803fec8b9c70aa1f5b3d3eed13465d7dc8159010374656503746565\
         0300030300000103fefacbff5b8f89c01579c38a7b4aac7409fbe803fc05e9429101010e06fef746\
         03a577fc1f252a517b34d8d2a906fbe803fcad38fb0201000303fe124dcf5697c1fed1ec857a8ee1\
         9c689bfbe803fcad38fb0201000303020000000000",
    );
    machine.adopt(Rules::Four);
    check(
        &machine.hot_state(),
        "fdffffffffffffffff0401fbe803fe3f95f01983c5aabe9e3948498ba4c661010374656503746565\
         0300030300000102fef74603a577fc1f252a517b34d8d2a906fbe803fcad38fb0201000303fe124d\
         cf5697c1fed1ec857a8ee19c689bfbe803fcad38fb020100030303000000000001fefacbff5b8f89\
         c01579c38a7b4aac7409fbe803fc05e9429101010e0600",
    );
    machine.apply(&Batch {
        stamp_ms: 1_000,
        commands: vec![
            buyer("web", "i1", Attempt::First, count(2, Debt::Refused)),
            buyer("web", "d2", Attempt::Later, count(-9, Debt::Refused)),
        ],
    });
    check(
        &machine.hot_state(),
        "fdffffffffffffffff0402fbe803fe01faaa95cfe6baa09b80d1a78205308d010374656503746565\
         0300050500000202fef74603a577fc1f252a517b34d8d2a906fbe803fcad38fb0201000303fe124d\
         cf5697c1fed1ec857a8ee19c689bfbe803fcad38fb020100030303000000000003fefacbff5b8f89\
         c01579c38a7b4aac7409fbe803fc05e9429101010e06fe501d2c12b82f03ccfe63ba1e39ac940afb\
         e803fcb69032cb02010e0afedc89e61b1737bfa5ff423451d8accd2dfbe803fcad38fb0202000305\
         00",
    );
    // Nothing of it is left after a day.
    machine.apply(&Batch { stamp_ms: 1_000 + 86_400_000, commands: Vec::new() });
    check(
        &machine.hot_state(),
        "fdffffffffffffffff0402fce85f2605fedabce5e24472727d9e084e818a0c53f401037465650374\
         656503000505000002000300000000000000",
    );
}
