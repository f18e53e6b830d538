//! The state hash after each of the newest applied entries. Pure; owned by the applied state.

use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Entries of which the hash is remembered. A replica that lags more than this behind a check
/// has no say in it. 128 KiB.
const ENTRIES_MAX: usize = 8_192;

/// What a replica can say of its state after an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum HashAt {
    /// The state hash.
    Known(u128),
    /// It has yet to apply the entry.
    NotYet,
    /// It does not remember: the entry is long past, or came with a snapshot.
    Forgotten,
}

/// Consecutive entries and the hash after each.
#[derive(Debug, Default)]
pub(crate) struct HashTrail {
    first_index: u64,
    hashes: VecDeque<u128>,
}

impl HashTrail {
    /// A trail that begins after this entry.
    pub(crate) fn from(index: u64, hash: u128) -> Self {
        Self { first_index: index, hashes: VecDeque::from([hash]) }
    }

    /// The entry was applied and led to this hash. Begins anew when it does not follow the last.
    pub(crate) fn push(&mut self, index: u64, hash: u128) {
        if self.first_index + self.hashes.len() as u64 != index {
            *self = Self::from(index, hash);
            return;
        }
        if self.hashes.len() == ENTRIES_MAX {
            self.hashes.pop_front();
            self.first_index += 1;
        }
        self.hashes.push_back(hash);
    }

    /// The hash after this entry.
    pub(crate) fn at(&self, index: u64) -> HashAt {
        let Some(place) = index.checked_sub(self.first_index) else {
            return HashAt::Forgotten;
        };
        let found = usize::try_from(place).ok().and_then(|place| self.hashes.get(place));
        found.map_or(HashAt::NotYet, |hash| HashAt::Known(*hash))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_hashes_are_known() {
        let mut trail = HashTrail::default();
        for index in 0..ENTRIES_MAX as u64 + 10 {
            trail.push(index, u128::from(index) + 7);
        }
        assert_eq!(trail.at(9), HashAt::Forgotten);
        assert_eq!(trail.at(10), HashAt::Known(17));
        assert_eq!(trail.at(ENTRIES_MAX as u64 + 9), HashAt::Known(ENTRIES_MAX as u128 + 16));
        assert_eq!(trail.at(ENTRIES_MAX as u64 + 10), HashAt::NotYet);
    }

    #[test]
    fn a_snapshot_begins_it_anew() {
        let mut trail = HashTrail::default();
        trail.push(0, 1);
        trail.push(50, 2);
        assert_eq!(trail.at(0), HashAt::Forgotten);
        assert_eq!(trail.at(50), HashAt::Known(2));
        assert_eq!(HashTrail::from(50, 2).at(51), HashAt::NotYet);
    }
}
