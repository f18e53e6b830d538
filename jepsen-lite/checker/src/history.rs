//! What a history is: events in the order in which they were observed, in Jepsen's vocabulary.
//!
//! Owns: the events' shape and their pairing into calls. Never does: files (`format`), meaning
//! (`model`). Called by the formats, the models and `jepsen-lite`'s recorder.

use crate::search::Operation;
use crate::{Model, Reading, Value};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// Who did it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Process {
    /// A logical process of a client: it does one thing at a time.
    Client(i64),
    /// The nemesis: whoever injects faults.
    Nemesis,
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(number) => write!(f, "{number}"),
            Self::Nemesis => f.write_str("nemesis"),
        }
    }
}

/// Jepsen's `:type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// It begins.
    Invoke,
    /// It took place.
    Ok,
    /// It did not take place, and never will.
    Fail,
    /// It may have taken place, may yet, or may never.
    Info,
}

impl Phase {
    /// Its keyword, without the colon.
    pub fn name(self) -> &'static str {
        match self {
            Self::Invoke => "invoke",
            Self::Ok => "ok",
            Self::Fail => "fail",
            Self::Info => "info",
        }
    }
}

/// One line of a history.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Who.
    pub process: Process,
    /// Invoke, ok, fail or info.
    pub phase: Phase,
    /// Jepsen's `:f`: the function, such as `read`. Shared, because a history has a few of them
    /// and a million events.
    pub f: Arc<str>,
    /// Its argument, or its result.
    pub value: Value,
    /// Jepsen's `:key`, or the key of an `independent` tuple, where the format has one.
    pub key: Option<Box<Value>>,
    /// Jepsen's `:error`: why it failed, or why its outcome is not known.
    pub error: Option<Box<Value>>,
    /// Nanoseconds since the run began, where known. Order is that of the file, not of this.
    pub time_ns: Option<u64>,
    /// Line of the file, from 1; 0 when it came from no file.
    pub line: u32,
}

/// Events in the order observed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct History {
    /// The events.
    pub events: Vec<Event>,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// At this position: it took place.
    Ok(usize),
    /// At this position: it did not take place.
    Fail(usize),
    /// At this position (of an `info`), or never: anything may be.
    Open(Option<usize>),
}

/// One operation: an invocation and how it ended, as positions in [`History::events`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// Position of the invocation.
    pub invoked: usize,
    /// Its end.
    pub ending: Ending,
}

/// A history that is not one: its events do not pair, or a model does not know a call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Malformed {
    /// Position in [`History::events`].
    pub position: usize,
    /// Line of the file, from 1; 0 when it came from no file.
    pub line: u32,
    /// In words.
    pub what: String,
}

impl History {
    /// Pairs invocations with completions, in the order of the invocations. A completion belongs
    /// to the open invocation of its process. The nemesis makes no calls.
    ///
    /// An `info` leaves the call open forever. Jepsen then replaces the process; one that goes on
    /// under its number is let.
    ///
    /// # Errors
    /// [`Malformed`]: a process invokes while it has an open call, or completes none, or completes
    /// another function than it invoked.
    pub fn calls(&self) -> Result<Vec<Call>, Malformed> {
        let mut calls = Vec::with_capacity(self.events.len() / 2 + 1);
        let mut open: HashMap<i64, usize> = HashMap::new();
        for (position, event) in self.events.iter().enumerate() {
            let Process::Client(process) = event.process else { continue };
            let was_open = if event.phase == Phase::Invoke {
                open.insert(process, calls.len())
            } else {
                open.remove(&process)
            };
            match (event.phase, was_open) {
                (Phase::Invoke, None) => {
                    calls.push(Call { invoked: position, ending: Ending::Open(None) });
                }
                (Phase::Invoke, Some(call)) => {
                    let line = self.events[calls[call].invoked].line;
                    let what = format!(
                        "process {process} invokes {} while its {} of line {line} is still open: a \
                         process does one thing at a time",
                        event.f, self.events[calls[call].invoked].f
                    );
                    return Err(self.malformed(position, what));
                }
                (phase, None) => {
                    let what = format!(
                        "process {process} completes {} ({}), but it has no open invocation",
                        event.f,
                        phase.name()
                    );
                    return Err(self.malformed(position, what));
                }
                (phase, Some(call)) => {
                    let invoked = &self.events[calls[call].invoked];
                    if invoked.f != event.f {
                        let what = format!(
                            "process {process} completes {}, but what it invoked on line {} is {}",
                            event.f, invoked.line, invoked.f
                        );
                        return Err(self.malformed(position, what));
                    }
                    calls[call].ending = match phase {
                        Phase::Ok => Ending::Ok(position),
                        Phase::Fail => Ending::Fail(position),
                        Phase::Invoke | Phase::Info => Ending::Open(Some(position)),
                    };
                }
            }
        }
        Ok(calls)
    }

    /// What this history is to a model: its calls, less those that say nothing. The positions of
    /// the operations are those of the events.
    ///
    /// # Errors
    /// [`Malformed`], as of [`Self::calls`], or when a call is none of the model's.
    pub fn operations<M: Model>(&self, model: &M) -> Result<Vec<Operation<M::Op>>, Malformed> {
        let calls = self.calls()?;
        let mut operations = Vec::with_capacity(calls.len());
        for call in &calls {
            let (op, returned) = match model.read(self, call) {
                Ok(Reading::Nothing) => continue,
                Ok(Reading::Unknown(op)) => (op, None),
                Ok(Reading::Known(op)) => match call.ending {
                    Ending::Ok(at) | Ending::Fail(at) => (op, Some(at)),
                    Ending::Open(_) => (op, None),
                },
                Err(what) => {
                    let at = call.completed().unwrap_or(call.invoked);
                    return Err(self.malformed(at, what));
                }
            };
            operations.push(Operation { op, invoked: call.invoked, returned });
        }
        Ok(operations)
    }

    /// Splits the values of Jepsen's `independent` into key and value. Its tuples are printed as
    /// plain vectors, so they are told by use: every client's invocation has a pair, and in each
    /// where a plain workload could not have one, it is of that form: reads are of `[key nil]`, and
    /// a compare-and-set is `[key [old new]]`. Tagged tuples are always split.
    pub fn split_independent(&mut self) {
        let is_tuple =
            |event: &Event| matches!(&event.value, Value::Tagged(tag, _) if is_tuple(tag));
        if self.events.iter().any(is_tuple) {
            for event in &mut self.events {
                if let Value::Tagged(tag, inner) = &mut event.value
                    && self::is_tuple(tag)
                {
                    event.value = std::mem::replace(&mut **inner, Value::Nil);
                    split(event);
                }
            }
            return;
        }
        let mut told = false;
        for event in &self.events {
            if event.phase != Phase::Invoke || event.process == Process::Nemesis {
                continue;
            }
            let (None, Value::List(pair)) = (&event.key, &event.value) else { return };
            let [_, inner] = &pair[..] else { return };
            match &*event.f {
                "read" | "get" | "acquire" | "release" if inner.is_nil() => told = true,
                "cas" if matches!(inner, Value::List(args) if args.len() == 2) => told = true,
                "read" | "get" | "acquire" | "release" | "cas" | "txn" => return,
                _ => {}
            }
        }
        if told {
            let clients = |event: &&mut Event| event.process != Process::Nemesis;
            self.events.iter_mut().filter(clients).for_each(split);
        }
    }

    fn malformed(&self, position: usize, what: String) -> Malformed {
        Malformed { position, line: self.events[position].line, what }
    }
}

impl Call {
    /// What it is to a model where its answer says no more than whether it took place.
    pub(crate) fn done<Op>(&self, op: Op) -> Reading<Op> {
        match self.ending {
            Ending::Ok(_) => Reading::Known(op),
            Ending::Open(_) => Reading::Unknown(op),
            Ending::Fail(_) => Reading::Nothing,
        }
    }

    /// Position of its completion, of whatever kind.
    pub fn completed(&self) -> Option<usize> {
        match self.ending {
            Ending::Ok(at) | Ending::Fail(at) => Some(at),
            Ending::Open(at) => at,
        }
    }
}

fn is_tuple(tag: &str) -> bool {
    matches!(tag, "jepsen.independent.Tuple" | "jepsen.independent/tuple" | "clojure.lang.MapEntry")
}

/// Splits `[key value]`; leaves what is none, such as `:timed-out`.
fn split(event: &mut Event) {
    if let Value::List(pair) = &mut event.value
        && let [key, value] = &mut pair[..]
    {
        event.key = Some(Box::new(std::mem::replace(key, Value::Nil)));
        event.value = std::mem::replace(value, Value::Nil);
    }
}
