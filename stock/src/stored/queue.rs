//! A queue whose copy shares all that neither side changes.
//!
//! A snapshot copies the stored outcomes while applies wait, and there may be some hundred
//! thousand of them. So they are in pages: a copy costs a moment for each page, and whoever appends
//! to a shared one copies that page first. Never decides what is forgotten. Called by the table of
//! stored outcomes.

use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};
use std::collections::VecDeque;
use std::sync::Arc;

/// Items of a page.
const PAGE_ITEMS: usize = 256;

/// See the module. Items are numbered as they come, from 0 on. Invariant, asserted at each change:
/// every page but the last is full, and fewer than [`PAGE_ITEMS`] items of the first have left. One
/// that all items have left stays until it is full.
#[derive(Debug, Clone)]
pub(crate) struct SharedQueue<T> {
    pages: VecDeque<Arc<Vec<T>>>,
    /// How many items have left since the queue began. The first page's are freed with the page.
    left: u64,
    len: usize,
}

impl<T> Default for SharedQueue<T> {
    fn default() -> Self {
        Self { pages: VecDeque::new(), left: 0, len: 0 }
    }
}

/// As a vector of the items.
impl<T: Clone + Serialize> Serialize for SharedQueue<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut items = serializer.serialize_seq(Some(self.len))?;
        for item in self.iter() {
            items.serialize_element(item)?;
        }
        items.end()
    }
}

impl<T: Clone> SharedQueue<T> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The oldest.
    pub(crate) fn front(&self) -> Option<&T> {
        self.get(self.left)
    }

    /// The oldest's number, or that of the next to come.
    pub(crate) fn first_number(&self) -> u64 {
        self.left
    }

    /// The item of this number, if it is here.
    pub(crate) fn get(&self, number: u64) -> Option<&T> {
        let at = usize::try_from(number.checked_sub(self.left)?).ok()? + self.left_of_page();
        self.pages.get(at / PAGE_ITEMS)?.get(at % PAGE_ITEMS)
    }

    /// How many items of the first page have left.
    fn left_of_page(&self) -> usize {
        (self.left % PAGE_ITEMS as u64) as usize
    }

    /// The newest.
    pub(crate) fn back(&self) -> Option<&T> {
        self.get((self.left + self.len as u64).checked_sub(1)?)
    }

    /// Adds the newest. Returns its number.
    pub(crate) fn push_back(&mut self, item: T) -> u64 {
        let number = self.left + self.len as u64;
        self.len += 1;
        if self.pages.back().is_none_or(|page| page.len() == PAGE_ITEMS) {
            self.pages.push_back(Arc::new(Vec::with_capacity(PAGE_ITEMS)));
        }
        if let Some(page) = self.pages.back_mut() {
            Arc::make_mut(page).push(item);
        }
        self.assert_whole();
        number
    }

    /// Lets the oldest go, if there is one.
    pub(crate) fn pop_front(&mut self) {
        if self.len == 0 {
            return;
        }
        self.len -= 1;
        self.left += 1;
        if self.left_of_page() == 0 {
            self.pages.pop_front();
        }
        self.assert_whole();
    }

    fn assert_whole(&self) {
        let last = self.pages.back().map_or(0, |page| page.len());
        let items = self.pages.len().saturating_sub(1) * PAGE_ITEMS + last;
        let (left, len) = (self.left_of_page(), self.len);
        assert_eq!(left + len, items, "{left} have left, {len} are here");
    }

    /// All of them, oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.pages.iter().flat_map(|page| page.iter()).skip(self.left_of_page())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, Clone, Copy)]
    enum Step {
        Push(usize),
        Pop(usize),
        Copy,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (1..600_usize).prop_map(Step::Push),
            (1..600_usize).prop_map(Step::Pop),
            Just(Step::Copy),
        ]
    }

    fn assert_is(queue: &SharedQueue<u64>, model: &VecDeque<u64>) {
        let last = model.back().copied().unwrap_or(0);
        assert_eq!(queue.len(), model.len());
        assert_eq!((queue.front(), queue.back()), (model.front(), model.back()));
        // Each item is its own number here.
        for number in [0, 1, 255, 256, 300, 1_000, 5_000] {
            let is_here = model.front().is_some_and(|first| (*first..=last).contains(&number));
            assert_eq!(queue.get(number), is_here.then_some(&number));
        }
        assert!(queue.iter().eq(model), "{queue:?} is not {model:?}");
    }

    proptest! {
        /// It is a queue, and no copy sees what became of it later.
        #[test]
        fn it_is_a_queue_and_its_copies_stay(steps in prop::collection::vec(step(), 1..40)) {
            let (mut queue, mut model, mut next) = (SharedQueue::default(), VecDeque::new(), 0);
            let mut copies = Vec::new();
            for step in steps {
                match step {
                    Step::Push(times) => for _ in 0..times {
                        prop_assert_eq!(queue.push_back(next), next);
                        model.push_back(next);
                        next += 1;
                    },
                    Step::Pop(times) => for _ in 0..times {
                        queue.pop_front();
                        model.pop_front();
                    },
                    Step::Copy => copies.push((queue.clone(), model.clone())),
                }
                assert_is(&queue, &model);
            }
            for (copy, model) in &copies {
                assert_is(copy, model);
            }
        }
    }

    /// What a copy costs: a page, whoever pushes to it.
    #[test]
    fn a_copy_shares_the_pages() {
        let mut queue = SharedQueue::default();
        for item in 0..10 * PAGE_ITEMS as u64 + 7 {
            queue.push_back(item);
        }
        let copy = queue.clone();
        queue.push_back(0);
        queue.pop_front();
        let shared = copy.pages.iter().filter(|page| Arc::strong_count(page) > 1).count();
        assert_eq!((shared, copy.pages.len()), (10, 11));
    }
}
