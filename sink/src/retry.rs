//! How long to wait before the next attempt.
//!
//! Twice as long each time, up to a bound, and a random part less: many runners that lost the same
//! server do not come back at one instant.

use rand::Rng as _;
use std::time::Duration;

/// The first pause, at most.
const FIRST: Duration = Duration::from_millis(100);
/// The longest.
const LONGEST: Duration = Duration::from_secs(5);

/// Counts the failures in a row.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// It worked.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// It failed again: how long to wait.
    pub(crate) fn next(&mut self) -> Duration {
        let most = FIRST.saturating_mul(1 << self.failures.min(16)).min(LONGEST);
        self.failures += 1;
        most.mul_f64(rand::rng().random_range(0.5..=1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_bound_and_begin_anew() {
        let mut backoff = Backoff::default();
        for most_ms in [100, 200, 400, 800, 1600, 3200, 5000, 5000] {
            let pause = backoff.next();
            let most = Duration::from_millis(most_ms);
            assert!(pause <= most && pause >= most / 2, "{pause:?} of {most:?}");
        }
        for _ in 0..100 {
            assert!(backoff.next() <= LONGEST);
        }
        backoff.reset();
        assert!(backoff.next() <= FIRST);
    }
}
