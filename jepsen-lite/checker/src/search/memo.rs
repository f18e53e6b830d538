//! The configurations visited.
//!
//! Owns: the memo, and its hash function. Never does: take two configurations for one: keys are
//! exact. Called by `depth_first`.

use super::slots::Slots;
use super::states::StateId;
use super::usage::{UsageId, Usages};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// What makes a configuration, but for what it has [`Spent`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key<S> {
    /// The event that the search stands at: the completion of an operation not yet linearized.
    /// All that completed before it are linearized.
    pub(super) at: u32,
    /// The state.
    pub(super) state: StateId,
    /// Which of those pending there must still be linearized.
    pub(super) due: S,
}

/// What a configuration can do without any more, or only once more.
#[derive(Debug, Clone)]
pub(super) struct Spent<S> {
    /// The unknowns that it used.
    pub(super) usage: UsageId,
    /// Of those pending that need not be linearized any more, the ones that still may be.
    pub(super) hidden: S,
    /// Whether no step may follow that overwrites.
    pub(super) is_idle: bool,
}

impl<S: Slots> Spent<S> {
    /// Whether whoever spent this can do all that one who spent the other can, of one key.
    fn within(&self, other: &Self, usages: &Usages) -> bool {
        usages.within(self.usage, other.usage)
            && other.hidden.without(&self.hidden).first().is_none()
            && (other.is_idle || !self.is_idle)
    }
}

/// The least that was spent where a configuration was visited, none within another: nearly always
/// one, which then lies here.
#[derive(Debug)]
enum Least<S> {
    One(Spent<S>),
    Many(Vec<Spent<S>>),
}

/// What was visited.
#[derive(Debug)]
pub(super) struct Memo<S> {
    /// Up to the event `until`.
    behind: Visited<S>,
    until: u32,
    /// Past it.
    ahead: Visited<S>,
}

impl<S: Slots> Memo<S> {
    pub(super) fn new() -> Self {
        Self { behind: Visited::new(), until: 0, ahead: Visited::new() }
    }

    /// As of [`Visited::visit`].
    pub(super) fn visit(&mut self, key: Key<S>, spent: Spent<S>, usages: &Usages) -> bool {
        let part = if key.at <= self.until { &mut self.behind } else { &mut self.ahead };
        part.visit(key, spent, usages)
    }

    /// Forgets what lies behind the event up to which it last did so; gives how many those were.
    /// From now on, what lies behind this event is behind.
    pub(super) fn let_go(&mut self, until: u32) -> usize {
        self.until = until;
        let ahead = std::mem::replace(&mut self.ahead, Visited::new());
        std::mem::replace(&mut self.behind, ahead).entries
    }

    /// The states of all configurations remembered, some more than once.
    pub(super) fn states(&self) -> impl Iterator<Item = StateId> {
        self.behind.by_key.keys().chain(self.ahead.by_key.keys()).map(|key| key.state)
    }

    /// Configurations remembered.
    pub(super) fn len(&self) -> usize {
        self.behind.entries + self.ahead.entries
    }

    /// Bytes taken, about; `heap_bytes_each` is what one key holds elsewhere.
    pub(super) fn bytes(&self, heap_bytes_each: usize) -> usize {
        self.behind.bytes(heap_bytes_each) + self.ahead.bytes(heap_bytes_each)
    }
}

#[derive(Debug)]
struct Visited<S> {
    by_key: HashMap<Key<S>, Least<S>, Hashing>,
    /// Bytes in lists and wide sets.
    heap_bytes: usize,
    entries: usize,
}

impl<S: Slots> Visited<S> {
    fn new() -> Self {
        Self { by_key: HashMap::default(), heap_bytes: 0, entries: 0 }
    }

    /// Notes a visit. False when one that could do as much was here before: the same
    /// configuration that had spent as little, or less.
    ///
    /// This prunes nothing that matters: suppose that a visited configuration has a solution, and
    /// take of all such solutions the one with the fewest operations to linearize, and of those
    /// the one with the fewest events to go. Its next step leads to a configuration that was
    /// visited, or cut for a visited one at the same event that can do as much with no more to
    /// linearize. (It may take more steps: what one has linearized, the other may have hidden,
    /// and passes over when it completes.) A step that linearizes leaves less to linearize; one
    /// that passes leaves no more, and fewer events. Either leaves a lesser solution.
    fn visit(&mut self, key: Key<S>, spent: Spent<S>, usages: &Usages) -> bool {
        use std::collections::hash_map::Entry;
        match self.by_key.entry(key) {
            Entry::Vacant(entry) => {
                entry.insert(Least::One(spent));
                self.entries += 1;
            }
            Entry::Occupied(mut entry) => match entry.get_mut() {
                Least::One(one) if one.within(&spent, usages) => return false,
                Least::One(one) if spent.within(one, usages) => *one = spent,
                Least::One(one) => {
                    let many = vec![one.clone(), spent];
                    self.heap_bytes += 2 * size_of::<Spent<S>>();
                    self.entries += 1;
                    *entry.get_mut() = Least::Many(many);
                }
                Least::Many(many) => {
                    if many.iter().any(|one| one.within(&spent, usages)) {
                        return false;
                    }
                    many.retain(|one| !spent.within(one, usages));
                    many.push(spent);
                    self.heap_bytes += size_of::<Spent<S>>();
                    self.entries += 1;
                }
            },
        }
        true
    }

    fn bytes(&self, heap_bytes_each: usize) -> usize {
        let entry = size_of::<(Key<S>, Least<S>)>() + 1;
        // The table grows by doubling, at 7/8 full.
        self.by_key.capacity() * entry * 8 / 7
            + self.by_key.len() * heap_bytes_each
            + self.heap_bytes
    }
}

/// The hash function of all tables here.
pub(super) type Hashing = BuildHasherDefault<Mixer>;

/// A fast hash of small keys: multiply and fold. Collisions cost time only, never a verdict.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Mixer(u64);

/// 2^64 divided by the golden ratio, as in Fibonacci hashing (Knuth, TAOCP 6.4).
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

impl Mixer {
    fn mix(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word) * u128::from(GOLDEN);
        self.0 = (product as u64) ^ ((product >> 64) as u64) ^ word.rotate_left(32);
    }
}

impl Hasher for Mixer {
    fn finish(&self) -> u64 {
        self.0.wrapping_mul(GOLDEN) ^ (self.0 >> 29)
    }

    fn write(&mut self, bytes: &[u8]) {
        let mut chunks = bytes.chunks_exact(8);
        for chunk in &mut chunks {
            let mut word = [0; 8];
            word.copy_from_slice(chunk);
            self.mix(u64::from_le_bytes(word));
        }
        let rest = chunks.remainder();
        let mut word = [0; 8];
        word[..rest.len()].copy_from_slice(rest);
        self.mix(u64::from_le_bytes(word) ^ (rest.len() as u64) << 56);
    }

    fn write_u8(&mut self, it: u8) {
        self.mix(u64::from(it));
    }

    fn write_u32(&mut self, it: u32) {
        self.mix(u64::from(it));
    }

    fn write_u64(&mut self, it: u64) {
        self.mix(it);
    }

    fn write_u128(&mut self, it: u128) {
        self.mix(it as u64);
        self.mix((it >> 64) as u64);
    }

    fn write_usize(&mut self, it: usize) {
        self.mix(it as u64);
    }
}
