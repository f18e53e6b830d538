//! What every workload must do: sell out again and again, ask for all it says, obey its seed.

use super::*;
use crate::recorder::UserNo;
use rand::SeedableRng;
use std::time::Duration;

/// No hold comes near its deadline in a test.
const LONG: Duration = Duration::from_secs(3600);

const MANY: usize = 50_000;

/// Units added for each unit asked for, over so many operations.
fn supply(kind: Kind, seed: u64, operations: usize) -> (f64, Vec<Asked>) {
    let workload = kind.build();
    let opening = u32::try_from(workload.opening().len()).unwrap();
    let shelf = Shelf::new(opening, workload.later_products());
    let mut rng = SmallRng::seed_from_u64(seed);
    let (mut supplied, mut demanded) = (0_f64, 0_f64);
    let (mut asked, mut changes) = (Vec::new(), 0);
    for _ in 0..operations {
        let next = workload.next(&mut rng, &shelf);
        match next {
            Asked::Restock { quantity, .. } => supplied += f64::from(quantity),
            Asked::Buy { quantity, .. } => demanded += f64::from(quantity),
            Asked::Create { stock, .. } => supplied += f64::from(stock),
            Asked::Hold { product, user, quantity, .. } => {
                demanded += f64::from(quantity);
                changes += 1;
                shelf.held(KnownHold { product, user, hold: Seq(changes) }, LONG);
            }
            Asked::Confirm { .. } | Asked::Release { .. } | Asked::Read { .. } => {}
            Asked::Expire { .. } => panic!("nobody asks for an expiry"),
        }
        // The hot product sells out at once here.
        shelf.told(next.product(), 0);
        asked.push(next);
    }
    (supplied / demanded, asked)
}

#[test]
fn products_sell_out_and_are_restocked_again() {
    for kind in Kind::ALL {
        let (supply, _) = supply(kind, 1, MANY);
        assert!((0.05..0.95).contains(&supply), "{kind}: {supply} units for each one asked for");
    }
}

#[test]
fn every_function_is_asked_for() {
    for kind in Kind::ALL {
        let (_, asked) = supply(kind, 2, MANY);
        for function in Function::ALL {
            let is_listed = kind.build().functions().contains(&function);
            let is_asked = asked.iter().any(|asked| asked.function() == function);
            let name = function.name();
            match function {
                // Nobody asks for it; it follows from holds.
                Function::Expire => assert_eq!(is_listed, kind.asks_holds(), "{kind}"),
                _ => assert_eq!(is_listed, is_asked, "{kind}: {name}"),
            }
        }
    }
}

/// A run counts only if a product was put on sale while it went on, so no run may be too short.
#[test]
fn products_come_later_soon() {
    for seed in 0..200 {
        let (_, asked) = supply(Kind::Mixed, seed, 1000);
        let creates = asked.iter().filter(|asked| asked.function() == Function::Create).count();
        assert!(creates >= 4, "seed {seed}: {creates}");
    }
}

#[test]
fn of_three_holds_one_is_settled_now_one_at_its_deadline_and_one_never() {
    let (shelf, mut rng) = (Shelf::new(1, 0), SmallRng::seed_from_u64(5));
    let hold = |id| KnownHold { product: ProductNo(0), user: UserNo(0), hold: Seq(id) };
    let settled = |shelf: &Shelf, rng: &mut SmallRng| {
        let all = std::iter::from_fn(|| shelf.any_hold(rng)).map(|known| known.hold.0);
        all.collect::<std::collections::BTreeSet<u64>>()
    };
    (1..=9).for_each(|id| shelf.held(hold(id), LONG));
    assert_eq!(settled(&shelf, &mut rng), [1, 4, 7].into());
    let shelf = Shelf::new(1, 0);
    (1..=9).for_each(|id| shelf.held(hold(id), Duration::ZERO));
    assert_eq!(settled(&shelf, &mut rng), [1, 3, 4, 6, 7, 9].into());
}

#[test]
fn a_seed_chooses_the_same_again() {
    for kind in Kind::ALL {
        assert_eq!(supply(kind, 3, MANY).1, supply(kind, 3, MANY).1);
        assert_ne!(supply(kind, 3, MANY).1, supply(kind, 4, MANY).1);
    }
}

#[test]
fn names_are_parsed_back_and_wrong_ones_listed() {
    for kind in Kind::ALL {
        assert_eq!(kind.name().parse(), Ok(kind));
    }
    let error = "bye".parse::<Kind>().unwrap_err();
    assert!(Kind::ALL.iter().all(|kind| error.contains(kind.name())), "{error}");
}
