//! Each rule of the ledger finds the one thing that breaks it, and nothing in a right ledger.

use checker::flashnode::{
    Answer, Began, Ended, Expiries, FinalCounts, Input, Layer, LedgerHold, LedgerOrder, Ledgers,
    Outcome, Record, RefusedFor, ReplicaLedger, judge, ledger,
};
use checker::search::{Budget, Verdict};

fn buy(at: u64, request: &str, ended: Ended) -> Record {
    Record {
        process: 1,
        input: Input::Buy { product: "p".into(), user: "u".into(), quantity: 1 },
        request: Some(request.into()),
        invoked: at,
        completed: (ended != Ended::Unknown).then_some(at + 1),
        invoked_ns: at,
        ended_ns: at + 1,
        ended,
        attempts: Vec::new(),
    }
}

fn decided(seq: u64, outcome: Outcome) -> Ended {
    Ended::Decided { answer: Answer { seq, outcome }, replayed: false }
}

fn order(order: u64, request: &str, remaining: u64) -> LedgerOrder {
    let (product, user, request) = ("p".into(), "u".into(), request.into());
    LedgerOrder { order, product, user, request, quantity: 1, remaining, at_ms: None }
}

fn hold(hold: u64, product: &str) -> LedgerHold {
    LedgerHold { hold, product: product.into(), user: "u".into(), quantity: 1 }
}

/// Two of three units sold: one acknowledged, one whose buyer never knew.
fn right() -> (Vec<Record>, Ledgers) {
    let refused = Outcome::Refused { reason: RefusedFor::LimitReached, remaining: Some(2) };
    let records = vec![
        buy(0, "bought", decided(2, Outcome::Ordered { remaining: 2 })),
        buy(2, "refused", decided(2, refused)),
        buy(4, "not done", Ended::NotDone),
        buy(6, "unknown", Ended::Unknown),
    ];
    let counts = FinalCounts { product: "p".into(), stocked: 3, available: 1, held: 0, sold: 2 };
    let one = ReplicaLedger {
        node: 1,
        seq: 3,
        state_hash: Some("h".into()),
        products: vec![counts],
        holds: Some(Vec::new()),
        orders: vec![order(2, "bought", 2), order(3, "unknown", 1)],
    };
    let two = ReplicaLedger { node: 2, ..one.clone() };
    let (began, expiries) = (Began::Empty, Expiries::All);
    (records, Ledgers { began, expiries, replicas: vec![one, two] })
}

#[track_caller]
fn breaks(rule: &str, plant: impl Fn(&mut Vec<Record>, &mut ReplicaLedger)) {
    let (mut records, mut ledgers) = right();
    plant(&mut records, &mut ledgers.replicas[0]);
    ledgers.replicas[1] = ReplicaLedger { node: 2, ..ledgers.replicas[0].clone() };
    let found = ledger::check(&records, &ledgers);
    assert!(found.iter().any(|violation| violation.rule == rule), "{rule} not in {found:?}");
}

#[test]
fn a_right_ledger_breaks_none() {
    let (records, ledgers) = right();
    assert_eq!(ledger::check(&records, &ledgers), Vec::new());
    assert_eq!(ledger::check(&records, &Ledgers::default()), Vec::new());
}

#[test]
fn each_rule_is_broken_by_its_bug() {
    breaks("accepted-within-stock", |_, replica| replica.products[0].sold = 1);
    breaks("counts-add-up", |_, replica| replica.products[0].available = 2);
    breaks("counts-add-up", |_, replica| replica.holds = Some(vec![hold(4, "p")]));
    breaks("counts-add-up", |_, replica| replica.holds = Some(vec![hold(4, "q")]));
    breaks("one-order-a-request", |_, replica| replica.orders.push(order(4, "unknown", 0)));
    breaks("one-change-a-seq", |_, replica| replica.orders[1].order = 2);
    breaks("acknowledged-order-kept", |_, replica| drop(replica.orders.remove(0)));
    breaks("acknowledged-order-kept", |_, replica| replica.orders[0].remaining = 1);
    breaks("refused-absent", |_, replica| replica.orders[1].request = "refused".into());
    breaks("not-done-absent", |_, replica| replica.orders[1].request = "not done".into());
    breaks("order-was-asked-for", |_, replica| replica.orders[1].request = "nobody".into());
    breaks("order-was-asked-for", |_, replica| replica.orders[1].quantity = 2);
    breaks("seq-forward", |records, _| {
        records[1] = buy(2, "r", decided(1, Outcome::Ordered { remaining: 0 }));
    });
    breaks("one-change-a-seq", |records, _| {
        records[3] = buy(6, "r", decided(2, Outcome::Ordered { remaining: 2 }));
    });
}

/// The same run, but both orders are of confirmed holds: what they asked, and who.
fn confirmed(by: Option<&str>) -> (Vec<Record>, Ledgers) {
    let (mut records, ledgers) = right();
    for (of, hold) in [(0, 1), (3, 2)] {
        let (product, user) = ("p".to_owned(), by.map(str::to_owned));
        records[of].input = Input::Confirm { product, user, hold };
    }
    (records, ledgers)
}

/// The rules broken where every replica has this order under another user.
fn broken_by_theft(by: Option<&str>, of: usize) -> Vec<String> {
    let (records, mut ledgers) = confirmed(by);
    for replica in &mut ledgers.replicas {
        replica.orders[of].user = "thief".into();
    }
    ledger::check(&records, &ledgers).into_iter().map(|violation| violation.rule).collect()
}

#[test]
fn an_order_of_another_user_than_confirmed_was_not_asked_for() {
    let (records, ledgers) = confirmed(Some("u"));
    assert_eq!(ledger::check(&records, &ledgers), Vec::new());
    assert_eq!(broken_by_theft(Some("u"), 0), ["order-was-asked-for", "acknowledged-order-kept"]);
    // No client was told of that one.
    assert_eq!(broken_by_theft(Some("u"), 1), ["order-was-asked-for"]);
    let (records, mut ledgers) = confirmed(Some("u"));
    ledgers.replicas.iter_mut().for_each(|of| of.orders[1].user = "thief".into());
    let judged = judge(&records, &ledgers, Budget::default());
    assert_eq!(judged.verdict, Verdict::Illegal, "{judged:#?}");
}

#[test]
fn of_a_confirm_that_does_not_say_who_asked_nothing_is_asked_and_that_is_told() {
    for of in [0, 1] {
        assert_eq!(broken_by_theft(None, of), Vec::<String>::new());
    }
    let notes = |by| {
        let (records, ledgers) = confirmed(by);
        let mut layers = judge(&records, &ledgers, Budget::default()).layers;
        layers.retain(|found| found.layer == Layer::Ledger);
        layers.remove(0).notes
    };
    assert_eq!(notes(Some("u")), Vec::<String>::new());
    assert_eq!(notes(None), ["of 2 confirms nothing says who asked, nor whose orders to expect"]);
}

#[test]
fn replicas_that_differ_are_told_apart() {
    let plants: [fn(&mut ReplicaLedger); 5] = [
        |replica| replica.seq = 2,
        |replica| replica.state_hash = Some("other".into()),
        |replica| drop(replica.orders.pop()),
        |replica| replica.products[0].held = 1,
        |replica| replica.holds = Some(vec![hold(4, "p")]),
    ];
    for plant in plants {
        let (records, mut ledgers) = right();
        plant(&mut ledgers.replicas[1]);
        let found = ledger::check(&records, &ledgers);
        assert!(found.iter().any(|violation| violation.rule == "replicas-equal"), "{found:?}");
    }
}

#[test]
fn the_file_of_a_ledger_is_read_back_whole() {
    let (_, mut ledgers) = right();
    ledgers.replicas[0].holds = Some(vec![hold(4, "a \"quoted\" 📦"), hold(5, "p")]);
    ledgers.replicas[1].holds = None;
    ledgers.replicas[1].state_hash = None;
    ledgers.replicas[1].orders.clear();
    for ledgers in [ledgers, Ledgers::default()] {
        let mut file = Vec::new();
        ledgers.write(&mut file).expect("it is memory");
        assert_eq!(Ledgers::read(&file).expect("it was just written"), ledgers);
    }
}

#[test]
fn what_is_no_ledgers_file_is_told_with_its_place() {
    for (text, words) in [
        ("", "1:0: EOF"),
        ("{\"replicas\":\n{}}", "2:0: invalid type: map, expected a sequence"),
        ("{\"verdict\":\"ok\"}", "1:10: unknown field `verdict`, expected one of `began`"),
    ] {
        let error = Ledgers::read(text.as_bytes()).expect_err(text).to_string();
        assert!(error.starts_with(words), "{error}");
    }
}

/// A hold until 100 ms of log time, and what became of it at this change and time.
fn held(then: Input, ended: Ended, at_ms: u64) -> (Vec<Record>, Vec<LedgerOrder>) {
    let record = |at, request: &str, input, ended| Record { input, ..buy(at, request, ended) };
    let hold = Input::Hold { product: "p".into(), user: "u".into(), quantity: 1 };
    let told = Outcome::Hold { hold: 4, remaining: 0, log_ms: Some(100) };
    let makes_order = then.makes_order();
    let records = vec![record(8, "held", hold, decided(4, told)), record(10, "ended", then, ended)];
    let order = LedgerOrder { at_ms: Some(at_ms), ..order(9, "ended", 0) };
    (records, if makes_order { vec![order] } else { Vec::new() })
}

#[test]
fn a_hold_lasts_until_its_deadline_and_not_longer() {
    let confirm = || Input::Confirm { product: "p".into(), user: Some("u".into()), hold: 4 };
    let expire = || Input::Expire { product: "p".into(), hold: 4 };
    let ran_out = |at_ms| decided(9, Outcome::Hold { hold: 4, remaining: 1, log_ms: Some(at_ms) });
    let ordered = || decided(9, Outcome::Ordered { remaining: 0 });
    for (then, ended, at_ms, broken) in [
        (expire(), ran_out(99), 99, Some("expiry-not-early")),
        (expire(), ran_out(100), 100, None),
        (expire(), ran_out(5000), 5000, None),
        (confirm(), ordered(), 99, None),
        (confirm(), ordered(), 100, Some("confirm-in-time")),
        (confirm(), Ended::Unknown, 99, None),
        (confirm(), Ended::Unknown, 100, Some("confirm-in-time")),
    ] {
        let (records, orders) = held(then, ended.clone(), at_ms);
        let (all, mut ledgers) = right();
        ledgers.replicas.truncate(1);
        ledgers.replicas[0].orders.extend(orders);
        let records = [all, records].concat();
        let of_time = ["expiry-not-early", "confirm-in-time", "log-time-forward"];
        let found = ledger::check(&records, &ledgers);
        let rules: Vec<&str> = found.iter().map(|violation| &*violation.rule).collect();
        let rules: Vec<&str> = rules.into_iter().filter(|rule| of_time.contains(rule)).collect();
        assert_eq!(rules, broken.into_iter().collect::<Vec<_>>(), "{ended:?} at {at_ms}");
    }
}

#[test]
fn log_time_that_runs_back_is_told() {
    let at = |times: [u64; 2]| {
        let (records, mut ledgers) = right();
        for (order, at_ms) in ledgers.replicas[0].orders.iter_mut().zip(times) {
            order.at_ms = Some(at_ms);
        }
        let found = ledger::check(
            &records,
            &Ledgers { replicas: vec![ledgers.replicas.remove(0)], ..ledgers },
        );
        found.into_iter().map(|violation| violation.rule).collect::<Vec<_>>()
    };
    assert_eq!(at([7, 7]), [""; 0]);
    assert_eq!(at([8, 7]), ["log-time-forward"]);
}
