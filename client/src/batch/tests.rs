//! Calls within their bounds, and results that are not their buys'.

use super::*;
use crate::call::Answered;

fn buys(count: usize, id_length: usize) -> Vec<BatchBuy> {
    let id = |at: usize| format!("{at:0>id_length$}");
    let product_id = Sku::new("p").unwrap();
    let buy = |at| PostBuy {
        product_id: product_id.clone(),
        user_id: UserId::new(id(at)).unwrap(),
        quantity: Quantity::ONE,
    };
    (0..count).map(|at| BatchBuy { request: id(at).parse().unwrap(), buy: buy(at) }).collect()
}

#[test]
fn calls_are_within_their_bounds_and_leave_nothing_out() {
    for (count, id_length) in [(0, 5), (1, 5), (25_000, 5), (25_000, 128)] {
        let buys = buys(count, id_length);
        let mut next = 0;
        for part in parts(&buys) {
            assert_eq!(part.start, next);
            let open: Vec<Open> = part.clone().map(Open::at).collect();
            assert!(part.len() <= CALL_BUYS_MAX);
            assert!(Form::Array.write(&buys, &open).len() <= CALL_BYTES_MAX);
            next = part.end;
        }
        assert_eq!(next, count);
    }
}

fn told(results: &str) -> Vec<BuyAnswer> {
    let (buys, open) = (buys(2, 1), [Open::at(0), Open::at(1)]);
    let body = results.as_bytes().to_vec();
    let answered = Answered { status: 200, body, ..Answered::default() };
    read(Form::Array, Exchange::Answered(answered), &buys, &open)
}

const WON: &str = r#"{"status":201,"request_id":"0","replayed":false,"order":{"order_id":7,
    "product_id":"p","user_id":"0","quantity":1,"remaining":3,"seq":7,"node":2,"leader":1}}"#;
const SOLD_OUT: &str = r#"{"status":410,"request_id":"1","replayed":false,"problem":{"status":
    410,"type":"/problems/sold-out","title":"t","detail":"d"}}"#;
const BUSY: &str = r#"{"status":503,"request_id":"1","replayed":false,"problem":{"status":
    503,"type":"/problems/overloaded","title":"t","detail":"d"}}"#;

#[test]
fn each_result_is_its_buys() {
    let answers = told(&format!("[{WON},{SOLD_OUT}]"));
    assert!(matches!(answers[0], BuyAnswer::Accepted { .. }), "{answers:?}");
    assert!(matches!(answers[1], BuyAnswer::Refused { .. }), "{answers:?}");
    let answers = told(&format!("[{WON},{BUSY}]"));
    assert!(matches!(answers[1], BuyAnswer::NotProposed { .. }), "{answers:?}");
}

#[test]
fn results_that_do_not_fit_their_buys_tell_nothing() {
    for results in [
        format!("[{WON}]"),
        format!("[{WON},{WON}]"),
        format!("[{SOLD_OUT},{WON}]"),
        format!("[{WON},{SOLD_OUT},{SOLD_OUT}]"),
        format!("[{WON},{SOLD_OUT}"),
        "{}".to_owned(),
    ] {
        let answers = told(&results);
        assert!(
            answers.iter().all(|answer| matches!(answer, BuyAnswer::Unknown { .. })),
            "{results}: {answers:?}"
        );
    }
}
