//! The product's model says yes to what the contract promises, and no to each lie near it.

use checker::Model;
use checker::flashnode::model::{Op, Product, Sale};
use checker::flashnode::{Answer, Input, Outcome, RefusedFor};

fn told(input: Input, seq: u64, outcome: Outcome) -> Op {
    Op::told(input, Answer { seq, outcome })
}

fn create(stock: u64, limit: Option<u32>) -> Input {
    Input::Create { product: "p".into(), stock, limit }
}

fn buy(user: &str, quantity: u32) -> Input {
    Input::Buy { product: "p".into(), user: user.into(), quantity }
}

fn hold(user: &str, quantity: u32) -> Input {
    Input::Hold { product: "p".into(), user: user.into(), quantity }
}

type Ask = fn(Option<&str>) -> Input;

fn confirm(user: Option<&str>) -> Input {
    Input::Confirm { product: "p".into(), user: user.map(str::to_owned), hold: 2 }
}

fn release(user: Option<&str>) -> Input {
    Input::Release { product: "p".into(), user: user.map(str::to_owned), hold: 2 }
}

fn read() -> Input {
    Input::Read { product: "p".into() }
}

fn counts([stocked, available, held, sold]: [u64; 4]) -> Outcome {
    Outcome::Counts { stocked, available, held, sold }
}

fn refused(reason: RefusedFor, remaining: u64) -> Outcome {
    Outcome::Refused { reason, remaining: Some(remaining) }
}

fn after(ops: &[Op]) -> Product {
    let first = Sale.init(&"p".to_owned());
    ops.iter().fold(first, |state, op| {
        Sale.step(&state, op).unwrap_or_else(|| panic!("{op:?} does not fit {state:?}"))
    })
}

#[track_caller]
fn yes(state: &Product, input: Input, seq: u64, outcome: Outcome) {
    assert!(Sale.step(state, &told(input, seq, outcome)).is_some());
}

#[track_caller]
fn no(state: &Product, input: Input, seq: u64, outcome: Outcome) {
    assert_eq!(Sale.step(state, &told(input, seq, outcome)), None);
}

fn on_sale(stock: u64, limit: Option<u32>) -> Vec<Op> {
    vec![told(create(stock, limit), 1, counts([stock, stock, 0, 0]))]
}

#[test]
fn buys_and_their_refusals() {
    let state = after(&on_sale(3, None));
    yes(&state, buy("a", 2), 2, Outcome::Ordered { remaining: 1 });
    no(&state, buy("a", 2), 2, Outcome::Ordered { remaining: 2 });
    no(&state, buy("a", 2), 1, Outcome::Ordered { remaining: 1 });
    no(&state, buy("a", 4), 2, Outcome::Ordered { remaining: 0 });
    yes(&state, buy("a", 4), 1, refused(RefusedFor::Insufficient, 3));
    no(&state, buy("a", 4), 0, refused(RefusedFor::Insufficient, 3));
    no(&state, buy("a", 4), 1, refused(RefusedFor::Insufficient, 2));
    no(&state, buy("a", 3), 1, refused(RefusedFor::Insufficient, 3));
    no(&state, buy("a", 1), 1, refused(RefusedFor::SoldOut, 0));
    no(&state, buy("a", 1), 1, refused(RefusedFor::LimitReached, 3));
    yes(&Product::default(), buy("a", 1), 0, refused(RefusedFor::UnknownProduct, 0));
}

#[test]
fn a_limit_counts_what_is_sold_and_held() {
    let mut ops = on_sale(9, Some(3));
    ops.push(told(buy("a", 1), 2, Outcome::Ordered { remaining: 8 }));
    ops.push(told(hold("a", 1), 3, Outcome::Hold { hold: 3, remaining: 7, log_ms: None }));
    let state = after(&ops);
    no(&state, buy("a", 2), 4, Outcome::Ordered { remaining: 5 });
    yes(&state, buy("a", 2), 3, refused(RefusedFor::LimitReached, 7));
    yes(&state, buy("b", 2), 4, Outcome::Ordered { remaining: 5 });
    let release = Input::Release { product: "p".into(), user: Some("a".into()), hold: 3 };
    ops.push(told(release, 4, Outcome::Hold { hold: 3, remaining: 8, log_ms: None }));
    yes(&after(&ops), buy("a", 2), 5, Outcome::Ordered { remaining: 6 });
}

#[test]
fn a_hold_is_settled_once() {
    let mut ops = on_sale(5, None);
    ops.push(told(hold("a", 2), 2, Outcome::Hold { hold: 2, remaining: 3, log_ms: None }));
    no(&after(&ops[..1]), hold("a", 2), 2, Outcome::Hold { hold: 1, remaining: 3, log_ms: None });
    let confirm = || confirm(Some("a"));
    let expire = Input::Expire { product: "p".into(), hold: 2 };
    no(&after(&ops), confirm(), 2, refused(RefusedFor::HoldSettled, 3));
    ops.push(told(expire, 3, Outcome::Hold { hold: 2, remaining: 5, log_ms: None }));
    let expired = after(&ops);
    no(&expired, confirm(), 4, Outcome::Ordered { remaining: 5 });
    yes(&expired, confirm(), 3, refused(RefusedFor::HoldExpired, 5));
    no(&expired, confirm(), 3, refused(RefusedFor::HoldSettled, 5));
    ops.pop();
    ops.push(told(confirm(), 3, Outcome::Ordered { remaining: 3 }));
    let confirmed = after(&ops);
    no(&confirmed, confirm(), 4, Outcome::Ordered { remaining: 3 });
    yes(&confirmed, confirm(), 3, refused(RefusedFor::HoldSettled, 3));
    yes(&confirmed, read(), 3, counts([5, 3, 0, 2]));
    no(&confirmed, read(), 2, counts([5, 3, 2, 0]));
}

/// A hold, open or ended, is unknown to others, so the README says.
#[test]
fn a_hold_is_its_users_alone() {
    let mut ops = on_sale(5, None);
    ops.push(told(hold("a", 2), 2, Outcome::Hold { hold: 2, remaining: 3, log_ms: None }));
    let open = after(&ops);
    let (ordered, released) =
        (Outcome::Ordered { remaining: 3 }, Outcome::Hold { hold: 2, remaining: 5, log_ms: None });
    let unknown = || refused(RefusedFor::UnknownHold, 3);
    let settled = || refused(RefusedFor::HoldSettled, 3);
    for (ask, done) in [(confirm as Ask, &ordered), (release, &released)] {
        yes(&open, ask(Some("a")), 3, done.clone());
        no(&open, ask(Some("a")), 2, unknown());
        no(&open, ask(Some("b")), 3, done.clone());
        yes(&open, ask(Some("b")), 2, unknown());
        // Nobody knows whose it is.
        yes(&open, ask(None), 3, done.clone());
        yes(&open, ask(None), 2, unknown());
        // Of unknown outcome, it changes nothing for another.
        assert_eq!(Sale.step(&open, &Op::unknown(ask(Some("b")))), None);
        assert!(Sale.step(&open, &Op::unknown(ask(Some("a")))).is_some());
    }
    ops.push(told(confirm(Some("a")), 3, ordered));
    let ended = after(&ops);
    for ask in [confirm as Ask, release] {
        yes(&ended, ask(Some("a")), 3, settled());
        no(&ended, ask(Some("a")), 3, unknown());
        yes(&ended, ask(Some("b")), 3, unknown());
        no(&ended, ask(Some("b")), 3, settled());
        yes(&ended, ask(None), 3, settled());
        yes(&ended, ask(None), 3, unknown());
        no(&ended, ask(None), 3, refused(RefusedFor::HoldExpired, 3));
    }
}

#[test]
fn restocks_take_back_only_what_is_available() {
    let state = after(&on_sale(5, None));
    let restock = |quantity| Input::Restock { product: "p".into(), quantity };
    yes(&state, restock(-5), 2, counts([0, 0, 0, 0]));
    no(&state, restock(-6), 2, counts([0, 0, 0, 0]));
    yes(&state, restock(-6), 1, refused(RefusedFor::OutOfRange, 5));
    no(&state, restock(-5), 1, refused(RefusedFor::OutOfRange, 5));
    yes(&state, create(5, None), 1, counts([5, 5, 0, 0]));
    yes(&state, create(6, None), 1, refused(RefusedFor::Differs, 5));
}

#[test]
fn an_unknown_one_takes_effect_or_would_change_nothing() {
    let state = after(&on_sale(1, None));
    let took = Sale.step(&state, &Op::unknown(buy("a", 1)));
    yes(took.as_ref().unwrap_or(&state), read(), 2, counts([1, 0, 0, 1]));
    no(took.as_ref().unwrap_or(&state), read(), 1, counts([1, 0, 0, 1]));
    assert_eq!(Sale.step(&state, &Op::unknown(buy("a", 2))), None);
    // A hold whose taker had no answer is first named by its expiry.
    let held = Sale.step(&state, &Op::unknown(hold("a", 1)));
    let expire = Input::Expire { product: "p".into(), hold: 2 };
    yes(
        held.as_ref().unwrap_or(&state),
        expire,
        3,
        Outcome::Hold { hold: 2, remaining: 1, log_ms: None },
    );
}
