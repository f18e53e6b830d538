//! How many unknowns of each shape an order has used, each such count under a small number.
//!
//! Owns: the counts seen. Never does: forget one. Called by `depth_first` and `memo`.

use super::memo::Hashing;
use std::collections::HashMap;

/// The number of a set of counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct UsageId(pub(super) u32);

impl UsageId {
    /// Nothing is used.
    pub(super) const NONE: Self = Self(0);
}

/// One shape and how many of it are used; never zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Count {
    shape: u32,
    used: u32,
}

/// Counts by number. A set of counts lists the shapes that are used, in their order.
#[derive(Debug)]
pub(super) struct Usages {
    ids: HashMap<Box<[Count]>, UsageId, Hashing>,
    lists: Vec<Box<[Count]>>,
    /// Bytes that they take, about.
    pub(super) bytes: usize,
}

impl Usages {
    pub(super) fn new() -> Self {
        let mut usages = Self { ids: HashMap::default(), lists: Vec::new(), bytes: 0 };
        let none = usages.id(Box::default());
        debug_assert_eq!(none, UsageId::NONE);
        usages
    }

    fn id(&mut self, counts: Box<[Count]>) -> UsageId {
        if let Some(id) = self.ids.get(&counts) {
            return *id;
        }
        let id = UsageId(self.lists.len() as u32);
        self.bytes += 2 * size_of_val(&*counts) + 2 * size_of::<Box<[Count]>>();
        self.lists.push(counts.clone());
        self.ids.insert(counts, id);
        id
    }

    /// The same counts, numbered by another.
    pub(super) fn same(&mut self, usage: UsageId, of: &Self) -> UsageId {
        self.id(of.lists[usage.0 as usize].clone())
    }

    /// How many of this shape are used.
    pub(super) fn used(&self, usage: UsageId, shape: usize) -> usize {
        let counts = &self.lists[usage.0 as usize];
        let found = counts.binary_search_by_key(&(shape as u32), |count| count.shape);
        found.map_or(0, |at| counts[at].used as usize)
    }

    /// With one more of this shape used.
    pub(super) fn plus(&mut self, usage: UsageId, shape: usize) -> UsageId {
        let mut counts = self.lists[usage.0 as usize].to_vec();
        match counts.binary_search_by_key(&(shape as u32), |count| count.shape) {
            Ok(at) => counts[at].used += 1,
            Err(at) => counts.insert(at, Count { shape: shape as u32, used: 1 }),
        }
        self.id(counts.into())
    }

    /// Whether the first uses no more than the second, of any shape.
    pub(super) fn within(&self, some: UsageId, of: UsageId) -> bool {
        if some == of || some == UsageId::NONE {
            return true;
        }
        let mut of = self.lists[of.0 as usize].iter();
        self.lists[some.0 as usize].iter().all(|count| {
            of.find(|it| it.shape >= count.shape)
                .is_some_and(|it| it.shape == count.shape && it.used >= count.used)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewer_are_within_more() {
        let mut usages = Usages::new();
        let a = usages.plus(UsageId::NONE, 3);
        let ab = usages.plus(a, 1);
        let b = usages.plus(UsageId::NONE, 1);
        assert_eq!(ab, usages.plus(b, 3), "the order of use does not matter");
        let aab = usages.plus(ab, 3);
        assert_eq!((usages.used(aab, 3), usages.used(aab, 1), usages.used(aab, 2)), (2, 1, 0));
        for (some, of, expected) in [
            (UsageId::NONE, a, true),
            (a, UsageId::NONE, false),
            (a, ab, true),
            (b, ab, true),
            (ab, a, false),
            (a, b, false),
            (ab, aab, true),
            (aab, ab, false),
            (b, aab, true),
        ] {
            assert_eq!(usages.within(some, of), expected, "{some:?} within {of:?}");
        }
    }
}
