//! Who of a storm's buyers buys at once, and who holds first: and then pays, changes their mind,
//! or walks away without a word.
//!
//! Owns: the shares, and whose part is which. It follows from the buyer's number alone, so that a
//! storm of so many buyers always has the same mix. Never does: IO.

use std::fmt;
use stock::HoldTtl;

/// A share of buyers, in whole percents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Share(u8);

impl Share {
    /// Nobody.
    pub const NONE: Self = Self(0);
    /// Everybody.
    pub const ALL: Self = Self(100);

    /// This many of a hundred; none beyond 100.
    pub fn percent(percent: u8) -> Option<Self> {
        (percent <= 100).then_some(Self(percent))
    }

    /// Both together; none beyond everybody.
    pub fn plus(self, other: Self) -> Option<Self> {
        Self::percent(self.0.saturating_add(other.0))
    }

    /// How many of the first `count` it is, rounded down.
    fn of(self, count: u64) -> u64 {
        // In two steps, so that no number of buyers overflows.
        count / 100 * u64::from(self.0) + count % 100 * u64::from(self.0) / 100
    }

    /// Whether the one with this number, from 0, is among them. They are spread evenly.
    fn has(self, number: u64) -> bool {
        self.of(number + 1) > self.of(number)
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

/// What the buyers of a storm do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mix {
    /// Of all buyers: those who hold first. The others buy at once.
    pub holds: Share,
    /// Of those who hold: those who walk away, so that their holds run out.
    pub abandon: Share,
    /// Of those who hold: those who give their holds up. All others confirm.
    pub release: Share,
    /// How long each hold lasts.
    pub ttl: HoldTtl,
}

impl Mix {
    /// Everybody buys at once.
    pub const BUYS: Self = Self {
        holds: Share::NONE,
        abandon: Share::NONE,
        release: Share::NONE,
        ttl: HoldTtl::DEFAULT,
    };

    /// What the buyer with this number, from 0, does.
    ///
    /// # Panics
    /// When more than all who hold abandon or release.
    pub fn part_of(&self, buyer: u64) -> Part {
        if !self.holds.has(buyer) {
            return Part::Buy;
        }
        let Some(unpaid) = self.abandon.plus(self.release) else {
            panic!("{} of holds and {} more cannot end so", self.abandon, self.release)
        };
        // Counted among those who hold, so that the shares are right whatever theirs is.
        let holder = self.holds.of(buyer);
        if !unpaid.has(holder) {
            return Part::Confirm;
        }
        // The so-manieth who does not pay; releases are spread evenly among them.
        let (number, share) = (unpaid.of(holder), u64::from(self.release.0));
        let releases = |number: u64| number * share / u64::from(unpaid.0);
        if releases(number + 1) > releases(number) { Part::Release } else { Part::Abandon }
    }
}

/// What one buyer does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Buys at once.
    Buy,
    /// Holds, then confirms.
    Confirm,
    /// Holds, then gives it up.
    Release,
    /// Holds, and is not seen again.
    Abandon,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn share(percent: u8) -> Share {
        Share::percent(percent).unwrap()
    }

    fn parts([holds, abandon, release]: [u8; 3], buyers: u64) -> BTreeMap<Part, u64> {
        let (holds, abandon, release) = (share(holds), share(abandon), share(release));
        let mix = Mix { holds, abandon, release, ttl: HoldTtl::DEFAULT };
        let mut parts = BTreeMap::new();
        for buyer in 0..buyers {
            *parts.entry(mix.part_of(buyer)).or_default() += 1;
        }
        parts
    }

    #[test]
    fn shares_are_exact_and_spread() {
        use Part::{Abandon, Buy, Confirm, Release};
        let expected = |parts: &[(Part, u64)]| parts.iter().copied().collect::<BTreeMap<_, _>>();
        assert_eq!(parts([0, 0, 0], 1000), expected(&[(Buy, 1000)]));
        assert_eq!(parts([100, 0, 0], 7), expected(&[(Confirm, 7)]));
        assert_eq!(parts([100, 100, 0], 7), expected(&[(Abandon, 7)]));
        assert_eq!(
            parts([50, 20, 10], 1000),
            expected(&[(Buy, 500), (Confirm, 350), (Abandon, 100), (Release, 50)])
        );
        assert_eq!(
            parts([33, 40, 60], 10_000),
            expected(&[(Buy, 6_700), (Abandon, 1_320), (Release, 1_980)])
        );
        // Also of any hundred in a row.
        let mix = Mix { holds: share(30), ..Mix::BUYS };
        for from in [0, 17, 5_000] {
            let held = (from..from + 100).filter(|buyer| mix.part_of(*buyer) != Buy).count();
            assert_eq!(held, 30, "from {from}");
        }
    }

    #[test]
    fn shares_are_percents() {
        assert_eq!((Share::percent(101), share(60).plus(share(41))), (None, None));
        assert_eq!(share(60).plus(share(40)), Some(Share::ALL));
        assert_eq!((share(50).of(u64::MAX - 1), share(7).to_string()), (u64::MAX / 2, "7%".into()));
    }
}
