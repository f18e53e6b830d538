//! Products as counters of the Redis protocol: what a key owes, and which keys were deleted.
//!
//! A key is a product, and its count is what is available less what it owes. Owns the debts and
//! the marks of deleted keys, at most one a product; they are no events, so they are in snapshots
//! and in the state hash. Never moves a unit: debt is never sellable. Called by the machine.

use crate::hash::{Element, StateSum};
use crate::{Sku, Terms};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The most units that a key can owe.
pub const DEBT_MAX: u64 = Terms::STOCK_MAX;

/// Whether a decrement below zero makes debt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Debt {
    /// It is refused as sold out.
    Refused,
    /// The whole of it becomes debt, and no unit moves.
    Allowed,
}

/// Which keys a set is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SetIf {
    /// Any.
    Always,
    /// One that is not there.
    Missing,
    /// One that is there.
    Present,
}

/// What is noted of a key. Its encoding is part of snapshots and of the state hash: frozen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Note {
    /// Units by which decrements went below zero, and that no increment has paid; never 0.
    Owes(u64),
    /// The key was deleted, and nothing of its product has been available since.
    Deleted,
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub(crate) struct KeyTable(BTreeMap<Sku, Note>);

impl KeyTable {
    pub(crate) fn get(&self, sku: &Sku) -> Option<Note> {
        if self.0.is_empty() { None } else { self.0.get(sku).copied() }
    }

    /// What the key owes.
    pub(crate) fn debt(&self, sku: &Sku) -> u64 {
        match self.get(sku) {
            Some(Note::Owes(units)) => units,
            Some(Note::Deleted) | None => 0,
        }
    }

    pub(crate) fn set(&mut self, sku: &Sku, note: Option<Note>, sum: &mut StateSum) {
        assert!(note != Some(Note::Owes(0)), "{sku} owes nothing, and says so");
        if let Some(before) = self.0.remove(sku) {
            sum.remove(Element::key(sku, before));
        }
        if let Some(note) = note {
            sum.add(Element::key(sku, note));
            self.0.insert(sku.clone(), note);
        }
    }

    /// A product has units again: its key is there.
    pub(crate) fn stocked(&mut self, sku: &Sku, sum: &mut StateSum) {
        if self.get(sku) == Some(Note::Deleted) {
            self.set(sku, None, sum);
        }
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = (&Sku, Note)> {
        self.0.iter().map(|(sku, note)| (sku, *note))
    }

    /// Takes these notes instead: a snapshot says which there are.
    pub(crate) fn replace(&mut self, notes: Vec<(Sku, Note)>, sum: &mut StateSum) {
        let before = std::mem::take(&mut self.0);
        for (sku, note) in &before {
            sum.remove(Element::key(sku, *note));
        }
        self.0 = notes.into_iter().collect();
        self.hash_into(sum);
    }

    /// Adds the hash of every note.
    pub(crate) fn hash_into(&self, sum: &mut StateSum) {
        for (sku, note) in &self.0 {
            sum.add(Element::key(sku, *note));
        }
    }
}
