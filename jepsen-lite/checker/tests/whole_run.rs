//! The witness accepts a right run, and tells a stale read, a lost change and a lie.

mod records;

use checker::flashnode::{Ledgers, Record, witness};
use checker::search::Verdict;
use records::{STOCK, buy, create, read, unknown};

/// A creation, a buy, a buy, a read after both.
fn right() -> Vec<Record> {
    vec![
        create("p", [0, 1], 1),
        buy([2, 4], 3, STOCK - 2),
        buy([3, 5], 2, STOCK - 1),
        read([6, 7], 3, 2),
    ]
}

fn verdict(records: &[Record]) -> Verdict {
    witness::check(records, &Ledgers::default()).verdict
}

#[test]
fn a_right_run_has_its_linearization() {
    let found = witness::check(&right(), &Ledgers::default());
    assert_eq!((found.verdict, found.order), (Verdict::Ok, vec![0, 2, 1, 3]));
}

#[test]
fn wrong_runs_have_none() {
    let stale = read([6, 7], 2, 1);
    let lie = read([6, 7], 3, 1);
    let gap = read([6, 7], 4, 2);
    for last in [stale, lie, gap] {
        let mut records = right();
        records[3] = last;
        assert_eq!(verdict(&records), Verdict::Illegal, "{:?}", records[3].ended);
    }
}

#[test]
fn what_an_unknown_outcome_may_explain_is_not_illegal() {
    let mut records = right();
    records[1] = unknown(records[1].clone(), "r");
    assert_eq!(verdict(&records), Verdict::Unknown);
}
