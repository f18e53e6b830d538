//! The bytes that older builds wrote into logs, segments and snapshots, and sent to their peers.
//!
//! A failure here means that a running cluster could not be upgraded. Never change a line of hex:
//! append variants and fields, and lines for them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

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

#[test]
fn commands() {
    check(&Command::CreateProduct(Box::new(terms(None))), "00037465650654656520c3bcfb2c0100");
    check(
        &Command::CreateProduct(Box::new(terms(Some(units(1_000_000))))),
        "00037465650654656520c3bcfb2c0101fc40420f00",
    );
    check(&restock(64), "010374656580");
    check(&restock(-1), "010374656501");
    check(&restock(i64::MIN), "0103746565fdffffffffffffffff");
    check(&buy(1), "020374656501");
    check(&buy(70_000), "0203746565fc70110100");
    check(
        &Command::CreateProduct(Box::new(sale_terms())),
        "000002037465650654656520c3bcfb2c01010201fbcf070345555201fd804ea4a59a01000001fd00\
         3ddba59a010000fc905f0100",
    );
    let hold_ttl = HoldTtl::from_ms(1_000).unwrap();
    check(
        &Command::CreateProduct(Box::new(Terms { hold_ttl, ..terms(None) })),
        "000002037465650654656520c3bcfb2c0100000000fbe803",
    );
    let update = ProductUpdate::of("tee".parse().unwrap());
    check(&Command::UpdateProduct(Box::new(update.clone())), "030374656500000000000000");
    let update = ProductUpdate {
        if_match: Some(Seq(7)),
        name: Some("Tee".into()),
        per_user_limit: Edit::Set(units(2)),
        price: Edit::Set(sale_terms().price.unwrap()),
        starts_at_ms: Edit::Clear,
        ends_at_ms: Edit::Set(1_763_719_200_000),
        hold_ttl: Some(hold_ttl),
        ..update
    };
    check(
        &Command::UpdateProduct(Box::new(update)),
        "030374656501070103546565020202fbcf07034555520102fd003ddba59a01000001fbe803",
    );
}

fn items() -> Items {
    let item = |sku: &str, quantity| Item { sku: sku.parse().unwrap(), quantity: units(quantity) };
    Items::new(vec![item("tee", 2), item("cap", 1)]).unwrap()
}

fn lines() -> Vec<Line> {
    let line = |item: &Item| Line { sku: item.sku.clone(), quantity: item.quantity, available: 9 };
    items().as_slice().iter().map(line).collect()
}

#[test]
fn commands_of_holds_and_baskets() {
    let ttl = HoldTtl::from_ms(1_000).unwrap();
    check(&Command::Hold { items: items(), ttl: None }, "04020363617001037465650200");
    check(&Command::Hold { items: items(), ttl: Some(ttl) }, "04020363617001037465650201fbe803");
    check(&Command::Confirm { hold: Seq(251) }, "05fbfb00");
    check(&Command::Release { hold: Seq(251) }, "06fbfb00");
    check(&Command::BuyBasket { items: items() }, "070203636170010374656502");
    let cancel = |hold| Cancel {
        order: Seq(251),
        user: "ann".parse().unwrap(),
        request_id: "a1".parse().unwrap(),
        items: items(),
        hold,
    };
    check(
        &Command::Cancel(Box::new(cancel(None))),
        "08fbfb0003616e6e026131020363617001037465650200",
    );
    check(
        &Command::Cancel(Box::new(cancel(Some(Seq(7))))),
        "08fbfb0003616e6e02613102036361700103746565020107",
    );
}

#[test]
fn events_of_holds_and_baskets() {
    let event = |change| Event { seq: Seq(251), at_ms: 1_763_715_600_123, change };
    let user = || "ann".parse().unwrap();
    let request_id = || "a1".parse().unwrap();
    let (hold, order) = (Seq(9), Seq(8));
    let expires_at_ms = 1_763_716_200_123;
    let set_aside =
        Change::Held { user: user(), request_id: request_id(), expires_at_ms, lines: lines() };
    check(
        &event(set_aside),
        "fbfb00fdfb4ea4a59a0100000403616e6e026131fdbb76ada59a0100000203636170010903746565\
         0209",
    );
    let confirmed =
        Change::Confirmed { hold, user: user(), request_id: request_id(), lines: lines() };
    check(
        &event(confirmed),
        "fbfb00fdfb4ea4a59a010000050903616e6e02613102036361700109037465650209",
    );
    check(
        &event(Change::Released { hold, user: user(), lines: lines() }),
        "fbfb00fdfb4ea4a59a010000060903616e6e02036361700109037465650209",
    );
    check(
        &event(Change::Expired { hold, user: user(), lines: lines() }),
        "fbfb00fdfb4ea4a59a010000070903616e6e02036361700109037465650209",
    );
    let basket = Change::BasketOrdered { user: user(), request_id: request_id(), lines: lines() };
    check(&event(basket), "fbfb00fdfb4ea4a59a0100000803616e6e02613102036361700109037465650209");
    for (hold, golden) in [
        (None, "fbfb00fdfb4ea4a59a010000090803616e6e0002036361700109037465650209"),
        (Some(hold), "fbfb00fdfb4ea4a59a010000090803616e6e010902036361700109037465650209"),
    ] {
        check(&event(Change::Cancelled { order, user: user(), hold, lines: lines() }), golden);
    }
}

#[test]
fn replies_of_holds_and_baskets() {
    let reply = |outcome| Reply { seq: Seq(251), replayed: false, outcome };
    check(
        &reply(Outcome::Held { expires_at_ms: 1_763_716_200_123, lines: lines() }),
        "fbfb000007fdbb76ada59a01000002036361700109037465650209",
    );
    check(&reply(Outcome::Confirmed { lines: lines() }), "fbfb00000802036361700109037465650209");
    check(&reply(Outcome::Released { lines: lines() }), "fbfb00000902036361700109037465650209");
    check(&reply(Outcome::BasketBought { lines: lines() }), "fbfb00000a02036361700109037465650209");
    check(&reply(Outcome::Cancelled { lines: lines() }), "fbfb00000b02036361700109037465650209");
    let refused = |refusal| reply(Outcome::Refused(refusal));
    check(&refused(Refusal::UnknownHold), "fbfb0000050c");
    let confirmed = Settlement::Confirmed { order: Seq(9) };
    check(&refused(Refusal::HoldSettled { settlement: confirmed }), "fbfb0000050d0009");
    let released = Settlement::Released { seq: Seq(9) };
    check(&refused(Refusal::HoldSettled { settlement: released }), "fbfb0000050d0109");
    check(&refused(Refusal::HoldExpired { seq: Seq(9) }), "fbfb0000050e09");
    check(&refused(Refusal::TooManyUserHolds), "fbfb0000050f");
    check(&refused(Refusal::TooManyHolds), "fbfb00000510");
    let of_item =
        Refusal::OfItem { sku: "cap".parse().unwrap(), refusal: Box::new(Refusal::SoldOut) };
    check(&refused(of_item), "fbfb000005110363617002");
    check(&refused(Refusal::UnknownOrder), "fbfb00000512");
    check(&refused(Refusal::AlreadyCancelled), "fbfb00000513");
}

/// Open and ended holds, a cancelled order, and a product that sold out before its last change.
#[test]
fn hot_state_of_holds() {
    let mut machine = Machine::new();
    let at = |stamp_ms, commands| Batch { stamp_ms, commands };
    let hold = |quantity, ttl_ms| Command::Hold {
        items: Items::one("tee".parse().unwrap(), units(quantity)),
        ttl: Some(HoldTtl::from_ms(ttl_ms).unwrap()),
    };
    machine.apply(&at(
        1_000,
        vec![
            operator("c1", Command::CreateProduct(Box::new(terms(None)))),
            buyer("ann", "h1", Attempt::First, hold(100, 5_000)),
            buyer("ann", "h2", Attempt::First, hold(100, 1_000)),
            buyer("bob", "h1", Attempt::First, hold(50, 9_000)),
            buyer("bob", "b1", Attempt::First, buy(50)),
            buyer("ann", "o1", Attempt::First, Command::Confirm { hold: Seq(2) }),
        ],
    ));
    let cancel = Cancel {
        order: Seq(6),
        user: "ann".parse().unwrap(),
        request_id: "o1".parse().unwrap(),
        items: Items::one("tee".parse().unwrap(), units(100)),
        hold: Some(Seq(2)),
    };
    assert_eq!(machine.sold_out_since(&"tee".parse().unwrap()), Some(Seq(5)));
    check(
        &machine.hot_state(),
        "06fbe803fe97000bc70d5436d205cc8f82d2fbe91d01037465650654656520c3bcfb2c0100fb2c01\
         0096960604fea4acdfbd8bfb9a1adc93379e1dddc99afbe803fc39cf90ef01010003746565065465\
         6520c3bcfb2c0100fb2c01fb2c01000001fe2ce3e6bc2b9b4b0d8cd458d0241e56defbe803fc5fea\
         8abc020107fb7017010374656564c8fef93910c1b9ac3aa07dc7833cab88cb1bfbe803fca6c29058\
         030107fbd00701037465656464feb217fe70f0be0ced85a7ffe17cf5644afbe803fcdc1ec7690401\
         07fb102701037465653232",
    );
    machine.apply(&at(
        2_000,
        vec![
            buyer("ann", "r1", Attempt::First, Command::Cancel(Box::new(cancel))),
            buyer("bob", "r1", Attempt::First, Command::Release { hold: Seq(4) }),
        ],
    ));
    assert_eq!(machine.seq(), Seq(9));
    check(
        &machine.hot_state(),
        "09fbd007fe963e1c9a04fbaf33a88784f5b9aea34401037465650654656520c3bcfb2c0100fb2c01\
         fa00320906fea4acdfbd8bfb9a1adc93379e1dddc99afbe803fc39cf90ef01010003746565065465\
         6520c3bcfb2c0100fb2c01fb2c01000001fe2ce3e6bc2b9b4b0d8cd458d0241e56defbe803fc5fea\
         8abc020107fb7017010374656564c8fef93910c1b9ac3aa07dc7833cab88cb1bfbe803fca6c29058\
         030107fbd00701037465656464feb217fe70f0be0ced85a7ffe17cf5644afbe803fcdc1ec7690401\
         07fb102701037465653232fe6bb59537505a499c2c62659e1135fb07fbd007fcbe2290f108010b01\
         0374656564c8fee6988a0343742f3092d52805864944eefbd007fc6fa2f6cd090109010374656532\
         fa",
    );
}

#[test]
fn batches() {
    check(&operator("r1", restock(5)), "000272310001037465650a");
    check(&buyer("ann", "a1", Attempt::First, buy(1)), "0103616e6e02613100020374656501");
    check(&buyer("ann", "a1", Attempt::Later, buy(1)), "0103616e6e02613101020374656501");
    check(&Batch { stamp_ms: 0, commands: Vec::new() }, "0000");
    let commands = vec![
        operator("c1", Command::CreateProduct(Box::new(terms(Some(units(2)))))),
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
        &event(Change::ProductCreated(Box::new(terms(Some(units(2)))))),
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
    check(
        &event(Change::ProductCreated(Box::new(sale_terms()))),
        "fbfb00fdfb4ea4a59a010000000002037465650654656520c3bcfb2c01010201fbcf070345555201\
         fd804ea4a59a01000001fd003ddba59a010000fc905f0100",
    );
    check(
        &event(Change::ProductUpdated(Box::new(sale_terms()))),
        "fbfb00fdfb4ea4a59a010000030002037465650654656520c3bcfb2c01010201fbcf070345555201\
         fd804ea4a59a01000001fd003ddba59a010000fc905f0100",
    );
    check(
        &event(Change::ProductUpdated(Box::new(terms(None)))),
        "fbfb00fdfb4ea4a59a01000003037465650654656520c3bcfb2c0100",
    );
}

#[test]
fn replies() {
    let reply = |outcome| Reply { seq: Seq(251), replayed: false, outcome };
    check(
        &reply(Outcome::ProductCreated(Box::new(product()))),
        "fbfb000000037465650654656520c3bcfb2c010102fb2c01fa072bfc70110100",
    );
    check(
        &reply(Outcome::ProductUnchanged(Box::new(product()))),
        "fbfb000001037465650654656520c3bcfb2c010102fb2c01fa072bfc70110100",
    );
    check(
        &reply(Outcome::Restocked(Box::new(product()))),
        "fbfb000002037465650654656520c3bcfb2c010102fb2c01fa072bfc70110100",
    );
    check(&reply(Outcome::Bought { remaining: 250 }), "fbfb000003fa");
    check(&reply(Outcome::BoughtBefore { order: Seq(3) }), "fbfb00000403");
    check(
        &reply(Outcome::ProductUpdated(Box::new(product()))),
        "fbfb000006037465650654656520c3bcfb2c010102fb2c01fa072bfc70110100",
    );
    let sale = Product { terms: sale_terms(), ..product() };
    check(
        &reply(Outcome::ProductUpdated(Box::new(sale))),
        "fbfb0000060002037465650654656520c3bcfb2c01010201fbcf070345555201fd804ea4a59a0100\
         0001fd003ddba59a010000fc905f0100fb2c01fa072bfc70110100",
    );
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
    check(&refused(Refusal::NotOpen { starts_at_ms: 9 }), "0001050809");
    check(&refused(Refusal::SaleOver { ends_at_ms: 9 }), "0001050909");
    check(&refused(Refusal::VersionDiffers { seq: Seq(9) }), "0001050a09");
    check(&refused(Refusal::EmptyWindow { starts_at_ms: 9, ends_at_ms: 8 }), "0001050b0908");
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
            operator("c1", Command::CreateProduct(Box::new(terms(Some(units(2)))))),
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

/// A state with everything that the first build did not know.
#[test]
fn hot_state_of_a_complete_sale() {
    let mut machine = Machine::new();
    let limit = |per_user_limit| {
        let update = ProductUpdate::of("tee".parse().unwrap());
        Command::UpdateProduct(Box::new(ProductUpdate { per_user_limit, ..update }))
    };
    machine.apply(&Batch {
        stamp_ms: 1_763_715_600_123,
        commands: vec![
            operator("c1", Command::CreateProduct(Box::new(sale_terms()))),
            operator("u1", limit(Edit::Clear)),
            operator("u2", limit(Edit::Set(units(3)))),
            buyer("ann", "a1", Attempt::First, buy(2)),
        ],
    });
    let hot: HotState = machine.hot_state();
    assert_eq!(hot.seq, Seq(4));
    check(
        &hot,
        "04fdfb4ea4a59a010000fe71dd45b14930c9d9c7998b36711fe5e9010002037465650654656520c3\
         bcfb2c01010301fbcf070345555201fd804ea4a59a01000001fd003ddba59a010000fc905f0100fb\
         2c01fb2a0100020403fea4acdfbd8bfb9a1adc93379e1dddc99afdfb4ea4a59a010000fcfd48fd41\
         0101000002037465650654656520c3bcfb2c01010201fbcf070345555201fd804ea4a59a01000001\
         fd003ddba59a010000fc905f0100fb2c01fb2c01000001fe087835ce8639b69d4a030661f78d7bba\
         fdfb4ea4a59a010000fc91854a7f0201060002037465650654656520c3bcfb2c010001fbcf070345\
         555201fd804ea4a59a01000001fd003ddba59a010000fc905f0100fb2c01fb2c01000002fef39552\
         15f27b3d6ec9d627f1aa5b86b3fdfb4ea4a59a010000fce157c51a03010600020374656506546565\
         20c3bcfb2c01010301fbcf070345555201fd804ea4a59a01000001fd003ddba59a010000fc905f01\
         00fb2c01fb2c01000003",
    );
}
