//! A map from keys to texts with get, put and append.
//!
//! Owns: its meaning, as porcupine's tests have it: a key that was never put holds "". Never
//! does: relate keys to each other. Called through `Model`.

use super::{Key, pair};
use crate::model::Bearing;
use crate::{Call, Ending, Event, History, Model, Reading, Value};
use std::sync::Arc;

/// The model. Partitions are keys.
#[derive(Debug, Clone, Copy, Default)]
pub struct Kv;

/// What is asked, and answered.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// It held this.
    Get(Arc<str>),
    /// It was set to this.
    Put(Arc<str>),
    /// This was added to its end.
    Append(Arc<str>),
}

/// An operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Op {
    /// Which key.
    pub key: Key,
    /// What is done.
    pub kind: Kind,
}

impl Model for Kv {
    type Op = Op;
    type State = Arc<str>;
    type Key = Key;
    type Shape = Kind;

    fn name(&self) -> &'static str {
        "kv"
    }

    fn init(&self, _key: &Key) -> Arc<str> {
        "".into()
    }

    fn step(&self, state: &Arc<str>, op: &Op) -> Option<Arc<str>> {
        match &op.kind {
            Kind::Get(value) => (state == value).then(|| Arc::clone(state)),
            Kind::Put(value) => Some(Arc::clone(value)),
            Kind::Append(value) => Some(format!("{state}{value}").into()),
        }
    }

    fn observes(&self, _state: &Self::State, op: &Op) -> bool {
        matches!(op.kind, Kind::Get(_))
    }

    fn bearing(&self, op: &Op) -> Bearing {
        match op.kind {
            Kind::Put(_) => Bearing::Overwrites,
            Kind::Append(_) => Bearing::Blind,
            Kind::Get(_) => Bearing::Tells,
        }
    }

    fn partition(&self, op: &Op) -> Key {
        op.key.clone()
    }

    fn shape(&self, op: &Op) -> Kind {
        op.kind.clone()
    }

    fn state_bytes(&self, state: &Arc<str>) -> usize {
        size_of_val(state) + state.len()
    }

    fn describe(&self, op: &Op) -> String {
        match &op.kind {
            Kind::Get(value) => format!("get → {value:?}"),
            Kind::Put(value) => format!("put {value:?}"),
            Kind::Append(value) => format!("append {value:?}"),
        }
    }

    fn describe_state(&self, state: &Arc<str>) -> String {
        format!("{state:?}")
    }

    fn read(&self, history: &History, call: &Call) -> Result<Reading<Op>, String> {
        let event = &history.events[call.invoked];
        let mut key = Key::of(history, call);
        // Without a key, the value is [key value].
        let is_pair = key.0.is_none();
        if is_pair {
            let (first, _) = pair(&event.value).ok_or_else(|| {
                format!("{} has neither :key nor a [key value], but {}", event.f, event.value)
            })?;
            key = Key(Some(first.clone()));
        }
        let text = |event: &Event| {
            let value = match pair(&event.value) {
                Some((_, second)) if is_pair => second,
                _ => &event.value,
            };
            text_of(value)
        };
        let op = |kind| Op { key: key.clone(), kind };
        let written = |kind: fn(Arc<str>) -> Kind| match call.ending {
            Ending::Fail(_) => Ok(Reading::Nothing),
            _ => Ok(call.done(op(kind(text(event)?)))),
        };
        match (&*event.f, call.ending) {
            ("get" | "read", Ending::Ok(at)) => {
                Ok(Reading::Known(op(Kind::Get(text(&history.events[at])?))))
            }
            ("get" | "read", _) => Ok(Reading::Nothing),
            ("put" | "write", _) => written(Kind::Put),
            ("append", _) => written(Kind::Append),
            (other, _) => Err(format!("kv has get, put and append, and this is {other}")),
        }
    }
}

/// The text of a value; a key that is absent reads as nil in some histories, as "" in others.
fn text_of(value: &Value) -> Result<Arc<str>, String> {
    match value {
        Value::Nil => Ok("".into()),
        Value::Text(text) => Ok(text.as_str().into()),
        Value::Int(number) => Ok(number.to_string().into()),
        other => Err(format!("kv's values are texts, and this is {other}")),
    }
}
