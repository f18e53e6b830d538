//! The bytes that older builds wrote into logs, segments and snapshots, and sent to their peers.
//!
//! A failure here means that a running cluster could not be upgraded. Never change a line of hex:
//! append variants and fields, and lines for them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde::{Serialize, de::DeserializeOwned};
use std::fmt::{Debug, Write as _};
use stock::{
    Attempt, Batch, Change, Command, CreateProduct, Envelope, Event, HotState, Machine, Order,
    Outcome, Product, Quantity, Refusal, Reply, Requester, Seq, codec,
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

fn terms(per_user_limit: Option<Quantity>) -> CreateProduct {
    let name = "Tee ü".to_owned();
    CreateProduct { sku: "tee".parse().unwrap(), name, stock: 300, per_user_limit }
}

fn product() -> Product {
    Product {
        terms: terms(Some(units(2))),
        stocked: 300,
        available: 250,
        held: 7,
        sold: 43,
        seq: Seq(70_000),
    }
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

#[test]
fn commands() {
    check(&Command::CreateProduct(terms(None)), "00037465650654656520c3bcfb2c0100");
    check(
        &Command::CreateProduct(terms(Some(units(1_000_000)))),
        "00037465650654656520c3bcfb2c0101fc40420f00",
    );
    check(&restock(64), "010374656580");
    check(&restock(-1), "010374656501");
    check(&restock(i64::MIN), "0103746565fdffffffffffffffff");
    check(&buy(1), "020374656501");
    check(&buy(70_000), "0203746565fc70110100");
}

#[test]
fn batches() {
    check(&operator("r1", restock(5)), "000272310001037465650a");
    check(&buyer("ann", "a1", Attempt::First, buy(1)), "0103616e6e02613100020374656501");
    check(&buyer("ann", "a1", Attempt::Later, buy(1)), "0103616e6e02613101020374656501");
    check(&Batch { stamp_ms: 0, commands: Vec::new() }, "0000");
    let commands = vec![
        operator("c1", Command::CreateProduct(terms(Some(units(2))))),
        buyer("ann", "a1", Attempt::Later, buy(2)),
    ];
    check(
        &Batch { stamp_ms: 1_763_715_600_123, commands },
        "fdfb4ea4a59a01000002000263310000037465650654656520c3bcfb2c0101020103616e6e026131\
         01020374656502",
    );
}

#[test]
fn events() {
    let event = |change| Event { seq: Seq(251), at_ms: 1_763_715_600_123, change };
    let sku = || "tee".parse().unwrap();
    check(
        &event(Change::ProductCreated(terms(Some(units(2))))),
        "fbfb00fdfb4ea4a59a01000000037465650654656520c3bcfb2c010102",
    );
    check(
        &event(Change::Restocked { sku: sku(), quantity: -5, available: 295 }),
        "fbfb00fdfb4ea4a59a010000010374656509fb2701",
    );
    let order = Order {
        sku: sku(),
        user: "ann".parse().unwrap(),
        request_id: "a1".parse().unwrap(),
        quantity: units(2),
        remaining: 293,
    };
    check(
        &event(Change::Ordered(order)),
        "fbfb00fdfb4ea4a59a010000020374656503616e6e02613102fb2501",
    );
}

#[test]
fn replies() {
    let reply = |outcome| Reply { seq: Seq(251), replayed: false, outcome };
    check(
        &reply(Outcome::ProductCreated(product())),
        "fbfb000000037465650654656520c3bcfb2c010102fb2c01fa072bfc70110100",
    );
    check(
        &reply(Outcome::ProductUnchanged(product())),
        "fbfb000001037465650654656520c3bcfb2c010102fb2c01fa072bfc70110100",
    );
    check(
        &reply(Outcome::Restocked(product())),
        "fbfb000002037465650654656520c3bcfb2c010102fb2c01fa072bfc70110100",
    );
    check(&reply(Outcome::Bought { remaining: 250 }), "fbfb000003fa");
    check(&reply(Outcome::BoughtBefore { order: Seq(3) }), "fbfb00000403");
    let replayed = |outcome| Reply { seq: Seq(0), replayed: true, outcome };
    let refused = |refusal| replayed(Outcome::Refused(refusal));
    check(&refused(Refusal::UnknownProduct), "00010500");
    check(&refused(Refusal::ProductDiffers), "00010501");
    check(&refused(Refusal::SoldOut), "00010502");
    check(&refused(Refusal::Insufficient { remaining: 9 }), "0001050309");
    check(&refused(Refusal::LimitReached { limit: units(2), bought: 1 }), "000105040201");
    check(&refused(Refusal::RestockOutOfRange { available: 9 }), "0001050509");
    check(&refused(Refusal::KeyReused), "00010506");
    check(&refused(Refusal::TooManyProducts), "00010507");
}

/// Also freezes the fingerprints, the body digests and the state hash: they stand in the hot
/// state, and nodes of mixed versions compare hashes.
#[test]
fn hot_state() {
    check(&Machine::new().hot_state(), "0000fe16a9e2bb2f894d3beddd35f07b50defa0000");
    let mut machine = Machine::new();
    machine.apply(&Batch {
        stamp_ms: 1_763_715_600_123,
        commands: vec![
            operator("c1", Command::CreateProduct(terms(Some(units(2))))),
            operator("r1", restock(5)),
            buyer("ann", "a1", Attempt::First, buy(2)),
            buyer("ann", "a2", Attempt::Later, buy(1)),
            buyer("bob", "a1", Attempt::Later, buy(1)),
        ],
    });
    let hot: HotState = machine.hot_state();
    assert_eq!(hot.seq, Seq(4));
    check(
        &hot,
        "04fdfb4ea4a59a010000fe5da15f082309e558e03153ebfd7cc7d701037465650654656520c3bcfb\
         2c010102fb3101fb2e0100030403fea4acdfbd8bfb9a1adc93379e1dddc99afdfb4ea4a59a010000\
         fc76c35cab010100037465650654656520c3bcfb2c010102fb2c01fb2c01000001fe3250335f1d08\
         720db2982eb85753b7d6fdfb4ea4a59a010000fcb41195ca020102037465650654656520c3bcfb2c\
         010102fb3101fb3101000002fe59b5f68633a3f5d89e3610d76567da6afdfb4ea4a59a010000fc4d\
         fa0c620300040202",
    );
    assert_eq!(format!("{:032x}", hot.state_hash), "d7c77cfdeb5331e058e50923085fa15d");
}
