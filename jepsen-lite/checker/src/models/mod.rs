//! General models, one file each.
//!
//! Owns: the models that Jepsen's and porcupine's histories are checked with, and their names.
//! Never does: search. Called by `jepsen-lite check`.

pub mod cas_register;
pub mod kv;
pub mod multi_register;
pub mod mutex;
pub mod synthetic;

pub use cas_register::{CasRegister, FailedCas};
pub use kv::Kv;
pub use multi_register::MultiRegister;
pub use mutex::Mutex;

use crate::{Call, Event, History, Value};
use std::fmt;

/// What a partition is named by: the key of an `independent` history, where there is one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub Option<Value>);

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(key) => key.fmt(f),
            None => f.write_str("all"),
        }
    }
}

impl Key {
    /// The key of a call, from its invocation or else its completion.
    fn of(history: &History, call: &Call) -> Self {
        let key = |event: &Event| event.key.as_deref().cloned();
        Self(
            key(&history.events[call.invoked])
                .or_else(|| call.completed().and_then(|completed| key(&history.events[completed]))),
        )
    }
}

/// The two items of a pair.
fn pair(value: &Value) -> Option<(&Value, &Value)> {
    match value.as_list() {
        Some([a, b]) => Some((a, b)),
        _ => None,
    }
}
