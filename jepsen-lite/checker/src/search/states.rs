//! Each state under a small number, so that a memo key is small and still exact.
//!
//! Owns: the states seen. Never does: forget one by itself. Called by `depth_first`.

use super::memo::Hashing;
use std::collections::{HashMap, HashSet};
use std::hash::Hash;

/// A state's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct StateId(u32);

/// States by number.
#[derive(Debug)]
pub(super) struct States<State> {
    ids: HashMap<State, StateId, Hashing>,
    by_id: Vec<Option<State>>,
    /// Numbers that are free again.
    free: Vec<StateId>,
    /// Bytes that they take, by the model's account.
    pub(super) bytes: usize,
}

impl<State: Clone + Eq + Hash> States<State> {
    pub(super) fn new() -> Self {
        Self { ids: HashMap::default(), by_id: Vec::new(), free: Vec::new(), bytes: 0 }
    }

    /// The number of a state; `bytes` is asked once, when it is new.
    pub(super) fn id(&mut self, state: State, bytes: impl FnOnce(&State) -> usize) -> StateId {
        if let Some(id) = self.ids.get(&state) {
            return *id;
        }
        self.bytes += Self::bytes_of(bytes(&state));
        let id = self.free.pop().unwrap_or(StateId(self.by_id.len() as u32));
        if id.0 as usize == self.by_id.len() {
            self.by_id.push(Some(state.clone()));
        } else {
            self.by_id[id.0 as usize] = Some(state.clone());
        }
        self.ids.insert(state, id);
        id
    }

    /// # Panics
    /// When the state was forgotten.
    pub(super) fn get(&self, id: StateId) -> &State {
        match &self.by_id[id.0 as usize] {
            Some(state) => state,
            None => panic!("state {} was forgotten", id.0),
        }
    }

    /// Forgets all but these; gives how many those were.
    pub(super) fn keep(
        &mut self,
        live: &HashSet<StateId>,
        bytes: impl Fn(&State) -> usize,
    ) -> usize {
        let before = self.ids.len();
        for (number, kept) in self.by_id.iter_mut().enumerate() {
            let id = StateId(number as u32);
            if let Some(state) = kept.take_if(|_| !live.contains(&id)) {
                self.bytes -= Self::bytes_of(bytes(&state));
                self.ids.remove(&state);
                self.free.push(id);
            }
        }
        before - self.ids.len()
    }

    /// One copy in the list, one as the key, and the number.
    fn bytes_of(state: usize) -> usize {
        2 * state + size_of::<StateId>()
    }

    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }
}
