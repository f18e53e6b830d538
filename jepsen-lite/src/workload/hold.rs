//! Reservations. No client here asks for holds yet, so that a run of this workload asks for nothing
//! and is `unknown` with that reason. What holds mean is checked on synthetic histories until then.

use super::{Mix, OnSale, Shelf, Workload};
use crate::recorder::Asked;
use rand::rngs::SmallRng;

const MIX: Mix = Mix { reads: 200, restocks: 40, restocked_max: 40 };

#[derive(Debug)]
pub(super) struct Hold;

impl Workload for Hold {
    fn opening(&self) -> Vec<OnSale> {
        [None, Some(4)].map(|limit| OnSale { stock: 20, limit }).into()
    }

    fn next(&self, rng: &mut SmallRng, hints: &Shelf) -> Asked {
        MIX.next(rng, hints)
    }
}
