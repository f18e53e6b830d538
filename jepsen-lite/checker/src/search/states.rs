//! Each state under a small number, so that a memo key is small and still exact.
//!
//! Owns: the states seen. Never does: forget one. Called by `depth_first`.

use super::memo::Hashing;
use std::collections::HashMap;
use std::hash::Hash;

/// A state's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct StateId(u32);

/// States by number.
#[derive(Debug)]
pub(super) struct States<State> {
    ids: HashMap<State, StateId, Hashing>,
    by_id: Vec<State>,
    /// Bytes that they take, by the model's account.
    pub(super) bytes: usize,
}

impl<State: Clone + Eq + Hash> States<State> {
    pub(super) fn new() -> Self {
        Self { ids: HashMap::default(), by_id: Vec::new(), bytes: 0 }
    }

    /// The number of a state; `bytes` is asked once, when it is new.
    pub(super) fn id(&mut self, state: State, bytes: impl FnOnce(&State) -> usize) -> StateId {
        if let Some(id) = self.ids.get(&state) {
            return *id;
        }
        let id = StateId(self.by_id.len() as u32);
        // One copy in the list, one as the key, and the number.
        self.bytes += 2 * bytes(&state) + size_of::<StateId>();
        self.by_id.push(state.clone());
        self.ids.insert(state, id);
        id
    }

    pub(super) fn get(&self, id: StateId) -> &State {
        &self.by_id[id.0 as usize]
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }
}
