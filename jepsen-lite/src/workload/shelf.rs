//! What a workload knows of the cluster: how many products there are, which seem sold out, and
//! some holds.
//!
//! Owns: counts that steer the choice. They are hints from answers in whatever order these came
//! in, never something to judge by.

use crate::recorder::{ProductNo, UserNo};
use rand::Rng;
use rand::rngs::SmallRng;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use stock::Seq;

/// Buyers who are about at the same time.
const USERS_AT_ONCE: u32 = 40;
/// After this many choices of a buyer one leaves and a new one comes, so that limits are met by
/// some and far from others at any time of a run.
const CHOICES_PER_USER: u32 = 50;
/// No answer has told of the product.
const UNTOLD: u64 = u64::MAX;
/// The most holds known for each of the two ways to settle; the oldest are forgotten, and run out.
const HOLDS_MAX: usize = 256;
/// A hold that is settled around its deadline is so from at most this long before it.
const AROUND_MS: u64 = 100;

/// A hold that a client was told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownHold {
    /// The product.
    pub product: ProductNo,
    /// For whom.
    pub user: UserNo,
    /// Its id.
    pub hold: Seq,
}

#[derive(Debug, Default)]
struct Holds {
    /// To be settled at any time.
    soon: VecDeque<KnownHold>,
    /// To be settled around the deadline: from then on.
    late: VecDeque<(Instant, KnownHold)>,
}

/// Hints for workloads, shared by all workers.
#[derive(Debug)]
pub struct Shelf {
    remaining: Vec<AtomicU64>,
    products: AtomicU32,
    choices: AtomicU32,
    holds: Mutex<Holds>,
}

impl Shelf {
    /// A shelf with so many products, and room for later ones.
    pub fn new(opening: u32, later: u32) -> Self {
        Self {
            remaining: (0..opening + later).map(|_| AtomicU64::new(UNTOLD)).collect(),
            products: AtomicU32::new(opening),
            choices: AtomicU32::new(0),
            holds: Mutex::default(),
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

    /// Keeps a hold that lasts this long. Of three, one is for any time, one for about its
    /// deadline, and one is forgotten, so that it runs out.
    pub fn held(&self, known: KnownHold, ttl: Duration) {
        let mut holds = self.holds();
        match known.hold.0 % 3 {
            0 => {
                let early = Duration::from_millis(known.hold.0 % AROUND_MS);
                holds.late.push_back((Instant::now() + ttl.saturating_sub(early), known));
            }
            1 => holds.soon.push_back(known),
            _ => {}
        }
        if holds.late.len() > HOLDS_MAX {
            holds.late.pop_front();
        }
        if holds.soon.len() > HOLDS_MAX {
            holds.soon.pop_front();
        }
    }

    /// Some hold that is to be settled now. Half of them stay known, and are settled again.
    pub fn any_hold(&self, rng: &mut SmallRng) -> Option<KnownHold> {
        let mut holds = self.holds();
        if let Some(&(due, known)) = holds.late.front()
            && due <= Instant::now()
        {
            holds.late.pop_front();
            if rng.random() {
                holds.soon.push_back(known);
            }
            return Some(known);
        }
        if holds.soon.is_empty() {
            return None;
        }
        let at = rng.random_range(0..holds.soon.len());
        let known = holds.soon[at];
        if rng.random() {
            holds.soon.swap_remove_back(at);
        }
        Some(known)
    }

    fn holds(&self) -> MutexGuard<'_, Holds> {
        self.holds.lock().unwrap_or_else(PoisonError::into_inner)
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
