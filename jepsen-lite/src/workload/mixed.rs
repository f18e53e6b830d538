//! Everything at once: buys, holds, restocks, reads, and products that go on sale while it runs, so
//! that some are asked for before they exist.

use super::{Mix, OnSale, Shelf, Workload};
use crate::recorder::{Asked, Function};
use rand::Rng;
use rand::rngs::SmallRng;

const MIX: Mix = Mix { reads: 300, restocks: 35, holds: 100, settles: 100, restocked_max: 30 };
/// One operation of this many puts another product on sale, while there is room.
const CREATES_ONE_IN: u32 = 400;
const LATER: u32 = 24;

#[derive(Debug)]
pub(super) struct Mixed;

impl Workload for Mixed {
    fn opening(&self) -> Vec<OnSale> {
        [None, None, None, Some(2), Some(6)].map(|limit| OnSale { stock: 15, limit }).into()
    }

    fn later_products(&self) -> u32 {
        LATER
    }

    fn functions(&self) -> &'static [Function] {
        &Function::ALL
    }

    fn next(&self, rng: &mut SmallRng, hints: &Shelf) -> Asked {
        if rng.random_ratio(1, CREATES_ONE_IN)
            && let Some(product) = hints.add_product()
        {
            let limit = rng.random_ratio(1, 4).then_some(4);
            return Asked::Create { product, stock: rng.random_range(0..=30), limit };
        }
        MIX.next(rng, hints)
    }
}
