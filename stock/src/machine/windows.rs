//! When sales open and end: the instants that a leader must not let pass in silence.
//!
//! Derived from the products' terms, so it is in no hash and no snapshot; products without a
//! window leave nothing here. Never decides anything. Called by the machine.

use crate::Terms;
use std::collections::BTreeMap;

/// The starts and ends of all sales that have them, past ones too; how many sales share each.
#[derive(Debug, Clone, Default)]
pub(super) struct Windows {
    instants: BTreeMap<u64, usize>,
}

impl Windows {
    pub(super) fn add(&mut self, terms: &Terms) {
        for at_ms in instants(terms) {
            *self.instants.entry(at_ms).or_default() += 1;
        }
    }

    /// # Panics
    /// When these terms were not added.
    pub(super) fn remove(&mut self, terms: &Terms) {
        for at_ms in instants(terms) {
            match self.instants.remove(&at_ms) {
                None => panic!("nothing opens or ends at {at_ms}, but {terms:?} should"),
                Some(1) => {}
                Some(sales) => {
                    self.instants.insert(at_ms, sales - 1);
                }
            }
        }
    }

    /// The first instant after `now_ms`.
    pub(super) fn next_after(&self, now_ms: u64) -> Option<u64> {
        self.instants.range(now_ms.checked_add(1)?..).next().map(|(at_ms, _)| *at_ms)
    }
}

fn instants(terms: &Terms) -> impl Iterator<Item = u64> {
    [terms.starts_at_ms, terms.ends_at_ms].into_iter().flatten()
}
