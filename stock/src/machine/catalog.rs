//! The products by id, in pages that a copy shares until one side changes them.
//!
//! A snapshot copies the products while applies wait. So a copy costs a moment for each page, and
//! whoever changes a product of a shared page copies that page first. Never decides anything and
//! never forgets a product. Called by the machine.

use super::slot::Slot;
use crate::Sku;
use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

/// Products at which a page is parted in two.
const PAGE_PRODUCTS_MAX: usize = 64;

type Page = BTreeMap<Sku, Slot>;

/// See the module. Invariant: a page of `rest` has no id before its key, and none from the next
/// page's key on.
#[derive(Debug, Clone, Default)]
pub(super) struct Catalog {
    /// The products before the first key of `rest`.
    first: Arc<Page>,
    rest: BTreeMap<Sku, Arc<Page>>,
    len: usize,
}

impl Catalog {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn get(&self, sku: &Sku) -> Option<&Slot> {
        self.page(sku).get(sku)
    }

    /// Copies the page if it is shared.
    pub(super) fn get_mut(&mut self, sku: &Sku) -> Option<&mut Slot> {
        // Else a page would be copied for nothing.
        self.get(sku)?;
        Arc::make_mut(self.page_mut(sku)).get_mut(sku)
    }

    /// Sets the slot, and returns the one that it replaces.
    pub(super) fn insert(&mut self, sku: Sku, slot: Slot) -> Option<Slot> {
        let page = Arc::make_mut(self.page_mut(&sku));
        let earlier = page.insert(sku, slot);
        let upper = part(page);
        self.len += usize::from(earlier.is_none());
        if let Some((from, upper)) = upper {
            self.rest.insert(from, Arc::new(upper));
        }
        earlier
    }

    /// All of them, by id.
    pub(super) fn values(&self) -> impl Iterator<Item = &Slot> {
        self.pages().flat_map(|page| page.values())
    }

    /// Those after this id, by id.
    pub(super) fn after(&self, sku: &Sku) -> impl Iterator<Item = &Slot> {
        let own = self.page(sku).range::<Sku, _>((Bound::Excluded(sku), Bound::Unbounded));
        let later = self.rest.range::<Sku, _>((Bound::Excluded(sku), Bound::Unbounded));
        own.map(|(_, slot)| slot).chain(later.flat_map(|(_, page)| page.values()))
    }

    /// The first product, to be changed.
    #[cfg(feature = "mutants")]
    pub(super) fn first_mut(&mut self) -> Option<&mut Slot> {
        Arc::make_mut(&mut self.first).values_mut().next()
    }

    fn pages(&self) -> impl Iterator<Item = &Arc<Page>> {
        std::iter::once(&self.first).chain(self.rest.values())
    }

    fn page(&self, sku: &Sku) -> &Arc<Page> {
        self.rest.range::<Sku, _>(..=sku).next_back().map_or(&self.first, |(_, page)| page)
    }

    fn page_mut(&mut self, sku: &Sku) -> &mut Arc<Page> {
        let page = self.rest.range_mut::<Sku, _>(..=sku).next_back();
        page.map_or(&mut self.first, |(_, page)| page)
    }
}

/// As the vector of its products, by id.
impl Serialize for Catalog {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut products = serializer.serialize_seq(Some(self.len))?;
        for slot in self.values() {
            products.serialize_element(&slot.product)?;
        }
        products.end()
    }
}

/// Takes the upper half out of a page that is too large, with its first id.
fn part(page: &mut Page) -> Option<(Sku, Page)> {
    if page.len() <= PAGE_PRODUCTS_MAX {
        return None;
    }
    let from = page.keys().nth(page.len() / 2)?.clone();
    let upper = page.split_off(&from);
    Some((from, upper))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Product, Seq, Terms};
    use std::collections::BTreeSet;

    fn sku(nth: u64) -> Sku {
        Sku::new(format!("p{nth}")).unwrap()
    }

    fn slot(nth: u64, units: u64) -> Slot {
        let terms = Terms::plain(sku(nth), "", units);
        let (stocked, available) = (units, units);
        Slot::new(Product { terms, stocked, available, held: 0, sold: 0, seq: Seq(1) })
    }

    fn ids<'a>(slots: impl Iterator<Item = &'a Slot>) -> Vec<&'a Sku> {
        slots.map(|slot| &slot.product.terms.sku).collect()
    }

    /// Created in an order that is not that of the ids, it is a sorted map of all.
    #[test]
    fn it_is_a_sorted_map() {
        const PRODUCTS: u64 = 2_000;
        let (mut catalog, mut model) = (Catalog::default(), BTreeSet::new());
        for nth in 0..PRODUCTS {
            let nth = nth * 7_919 % PRODUCTS;
            assert!(catalog.insert(sku(nth), slot(nth, 1)).is_none());
            model.insert(sku(nth));
        }
        assert!(catalog.insert(sku(5), slot(5, 9)).is_some());
        assert_eq!(catalog.len(), model.len());
        assert!(ids(catalog.values()).into_iter().eq(&model));
        let most = catalog.pages().map(|page| page.len()).max();
        assert!(most <= Some(PAGE_PRODUCTS_MAX), "{most:?} in a page");
        for nth in (0..PRODUCTS + 10).step_by(13) {
            assert_eq!(catalog.get(&sku(nth)).is_some(), nth < PRODUCTS);
            assert_eq!(catalog.get_mut(&sku(nth)).is_some(), nth < PRODUCTS);
            let after = model.range::<Sku, _>((Bound::Excluded(&sku(nth)), Bound::Unbounded));
            assert_eq!(ids(catalog.after(&sku(nth))), after.collect::<Vec<_>>());
        }
    }

    /// Neither side of a copy sees what the other does, and they share the rest.
    #[test]
    fn a_copy_is_apart() {
        let mut catalog = Catalog::default();
        for nth in 0..1_000 {
            catalog.insert(sku(nth), slot(nth, 1));
        }
        let copy = catalog.clone();
        assert!(catalog.get_mut(&sku(1_000)).is_none(), "copies no page");
        catalog.get_mut(&sku(7)).unwrap().product.available = 5;
        catalog.insert(sku(2_000), slot(2_000, 1));
        assert_eq!(copy.get(&sku(7)).unwrap().product.available, 1);
        assert!(copy.get(&sku(2_000)).is_none());
        let shared = catalog.pages().filter(|page| Arc::strong_count(page) > 1).count();
        assert!(shared + 2 >= copy.pages().count(), "{shared} of {}", copy.pages().count());
    }
}
