//! Correct histories are never called illegal, and every planted bug is.

use checker::flashnode::bugs::{Bug, plant};
use checker::flashnode::synthetic::{Doubt, Plan, generate};
use checker::flashnode::{Ended, Input, codec, judge};
use checker::search::{Budget, Verdict};
use checker::{Event, History};

const SEEDS: u64 = 60;
/// More than enough seeds to find some with a place for the bug.
const SEEDS_MAX: u64 = 600;

#[test]
fn correct_histories_are_ok() {
    for seed in 0..60 {
        for doubt in [Doubt::Nothing, Doubt::Orders] {
            let synthetic = generate(Plan { doubt, ..Plan::small(seed) });
            let judged = judge(&synthetic.records, &synthetic.ledgers, Budget::default());
            assert_eq!(judged.verdict, Verdict::Ok, "seed {seed}, {doubt:?}: {judged:#?}");
        }
    }
}

#[test]
fn every_layer_decides_a_longer_correct_history() {
    let plan = Plan { operations: 20_000, clients: 16, products: 20, ..Plan::small(1) };
    let synthetic = generate(plan);
    let judged = judge(&synthetic.records, &synthetic.ledgers, Budget::default());
    for found in &judged.layers {
        assert_eq!(found.verdict, Verdict::Ok, "{found:#?}");
    }
}

#[test]
fn correct_histories_with_anything_in_doubt_are_not_illegal() {
    for seed in 0..60 {
        let synthetic = generate(Plan { doubt: Doubt::Anything, ..Plan::small(seed) });
        let judged = judge(&synthetic.records, &synthetic.ledgers, Budget::default());
        assert_ne!(judged.verdict, Verdict::Illegal, "seed {seed}: {judged:#?}");
    }
}

#[test]
fn every_bug_is_caught_wherever_it_is_planted() {
    for bug in Bug::ALL {
        let planted =
            (0..SEEDS_MAX).filter_map(|seed| Some((seed, plant(bug, Plan::small(seed))?)));
        let mut tried = 0;
        for (seed, bugged) in planted.take(SEEDS as usize) {
            let judged = judge(&bugged.records, &bugged.ledgers, Budget::default());
            assert_eq!(judged.verdict, Verdict::Illegal, "{bug:?}, seed {seed}");
            tried += 1;
        }
        assert_eq!(tried, SEEDS, "{bug:?} has too few places");
    }
}

#[test]
fn a_seed_gives_one_history() {
    assert_eq!(generate(Plan::small(7)), generate(Plan::small(7)));
    assert_ne!(generate(Plan::small(7)), generate(Plan::small(8)));
    assert_eq!(plant(Bug::StaleRead, Plan::small(7)), plant(Bug::StaleRead, Plan::small(7)));
}

#[test]
fn every_kind_of_operation_and_ending_occurs() {
    let plan = Plan { doubt: Doubt::Anything, operations: 3_000, ..Plan::small(1) };
    let records = generate(plan).records;
    assert!(records.len() > 3_000);
    for f in ["create", "restock", "buy", "hold", "confirm", "release", "expire", "read"] {
        let of_kind = || records.iter().filter(|record| record.input.f() == f);
        assert!(of_kind().any(|record| record.accepted().is_some()), "no {f} is accepted");
        if f != "expire" {
            assert!(
                of_kind().any(|record| record.answer().is_some() && record.accepted().is_none()),
                "no {f} is refused"
            );
            assert!(of_kind().any(|record| record.ended == Ended::NotDone), "every {f} is done");
        }
    }
    let unknown = |record: &&checker::flashnode::Record| record.ended == Ended::Unknown;
    assert!(records.iter().filter(unknown).any(|r| matches!(r.input, Input::Hold { .. })));
    assert!(records.iter().any(|record| record.attempts.len() > 1));
}

/// The order of events survives the files, so a synthetic history can be given to others.
#[test]
fn it_survives_being_written_as_events() {
    for seed in 0..20 {
        let synthetic = generate(Plan { doubt: Doubt::Orders, ..Plan::small(seed) });
        let events: Vec<Event> = codec::events(&synthetic.records);
        let read = codec::records(&History { events }).expect("its own");
        assert_eq!(read.len(), synthetic.records.len());
        let judged = judge(&read, &synthetic.ledgers, Budget::default());
        assert_eq!(judged.verdict, Verdict::Ok, "seed {seed}: {judged:#?}");
    }
}
