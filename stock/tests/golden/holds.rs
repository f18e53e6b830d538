//! What came with holds, baskets and cancelled orders, under the first rules.

use super::*;

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
