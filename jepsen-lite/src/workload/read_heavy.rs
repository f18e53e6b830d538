//! Four reads of five: a stale read has the most chances to be seen.

use super::{Mix, OnSale, Shelf, Workload};
use crate::recorder::Asked;
use rand::rngs::SmallRng;

const MIX: Mix = Mix { reads: 800, restocks: 15, holds: 0, settles: 0, restocked_max: 30 };

#[derive(Debug)]
pub(super) struct ReadHeavy;

impl Workload for ReadHeavy {
    fn opening(&self) -> Vec<OnSale> {
        [None, None, Some(4)].map(|limit| OnSale { stock: 20, limit }).into()
    }

    fn next(&self, rng: &mut SmallRng, hints: &Shelf) -> Asked {
        MIX.next(rng, hints)
    }
}
