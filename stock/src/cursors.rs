//! Named cursors: how far somebody who copies the changes elsewhere has come.
//!
//! Owns a position for each name, moved and removed by compare-and-set, and what the cursor is for,
//! if that was said: two who copy to different places must not share one. A move is no event, for
//! whoever follows the feed would then follow themselves; so cursors are in snapshots and in the
//! state hash. Of each, the request that moved it last is known, and its copies move nothing. Never
//! looks at what a position or a target means. Called by the machine.

use crate::hash::{Element, StateSum};
use crate::{CursorName, CursorTarget, Refusal};
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

/// A move by somebody who says what the cursor is for. One that is for nothing yet is for that from
/// then on; one that is for something else is not moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CursorMoveFor {
    /// The move.
    pub moved: CursorMove,
    /// What it is for.
    pub target: CursorTarget,
}

/// The end of a cursor, made only if it stands where whoever asks believes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CursorRemoval {
    /// The cursor.
    pub name: CursorName,
    /// Where it must stand.
    pub expected: u64,
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

/// See the module. Invariant: what has a target has a cursor.
#[derive(Debug, Clone, Default)]
pub(crate) struct CursorTable {
    cursors: BTreeMap<CursorName, Cursor>,
    targets: BTreeMap<CursorName, CursorTarget>,
}

impl CursorTable {
    pub(crate) fn position(&self, name: &CursorName) -> Option<u64> {
        self.cursors.get(name).map(|cursor| cursor.position)
    }

    pub(crate) fn target(&self, name: &CursorName) -> Option<&CursorTarget> {
        self.targets.get(name)
    }

    /// Whether a request can move a cursor, whose sender may say what it is for.
    ///
    /// # Errors
    /// `KeyReused`, `CursorOfAnother`, `CursorMoved` or `TooManyCursors`.
    pub(crate) fn decide(
        &self,
        wanted: &CursorMove,
        target: Option<&CursorTarget>,
        request: u128,
    ) -> Result<Moving, Refusal> {
        let CursorMove { name, expected, position } = wanted;
        let found = self.cursors.get(name);
        let is_for = self.targets.get(name);
        let of_another = target.is_some() && is_for.is_some() && is_for != target;
        if let Some(cursor) = found.filter(|cursor| cursor.moved_by == request) {
            return if cursor.position == *position && !of_another {
                Ok(Moving::Went)
            } else {
                Err(Refusal::KeyReused)
            };
        }
        if of_another {
            return Err(Refusal::CursorOfAnother);
        }
        let stands = found.map(|cursor| cursor.position);
        if stands != *expected {
            return Err(Refusal::CursorMoved { position: stands });
        }
        if stands.is_none() && self.cursors.len() >= CURSORS_MAX {
            return Err(Refusal::TooManyCursors);
        }
        Ok(Moving::Goes(Cursor { position: *position, moved_by: request }))
    }

    /// Whether a cursor can be removed.
    ///
    /// # Errors
    /// `UnknownCursor` or `CursorMoved`.
    pub(crate) fn decide_removal(&self, removal: &CursorRemoval) -> Result<(), Refusal> {
        match self.position(&removal.name) {
            None => Err(Refusal::UnknownCursor),
            Some(position) if position != removal.expected => {
                Err(Refusal::CursorMoved { position: Some(position) })
            }
            Some(_) => Ok(()),
        }
    }

    /// Moves a cursor, or makes it; with a target it is for that from now on.
    pub(crate) fn set(
        &mut self,
        name: &CursorName,
        cursor: Cursor,
        target: Option<&CursorTarget>,
        sum: &mut StateSum,
    ) {
        sum.add(Element::cursor(name, &cursor));
        if let Some(before) = self.cursors.insert(name.clone(), cursor) {
            sum.remove(Element::cursor(name, &before));
        }
        let Some(target) = target else { return };
        match self.targets.get(name) {
            None => {
                sum.add(Element::cursor_target(name, target));
                self.targets.insert(name.clone(), target.clone());
            }
            Some(before) => assert_eq!(before, target, "the cursor {name} is for something else"),
        }
    }

    pub(crate) fn remove(&mut self, name: &CursorName, sum: &mut StateSum) {
        let Some(cursor) = self.cursors.remove(name) else {
            panic!("the removal of the cursor {name} was allowed, and it is not there");
        };
        sum.remove(Element::cursor(name, &cursor));
        if let Some(target) = self.targets.remove(name) {
            sum.remove(Element::cursor_target(name, &target));
        }
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = (&CursorName, Cursor)> {
        self.cursors.iter().map(|(name, cursor)| (name, *cursor))
    }

    pub(crate) fn targets(&self) -> impl ExactSizeIterator<Item = (&CursorName, &CursorTarget)> {
        self.targets.iter()
    }

    /// Takes these cursors instead: a snapshot says which there are.
    pub(crate) fn replace(
        &mut self,
        cursors: Vec<(CursorName, Cursor)>,
        targets: Vec<(CursorName, CursorTarget)>,
        sum: &mut StateSum,
    ) {
        let before = std::mem::take(self);
        before.each(|element| sum.remove(element));
        self.cursors = cursors.into_iter().collect();
        self.targets = targets.into_iter().collect();
        self.hash_into(sum);
    }

    /// Adds the hash of every cursor and target.
    pub(crate) fn hash_into(&self, sum: &mut StateSum) {
        self.each(|element| sum.add(element));
    }

    fn each(&self, mut visit: impl FnMut(Element)) {
        for (name, cursor) in &self.cursors {
            visit(Element::cursor(name, cursor));
        }
        for (name, target) in &self.targets {
            visit(Element::cursor_target(name, target));
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
            let Ok(Moving::Goes(cursor)) = table.decide(&wanted, None, 7) else {
                panic!("{wanted:?}")
            };
            table.set(&wanted.name, cursor, None, &mut sum);
        }
        let refused = Err(Refusal::TooManyCursors);
        assert_eq!(table.decide(&moved(CURSORS_MAX, None), None, 7), refused);
        assert!(matches!(table.decide(&moved(0, Some(1)), None, 8), Ok(Moving::Goes(_))));
        // What is removed makes room.
        table.remove(&moved(3, None).name, &mut sum);
        let decided = table.decide(&moved(CURSORS_MAX, None), None, 7);
        assert!(matches!(decided, Ok(Moving::Goes(_))));
    }
}
