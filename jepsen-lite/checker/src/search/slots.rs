//! Sets of slots, one bit each.
//!
//! Owns: the trait and its three sizes. Never does: allocate, up to 128 slots. Called by
//! `depth_first` and `memo`.

use std::hash::Hash;

/// A set of slots.
pub(super) trait Slots: Clone + Eq + Hash {
    /// The empty set, with room for slots below this.
    fn empty(slots: usize) -> Self;
    /// Whether this slot is in it.
    fn has(&self, slot: usize) -> bool;
    /// Puts it in.
    fn insert(&mut self, slot: usize);
    /// Takes it out.
    fn remove(&mut self, slot: usize);
    /// The lowest.
    fn first(&self) -> Option<usize>;
    /// Those that are not in the other.
    fn without(&self, other: &Self) -> Self;
    /// Bytes that it holds elsewhere.
    fn heap_bytes(&self) -> usize;
}

macro_rules! word {
    ($word:ty) => {
        impl Slots for $word {
            fn empty(slots: usize) -> Self {
                debug_assert!(slots <= Self::BITS as usize, "{slots} slots in one word");
                0
            }

            fn has(&self, slot: usize) -> bool {
                *self >> slot & 1 == 1
            }

            fn insert(&mut self, slot: usize) {
                *self |= 1 << slot;
            }

            fn remove(&mut self, slot: usize) {
                *self &= !(1 << slot);
            }

            fn first(&self) -> Option<usize> {
                if *self == 0 { None } else { Some(self.trailing_zeros() as usize) }
            }

            fn without(&self, other: &Self) -> Self {
                self & !other
            }

            fn heap_bytes(&self) -> usize {
                0
            }
        }
    };
}

word!(u64);
word!(u128);

/// Any number of slots.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Wide(Box<[u64]>);

const WORD_BITS: usize = u64::BITS as usize;

impl Slots for Wide {
    fn empty(slots: usize) -> Self {
        Self(vec![0; slots.div_ceil(WORD_BITS)].into())
    }

    fn has(&self, slot: usize) -> bool {
        self.0[slot / WORD_BITS].has(slot % WORD_BITS)
    }

    fn insert(&mut self, slot: usize) {
        self.0[slot / WORD_BITS].insert(slot % WORD_BITS);
    }

    fn remove(&mut self, slot: usize) {
        self.0[slot / WORD_BITS].remove(slot % WORD_BITS);
    }

    fn first(&self) -> Option<usize> {
        let (index, word) = self.0.iter().enumerate().find(|(_, word)| **word != 0)?;
        Some(index * WORD_BITS + word.trailing_zeros() as usize)
    }

    fn without(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(a, b)| a & !b).collect())
    }

    fn heap_bytes(&self) -> usize {
        size_of_val(&*self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn behaves<S: Slots>(slots: usize) {
        let mut set = S::empty(slots);
        assert_eq!(set.first(), None);
        for slot in (0..slots).rev() {
            set.insert(slot);
            assert!(set.has(slot));
            assert_eq!(set.first(), Some(slot));
        }
        let mut other = S::empty(slots);
        other.insert(0);
        assert_eq!(set.without(&other).first(), Some(1));
        for slot in 0..slots {
            assert_eq!(set.first(), Some(slot));
            set.remove(slot);
        }
        assert!(set == S::empty(slots));
    }

    #[test]
    fn all_sizes_behave_alike() {
        behaves::<u64>(64);
        behaves::<u128>(128);
        behaves::<Wide>(64);
        behaves::<Wide>(200);
    }
}
