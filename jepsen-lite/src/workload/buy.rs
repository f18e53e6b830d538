//! Many buyers for few units: six products, two of them with a limit for each user.

use super::{Mix, OnSale, Shelf, Workload};
use crate::recorder::Asked;
use rand::rngs::SmallRng;

/// Buys ask for twice as many units as restocks bring.
const MIX: Mix = Mix { reads: 180, restocks: 40, holds: 0, settles: 0, restocked_max: 40 };

#[derive(Debug)]
pub(super) struct Buy;

impl Workload for Buy {
    fn opening(&self) -> Vec<OnSale> {
        let limits = [None, None, None, None, Some(3), Some(5)];
        limits.map(|limit| OnSale { stock: 20, limit }).into()
    }

    fn next(&self, rng: &mut SmallRng, hints: &Shelf) -> Asked {
        MIX.next(rng, hints)
    }
}
