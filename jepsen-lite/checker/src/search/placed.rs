//! What is decided of the operations that are pending, and where those stand that nobody sees.
//!
//! Owns: hidden operations. Never does: take a step. Called by `depth_first` and `memo`.
//!
//! A write that another one follows at once is never seen. So when a write is linearized, every
//! other write that is pending then may have come just before it, and need not be linearized any
//! more: it is *hidden*. It still may be, for the sake of its value. So a search branches over the
//! writes whose value something needs, and not over the order of all the others:
//!
//! - When a hidden one completes, it may be left where it is; [`in_order`] puts it before the write
//!   that hides it.
//! - A write that nothing has made use of is *idle*. No write follows it: that order could do
//!   without the first, which would be hidden, and all that may follow could follow still. (Not so
//!   where the first had to be linearized because its completion was waited for.)
//!
//! Appends can be hidden, too, and hide nothing: see [`crate::model::Bearing`].

use super::slots::Slots;

/// What is decided of the operations that are pending.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Placed<S> {
    /// These are linearized.
    pub(super) done: S,
    /// These may be, or may have taken effect unseen.
    pub(super) hidden: S,
    /// Whether the last step was one that overwrites, and nothing has made use of it.
    pub(super) is_idle: bool,
}

impl<S: Slots> Placed<S> {
    /// Nothing is decided.
    pub(super) fn nothing(slots: usize) -> Self {
        Self { done: S::empty(slots), hidden: S::empty(slots), is_idle: false }
    }

    /// The operation of this slot has completed.
    pub(super) fn remove(&mut self, slot: usize) {
        self.done.remove(slot);
        self.hidden.remove(slot);
    }

    /// Bytes that it holds elsewhere.
    pub(super) fn heap_bytes(&self) -> usize {
        2 * self.done.heap_bytes()
    }
}

/// Marks an operation of an order as one that completed hidden. Operations are fewer than this.
const HIDDEN: u32 = 1 << 31;

/// An operation that completed hidden, as an order lists it.
pub(super) fn completed_hidden(operation: u32) -> u32 {
    operation | HIDDEN
}

/// An order in full: what completed hidden stands just before what hides it, which is the last one
/// before its completion that overwrites.
///
/// # Panics
/// When nothing hides it.
pub(super) fn in_order<'a>(
    parts: impl Iterator<Item = &'a u32>,
    overwrites: impl Fn(usize) -> bool,
) -> Vec<usize> {
    let mut order = Vec::new();
    let mut last_overwrite = None;
    for &listed in parts {
        let operation = (listed & !HIDDEN) as usize;
        if listed & HIDDEN != 0 {
            let Some(at) = last_overwrite else { panic!("nothing hides operation {operation}") };
            order.insert(at, operation);
            last_overwrite = Some(at + 1);
            continue;
        }
        if overwrites(operation) {
            last_overwrite = Some(order.len());
        }
        order.push(operation);
    }
    order
}
