//! Reservations of two products: made for some seconds, then confirmed, released, or left to run
//! out; some are settled around their deadline, and some twice. A few buys come in between.

use super::{Mix, OnSale, Shelf, Workload};
use crate::recorder::{Asked, Function};
use rand::rngs::SmallRng;

const MIX: Mix = Mix { reads: 200, restocks: 40, holds: 350, settles: 350, restocked_max: 8 };

#[derive(Debug)]
pub(super) struct Hold;

impl Workload for Hold {
    fn opening(&self) -> Vec<OnSale> {
        [None, Some(4)].map(|limit| OnSale { stock: 20, limit }).into()
    }

    fn functions(&self) -> &'static [Function] {
        &[
            Function::Restock,
            Function::Buy,
            Function::Hold,
            Function::Confirm,
            Function::Release,
            Function::Expire,
            Function::Read,
        ]
    }

    fn next(&self, rng: &mut SmallRng, hints: &Shelf) -> Asked {
        MIX.next(rng, hints)
    }
}
