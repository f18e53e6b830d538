//! Registers by key, with transactions of reads and writes over them, as Knossos has it.
//!
//! Owns: its meaning. A transaction is `[[:read :x 1] [:write :y 2]]`, also `:r` and `:w`. A read
//! of nil tells nothing, as in Knossos. Called through `Model`.

use crate::{Call, Ending, History, Model, Reading, Value};
use std::collections::BTreeMap;

/// The model. There is one partition: a transaction may touch any register.
#[derive(Debug, Clone, Default)]
pub struct MultiRegister {
    /// What registers hold at first; those that are not in it, nil.
    pub initial: BTreeMap<Value, Value>,
}

/// A step of a transaction.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Micro {
    /// The register held this.
    Read(Value, Value),
    /// The register was set to this.
    Write(Value, Value),
}

impl Model for MultiRegister {
    type Op = Vec<Micro>;
    type State = BTreeMap<Value, Value>;
    type Key = &'static str;
    type Shape = Vec<Micro>;

    fn name(&self) -> &'static str {
        "multi-register"
    }

    fn init(&self, _key: &&'static str) -> BTreeMap<Value, Value> {
        self.initial.clone()
    }

    fn step(&self, state: &Self::State, op: &Vec<Micro>) -> Option<Self::State> {
        let mut next = state.clone();
        for micro in op {
            match micro {
                Micro::Read(key, value) if next.get(key).unwrap_or(&Value::Nil) == value => {}
                Micro::Read(..) => return None,
                Micro::Write(key, value) => {
                    next.insert(key.clone(), value.clone());
                }
            }
        }
        Some(next)
    }

    fn observes(&self, _state: &Self::State, op: &Vec<Micro>) -> bool {
        op.iter().all(|micro| matches!(micro, Micro::Read(..)))
    }

    fn partition(&self, _op: &Vec<Micro>) -> &'static str {
        "all"
    }

    fn shape(&self, op: &Vec<Micro>) -> Vec<Micro> {
        op.clone()
    }

    fn state_bytes(&self, state: &Self::State) -> usize {
        // An entry is a key and a value; a node has room for about half as many again.
        size_of_val(state) + state.len() * 3 * size_of::<Value>()
    }

    fn describe(&self, op: &Vec<Micro>) -> String {
        let parts: Vec<String> = op
            .iter()
            .map(|micro| match micro {
                Micro::Read(key, value) => format!("read {key} → {value}"),
                Micro::Write(key, value) => format!("write {key} {value}"),
            })
            .collect();
        parts.join(", ")
    }

    fn describe_state(&self, state: &Self::State) -> String {
        let parts: Vec<String> =
            state.iter().map(|(key, value)| format!("{key} {value}")).collect();
        format!("{{{}}}", parts.join(", "))
    }

    fn read(&self, history: &History, call: &Call) -> Result<Reading<Vec<Micro>>, String> {
        let event = &history.events[call.invoked];
        let f = &*event.f;
        if !matches!(f, "txn" | "read" | "write") {
            return Err(format!("multi-register has txn, read and write, and this is {f}"));
        }
        Ok(match call.ending {
            Ending::Fail(_) => Reading::Nothing,
            Ending::Ok(at) => {
                let micros = transaction(f, &history.events[at].value)?;
                if micros.is_empty() { Reading::Nothing } else { Reading::Known(micros) }
            }
            Ending::Open(_) => {
                // What its reads saw is not known; without writes it does nothing.
                let mut micros = transaction(f, &event.value)?;
                micros.retain(|micro| matches!(micro, Micro::Write(..)));
                if micros.is_empty() { Reading::Nothing } else { Reading::Unknown(micros) }
            }
        })
    }
}

/// The steps of a transaction; reads of nil are left out.
fn transaction(f: &str, value: &Value) -> Result<Vec<Micro>, String> {
    let wrong = || format!("a transaction is [[:read key value] …], and this is {value}");
    let steps = value.as_list().ok_or_else(wrong)?;
    let mut micros = Vec::with_capacity(steps.len());
    for step in steps {
        let (name, key, value) = match step.as_list() {
            Some([name, key, value]) => (name.as_text(), key, value),
            // `:f :read, :value [[:x 1] [:y 2]]`.
            Some([key, value]) if f != "txn" => (Some(f), key, value),
            _ => return Err(wrong()),
        };
        match name {
            Some("read" | "r") if value.is_nil() => {}
            Some("read" | "r") => micros.push(Micro::Read(key.clone(), value.clone())),
            Some("write" | "w") => micros.push(Micro::Write(key.clone(), value.clone())),
            _ => return Err(wrong()),
        }
    }
    Ok(micros)
}
