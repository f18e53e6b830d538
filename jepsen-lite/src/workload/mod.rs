//! What the clients ask: one file a workload, chosen from by a seeded generator.
//!
//! Owns: the choice of the next operation. Never does: IO; whether and when it is asked is `run`'s.
//!
//! Every workload takes its products through many cycles of selling out and being restocked: a
//! stale count, a false "sold out" or a unit sold twice shows only around the last units.

mod buy;
mod hold;
mod hot_product;
mod mixed;
mod read_heavy;
mod shelf;

pub use shelf::{KnownHold, Shelf};

use crate::recorder::{Asked, Function, ProductNo};
use rand::Rng;
use rand::rngs::SmallRng;
use std::fmt;
use stock::Seq;

/// A workload, as `--workload` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Many buyers for few units.
    Buy,
    /// Reservations: held, confirmed, released, run out.
    Hold,
    /// Everything, products that come later included.
    Mixed,
    /// Mostly reads.
    ReadHeavy,
    /// One product that everybody wants.
    HotProduct,
}

impl Kind {
    /// Every workload, in the order of the help text.
    pub const ALL: [Self; 5] =
        [Self::Buy, Self::Hold, Self::Mixed, Self::ReadHeavy, Self::HotProduct];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Buy => "buy",
            Self::Hold => "hold",
            Self::Mixed => "mixed",
            Self::ReadHeavy => "read-heavy",
            Self::HotProduct => "hot-product",
        }
    }

    /// One line on what it does.
    pub fn about(self) -> &'static str {
        match self {
            Self::Buy => "many buyers for few units of six products, two of them with a limit",
            Self::Hold => "holds of two products: confirmed, released, run out, or settled twice",
            Self::Mixed => "buys, holds, restocks, reads, and products that go on sale later",
            Self::ReadHeavy => "four reads of five, between buys and restocks",
            Self::HotProduct => "one product, wanted by all until sold out, restocked, again",
        }
    }

    /// Whether it asks for holds.
    pub fn asks_holds(self) -> bool {
        self.build().functions().contains(&Function::Hold)
    }

    /// The workload itself.
    pub fn build(self) -> Box<dyn Workload> {
        match self {
            Self::Buy => Box::new(buy::Buy),
            Self::Hold => Box::new(hold::Hold),
            Self::Mixed => Box::new(mixed::Mixed),
            Self::ReadHeavy => Box::new(read_heavy::ReadHeavy),
            Self::HotProduct => Box::new(hot_product::HotProduct),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|kind| kind.name() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("{text:?} is not a workload; use one of {names}")
        })
    }
}

/// Decides what is asked next.
pub trait Workload: fmt::Debug + Send + Sync {
    /// Products on sale before anything else is asked, the first one number 0.
    fn opening(&self) -> Vec<OnSale>;

    /// How many products go on sale while it runs.
    fn later_products(&self) -> u32 {
        0
    }

    /// What it asks over time; each must succeed at least once for a run to count. That the
    /// opening puts products on sale is not of it: without them no buy succeeds.
    fn functions(&self) -> &'static [Function] {
        &[Function::Restock, Function::Buy, Function::Read]
    }

    /// The next operation of some process.
    fn next(&self, rng: &mut SmallRng, hints: &Shelf) -> Asked;
}

/// The terms of a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OnSale {
    /// Units at first.
    pub stock: u32,
    /// The most units that one user may buy.
    pub limit: Option<u32>,
}

/// How a workload divides its operations, in parts of a thousand; the rest are buys.
#[derive(Debug, Clone, Copy)]
struct Mix {
    reads: u32,
    restocks: u32,
    holds: u32,
    /// Confirms, and half as many releases.
    settles: u32,
    /// The most units that a restock adds.
    restocked_max: i32,
}

/// The most units of one buy.
const UNITS_MAX: u32 = 3;
/// The most units that a restock takes back.
const TAKEN_BACK_MAX: i32 = 5;
/// One restock of this many takes units back instead.
const TAKES_BACK_ONE_IN: u32 = 10;
/// How long a hold lasts, from the shortest that there is to what a short run sees the end of.
const TTL_MS: std::ops::RangeInclusive<u32> = 1000..=2500;
/// One settling of this many is of a hold that never was.
const NO_HOLD_ONE_IN: u32 = 100;
/// The first change put a product on sale, so there is no such hold.
const NO_HOLD: Seq = Seq(1);

impl Mix {
    fn next(self, rng: &mut SmallRng, hints: &Shelf) -> Asked {
        let product = hints.any_product(rng);
        let choice = rng.random_range(0..1000);
        if choice < self.reads {
            Asked::Read { product }
        } else if choice < self.reads + self.restocks {
            restock(rng, product, self.restocked_max)
        } else if choice < self.reads + self.restocks + self.holds {
            hold(rng, hints, product)
        } else if choice < self.reads + self.restocks + self.holds + self.settles {
            settle(rng, hints, product)
        } else {
            buy(rng, hints, product)
        }
    }
}

fn restock(rng: &mut SmallRng, product: ProductNo, most: i32) -> Asked {
    let quantity = if rng.random_ratio(1, TAKES_BACK_ONE_IN) {
        -rng.random_range(1..=TAKEN_BACK_MAX)
    } else {
        rng.random_range(1..=most)
    };
    Asked::Restock { product, quantity }
}

fn hold(rng: &mut SmallRng, hints: &Shelf, product: ProductNo) -> Asked {
    let (quantity, ttl_ms) = (rng.random_range(1..=UNITS_MAX), rng.random_range(TTL_MS));
    Asked::Hold { product, user: hints.any_user(rng), quantity, ttl_ms }
}

/// Confirms or releases some hold; makes one when none is known.
fn settle(rng: &mut SmallRng, hints: &Shelf, product: ProductNo) -> Asked {
    let KnownHold { product, user, hold } = if rng.random_ratio(1, NO_HOLD_ONE_IN) {
        KnownHold { product, user: hints.any_user(rng), hold: NO_HOLD }
    } else {
        let Some(known) = hints.any_hold(rng) else { return self::hold(rng, hints, product) };
        known
    };
    if rng.random_ratio(2, 3) {
        Asked::Confirm { product, user, hold }
    } else {
        Asked::Release { product, user, hold }
    }
}

fn buy(rng: &mut SmallRng, hints: &Shelf, product: ProductNo) -> Asked {
    Asked::Buy { product, user: hints.any_user(rng), quantity: rng.random_range(1..=UNITS_MAX) }
}

#[cfg(test)]
mod tests;
