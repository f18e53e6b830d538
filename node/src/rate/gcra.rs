//! The generic cell rate algorithm: one number for each key.
//!
//! The number is the *theoretical arrival time*, when all that was taken is free again. A click
//! adds what one click is worth; it is beyond the limit when the number would then lie more than
//! a whole quota ahead of now. So a full quota may come at once, and then one click at a time.
//! (ITU-T I.371, annex A; the name is that of ATM's traffic control.)

use super::Quota;
use raft::Room;

const SECOND_NS: u64 = 1_000_000_000;
const MS_NS: u64 = 1_000_000;

/// Nanoseconds since the counter began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Nanos(pub(super) u64);

/// One quota's arithmetic.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gcra {
    quota: Quota,
    /// What one click is worth.
    click_ns: u64,
}

/// How far one key's theoretical arrival time lies ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Level {
    ahead_ns: u64,
}

impl Gcra {
    pub(super) fn new(quota: Quota) -> Self {
        let click_ns = u64::from(quota.window_s()) * SECOND_NS / u64::from(quota.clicks_max());
        Self { quota, click_ns }
    }

    /// After how long without a click a key is like one that was never seen.
    pub(super) fn forgotten_after_ns(self) -> u64 {
        self.click_ns * u64::from(self.quota.clicks_max())
    }

    /// Where a key stands whose last known theoretical arrival time is this.
    pub(super) fn level(arrival: Option<Nanos>, now: Nanos) -> Level {
        Level { ahead_ns: arrival.map_or(0, |arrival| arrival.0.saturating_sub(now.0)) }
    }

    /// Whether one more click is within the quota.
    pub(super) fn admits(self, level: Level) -> bool {
        level.ahead_ns + self.click_ns <= self.forgotten_after_ns()
    }

    /// The level after one more click.
    pub(super) fn after_click(self, level: Level) -> Level {
        Level { ahead_ns: level.ahead_ns + self.click_ns }
    }

    /// The theoretical arrival time that a level stands for.
    pub(super) fn arrival(level: Level, now: Nanos) -> Nanos {
        Nanos(now.0 + level.ahead_ns)
    }

    /// What a level leaves.
    pub(super) fn room(self, level: Level) -> Room {
        let taken = level.ahead_ns.div_ceil(self.click_ns);
        let more_in_ns = level.ahead_ns - taken.saturating_sub(1) * self.click_ns;
        let left = u64::from(self.quota.clicks_max()).saturating_sub(taken);
        Room {
            clicks_max: self.quota.clicks_max(),
            window_s: self.quota.window_s(),
            left: u32::try_from(left).unwrap_or(u32::MAX),
            more_in_ms: more_in_ns.div_ceil(MS_NS),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use governor::clock::FakeRelativeClock;
    use governor::{Quota as Oracle, RateLimiter};
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};
    use std::num::NonZeroU32;
    use std::time::Duration;

    /// What `governor` admits and what is admitted here is the same, click by click.
    #[test]
    fn governor_agrees() {
        let seed: u64 = rand::rng().random();
        println!("seed {seed}");
        let mut random = StdRng::seed_from_u64(seed);
        for _ in 0..200 {
            let clicks = NonZeroU32::new(random.random_range(1..=50)).unwrap();
            let quota: Quota = format!("{clicks}/min").parse().unwrap();
            let gcra = Gcra::new(quota);
            let clock = FakeRelativeClock::default();
            let oracle = RateLimiter::direct_with_clock(Oracle::per_minute(clicks), clock.clone());
            let (mut now, mut arrival) = (Nanos(0), None);
            for _ in 0..500 {
                // Around what one click is worth, so that both answers are common.
                let pause_ns =
                    random.random_range(0..=2 * 60 * SECOND_NS / u64::from(clicks.get()));
                clock.advance(Duration::from_nanos(pause_ns));
                now.0 += pause_ns;
                let level = Gcra::level(arrival, now);
                let admitted = gcra.admits(level);
                assert_eq!(admitted, oracle.check().is_ok(), "{quota} at {now:?}, seed {seed}");
                if admitted {
                    arrival = Some(Gcra::arrival(gcra.after_click(level), now));
                }
            }
        }
    }

    #[test]
    fn a_quota_comes_at_once_and_then_one_by_one() {
        let gcra = Gcra::new("3/min".parse().unwrap());
        let mut level = Gcra::level(None, Nanos(7));
        let mut told = Vec::new();
        while gcra.admits(level) {
            level = gcra.after_click(level);
            let room = gcra.room(level);
            told.push((room.left, room.more_in_ms));
        }
        assert_eq!(told, [(2, 20_000), (1, 20_000), (0, 20_000)]);
        // A second before the next one, and then with it.
        let arrival = Gcra::arrival(level, Nanos(0));
        let soon = Gcra::level(Some(arrival), Nanos(19 * SECOND_NS));
        assert!(!gcra.admits(soon));
        assert_eq!((gcra.room(soon).left, gcra.room(soon).more_in_ms), (0, 1000));
        let then = Gcra::level(Some(arrival), Nanos(20 * SECOND_NS));
        assert!(gcra.admits(then));
        assert_eq!((gcra.room(then).left, gcra.room(then).more_in_ms), (1, 20_000));
        // Long after, it is as if nothing had been.
        let later = Gcra::level(Some(arrival), Nanos(60 * SECOND_NS));
        assert_eq!(later, Gcra::level(None, Nanos(0)));
        assert_eq!((gcra.room(later).left, gcra.room(later).more_in_ms), (3, 0));
    }

    /// Whoever waits as long as was said is let in, at every quota and in every state.
    #[test]
    fn waiting_as_long_as_was_said_is_enough() {
        for text in ["1/s", "3/s", "7/min", "999999/s", "1000000/s", "1/hour", "1000/hour"] {
            let gcra = Gcra::new(text.parse().unwrap());
            let mut level = Gcra::level(None, Nanos(0));
            while gcra.admits(level) {
                level = gcra.after_click(level);
            }
            let (arrival, wait_ms) = (Gcra::arrival(level, Nanos(0)), gcra.room(level).more_in_ms);
            assert!(gcra.admits(Gcra::level(Some(arrival), Nanos(wait_ms * MS_NS))), "{text}");
        }
    }
}
