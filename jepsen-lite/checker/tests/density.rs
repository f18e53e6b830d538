//! A number that no known change has is explained, proven wrong, or left open; never overlooked.

mod records;

use checker::flashnode::{
    Attempt, Began, Expiries, Input, Ledgers, Outcome, Record, RefusedFor, judge,
};
use checker::search::{Budget, Verdict};
use records::{STOCK, buy, create, ledgers, read, record, restock, unknown};

fn judged(records: &[Record], ledgers: &Ledgers) -> Verdict {
    judge(records, ledgers, Budget::default()).verdict
}

/// A creation at 1, a buy at 3 that is in the ledger, and a read of both. Nobody has 2.
fn gap() -> (Vec<Record>, Ledgers) {
    let mut bought = buy([2, 3], 3, STOCK - 1);
    bought.request = Some("r".to_owned());
    let mut held = ledgers(&[(3, "r", STOCK - 1)]);
    held.replicas[0].seq = 3;
    (vec![create("p", [0, 1], 1), bought, read([4, 5], 3, 1)], held)
}

#[test]
fn a_change_that_nobody_asked_for_is_illegal() {
    let (records, ledgers) = gap();
    assert_eq!(judged(&records, &ledgers), Verdict::Illegal);
    assert_eq!(judged(&records, &Ledgers::default()), Verdict::Illegal);
}

#[test]
fn a_change_after_the_last_answer_is_one_too() {
    let records = [create("p", [0, 1], 1), read([2, 3], 1, 0)];
    let mut level = ledgers(&[]);
    assert_eq!(judged(&records, &level), Verdict::Ok);
    level.replicas[0].seq = 2;
    assert_eq!(judged(&records, &level), Verdict::Illegal);
    level.replicas[0].seq = 0;
    assert_eq!(judged(&records, &level), Verdict::Illegal, "what was told is gone");
}

/// Another product's restock may be change 3; that product's reads say whether it was.
#[test]
fn an_operation_in_doubt_on_another_product_explains_it() {
    let of_q = |at, seq, units| {
        let outcome = Outcome::Counts { stocked: units, available: units, held: 0, sold: 0 };
        record(at, Input::Read { product: "q".into() }, seq, outcome)
    };
    let mut lost = unknown(restock([4, 0], 0, 5, 0), "again");
    lost.input = Input::Restock { product: "q".into(), quantity: 5 };
    let mut bought = buy([5, 6], 4, STOCK - 1);
    bought.request = Some("r".to_owned());
    let run = [create("q", [0, 1], 1), create("p", [2, 3], 2), lost, bought];
    let mut end = ledgers(&[(4, "r", STOCK - 1)]);
    end.replicas[0].seq = 4;
    let with = |last: Record| judged(&[&run[..], &[last]].concat(), &end);
    assert_eq!(with(of_q([7, 8], 4, STOCK + 5)), Verdict::Ok, "it was change 3");
    assert_eq!(with(of_q([7, 8], 4, STOCK)), Verdict::Unknown, "change 3 may be another's");
    assert_eq!(with(of_q([7, 8], 4, STOCK + 6)), Verdict::Illegal, "nothing makes six");
}

/// What was asked for after the gap was passed does not explain it.
#[test]
fn an_operation_in_doubt_that_came_too_late_explains_nothing() {
    let (mut records, ledgers) = gap();
    let mut late = unknown(restock([6, 0], 0, 5, 0), "again");
    records.push(late.clone());
    assert_eq!(judged(&records, &ledgers), Verdict::Illegal);
    late.invoked = 2;
    records.pop();
    records[1].invoked = 3;
    records[1].completed = Some(4);
    (records[2].invoked, records[2].completed) = (5, Some(6));
    records.push(late);
    assert_eq!(judged(&records, &ledgers), Verdict::Unknown, "the counts say that it was not it");
}

/// A hold may run out with nobody watching.
#[test]
fn an_open_hold_leaves_a_gap_open() {
    let hold = Input::Hold { product: "p".into(), user: "u".into(), quantity: 1 };
    let counts = Outcome::Counts { stocked: STOCK, available: STOCK - 1, held: 1, sold: 0 };
    let records = [
        create("p", [0, 1], 1),
        record([2, 3], hold, 2, Outcome::Hold { hold: 2, remaining: STOCK - 1, log_ms: None }),
        record([4, 5], Input::Read { product: "p".into() }, 2, counts),
    ];
    let mut run = Ledgers { expiries: Expiries::All, ..ledgers(&[]) };
    run.replicas[0].seq = 3;
    assert_eq!(judged(&records, &run), Verdict::Unknown);
    run.replicas[0].seq = 4;
    assert_eq!(judged(&records, &run), Verdict::Illegal, "it runs out once");
}

/// What came before the first known change of a whole run is missing, too.
#[test]
fn a_whole_run_begins_with_change_1() {
    let late = |seq| [create("p", [0, 1], seq), read([2, 3], seq, 0)];
    let mut whole = Ledgers { began: Began::Empty, ..Ledgers::default() };
    assert_eq!(judged(&late(1), &whole), Verdict::Ok);
    assert_eq!(judged(&late(2), &whole), Verdict::Illegal, "nobody made change 1");
    assert_eq!(judged(&late(2), &Ledgers::default()), Verdict::Ok, "somebody may have");
    // With nothing but a read of what nobody made, and with an operation in doubt that did.
    let refused = Outcome::Refused { reason: RefusedFor::UnknownProduct, remaining: None };
    let nothing = |seq| [record([0, 1], Input::Read { product: "p".into() }, seq, refused.clone())];
    assert_eq!(judged(&nothing(0), &whole), Verdict::Ok);
    assert_eq!(judged(&nothing(1), &whole), Verdict::Illegal);
    let mut before = unknown(create("q", [0, 1], 0), "q");
    before.process = 9;
    let [created, seen] = late(2);
    let (mut created, mut seen) = (created, seen);
    (created.invoked, created.completed) = (1, Some(2));
    (seen.invoked, seen.completed) = (3, Some(4));
    assert_ne!(judged(&[before, created, seen], &whole), Verdict::Illegal);
    whole.replicas = ledgers(&[]).replicas;
    whole.replicas[0].seq = 2;
    assert_eq!(judged(&late(2), &whole), Verdict::Illegal);
}

/// A product that a whole run never put on sale cannot be there.
#[test]
fn a_product_that_nobody_put_on_sale_is_illegal_in_a_whole_run() {
    let records = [
        create("p", [0, 1], 1),
        record(
            [2, 3],
            Input::Read { product: "q".into() },
            1,
            Outcome::Counts { stocked: 1, available: 1, held: 0, sold: 0 },
        ),
    ];
    let whole = Ledgers { began: Began::Empty, ..Ledgers::default() };
    assert_eq!(judged(&records, &whole), Verdict::Illegal);
    assert_eq!(judged(&records, &Ledgers::default()), Verdict::Unknown);
}

/// An attempt that was surely not proposed leaves no doubt, and so explains no gap.
#[test]
fn only_an_attempt_in_doubt_explains_a_gap() {
    let sent = |number| Attempt { number, node: 1, sent_ns: 0, ended_ns: 1, said: "503".into() };
    let judged_after = |numbers: [u32; 2]| {
        let (mut records, ledgers) = gap();
        records[0].attempts = numbers.map(sent).into();
        judged(&records, &ledgers)
    };
    assert_eq!(judged_after([1, 1]), Verdict::Illegal);
    assert_eq!(judged_after([1, 2]), Verdict::Unknown);
}
