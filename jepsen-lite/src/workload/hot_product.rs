//! One product that everybody wants, until it is sold out; then a restock, and again.

use super::{OnSale, Shelf, Workload, buy};
use crate::recorder::{Asked, ProductNo};
use rand::Rng;
use rand::rngs::SmallRng;

const HOT: ProductNo = ProductNo(0);
/// One operation of this many reads.
const READS_ONE_IN: u32 = 6;
/// Once it seems sold out, one operation of this many restocks.
const RESTOCKS_ONE_IN: u32 = 100;

#[derive(Debug)]
pub(super) struct HotProduct;

impl Workload for HotProduct {
    fn opening(&self) -> Vec<OnSale> {
        vec![OnSale { stock: 200, limit: None }]
    }

    fn next(&self, rng: &mut SmallRng, hints: &Shelf) -> Asked {
        if hints.remaining(HOT) == Some(0) && rng.random_ratio(1, RESTOCKS_ONE_IN) {
            return Asked::Restock { product: HOT, quantity: rng.random_range(20..=200) };
        }
        if rng.random_ratio(1, READS_ONE_IN) {
            Asked::Read { product: HOT }
        } else {
            buy(rng, hints, HOT)
        }
    }
}
