//! What a model is: a small, deterministic, typed state machine.
//!
//! Owns: the trait. A model says what an operation may do to a state; the search decides whether
//! some order of the operations explains what was observed. Called by `search`, `explain`, and
//! implemented in `models` and `flashnode`.

use crate::{Call, History};
use std::fmt::{Debug, Display};
use std::hash::Hash;

/// What a call is to a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading<Op> {
    /// It took place, or was refused with an answer that tells of the state: it has a place
    /// between invocation and completion.
    Known(Op),
    /// It may take place at any time after its invocation, or never.
    Unknown(Op),
    /// It says nothing: it did not take place, or it has no effect and no known answer.
    Nothing,
}

/// How an operation bears on what comes before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bearing {
    /// It tells something of the state that it meets, or is not legal in each.
    Tells,
    /// It is legal in every state and tells nothing of it, as an append.
    Blind,
    /// It is blind, and leaves the same state whatever it meets, as a write.
    Overwrites,
}

/// A sequential specification. Values are small, steps are pure.
pub trait Model {
    /// An operation with what was observed of its answer.
    type Op: Clone + Debug;
    /// A state of one partition.
    type State: Clone + Eq + Hash + Debug;
    /// What a partition is named by; operations of different partitions do not interact
    /// (Herlihy & Wing: linearizability is local).
    type Key: Clone + Ord + Hash + Display + Debug;
    /// Two operations of one shape and one partition, with what was observed of their answers, do
    /// the same to every state. Of a model with ranks, only unknown ones are asked for it.
    type Shape: Clone + Eq + Ord + Hash + Debug;

    /// The model's name on the command line.
    fn name(&self) -> &'static str;

    /// The first state of a partition.
    fn init(&self, key: &Self::Key) -> Self::State;

    /// The state after this operation with this answer, or `None` when a state gives no such
    /// answer. Of an unknown operation: the state if it takes place now, `None` if it then would
    /// change nothing.
    fn step(&self, state: &Self::State, op: &Self::Op) -> Option<Self::State>;

    /// The partition that this operation is of.
    fn partition(&self, op: &Self::Op) -> Self::Key;

    /// The shape of an operation.
    fn shape(&self, op: &Self::Op) -> Self::Shape;

    /// Whether this operation, with this answer, changes neither this state nor any that can
    /// follow it, wherever it is legal: a read, or a refusal that leaves no trace. The search takes
    /// such a one as soon as it is legal. A write of what is there already is none: in another
    /// state it would change something.
    fn observes(&self, _state: &Self::State, _op: &Self::Op) -> bool {
        false
    }

    /// How this operation bears on what comes before it. A blind one just before one that
    /// overwrites is never seen: the search need not say which of several it was.
    fn bearing(&self, _op: &Self::Op) -> Bearing {
        Bearing::Tells
    }

    /// Whether known operations have ranks: a number in every answer that no legal order lets
    /// fall. Then the search tries, of what must still come, only the least.
    const RANKED: bool = false;

    /// The rank of a known operation. It is legal only in states whose [`Self::floor`] is at most
    /// that, and the state after it has a floor of at least that.
    fn rank(&self, _op: &Self::Op) -> u64 {
        0
    }

    /// The least rank that may follow this state. No step lowers it.
    fn floor(&self, _state: &Self::State) -> u64 {
        0
    }

    /// About how many bytes a state takes, with what it points to: the search's memory bound
    /// counts with it.
    fn state_bytes(&self, state: &Self::State) -> usize {
        size_of_val(state)
    }

    /// The operation in words, such as `read → 3`.
    fn describe(&self, op: &Self::Op) -> String;

    /// The state in words.
    fn describe_state(&self, state: &Self::State) -> String;

    /// What a call of a history is.
    ///
    /// # Errors
    /// In words, when the call is none of this model's: an unknown `:f`, a value of another shape.
    fn read(&self, history: &History, call: &Call) -> Result<Reading<Self::Op>, String>;
}
