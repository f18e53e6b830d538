//! Planted bugs, each of which the audit must catch under its own rule, and an honest storm,
//! which it must let pass.

use super::*;
use crate::storm::Unsettled;
use stock::Sku;

struct Storm {
    before: ProductView,
    after: ProductView,
    ledger: Vec<LedgerOrder>,
    tally: Tally,
}

fn product(stocked: u64, sold: u64, seq: u64) -> ProductView {
    ProductView {
        id: Sku::new("p").unwrap(),
        name: "p".into(),
        stocked,
        available: stocked - sold,
        held: 0,
        sold,
        price: None,
        currency: None,
        per_user_limit: None,
        starts_at: None,
        ends_at: None,
        hold_ttl_ms: stock::HoldTtl::DEFAULT,
        seq: Seq(seq),
    }
}

/// Five units, three bought by buyers 0, 1 and 2 as orders 11, 12 and 13.
fn honest() -> Storm {
    let mut ledger = Vec::new();
    let mut tally = Tally::default();
    for buyer in 0..3 {
        let (order, remaining, quantity) = (11 + buyer, 4 - buyer, 1);
        let request = Uuid::now_v7();
        let listed = (Some(buyer), Some(request));
        ledger.push(LedgerOrder { order, buyer: listed.0, request: listed.1, quantity, remaining });
        tally.won.push(Won { buyer, request, order, quantity, remaining });
    }
    Storm { before: product(5, 0, 10), after: product(5, 3, 13), ledger, tally }
}

impl Storm {
    fn audit(&self) -> Audit {
        check([&self.before, &self.after], &self.ledger, &self.tally)
    }

    fn broken(&self) -> Vec<&'static str> {
        self.audit().violations.iter().map(|violation| violation.rule).collect()
    }
}

#[test]
fn an_honest_storm_passes() {
    let audit = honest().audit();
    assert_eq!(audit.verdict(), "ok", "{audit}");
    assert_eq!((audit.ledger_units, audit.accepted_units, audit.others_orders), (3, 3, 0));
}

#[test]
fn a_lost_order_is_caught() {
    let mut storm = honest();
    storm.ledger.remove(1);
    storm.after = product(5, 2, 13);
    assert_eq!(storm.broken(), ["nothing-lost"]);
    assert_eq!(storm.audit().lost, 1);
}

#[test]
fn an_order_told_to_two_buyers_is_caught() {
    let mut storm = honest();
    storm.tally.won[1] = Won { order: 11, ..storm.tally.won[1] };
    let broken = storm.broken();
    assert!(broken.contains(&"order-ids-unique"), "{broken:?}");
}

#[test]
fn a_request_with_two_orders_is_caught() {
    let mut storm = honest();
    storm.ledger.push(LedgerOrder { order: 14, remaining: 1, ..storm.ledger[2] });
    storm.after = product(5, 4, 14);
    assert_eq!(storm.broken(), ["one-order-a-request"]);
    assert_eq!(storm.audit().duplicates, 1);
}

#[test]
fn selling_beyond_the_stock_is_caught() {
    let mut storm = honest();
    storm.before = product(2, 0, 10);
    storm.after = ProductView { sold: 3, available: 0, ..product(2, 2, 13) };
    let broken = storm.broken();
    assert!(broken.contains(&"never-oversold"), "{broken:?}");
    assert!(broken.contains(&"stock-conserved"), "{broken:?}");
    assert_eq!(storm.audit().oversold, 1);
}

#[test]
fn a_sale_that_the_ledger_lacks_is_caught() {
    let mut storm = honest();
    storm.after = product(5, 4, 13);
    assert_eq!(storm.broken(), ["ledger-is-sold"]);
}

#[test]
fn an_order_after_a_no_is_caught() {
    let mut storm = honest();
    storm.tally.won.pop();
    storm.tally.sold_out = 1;
    assert_eq!(storm.broken(), ["a-no-stays-no"]);
}

#[test]
fn an_unknown_that_won_is_no_violation() {
    let mut storm = honest();
    let Some(Won { buyer, request, .. }) = storm.tally.won.pop() else { panic!() };
    storm.tally.unsettled.push(Unsettled { buyer, request });
    let audit = storm.audit();
    assert_eq!((audit.verdict().as_str(), audit.unknown_won), ("ok", 1));
}

#[test]
fn a_remaining_count_told_twice_is_caught() {
    let mut storm = honest();
    storm.tally.won[1].remaining = 4;
    storm.ledger[1].remaining = 4;
    assert_eq!(storm.broken(), ["remaining-distinct"]);
}

#[test]
fn an_answer_unlike_its_order_is_caught() {
    let mut storm = honest();
    storm.ledger[0].quantity = 2;
    storm.after = product(5, 4, 13);
    assert_eq!(storm.broken(), ["answers-are-the-ledger"]);
}

#[test]
fn an_answer_for_another_buyer_is_caught() {
    let mut storm = honest();
    storm.tally.misdirected.push("buyer 1 was answered …".into());
    assert_eq!(storm.broken(), ["misdirected"]);
}

#[test]
fn other_buyers_are_counted_apart() {
    let mut storm = honest();
    let others = LedgerOrder { order: 14, buyer: None, request: None, quantity: 2, remaining: 0 };
    storm.ledger.push(others);
    storm.after = product(5, 5, 14);
    let audit = storm.audit();
    assert_eq!((audit.verdict().as_str(), audit.others_orders), ("ok", 1));
}
