//! Named cursors: how far somebody who copies the changes elsewhere has come.
//!
//! Owns a position for each name, moved by compare-and-set. A move is no event, for whoever
//! follows the feed would then follow themselves; so cursors are in snapshots and in the state
//! hash. Of each, the request that moved it last is known, and its copies move nothing. Never
//! looks at what a position means. Called by the machine.

use crate::hash::{Element, StateSum};
use crate::{CursorName, Refusal};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The most cursors that a machine holds.
pub const CURSORS_MAX: usize = 256;

/// A move of a cursor, made only if it stands where the mover believes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CursorMove {
    /// The cursor.
    pub name: CursorName,
    /// Where it must stand; none: nowhere, for it is new.
    pub expected: Option<u64>,
    /// Where it is to stand, mostly the `seq` of a change.
    pub position: u64,
}

/// Its encoding is part of snapshots and of the state hash: frozen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cursor {
    pub(crate) position: u64,
    /// The fingerprint of the request that moved it here.
    pub(crate) moved_by: u128,
}

/// What becomes of a move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moving {
    /// It is made.
    Goes(Cursor),
    /// This very request made it.
    Went,
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub(crate) struct CursorTable(BTreeMap<CursorName, Cursor>);

impl CursorTable {
    pub(crate) fn position(&self, name: &CursorName) -> Option<u64> {
        self.0.get(name).map(|cursor| cursor.position)
    }

    /// Whether a request can move a cursor.
    ///
    /// # Errors
    /// `KeyReused`, `CursorMoved` or `TooManyCursors`.
    pub(crate) fn decide(&self, wanted: &CursorMove, request: u128) -> Result<Moving, Refusal> {
        let CursorMove { name, expected, position } = wanted;
        let found = self.0.get(name);
        match found {
            Some(cursor) if cursor.moved_by == request && cursor.position == *position => {
                return Ok(Moving::Went);
            }
            Some(cursor) if cursor.moved_by == request => return Err(Refusal::KeyReused),
            _ => {}
        }
        let stands = found.map(|cursor| cursor.position);
        if stands != *expected {
            return Err(Refusal::CursorMoved { position: stands });
        }
        if stands.is_none() && self.0.len() >= CURSORS_MAX {
            return Err(Refusal::TooManyCursors);
        }
        Ok(Moving::Goes(Cursor { position: *position, moved_by: request }))
    }

    pub(crate) fn set(&mut self, name: &CursorName, cursor: Cursor, sum: &mut StateSum) {
        sum.add(Element::cursor(name, &cursor));
        if let Some(before) = self.0.insert(name.clone(), cursor) {
            sum.remove(Element::cursor(name, &before));
        }
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = (&CursorName, Cursor)> {
        self.0.iter().map(|(name, cursor)| (name, *cursor))
    }

    /// Takes these cursors instead: a snapshot says which there are.
    pub(crate) fn replace(&mut self, cursors: Vec<(CursorName, Cursor)>, sum: &mut StateSum) {
        let before = std::mem::take(&mut self.0);
        for (name, cursor) in &before {
            sum.remove(Element::cursor(name, cursor));
        }
        self.0 = cursors.into_iter().collect();
        self.hash_into(sum);
    }

    /// Adds the hash of every cursor.
    pub(crate) fn hash_into(&self, sum: &mut StateSum) {
        for (name, cursor) in &self.0 {
            sum.add(Element::cursor(name, cursor));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_are_limited_in_number() {
        let (mut table, mut sum) = (CursorTable::default(), StateSum::default());
        let moved = |at: usize, expected| {
            let name = format!("sink-{at}").parse().unwrap();
            CursorMove { name, expected, position: 1 }
        };
        for at in 0..CURSORS_MAX {
            let wanted = moved(at, None);
            let Ok(Moving::Goes(cursor)) = table.decide(&wanted, 7) else { panic!("{wanted:?}") };
            table.set(&wanted.name, cursor, &mut sum);
        }
        let refused = Err(Refusal::TooManyCursors);
        assert_eq!(table.decide(&moved(CURSORS_MAX, None), 7), refused);
        assert!(matches!(table.decide(&moved(0, Some(1)), 8), Ok(Moving::Goes(_))));
    }
}
