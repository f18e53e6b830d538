//! A register with read, write and compare-and-set.
//!
//! Owns: its meaning, as porcupine and Knossos have it. Never does: know how it was tested.
//! Called through `Model`.

use super::{Key, pair};
use crate::model::Bearing;
use crate::{Call, Ending, Event, History, Model, Reading, Value};

/// The model. One register for each key of an `independent` history.
#[derive(Debug, Clone)]
pub struct CasRegister {
    /// What it holds at first: `nil` in Jepsen's etcd test.
    pub initial: Value,
    /// What a compare-and-set tells that failed.
    pub failed_cas: FailedCas,
}

impl Default for CasRegister {
    fn default() -> Self {
        Self { initial: Value::Nil, failed_cas: FailedCas::default() }
    }
}

/// What a compare-and-set tells that failed. In Jepsen's words it did not happen, for whatever
/// cause; some clients let it fail for no other cause than that the value differed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum FailedCas {
    /// Nothing, as Knossos has it.
    #[default]
    Nothing,
    /// That the register held something else, unless its completion names another cause: an
    /// `:error`, or a value that is not its argument, such as `:timed-out`. Porcupine reads
    /// Jepsen's etcd logs so.
    Mismatch,
}

/// What is asked, and answered.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// It held this.
    Read(Value),
    /// It was set to this.
    Write(Value),
    /// It held the first and was set to the second.
    Cas(Value, Value),
    /// It did not hold the first, and was not set to the second.
    Mismatch(Value, Value),
}

/// An operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Op {
    /// Which register.
    pub key: Key,
    /// What is done.
    pub kind: Kind,
}

impl Model for CasRegister {
    type Op = Op;
    type State = Value;
    type Key = Key;
    type Shape = Kind;

    fn name(&self) -> &'static str {
        "cas-register"
    }

    fn init(&self, _key: &Key) -> Value {
        self.initial.clone()
    }

    fn step(&self, state: &Value, op: &Op) -> Option<Value> {
        match &op.kind {
            Kind::Read(value) => (state == value).then(|| state.clone()),
            Kind::Write(value) => Some(value.clone()),
            Kind::Cas(old, new) => (state == old).then(|| new.clone()),
            Kind::Mismatch(old, _) => (state != old).then(|| state.clone()),
        }
    }

    fn observes(&self, _state: &Self::State, op: &Op) -> bool {
        matches!(op.kind, Kind::Read(_) | Kind::Mismatch(..))
    }

    fn bearing(&self, op: &Op) -> Bearing {
        match op.kind {
            Kind::Write(_) => Bearing::Overwrites,
            Kind::Read(_) | Kind::Cas(..) | Kind::Mismatch(..) => Bearing::Tells,
        }
    }

    fn partition(&self, op: &Op) -> Key {
        op.key.clone()
    }

    fn shape(&self, op: &Op) -> Kind {
        op.kind.clone()
    }

    fn describe(&self, op: &Op) -> String {
        match &op.kind {
            Kind::Read(value) => format!("read → {value}"),
            Kind::Write(value) => format!("write {value}"),
            Kind::Cas(old, new) => format!("cas {old} → {new}"),
            Kind::Mismatch(old, new) => format!("cas {old} → {new}, refused"),
        }
    }

    fn describe_state(&self, state: &Value) -> String {
        state.to_string()
    }

    fn read(&self, history: &History, call: &Call) -> Result<Reading<Op>, String> {
        let event = &history.events[call.invoked];
        let op = |kind| Op { key: Key::of(history, call), kind };
        Ok(match (&*event.f, call.ending) {
            ("read", Ending::Ok(at)) => {
                Reading::Known(op(Kind::Read(history.events[at].value.clone())))
            }
            ("read", _) => Reading::Nothing,
            ("write", _) => call.done(op(Kind::Write(done_with(history, call).clone()))),
            ("cas", ending) => {
                let value = done_with(history, call);
                let (old, new) = pair(value)
                    .map(|(old, new)| (old.clone(), new.clone()))
                    .ok_or_else(|| format!("cas takes [old new], and this is {value}"))?;
                match ending {
                    Ending::Fail(at) if self.is_mismatch(event, &history.events[at]) => {
                        Reading::Known(op(Kind::Mismatch(old, new)))
                    }
                    _ => call.done(op(Kind::Cas(old, new))),
                }
            }
            (other, _) => {
                return Err(format!("cas-register has read, write and cas, and this is {other}"));
            }
        })
    }
}

/// What was done: as its completion says, which may know better than who asked for it (so Knossos
/// has it), else as it was asked for.
fn done_with<'a>(history: &'a History, call: &Call) -> &'a Value {
    let asked = &history.events[call.invoked].value;
    match call.ending {
        Ending::Ok(at) if history.events[at].value != Value::Nil => &history.events[at].value,
        _ => asked,
    }
}

impl CasRegister {
    /// Whether a compare-and-set failed because the register held something else.
    fn is_mismatch(&self, invoked: &Event, failed: &Event) -> bool {
        let names_no_cause = failed.error.is_none() && failed.value == invoked.value;
        self.failed_cas == FailedCas::Mismatch && names_no_cause
    }
}
