//! What one limit remembers of each key, in bounded memory.
//!
//! Keys are hashed with a secret of this process, 16 bytes an entry: the ids themselves are not
//! kept, nobody can aim at another's entry, and two keys that meet by chance share a quota.
//!
//! Entries live in two generations. What is counted goes to the younger; when that is as old as a
//! quota takes to come free, the older one, which nobody touched since, is like never seen and is
//! dropped as a whole. So nothing is ever swept. When the younger is full before that, the same
//! happens early, and what is forgotten are the keys that were counted longest ago: an attacker
//! who invents a million users or addresses is not stopped by a limit on each, and must not be
//! able to have everybody else refused.

use super::Quota;
use super::gcra::{Gcra, Level, Nanos};
use raft::Room;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};

/// Keys of one generation. Two of them take up to 36 MiB, and only if so many come.
const GENERATION_KEYS_MAX: usize = 900_000;

/// See the module.
#[derive(Debug)]
pub(super) struct Ledger {
    gcra: Gcra,
    secret: RandomState,
    young: HashMap<u64, Nanos>,
    old: HashMap<u64, Nanos>,
    young_since: Nanos,
    keys_max: usize,
}

/// A key's entry as it stands, and what a click would make of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    place: u64,
    level: Level,
}

impl Ledger {
    pub(super) fn new(quota: Quota) -> Self {
        Self {
            gcra: Gcra::new(quota),
            secret: RandomState::new(),
            young: HashMap::new(),
            old: HashMap::new(),
            young_since: Nanos(0),
            keys_max: GENERATION_KEYS_MAX,
        }
    }

    /// Looks a key up; changes nothing that it could be asked for.
    pub(super) fn look(&mut self, key: impl Hash, now: Nanos) -> Entry {
        self.age(now);
        let place = self.secret.hash_one(key);
        let arrival = self.young.get(&place).or_else(|| self.old.get(&place)).copied();
        Entry { place, level: Gcra::level(arrival, now) }
    }

    /// Whether a click is within the quota.
    pub(super) fn admits(&self, entry: Entry) -> bool {
        self.gcra.admits(entry.level)
    }

    /// What is left for this key.
    pub(super) fn room(&self, entry: Entry) -> Room {
        self.gcra.room(entry.level)
    }

    /// Counts a click.
    pub(super) fn count(&mut self, entry: Entry, now: Nanos) -> Entry {
        let level = self.gcra.after_click(entry.level);
        self.young.insert(entry.place, Gcra::arrival(level, now));
        if self.young.len() >= self.keys_max {
            self.next_generation(now);
        }
        Entry { level, ..entry }
    }

    fn age(&mut self, now: Nanos) {
        if now.0.saturating_sub(self.young_since.0) >= self.gcra.forgotten_after_ns() {
            self.next_generation(now);
        }
    }

    fn next_generation(&mut self, now: Nanos) {
        self.old = std::mem::take(&mut self.young);
        self.young_since = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn ledger(quota: &str, keys_max: usize) -> Ledger {
        Ledger { keys_max, ..Ledger::new(quota.parse().unwrap()) }
    }

    fn click(ledger: &mut Ledger, key: u32, now: Nanos) -> bool {
        let entry = ledger.look(key, now);
        let admitted = ledger.admits(entry);
        if admitted {
            ledger.count(entry, now);
        }
        admitted
    }

    #[test]
    fn nothing_is_forgotten_before_its_time() {
        let mut ledger = ledger("2/min", GENERATION_KEYS_MAX);
        // Generations change at 60 s, 120 s, …; a quota that was used up around such a change
        // stays used up.
        for second in [0, 59, 119, 179] {
            let now = Nanos(second * SECOND);
            let key = u32::try_from(second).unwrap();
            assert!(click(&mut ledger, key, now) && click(&mut ledger, key, now), "{second}");
            for later in [0, 1, 29] {
                let then = Nanos((second + later) * SECOND);
                assert!(!click(&mut ledger, key, then), "{second} + {later}");
            }
            assert!(click(&mut ledger, key, Nanos((second + 30) * SECOND)), "{second}");
        }
    }

    #[test]
    fn keys_that_stay_away_leave() {
        let mut ledger = ledger("2/s", GENERATION_KEYS_MAX);
        for round in 0..10 {
            for key in 0..100 {
                let now = Nanos(round * 2 * SECOND);
                assert!(click(&mut ledger, key + 100 * u32::try_from(round).unwrap(), now));
            }
            assert!(ledger.young.len() + ledger.old.len() <= 200, "round {round}");
        }
    }

    #[test]
    fn memory_is_bounded_and_the_latest_are_remembered() {
        let mut ledger = ledger("1/hour", 1_000);
        for key in 0..10_000 {
            assert!(click(&mut ledger, key, Nanos(1)), "{key} is new");
            assert!(!click(&mut ledger, key, Nanos(2)), "{key} is known");
            assert!(ledger.young.len() + ledger.old.len() <= 2_000);
        }
        assert!((9_001..10_000).all(|key| !click(&mut ledger, key, Nanos(3))));
        assert!(click(&mut ledger, 0, Nanos(3)), "the first is forgotten");
    }
}
