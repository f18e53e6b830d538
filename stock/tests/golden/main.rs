//! The bytes that older builds wrote into logs, segments and snapshots, and sent to their peers.
//!
//! A failure here means that a running cluster could not be upgraded. Never change a line of hex:
//! append variants and fields, and lines for them.
//!
//! `sale` has what the first build knew and its terms, `holds` what came with holds and baskets,
//! `rules_two`, `rules_three` and `rules_four` what came with these rules.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod holds;
mod rules_four;
mod rules_three;
mod rules_two;
mod sale;

use serde::{Serialize, de::DeserializeOwned};
use std::fmt::{Debug, Write as _};
use stock::{
    Attempt, Batch, Cancel, Change, Command, Edit, Envelope, Event, HoldTtl, HotState, Item, Items,
    Line, Machine, Order, Outcome, Price, Product, ProductUpdate, Quantity, Refusal, Reply,
    Requester, Seq, Settlement, Terms, codec,
};

/// Holds the value against the bytes in both directions.
fn check<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T, golden: &str) {
    let hex =
        codec::encode(value, u64::MAX).unwrap().iter().fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").unwrap();
            hex
        });
    let digit = |at: usize| u8::from_str_radix(&golden[at..at + 2], 16).unwrap();
    assert_eq!(hex, golden, "encoding of {value:?}");
    let bytes: Vec<u8> = (0..golden.len()).step_by(2).map(digit).collect();
    assert_eq!(codec::decode::<T>(&bytes, bytes.len() as u64).unwrap(), *value);
    assert_eq!(codec::encoded_len(value), bytes.len() as u64);
}

fn units(units: u64) -> Quantity {
    Quantity::new(units).unwrap()
}

fn terms(per_user_limit: Option<Quantity>) -> Terms {
    Terms { per_user_limit, ..Terms::plain("tee".parse().unwrap(), "Tee ü", 300) }
}

/// Terms that only the second layout can say.
fn sale_terms() -> Terms {
    Terms {
        price: Some(Price { minor_units: 1_999, currency: "EUR".parse().unwrap() }),
        starts_at_ms: Some(1_763_715_600_000),
        ends_at_ms: Some(1_763_719_200_000),
        hold_ttl: HoldTtl::from_ms(90_000).unwrap(),
        ..terms(Some(units(2)))
    }
}

fn product() -> Product {
    let terms = terms(Some(units(2)));
    Product { terms, stocked: 300, available: 250, held: 7, sold: 43, seq: Seq(70_000) }
}

fn operator(key: &str, command: Command) -> Envelope {
    let (requester, attempt) = (Requester::Operator, Attempt::First);
    Envelope { requester, request_id: key.parse().unwrap(), attempt, command }
}

fn buyer(user: &str, key: &str, attempt: Attempt, command: Command) -> Envelope {
    let requester = Requester::User(user.parse().unwrap());
    Envelope { requester, request_id: key.parse().unwrap(), attempt, command }
}

fn buy(quantity: u64) -> Command {
    Command::Buy { sku: "tee".parse().unwrap(), quantity: units(quantity) }
}

fn restock(quantity: i64) -> Command {
    Command::Restock { sku: "tee".parse().unwrap(), quantity }
}

fn items() -> Items {
    let item = |sku: &str, quantity| Item { sku: sku.parse().unwrap(), quantity: units(quantity) };
    Items::new(vec![item("tee", 2), item("cap", 1)]).unwrap()
}

fn lines() -> Vec<Line> {
    let line = |item: &Item| Line { sku: item.sku.clone(), quantity: item.quantity, available: 9 };
    items().as_slice().iter().map(line).collect()
}
