//! Everything at once: buys, holds, restocks, reads, and products that go on sale while it runs, so
//! that some are asked for before they exist.

use super::{Mix, OnSale, Shelf, Workload};
use crate::recorder::{Asked, Function};
use rand::Rng;
use rand::rngs::SmallRng;

const MIX: Mix = Mix { reads: 300, restocks: 35, holds: 100, settles: 100, restocked_max: 30 };
/// One operation of this many puts another product on sale, while there is room.
const CREATES_ONE_IN: u32 = 400;
/// The first of them come sooner: even a short run on a slow machine must see one succeed.
const FIRST_CREATES_ONE_IN: u32 = 40;
const FIRST: u32 = 4;
const LATER: u32 = 24;
const OPENING: [Option<u32>; 5] = [None, None, None, Some(2), Some(6)];

#[derive(Debug)]
pub(super) struct Mixed;

impl Workload for Mixed {
    fn opening(&self) -> Vec<OnSale> {
        OPENING.map(|limit| OnSale { stock: 15, limit }).into()
    }

    fn later_products(&self) -> u32 {
        LATER
    }

    fn functions(&self) -> &'static [Function] {
        &Function::ALL
    }

    fn next(&self, rng: &mut SmallRng, hints: &Shelf) -> Asked {
        let is_early = hints.products() < OPENING.len() as u32 + FIRST;
        let one_in = if is_early { FIRST_CREATES_ONE_IN } else { CREATES_ONE_IN };
        if rng.random_ratio(1, one_in)
            && let Some(product) = hints.add_product()
        {
            let limit = rng.random_ratio(1, 4).then_some(4);
            return Asked::Create { product, stock: rng.random_range(0..=30), limit };
        }
        MIX.next(rng, hints)
    }
}
