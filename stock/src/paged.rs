//! A map by fingerprint whose copy shares all that neither side changes.
//!
//! Owns the layout of the tables that grow with the orders: small sorted pages, found by the first
//! bits of a fingerprint and copied by whoever changes a shared one. So a copy of a machine of ten
//! million orders takes milliseconds and hardly any memory, an insertion touches one page however
//! many there are, and an entry takes little more than its own bytes. Called by the request table
//! and the accounts.
//!
//! Fingerprints are hashes, so the pages fill evenly. Somebody who looks for ids of one page finds
//! them, at a great price: the page then grows beyond its size, and an insertion into it takes
//! some microseconds. What finds the pages stays in proportion to the entries whatever they do.

use std::sync::Arc;

/// Entries at which a page is parted in two.
const PAGE_ENTRIES_MAX: usize = 128;
/// By so many entries a page makes room, so that little of it is empty.
const PAGE_ENTRIES_STEP: usize = 16;
/// So many pages, as a power of two, there may be places for beyond those that are needed.
const SPARE_BITS: u32 = 4;

/// An entry: a fingerprint's two halves (it would need more room as one number), and its value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry<V> {
    key: (u64, u64),
    pub(crate) value: V,
}

/// The entries whose fingerprints begin with the same bits.
#[derive(Debug, Clone)]
struct Page<V> {
    /// How many bits they have in common.
    bits: u32,
    /// Sorted by fingerprint.
    entries: Vec<Entry<V>>,
}

impl<V> Page<V> {
    /// Where the fingerprint should be, as fingerprints fill a page evenly.
    fn guess(&self, key: (u64, u64)) -> usize {
        let part = key.0.checked_shl(self.bits).unwrap_or(0);
        ((u128::from(part) * self.entries.len() as u128) >> u64::BITS) as usize
    }

    /// Where the fingerprint is, or would have to be.
    ///
    /// The search begins where it should be, and spans twice as many entries with each step until it has passed it: mostly one or two lines of
    /// memory are read, where a binary search of the whole page reads five. Whatever the
    /// fingerprints are, it takes a logarithmic number of steps.
    fn find(&self, key: (u64, u64)) -> Result<usize, usize> {
        let (len, guess) = (self.entries.len(), self.guess(key));
        let (mut low, mut high, mut step) = (guess, guess, 1);
        while low > 0 && self.entries[low - 1].key >= key {
            low = low.saturating_sub(step);
            step *= 2;
        }
        step = 1;
        while high < len && self.entries[high].key <= key {
            high = (high + step).min(len);
            step *= 2;
        }
        let found = self.entries[low..high].binary_search_by_key(&key, |entry| entry.key);
        found.map(|at| low + at).map_err(|at| low + at)
    }
}

/// See the module. Invariant: the place of a fingerprint's first `bits` bits names the page that
/// has it, if any has.
#[derive(Debug, Clone)]
pub(crate) struct PagedMap<V> {
    /// Of all first bits of a fingerprint, in order, the number of the page.
    places: Vec<u32>,
    pages: Vec<Arc<Page<V>>>,
    bits: u32,
    len: usize,
}

impl<V> Default for PagedMap<V> {
    fn default() -> Self {
        let page = Page { bits: 0, entries: Vec::new() };
        Self { places: vec![0], pages: vec![Arc::new(page)], bits: 0, len: 0 }
    }
}

impl<V: Copy> PagedMap<V> {
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn get(&self, key: u128) -> Option<&V> {
        let key = halves(key);
        let page = &self.pages[self.page_of(key)];
        let at = page.find(key).ok()?;
        Some(&page.entries[at].value)
    }

    /// Reads where the fingerprints of these should be, and nothing else.
    ///
    /// A lookup waits for memory twice, for a page and then for its entries, and lookups one after
    /// another wait one after another. None of these reads needs the one before it, so that the
    /// processor waits for many at once, and the lookups that follow find all in its cache.
    pub(crate) fn read_ahead<T>(&self, of: &[T], fingerprint: impl Fn(&T) -> u128) {
        let keys = || of.iter().map(|one| halves(fingerprint(one)));
        let pages = || keys().map(|key| (key, &self.pages[self.page_of(key)]));
        let entries: usize = pages().map(|(_, page)| page.entries.len()).sum();
        let nearest = |(key, page): (_, &Arc<Page<V>>)| {
            page.entries.get(page.guess(key)).map_or(0, |entry| entry.key.1)
        };
        let read = pages().map(nearest).fold(entries as u64, u64::wrapping_add);
        // Else the reads would be left out, as nobody wants what they read.
        std::hint::black_box(read);
    }

    pub(crate) fn contains_key(&self, key: u128) -> bool {
        self.get(key).is_some()
    }

    /// Sets the value, and returns the one that it replaces.
    pub(crate) fn insert(&mut self, key: u128, value: V) -> Option<V> {
        let key = halves(key);
        loop {
            let number = self.page_of(key);
            let page = &self.pages[number];
            match page.find(key) {
                Ok(at) => {
                    let entry = &mut changed(&mut self.pages[number]).entries[at];
                    return Some(std::mem::replace(&mut entry.value, value));
                }
                Err(_) if page.entries.len() >= PAGE_ENTRIES_MAX && self.can_part(page.bits) => {
                    self.part(key);
                }
                Err(at) => {
                    let entries = &mut changed(&mut self.pages[number]).entries;
                    if entries.len() == entries.capacity() {
                        entries.reserve_exact(PAGE_ENTRIES_STEP.max(entries.len() / 8));
                    }
                    entries.insert(at, Entry { key, value });
                    self.len += 1;
                    return None;
                }
            }
        }
    }

    /// Takes the value away.
    pub(crate) fn remove(&mut self, key: u128) -> Option<V> {
        let key = halves(key);
        let number = self.page_of(key);
        let at = self.pages[number].find(key).ok()?;
        self.len -= 1;
        Some(changed(&mut self.pages[number]).entries.remove(at).value)
    }

    /// All entries, by fingerprint.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u128, V)> {
        let mut last = None;
        let pages =
            self.places.iter().filter(move |number| last.replace(**number) != Some(**number));
        pages.flat_map(|number| {
            let entries = self.pages[*number as usize].entries.iter();
            entries.map(|Entry { key, value }| (whole(*key), *value))
        })
    }

    fn page_of(&self, key: (u64, u64)) -> usize {
        self.places[first_bits(key, self.bits)] as usize
    }

    /// Whether a page of so many bits may be parted. What finds the pages must not grow beyond the
    /// entries, whichever they are.
    fn can_part(&self, bits: u32) -> bool {
        let pages = (self.len / PAGE_ENTRIES_MAX).max(1) as u64;
        bits < u64::BITS - pages.leading_zeros() + SPARE_BITS
    }

    /// Parts the page of a fingerprint by one more bit.
    fn part(&mut self, key: (u64, u64)) {
        let number = self.page_of(key);
        let bits = self.pages[number].bits + 1;
        if bits > self.bits {
            self.places = self.places.iter().flat_map(|number| [*number, *number]).collect();
            self.bits = bits;
        }
        let page = changed(&mut self.pages[number]);
        page.bits = bits;
        let upper_from =
            page.entries.partition_point(|entry| first_bits(entry.key, bits).is_multiple_of(2));
        let mut entries = Vec::with_capacity(page.entries.len() - upper_from + PAGE_ENTRIES_STEP);
        entries.extend(page.entries.drain(upper_from..));
        page.entries.shrink_to(upper_from + PAGE_ENTRIES_STEP);
        let upper = self.pages.len() as u32;
        self.pages.push(Arc::new(Page { bits, entries }));
        let places_each = 1 << (self.bits - bits);
        let first = (first_bits(key, bits) | 1) * places_each;
        self.places[first..first + places_each].fill(upper);
    }
}

/// Fills an empty map at once, in a fraction of the time of as many insertions.
impl<V: Copy> FromIterator<(u128, V)> for PagedMap<V> {
    fn from_iter<I: IntoIterator<Item = (u128, V)>>(entries: I) -> Self {
        let entries = entries.into_iter();
        // Pages of three quarters of their size, if they are filled evenly.
        let pages = entries.size_hint().0.div_ceil(PAGE_ENTRIES_MAX * 3 / 4).max(1);
        let bits = pages.next_power_of_two().ilog2();
        let empty = |_| Arc::new(Page { bits, entries: Vec::new() });
        let mut map = Self {
            places: (0..1 << bits).collect(),
            pages: (0..1 << bits).map(empty).collect(),
            bits,
            len: 0,
        };
        for (key, value) in entries {
            map.insert(key, value);
        }
        map
    }
}

/// Entries in any order, on their way into a map.
#[derive(Debug)]
pub(crate) struct Gathering<V> {
    pages: Vec<Vec<Entry<V>>>,
    bits: u32,
}

impl<V: Copy> Gathering<V> {
    /// Room for about so many.
    pub(crate) fn of_about(entries: u64) -> Self {
        let pages = entries.div_ceil(PAGE_ENTRIES_MAX as u64 * 3 / 4).max(1);
        let bits = pages.next_power_of_two().ilog2();
        Self { pages: (0..1 << bits).map(|_| Vec::new()).collect(), bits }
    }

    pub(crate) fn push(&mut self, key: u128, value: V) {
        let key = halves(key);
        self.pages[first_bits(key, self.bits)].push(Entry { key, value });
    }

    /// The map, of what becomes of all entries with one fingerprint.
    ///
    /// # Errors
    /// That of `join`.
    pub(crate) fn finish<W: Copy, E>(
        self,
        mut join: impl FnMut(u128, &[Entry<V>]) -> Result<Option<W>, E>,
    ) -> Result<PagedMap<W>, E> {
        let bits = self.bits;
        let mut map =
            PagedMap { places: (0..1 << bits).collect(), pages: Vec::new(), bits, len: 0 };
        map.pages.reserve_exact(self.pages.len());
        for mut gathered in self.pages {
            gathered.sort_unstable_by_key(|entry| entry.key);
            let mut entries = Vec::with_capacity(gathered.len() + PAGE_ENTRIES_STEP / 2);
            for same in gathered.chunk_by(|one, next| one.key == next.key) {
                let key = same[0].key;
                if let Some(value) = join(whole(key), same)? {
                    entries.push(Entry { key, value });
                }
            }
            map.len += entries.len();
            map.pages.push(Arc::new(Page { bits, entries }));
        }
        Ok(map)
    }
}

/// The page, its own if it was shared.
fn changed<V: Copy>(page: &mut Arc<Page<V>>) -> &mut Page<V> {
    Arc::make_mut(page)
}

fn whole((first, second): (u64, u64)) -> u128 {
    (u128::from(first) << 64) | u128::from(second)
}

fn halves(key: u128) -> (u64, u64) {
    ((key >> 64) as u64, key as u64)
}

fn first_bits(key: (u64, u64), bits: u32) -> usize {
    // A shift by all bits of a number is none.
    if bits == 0 { 0 } else { (key.0 >> (u64::BITS - bits)) as usize }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// A number that looks like a fingerprint.
    fn key(nth: u64) -> u128 {
        xxhash_rust::xxh3::xxh3_128(&nth.to_le_bytes())
    }

    fn assert_equal(map: &PagedMap<u64>, model: &BTreeMap<u128, u64>) {
        assert_eq!(map.len, model.len());
        assert!(map.iter().eq(model.iter().map(|(key, value)| (*key, *value))));
    }

    /// Insertions, replacements and removals, of fingerprints and of numbers with one beginning.
    #[test]
    fn it_is_a_sorted_map() {
        for shift in [0, 64, 100] {
            let (mut map, mut model) = (PagedMap::default(), BTreeMap::new());
            for nth in 0..60_000_u64 {
                let key = key(nth % 40_000) >> shift;
                if nth % 7 == 3 {
                    let key = self::key(nth / 2) >> shift;
                    assert_eq!(map.remove(key), model.remove(&key));
                }
                assert_eq!(map.insert(key, nth), model.insert(key, nth));
                assert_eq!(map.get(key), Some(&nth));
            }
            assert_equal(&map, &model);
            for nth in 0..50_000 {
                let key = key(nth) >> shift;
                assert_eq!(map.get(key), model.get(&key));
            }
            assert_eq!(map.get(u128::MAX), None);
        }
    }

    #[test]
    fn filled_at_once_it_is_the_same() {
        for len in [0, 1, 128, 129, 5_000, 70_001] {
            let model: BTreeMap<u128, u64> = (0..len).map(|nth| (key(nth), nth)).collect();
            let mut map: PagedMap<u64> = model.iter().map(|(key, value)| (*key, *value)).collect();
            assert_equal(&map, &model);
            assert_eq!(map.insert(key(len), 7), None);
            assert_eq!(map.get(key(len)), Some(&7));
        }
    }

    /// Neither side of a copy sees what the other does, and they share the rest.
    #[test]
    fn a_copy_is_apart() {
        let mut map: PagedMap<u64> = (0..100_000).map(|nth| (key(nth), nth)).collect();
        let copy = map.clone();
        for nth in 0..10 {
            map.insert(key(nth), 1_000_000);
            map.insert(key(200_000 + nth), 7);
            map.remove(key(300 + nth));
        }
        let model: BTreeMap<u128, u64> = (0..100_000).map(|nth| (key(nth), nth)).collect();
        assert_equal(&copy, &model);
        assert_eq!(map.len, 100_000);
        let shared = map.pages.iter().filter(|page| Arc::strong_count(page) > 1).count();
        assert!(shared + 30 >= copy.pages.len(), "{shared} of {}", copy.pages.len());
    }

    /// Ids that were searched until their fingerprints begin alike.
    #[test]
    fn what_finds_the_pages_is_bounded() {
        let alike = |nth: u64| u128::from(nth);
        let mut map: PagedMap<u64> = (0..20_000).map(|nth| (alike(nth), nth)).collect();
        assert!(map.places.len() <= 4_096, "{} places", map.places.len());
        for nth in 0..100_000 {
            map.insert(key(nth), nth);
        }
        assert!(map.places.len() <= 32_768, "{} places", map.places.len());
        assert_eq!(map.get(alike(19_999)), Some(&19_999));
        assert_eq!(map.len, 120_000);
    }

    #[test]
    fn an_entry_takes_little_more_than_itself() {
        let map = |len| -> PagedMap<[u64; 2]> {
            let mut map = PagedMap::default();
            for nth in 0..len {
                map.insert(key(nth), [nth; 2]);
            }
            map
        };
        for len in [100_000, 150_000, 200_000] {
            let map = map(len);
            let entries: usize = map.pages.iter().map(|page| page.entries.capacity()).sum();
            let bytes = entries * 32 + map.pages.len() * 80 + map.places.len() * 4;
            let each = bytes as f64 / len as f64;
            assert!(each <= 42.0, "{each} bytes for an entry of 32");
        }
    }
}
