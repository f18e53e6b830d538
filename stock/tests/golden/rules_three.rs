//! What came with the third rules: cursors, products as counters, and the third layout of the hot
//! state.

use super::*;
use stock::{CursorMove, Debt, Rules, SetIf};

fn moved(expected: Option<u64>, position: u64) -> Command {
    Command::MoveCursor(CursorMove { name: "pg".parse().unwrap(), expected, position })
}

fn count(by: i64, debt: Debt) -> Command {
    Command::Count { sku: "tee".parse().unwrap(), by, debt }
}

fn set(available: u64, only: SetIf) -> Command {
    Command::SetAvailable { sku: "tee".parse().unwrap(), available, only }
}

#[test]
fn commands_of_cursors_and_counters() {
    check(&moved(None, 251), "0902706700fbfb00");
    check(&moved(Some(251), 7), "0902706701fbfb0007");
    check(&count(64, Debt::Refused), "0a037465658000");
    check(&count(-1, Debt::Allowed), "0a037465650101");
    for (only, golden) in [
        (SetIf::Always, "0b03746565fb2c0100"),
        (SetIf::Missing, "0b03746565fb2c0101"),
        (SetIf::Present, "0b03746565fb2c0102"),
    ] {
        check(&set(300, only), golden);
    }
    check(&Command::Withdraw { sku: "tee".parse().unwrap() }, "0c03746565");
}

#[test]
fn replies_of_cursors_and_counters() {
    let reply = |outcome| Reply { seq: Seq(251), replayed: false, outcome };
    check(&reply(Outcome::CursorMoved { position: 251 }), "fbfb00000dfbfb00");
    check(&reply(Outcome::Counted { count: -1 }), "fbfb00000e01");
    check(&reply(Outcome::Withdrawn), "fbfb00000f");
    let refused = |refusal| reply(Outcome::Refused(refusal));
    check(&refused(Refusal::CursorMoved { position: None }), "fbfb0000051400");
    check(&refused(Refusal::CursorMoved { position: Some(251) }), "fbfb0000051401fbfb00");
    check(&refused(Refusal::TooManyCursors), "fbfb00000515");
}

/// Also freezes the hashes of debts, of deleted keys and of cursors.
#[test]
fn hot_state_under_the_third_rules() {
    let mut machine = Machine::new();
    machine.adopt(Rules::Three);
    check(
        &machine.hot_state(),
        "fdffffffffffffffff030000feaee7c85a7a612d2bd6830f13c329b78b0000020000000000",
    );
    let cap = || "cap".parse().unwrap();
    machine.apply(&Batch {
        stamp_ms: 1_000,
        commands: vec![
            buyer("web", "s1", Attempt::First, set(3, SetIf::Always)),
            buyer("web", "d1", Attempt::First, count(-1, Debt::Refused)),
            buyer("web", "d2", Attempt::First, count(-5, Debt::Allowed)),
            buyer(
                "web",
                "i1",
                Attempt::First,
                Command::Count { sku: cap(), by: 1, debt: Debt::Refused },
            ),
            buyer("web", "w1", Attempt::First, Command::Withdraw { sku: cap() }),
            operator("m1", moved(None, 251)),
        ],
    });
    check(
        &machine.hot_state(),
        "fdffffffffffffffff0304fbe803fea428fa25519697b5bdb5fa56b0bd9cbf020363617003636170\
         0100000000000403746565037465650300030200010204fefacbff5b8f89c01579c38a7b4aac7409\
         fbe803fc05e9429101010e06fedc89e61b1737bfa5ff423451d8accd2dfbe803fc9838abfb02010e\
         05fe501d2c12b82f03ccfe63ba1e39ac940afbe803fc8cf6268903010e02fe85f9530e5b8981f33a\
         5096830aeeba5efbe803fc4bd9ea8a04010f0200000002036361700103746565000501027067fbfb\
         00fe4c10e8417db11ba3c659dc7a8ef3810c",
    );
    // Nothing is left of debts and of deleted keys that are set.
    let set_cap = Command::SetAvailable { sku: cap(), available: 0, only: SetIf::Always };
    machine.apply(&Batch {
        stamp_ms: 1_000 + 86_400_000,
        commands: vec![
            buyer("web", "i2", Attempt::First, count(5, Debt::Refused)),
            buyer("web", "s2", Attempt::First, set_cap),
            operator("m2", moved(Some(251), 7)),
        ],
    });
    check(
        &machine.hot_state(),
        "fdffffffffffffffff0304fce85f2605fe65825196a6cd9bc1c2315d758057946e02036361700363\
         61700100000000000403746565037465650300030200010202fec22a5f2521c471340e1c41dcddc8\
         b6fbfce85f2605fc8d8c524d04010e04fe9c34f56999a037356d7cece644068e96fce85f2605fce2\
         00d64c04010e0002000000000102706707fe79e51f234c06fbe71bd07e1c0e1771a5",
    );
}
