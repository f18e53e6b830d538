//! A sorted map whose versions share what they have in common.
//!
//! Owns: the map. A search keeps a product's state after every step, so a version must cost what
//! changed, not what is there: O(log n) expected to insert and look up, O(1) to clone and hash.
//! Never does: remove. Called by `model`.
//!
//! It is a treap (Seidel and Aragon, "Randomized search trees", 1996) whose priorities are hashes
//! of the keys. So its shape follows from its keys alone, and two versions are compared only
//! where they do not share nodes.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

type Tree<K, V> = Option<Arc<Node<K, V>>>;

/// A sorted map.
#[derive(Clone)]
pub(super) struct Map<K, V> {
    root: Tree<K, V>,
    len: usize,
}

#[derive(Clone)]
struct Node<K, V> {
    key: K,
    value: V,
    priority: u64,
    /// The sum of the hashes of all entries from here down.
    digest: u64,
    left: Tree<K, V>,
    right: Tree<K, V>,
}

impl<K, V> Default for Map<K, V> {
    fn default() -> Self {
        Self { root: None, len: 0 }
    }
}

impl<K, V> Map<K, V> {
    /// About how many bytes one insertion takes that no other version shares: the nodes from the
    /// root to the entry, of which a treap has 1.4 log2(n) on average.
    pub(super) fn path_bytes(&self) -> usize {
        let counts = 2 * size_of::<usize>();
        let nodes = self.len.checked_ilog2().map_or(0, |log| 1 + log as usize * 7 / 5);
        nodes * (size_of::<Node<K, V>>() + counts)
    }
}

impl<K: Ord + Hash + Clone, V: Hash + Clone> Map<K, V> {
    pub(super) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let mut tree = &self.root;
        while let Some(node) = tree {
            tree = match key.cmp(node.key.borrow()) {
                Ordering::Less => &node.left,
                Ordering::Equal => return Some(&node.value),
                Ordering::Greater => &node.right,
            };
        }
        None
    }

    /// Puts an entry in, or another value to its key.
    pub(super) fn insert(&mut self, key: K, value: V) {
        self.len += usize::from(insert(&mut self.root, key, value) == Inserted::New);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Inserted {
    New,
    InPlace,
}

fn insert<K: Ord + Hash + Clone, V: Hash + Clone>(
    tree: &mut Tree<K, V>,
    key: K,
    value: V,
) -> Inserted {
    let Some(shared) = tree else {
        let priority = hash(&key);
        let mut node = Node { key, value, priority, digest: 0, left: None, right: None };
        node.digest();
        *tree = Some(Arc::new(node));
        return Inserted::New;
    };
    let node = Arc::make_mut(shared);
    let side = key.cmp(&node.key);
    let inserted = match side {
        Ordering::Less => insert(&mut node.left, key, value),
        Ordering::Greater => insert(&mut node.right, key, value),
        Ordering::Equal => {
            node.value = value;
            Inserted::InPlace
        }
    };
    node.digest();
    let child = if side == Ordering::Less { &node.left } else { &node.right };
    if child.as_ref().is_some_and(|child| child.is_above(node)) {
        lift(tree, side);
    }
    inserted
}

/// Makes the child on this side the root of the tree.
fn lift<K: Ord + Hash + Clone, V: Hash + Clone>(tree: &mut Tree<K, V>, side: Ordering) {
    let Some(mut down) = tree.take() else { return };
    let node = Arc::make_mut(&mut down);
    let from = if side == Ordering::Less { &mut node.left } else { &mut node.right };
    let Some(mut up) = from.take() else {
        *tree = Some(down);
        return;
    };
    let top = Arc::make_mut(&mut up);
    let inner = if side == Ordering::Less { &mut top.right } else { &mut top.left };
    *from = inner.take();
    node.digest();
    *inner = Some(down);
    top.digest();
    *tree = Some(up);
}

impl<K: Ord + Hash, V: Hash> Node<K, V> {
    fn digest(&mut self) {
        let below = |tree: &Tree<K, V>| tree.as_ref().map_or(0, |node| node.digest);
        let own = hash(&(&self.key, &self.value));
        self.digest = own.wrapping_add(below(&self.left)).wrapping_add(below(&self.right));
    }

    fn is_above(&self, other: &Self) -> bool {
        (self.priority, &self.key) > (other.priority, &other.key)
    }
}

/// The same in every run: verdicts are deterministic.
fn hash<T: Hash>(of: &T) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

impl<K: Eq, V: Eq> PartialEq for Map<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && equal(&self.root, &other.root)
    }
}

impl<K: Eq, V: Eq> Eq for Map<K, V> {}

fn equal<K: Eq, V: Eq>(one: &Tree<K, V>, other: &Tree<K, V>) -> bool {
    match (one, other) {
        (None, None) => true,
        (Some(one), Some(other)) if Arc::ptr_eq(one, other) => true,
        (Some(one), Some(other)) => {
            one.digest == other.digest
                && one.key == other.key
                && one.value == other.value
                && equal(&one.left, &other.left)
                && equal(&one.right, &other.right)
        }
        _ => false,
    }
}

impl<K, V> Hash for Map<K, V> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.root.as_ref().map_or(0, |node| node.digest).hash(state);
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for Map<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn list<K: fmt::Debug, V: fmt::Debug>(tree: &Tree<K, V>, map: &mut fmt::DebugMap<'_, '_>) {
            if let Some(node) = tree {
                list(&node.left, map);
                map.entry(&node.key, &node.value);
                list(&node.right, map);
            }
        }
        let mut map = f.debug_map();
        list(&self.root, &mut map);
        map.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn depth(tree: &Tree<u64, u64>) -> usize {
        tree.as_ref().map_or(0, |node| 1 + depth(&node.left).max(depth(&node.right)))
    }

    proptest! {
        #[test]
        fn behaves_as_a_sorted_map(entries in prop::collection::vec((0..50u64, 0..3u64), 0..200)) {
            let mut ours = Map::default();
            let mut theirs = BTreeMap::new();
            let mut versions = Vec::new();
            for (key, value) in entries {
                versions.push((ours.clone(), theirs.clone()));
                ours.insert(key, value);
                theirs.insert(key, value);
            }
            versions.push((ours, theirs));
            for (ours, theirs) in &versions {
                prop_assert_eq!(format!("{ours:?}"), format!("{theirs:?}"));
                for key in 0..50 {
                    prop_assert_eq!(ours.get(&key), theirs.get(&key));
                }
                let mut rebuilt = Map::default();
                for (key, value) in theirs.iter().rev() {
                    rebuilt.insert(*key, *value);
                }
                prop_assert_eq!(hash(ours), hash(&rebuilt), "whatever the order of insertion");
                prop_assert_eq!(ours, &rebuilt);
                for (other, as_theirs) in &versions {
                    prop_assert_eq!(ours == other, theirs == as_theirs);
                }
            }
        }
    }

    #[test]
    fn rising_keys_make_no_list() {
        let mut map = Map::default();
        for key in 0..100_000 {
            map.insert(key, 0);
        }
        assert!(depth(&map.root) < 60, "{}", depth(&map.root));
        assert_eq!(map.len, 100_000);
    }
}
