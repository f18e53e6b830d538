//! The exact layer decides what the witness cannot, tells each lie, and keeps to its budget.

mod records;

use checker::flashnode::synthetic::{Doubt, Plan, Settlers, generate};
use checker::flashnode::{
    Answer, Began, Ended, Input, Layer, Ledgers, Outcome, Record, RefusedFor, exact, judge, witness,
};
use checker::search::{Budget, Verdict};
use records::{STOCK, buy, create, ledgers, pairs, read, record, unknown};
use std::time::Duration;

fn exactly(records: &[Record], ledgers: &Ledgers) -> Verdict {
    exact::check(records, ledgers, Budget::default()).verdict
}

fn judged(records: &[Record], ledgers: &Ledgers) -> Verdict {
    judge(records, ledgers, Budget::default()).verdict
}

#[test]
fn a_right_run_is_ok_and_each_lie_is_told() {
    let records = pairs(50);
    assert_eq!(exactly(&records, &Ledgers::default()), Verdict::Ok);
    let lies = [
        buy([6, 8], 5, STOCK - 3),
        buy([6, 8], 3, STOCK - 4),
        read([6, 8], 3, 1),
        read([6, 8], 1, 0),
        record(
            [6, 8],
            Input::Buy { product: "p".into(), user: "u".into(), quantity: 1 },
            5,
            Outcome::Refused { reason: RefusedFor::SoldOut, remaining: Some(0) },
        ),
    ];
    for lie in lies {
        let mut records = pairs(50);
        records[3] = lie;
        let found = exact::check(&records, &Ledgers::default(), Budget::default());
        assert_eq!(found.verdict, Verdict::Illegal, "{:?}", records[3]);
        assert_eq!(found.violations.len(), 1);
    }
}

#[test]
fn an_order_in_doubt_may_explain_a_read_and_may_be_left_out() {
    let lost = unknown(buy([2, 3], 0, 0), "r");
    let before = [create("p", [0, 1], 1), lost, read([4, 5], 1, 0), read([6, 7], 2, 1)];
    assert_eq!(witness::check(&before, &Ledgers::default()).verdict, Verdict::Unknown);
    assert_eq!(judged(&before, &Ledgers::default()), Verdict::Ok);
    let never = &before[..3];
    assert_eq!(judged(never, &Ledgers::default()), Verdict::Ok);
    let mut twice = before.to_vec();
    twice.push(read([8, 9], 3, 2));
    assert_eq!(judged(&twice, &Ledgers::default()), Verdict::Illegal);
}

#[test]
fn the_ledger_settles_what_is_in_doubt() {
    let lost = unknown(buy([2, 3], 0, 0), "r");
    let records = [create("p", [0, 1], 1), lost, read([4, 5], 2, 1)];
    assert_eq!(judged(&records, &ledgers(&[(2, "r", STOCK - 1)])), Verdict::Ok);
    assert_eq!(exactly(&records, &ledgers(&[])), Verdict::Illegal, "it was not made");
    let lie = ledgers(&[(2, "r", STOCK - 2)]);
    assert_eq!(exactly(&records, &lie), Verdict::Illegal, "it says what cannot be");
    // An order that was made must be seen by what comes after it.
    let blind = [records[0].clone(), records[1].clone(), read([4, 5], 3, 0)];
    assert_eq!(exactly(&blind, &ledgers(&[(2, "r", STOCK - 1)])), Verdict::Illegal);
}

/// A request id belongs to its user: two orders under one id are told apart by who bought.
#[test]
fn an_order_under_another_users_request_id_settles_nothing() {
    let lost = unknown(buy([2, 3], 0, 0), "r");
    let records = [create("p", [0, 1], 1), lost, read([4, 5], 3, 2)];
    let mut both = ledgers(&[(2, "r", STOCK - 1), (3, "r", STOCK - 2)]);
    for own in [0, 1] {
        both.replicas[0].orders[own].user = "u".to_owned();
        both.replicas[0].orders[1 - own].user = "v".to_owned();
        let mut theirs = unknown(buy([2, 3], 0, 0), "r");
        theirs.input = Input::Buy { product: "p".into(), user: "v".into(), quantity: 1 };
        let all = [&records[..], &[theirs]].concat();
        assert_eq!(exactly(&all, &both), Verdict::Ok);
        assert_eq!(exactly(&records, &both), Verdict::Illegal, "v's order was never asked for");
    }
}

#[test]
fn a_buy_without_a_request_id_stays_in_doubt() {
    let mut lost = unknown(buy([2, 3], 0, 0), "r");
    lost.request = None;
    let mut with_order = ledgers(&[(2, "", STOCK - 1)]);
    for sold in [0, 1] {
        let records = [create("p", [0, 1], 1), lost.clone(), read([4, 5], 1 + sold, sold)];
        assert_eq!(exactly(&records, &with_order), Verdict::Ok, "{sold} sold");
        with_order.replicas[0].orders.clear();
    }
}

#[test]
fn many_settled_orders_keep_the_window_small() {
    let orders = 2_000;
    let names: Vec<String> = (0..orders).map(|order| format!("r{order}")).collect();
    let mut records = vec![create("p", [0, 1], 1)];
    let mut made = Vec::new();
    for (order, name) in (0..orders).zip(&names) {
        let at = 2 + 3 * order;
        records.push(unknown(buy([at, 0], 0, 0), name));
        records.push(read([at + 1, at + 2], 2 + order, 1 + order));
        made.push((2 + order, &**name, STOCK - 1 - order));
    }
    let found = exact::check(&records, &ledgers(&made), Budget::default());
    assert_eq!(found.verdict, Verdict::Ok);
    assert!(found.statistics[0].concurrency <= 2, "{:?}", found.statistics);
}

#[test]
fn an_expiry_may_be_told_late() {
    let user = || "u".to_owned();
    let hold = Input::Hold { product: "p".into(), user: user(), quantity: 1 };
    let expire = Input::Expire { product: "p".into(), hold: 2 };
    let records = [
        create("p", [0, 1], 1),
        record([2, 3], hold, 2, Outcome::Hold { hold: 2, remaining: STOCK - 1, log_ms: None }),
        read([4, 5], 3, 0),
        record([6, 7], expire, 3, Outcome::Hold { hold: 2, remaining: STOCK, log_ms: None }),
    ];
    assert_eq!(witness::check(&records, &Ledgers::default()).verdict, Verdict::Ok);
    assert_eq!(judged(&records, &Ledgers::default()), Verdict::Ok);
    let mut early = records.to_vec();
    early[2] = read([4, 5], 2, 0);
    assert_eq!(judged(&early, &Ledgers::default()), Verdict::Illegal);
}

/// Two users took a hold each, and neither was told. One ran out: whose, nobody can say, until one
/// of them is let buy again.
#[test]
fn whose_hold_ran_out_is_open_until_an_answer_tells() {
    let input = |user: &str, hold: bool| {
        let (product, user) = ("p".to_owned(), user.to_owned());
        if hold {
            Input::Hold { product, user, quantity: 1 }
        } else {
            Input::Buy { product, user, quantity: 1 }
        }
    };
    let lost = |at: u64, user: &str| {
        let outcome = Outcome::Hold { hold: 0, remaining: 0, log_ms: None };
        unknown(record([at, at], input(user, true), 0, outcome), user)
    };
    let counts = |available, held| Outcome::Counts { stocked: 9, available, held, sold: 0 };
    let create = Input::Create { product: "p".into(), stock: 9, limit: Some(1) };
    let expire = Input::Expire { product: "p".into(), hold: 2 };
    let before = [
        record([0, 1], create, 1, counts(9, 0)),
        lost(2, "ann"),
        lost(3, "bob"),
        record([4, 5], Input::Read { product: "p".into() }, 3, counts(7, 2)),
        record([6, 7], expire, 4, Outcome::Hold { hold: 2, remaining: 8, log_ms: None }),
    ];
    let bought = |user, seq| (user, seq, Outcome::Ordered { remaining: 12 - seq });
    let refused = |user, seq| {
        let outcome = Outcome::Refused { reason: RefusedFor::LimitReached, remaining: None };
        (user, seq, outcome)
    };
    for (answers, expected) in [
        (vec![bought("ann", 5)], Verdict::Ok),
        (vec![bought("bob", 5)], Verdict::Ok),
        (vec![refused("ann", 4)], Verdict::Ok),
        (vec![refused("bob", 4)], Verdict::Ok),
        (vec![refused("ann", 4), bought("bob", 5)], Verdict::Ok),
        (vec![bought("ann", 5), refused("bob", 5)], Verdict::Ok),
        (vec![bought("ann", 5), bought("bob", 6)], Verdict::Illegal),
        (vec![refused("ann", 4), refused("bob", 4)], Verdict::Illegal),
        (vec![refused("ann", 4), bought("ann", 5)], Verdict::Illegal),
    ] {
        let later = (4..).zip(&answers).map(|(place, (user, seq, outcome))| {
            record([2 * place, 2 * place + 1], input(user, false), *seq, outcome.clone())
        });
        let records: Vec<Record> = before.iter().cloned().chain(later).collect();
        assert_eq!(exactly(&records, &Ledgers::default()), expected, "{answers:?}");
    }
}

/// A hold's taker had no answer, and somebody else told them its number: that they confirmed it may
/// be in doubt as well, and it counts all the same.
#[test]
fn what_nobody_was_told_of_may_be_settled() {
    let product = || "p".to_owned();
    let hold = |at: u64, user: &str, quantity| {
        let input = Input::Hold { product: product(), user: user.to_owned(), quantity };
        let outcome = Outcome::Hold { hold: 0, remaining: 0, log_ms: None };
        unknown(record([at, at], input, 0, outcome), &format!("h{at}"))
    };
    let user = || Some("ann".to_owned());
    let confirm = |at, hold| {
        let input = Input::Confirm { product: product(), user: user(), hold };
        unknown(record([at, at], input, 0, Outcome::Ordered { remaining: 0 }), "c")
    };
    let release = |at, hold| {
        let input = Input::Release { product: product(), user: user(), hold };
        unknown(record([at, at], input, 0, Outcome::Ordered { remaining: 0 }), "c")
    };
    let sees = |seq, [available, held, sold]: [u64; 3]| {
        let outcome = Outcome::Counts { stocked: 9, available, held, sold };
        record([4 * seq, 4 * seq + 1], Input::Read { product: product() }, seq, outcome)
    };
    for limit in [None, Some(5)] {
        let counts = Outcome::Counts { stocked: 9, available: 9, held: 0, sold: 0 };
        let create = Input::Create { product: product(), stock: 9, limit };
        let create = record([0, 1], create, 1, counts);
        let of = |user, settle: Record, seen: [u64; 3]| {
            let holds = [hold(2, user, 2), hold(3, user, 3)];
            let reads = [sees(3, [4, 5, 0]), sees(4, seen)];
            let records = [&[create.clone()][..], &holds, &[settle], &reads].concat();
            exactly(&records, &Ledgers::default())
        };
        // Both were taken, and the one or the other ended.
        for (seen, settle, expected) in [
            ([4, 3, 2], confirm(4, 2), Verdict::Ok),
            ([4, 2, 3], confirm(4, 2), Verdict::Ok),
            ([4, 0, 5], confirm(4, 2), Verdict::Illegal),
            ([6, 3, 0], release(4, 2), Verdict::Ok),
            ([7, 2, 0], release(4, 2), Verdict::Ok),
            ([9, 0, 0], release(4, 2), Verdict::Illegal),
            ([4, 2, 3], confirm(4, 0), Verdict::Illegal),
        ] {
            assert_eq!(of("ann", settle.clone(), seen), expected, "{seen:?} {settle:?}");
            assert_eq!(of("bob", settle, seen), Verdict::Illegal, "they are not hers");
        }
    }
}

/// An order that was told says of how many units it is in the ledger only.
#[test]
fn a_hold_of_unknown_units_that_was_confirmed_is_not_judged() {
    let product = || "p".to_owned();
    let hold = |at: u64, quantity| {
        let input = Input::Hold { product: product(), user: "u".to_owned(), quantity };
        let outcome = Outcome::Hold { hold: 0, remaining: 0, log_ms: None };
        unknown(record([at, at], input, 0, outcome), &format!("h{at}"))
    };
    let confirm = Input::Confirm { product: product(), user: Some("u".to_owned()), hold: 2 };
    let mut confirm = record([4, 5], confirm, 3, Outcome::Ordered { remaining: STOCK - 1 });
    confirm.request = Some("c".to_owned());
    let one = [create("p", [0, 1], 1), hold(2, 1), confirm.clone(), read([6, 7], 3, 1)];
    assert_eq!(exactly(&one, &Ledgers::default()), Verdict::Ok);
    let two = [create("p", [0, 1], 1), hold(2, 1), hold(3, 2), confirm, read([6, 7], 3, 1)];
    assert_eq!(exactly(&two, &Ledgers::default()), Verdict::Unknown);
    assert_eq!(exactly(&two, &ledgers(&[(3, "c", STOCK - 1)])), Verdict::Ok);
    let mut many = ledgers(&[(3, "c", STOCK - 1)]);
    many.replicas[0].orders[0].quantity = 2;
    assert_eq!(exactly(&two, &many), Verdict::Illegal);
}

/// One product, 64 clients, hundreds of operations in doubt and no ledger to settle them: the
/// steps grow with the operations, legal or not, not with the ways to order them.
#[test]
fn a_hot_product_is_decided_in_few_steps() {
    let plan = Plan { operations: 20_000, clients: 64, products: 1, ..Plan::small(1) };
    // What strangers ask for never takes effect, and in doubt it would have as many shapes.
    let plan = Plan { doubt: Doubt::Anything, settlers: Settlers::Holders, ..plan };
    let mut records = generate(plan).records;
    for (bent, expected) in [(false, Verdict::Ok), (true, Verdict::Illegal)] {
        if bent {
            let mut late = records.iter_mut().rev().filter_map(|record| match &mut record.ended {
                Ended::Decided { answer: Answer { outcome, .. }, .. } => Some(outcome),
                _ => None,
            });
            let is_order = |outcome: &&mut Outcome| matches!(outcome, Outcome::Ordered { .. });
            let last = late.find(is_order);
            *last.expect("somebody buys") = Outcome::Ordered { remaining: STOCK };
        }
        let found = exact::check(&records, &Ledgers::default(), Budget::default());
        assert_eq!(found.verdict, expected);
        let hot = found.statistics.iter().max_by_key(|it| it.known).expect("one product");
        assert!(hot.unknown > 300 && hot.concurrency > 50, "{hot:?}");
        assert!(hot.steps < 40 * hot.known as u64, "{hot:?}");
    }
}

/// What is decided is forgotten: the states of a few thousand operations are held, however long
/// the run is.
#[test]
fn memory_follows_concurrency_not_length() {
    for operations in [10_000, 40_000, 160_000] {
        let plan = Plan { operations, clients: 16, products: 1, ..Plan::small(1) };
        let made = generate(plan);
        let found = exact::check(&made.records, &made.ledgers, Budget::default());
        assert_eq!(found.verdict, Verdict::Ok);
        let most = found.statistics.iter().map(|it| it.memory_bytes).max().unwrap_or(0);
        assert!(most < 8 << 20, "{most} bytes for {operations} operations");
    }
}

#[test]
fn out_of_budget_is_unknown_and_says_so() {
    let none = Budget { time: Duration::ZERO, ..Budget::default() };
    let small = Budget { memory_bytes: 1, ..Budget::default() };
    for budget in [none, small] {
        let found = exact::check(&pairs(1_000), &Ledgers::default(), budget);
        assert_eq!((found.verdict, found.notes.len()), (Verdict::Unknown, 1), "{found:?}");
        // What the witness shows needs no search.
        assert_eq!(judge(&pairs(1_000), &Ledgers::default(), budget).verdict, Verdict::Ok);
    }
}

#[test]
fn a_rejection_is_searched_in_its_window() {
    let mut records = pairs(4_000);
    records[4_000].ended = buy([0, 0], 4_001, 7).ended;
    let found = witness::check(&records, &Ledgers::default());
    assert_eq!(found.verdict, Verdict::Illegal);
    let exact = exact::around(&records, &Ledgers::default(), &found, Budget::default());
    assert_eq!(exact.verdict, Verdict::Illegal);
    assert!(exact.statistics[0].known <= 4, "{:?}", exact.statistics);
    assert!([3_999, 4_000].contains(&exact.violations[0].records[0]), "{:?}", exact.violations);
}

#[test]
fn where_the_window_decides_nothing_all_is_searched() {
    let mut records = pairs(100);
    let after = 2 + 4 * 100;
    records.push(unknown(buy([after, 0], 0, 0), "r"));
    records.push(read([after + 1, after + 2], 202, 201));
    let found = witness::check(&records, &Ledgers::default());
    assert_eq!(found.verdict, Verdict::Unknown);
    let exact = exact::around(&records, &Ledgers::default(), &found, Budget::default());
    assert_eq!(exact.verdict, Verdict::Ok);
    records.push(read([after + 3, after + 4], 202, 200));
    let found = witness::check(&records, &Ledgers::default());
    let exact = exact::around(&records, &Ledgers::default(), &found, Budget::default());
    assert_eq!(exact.verdict, Verdict::Illegal);
}

#[test]
fn seqs_of_two_products_against_real_time_stay_illegal() {
    let records = [create("a", [0, 1], 2), create("b", [2, 3], 1)];
    assert_eq!(exactly(&records, &Ledgers::default()), Verdict::Ok);
    assert_eq!(judged(&records, &Ledgers::default()), Verdict::Illegal);
}

#[test]
fn a_product_from_before_the_run_is_not_judged() {
    let records = [read([0, 1], 7, 3), read([2, 3], 8, 4)];
    assert_eq!(exactly(&records, &Ledgers::default()), Verdict::Unknown);
    assert_eq!(judged(&records, &Ledgers::default()), Verdict::Unknown);
}

/// It was created again, on the same terms, or nobody knows whether it was.
#[test]
fn nor_is_one_that_may_be_from_before_the_run() {
    let mut met = create("p", [0, 1], 7);
    met.ended = read([0, 1], 7, 3).ended;
    let mut not_done = create("p", [0, 1], 0);
    not_done.ended = Ended::NotDone;
    for creation in [met, not_done, unknown(create("p", [0, 1], 0), "c")] {
        let records = [creation, read([2, 3], 8, 4)];
        assert_eq!(judged(&records, &Ledgers::default()), Verdict::Unknown, "{records:?}");
        let whole = Ledgers { began: Began::Empty, ..Ledgers::default() };
        assert_eq!(judged(&records, &whole), Verdict::Illegal, "{records:?}");
    }
}

#[test]
fn the_layers_are_named() {
    let judgement = judge(&pairs(3), &Ledgers::default(), Budget::default());
    let layers: Vec<Layer> = judgement.layers.iter().map(|finding| finding.layer).collect();
    assert_eq!(layers, [Layer::Witness, Layer::Ledger, Layer::Exact]);
    assert!(judgement.layers.iter().all(|finding| finding.verdict == Verdict::Ok));
}

#[test]
fn what_is_right_by_construction_is_ok_by_search_alone() {
    for seed in 0..60 {
        for doubt in [Doubt::Nothing, Doubt::Orders, Doubt::Anything] {
            let made = generate(Plan { doubt, ..Plan::small(seed) });
            let found = exact::check(&made.records, &made.ledgers, Budget::default());
            assert_eq!(found.verdict, Verdict::Ok, "seed {seed}, {doubt:?}: {found:?}");
        }
    }
}
