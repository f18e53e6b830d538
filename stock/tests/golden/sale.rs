//! What the first build wrote, and the terms of a complete sale.

use super::*;

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
