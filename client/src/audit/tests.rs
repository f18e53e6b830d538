//! Planted bugs, each of which the audit must catch under its own rule, and an honest storm,
//! which it must let pass.

use super::*;
use crate::storm::{Fate, Held, Unsettled};
use stock::Sku;

struct Storm {
    before: ProductView,
    after: ProductView,
    ledger: Vec<LedgerOrder>,
    tally: Tally,
    open: OpenHolds,
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
        let (hold, (buyer_of, request_of)) = (None, listed);
        ledger.push(LedgerOrder {
            order,
            buyer: buyer_of,
            request: request_of,
            quantity,
            remaining,
            hold,
        });
        tally.won.push(Won { buyer, request, order, hold, quantity, remaining });
    }
    let open = OpenHolds::default();
    Storm { before: product(5, 0, 10), after: product(5, 3, 13), ledger, tally, open }
}

impl Storm {
    fn audit(&self) -> Audit {
        check([&self.before, &self.after], &self.ledger, &self.tally, &self.open)
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
    let others =
        LedgerOrder { order: 14, buyer: None, request: None, quantity: 2, ..storm.ledger[0] };
    storm.ledger.push(others);
    storm.after = product(5, 5, 14);
    let audit = storm.audit();
    assert_eq!((audit.verdict().as_str(), audit.others_orders), ("ok", 1));
}

/// As [`honest`], but buyers 0 to 2 held first, as holds 21 to 23, and 3 and 4 did not confirm.
fn honest_with_holds() -> Storm {
    let mut storm = honest();
    for (buyer, fate) in (0..).zip([Fate::Confirmed; 3]) {
        storm.tally.holds.made.push(Held { buyer, hold: 21 + buyer, fate });
        storm.tally.won[buyer as usize].hold = Some(21 + buyer);
        storm.ledger[buyer as usize].hold = Some(21 + buyer);
    }
    for (buyer, fate) in [(3, Fate::Abandoned), (4, Fate::Released)] {
        storm.tally.holds.made.push(Held { buyer, hold: 21 + buyer, fate });
        storm.tally.gave_up += 1;
    }
    storm
}

#[test]
fn an_honest_storm_with_holds_passes() {
    let audit = honest_with_holds().audit();
    assert_eq!(audit.verdict(), "ok", "{audit}");
    assert_eq!((audit.holds_expired, audit.holds_open), (1, 0));
    // Units that come back are told of again.
    let mut storm = honest_with_holds();
    storm.tally.won[1].remaining = 4;
    storm.ledger[1].remaining = 4;
    assert_eq!(storm.audit().verdict(), "ok");
}

#[test]
fn a_confirmed_hold_without_an_order_is_caught() {
    let mut storm = honest_with_holds();
    storm.ledger.remove(1);
    storm.after = product(5, 2, 13);
    assert_eq!(storm.broken(), ["nothing-lost"]);
}

#[test]
fn an_order_of_another_hold_is_caught() {
    let mut storm = honest_with_holds();
    storm.ledger[1].hold = Some(99);
    assert_eq!(storm.broken(), ["answers-are-the-ledger"]);
}

#[test]
fn an_order_of_an_abandoned_hold_is_caught() {
    let mut storm = honest_with_holds();
    let unpaid =
        LedgerOrder { order: 14, buyer: Some(3), hold: Some(24), remaining: 1, ..storm.ledger[2] };
    storm.ledger.push(unpaid);
    storm.after = product(5, 4, 14);
    assert_eq!(storm.broken(), ["a-no-stays-no", "unpaid-holds-are-no-orders"]);
}

#[test]
fn a_hold_with_two_orders_is_caught() {
    let mut storm = honest_with_holds();
    let second = Some(Uuid::now_v7());
    storm.ledger.push(LedgerOrder { order: 14, request: second, remaining: 1, ..storm.ledger[2] });
    storm.after = product(5, 4, 14);
    assert_eq!(storm.broken(), ["a-hold-sells-once"]);
}

#[test]
fn a_hold_told_to_two_buyers_is_caught() {
    let mut storm = honest_with_holds();
    storm.tally.holds.made[4].hold = 24;
    assert_eq!(storm.broken(), ["hold-ids-unique"]);
}

#[test]
fn units_that_do_not_come_back_are_caught() {
    let mut storm = honest_with_holds();
    storm.open = OpenHolds { held: 1, units: 1, ours: vec![24] };
    storm.after = ProductView { held: 1, available: 1, ..product(5, 3, 13) };
    assert_eq!(storm.broken(), ["abandoned-units-come-back"]);
    // Nor may they be held by nobody.
    storm.open = OpenHolds { held: 1, units: 0, ours: Vec::new() };
    assert_eq!(storm.broken(), ["holds-are-held"]);
}

#[test]
fn others_may_hold() {
    let mut storm = honest_with_holds();
    storm.open = OpenHolds { held: 2, units: 2, ours: Vec::new() };
    storm.after = ProductView { held: 2, available: 0, ..product(5, 3, 15) };
    assert_eq!(storm.audit().verdict(), "ok");
}
