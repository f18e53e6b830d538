//! What a workload knows of the cluster: how many products there are, and which seem sold out.
//!
//! Owns: counts that steer the choice. They are hints from answers in whatever order these came
//! in, never something to judge by.

use crate::recorder::{ProductNo, UserNo};
use rand::Rng;
use rand::rngs::SmallRng;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Buyers who are about at the same time.
const USERS_AT_ONCE: u32 = 40;
/// After this many choices of a buyer one leaves and a new one comes, so that limits are met by
/// some and far from others at any time of a run.
const CHOICES_PER_USER: u32 = 50;
/// No answer has told of the product.
const UNTOLD: u64 = u64::MAX;

/// Hints for workloads, shared by all workers.
#[derive(Debug)]
pub struct Shelf {
    remaining: Vec<AtomicU64>,
    products: AtomicU32,
    choices: AtomicU32,
}

impl Shelf {
    /// A shelf with so many products, and room for later ones.
    pub fn new(opening: u32, later: u32) -> Self {
        Self {
            remaining: (0..opening + later).map(|_| AtomicU64::new(UNTOLD)).collect(),
            products: AtomicU32::new(opening),
            choices: AtomicU32::new(0),
        }
    }

    /// Takes the number of the next product to put on sale, when there is room.
    pub fn add_product(&self) -> Option<ProductNo> {
        let most = u32::try_from(self.remaining.len()).unwrap_or(u32::MAX);
        let next = |products: u32| (products < most).then_some(products + 1);
        self.products.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).ok().map(ProductNo)
    }

    /// How many products were put, or are being put, on sale.
    pub fn products(&self) -> u32 {
        self.products.load(Ordering::Relaxed)
    }

    /// What the last answer told of a product.
    pub fn remaining(&self, product: ProductNo) -> Option<u64> {
        let told = self.remaining[product.0 as usize].load(Ordering::Relaxed);
        (told != UNTOLD).then_some(told)
    }

    /// Keeps what an answer told of a product.
    pub fn told(&self, product: ProductNo, remaining: u64) {
        self.remaining[product.0 as usize].store(remaining, Ordering::Relaxed);
    }

    /// Some product.
    pub fn any_product(&self, rng: &mut SmallRng) -> ProductNo {
        ProductNo(rng.random_range(0..self.products().max(1)))
    }

    /// Some buyer of those who are about.
    pub fn any_user(&self, rng: &mut SmallRng) -> UserNo {
        let first = self.choices.fetch_add(1, Ordering::Relaxed) / CHOICES_PER_USER;
        UserNo(first + rng.random_range(0..USERS_AT_ONCE))
    }
}
