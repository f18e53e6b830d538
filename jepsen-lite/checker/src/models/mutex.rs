//! A lock with acquire and release, as Knossos has it: whoever holds it, anybody may release it.
//!
//! Owns: its meaning. Called through `Model`.

use super::Key;
use crate::{Call, History, Model, Reading};

/// The model. One lock for each key of an `independent` history.
#[derive(Debug, Clone, Copy, Default)]
pub struct Mutex;

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// It was free, and is held.
    Acquire,
    /// It was held, and is free.
    Release,
}

/// Whether it is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lock {
    /// Nobody holds it.
    Free,
    /// Somebody holds it.
    Held,
}

/// An operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Op {
    /// Which lock.
    pub key: Key,
    /// What is done.
    pub kind: Kind,
}

impl Model for Mutex {
    type Op = Op;
    type State = Lock;
    type Key = Key;
    type Shape = Kind;

    fn name(&self) -> &'static str {
        "mutex"
    }

    fn init(&self, _key: &Key) -> Lock {
        Lock::Free
    }

    fn step(&self, state: &Lock, op: &Op) -> Option<Lock> {
        match (op.kind, state) {
            (Kind::Acquire, Lock::Free) => Some(Lock::Held),
            (Kind::Release, Lock::Held) => Some(Lock::Free),
            (Kind::Acquire, Lock::Held) | (Kind::Release, Lock::Free) => None,
        }
    }

    fn partition(&self, op: &Op) -> Key {
        op.key.clone()
    }

    fn shape(&self, op: &Op) -> Kind {
        op.kind
    }

    fn describe(&self, op: &Op) -> String {
        match op.kind {
            Kind::Acquire => "acquire".to_owned(),
            Kind::Release => "release".to_owned(),
        }
    }

    fn describe_state(&self, state: &Lock) -> String {
        match state {
            Lock::Free => "free".to_owned(),
            Lock::Held => "held".to_owned(),
        }
    }

    fn read(&self, history: &History, call: &Call) -> Result<Reading<Op>, String> {
        let kind = match &*history.events[call.invoked].f {
            "acquire" => Kind::Acquire,
            "release" => Kind::Release,
            other => return Err(format!("mutex has acquire and release, and this is {other}")),
        };
        Ok(call.done(Op { key: Key::of(history, call), kind }))
    }
}
