//! Records as a history's events, and back, without loss.
//!
//! Owns: the `:value` maps of `history.edn` and `history.jsonl`. Never does: the files themselves
//! (`format`), or judging. Called by the recorder, one event at a time, and by whoever checks a
//! file of ours.
//!
//! | record | event at its end |
//! |---|---|
//! | accepted, or a read answered | `:ok`, the answer's fields |
//! | refused | `:fail`, with `:reason`, `:seq`, `:remaining`: other checkers may drop it |
//! | surely not done | `:fail` without an answer |
//! | unknown | `:info` |
//!
//! `:log-ms` is log time in milliseconds: of a hold its deadline, of an expiry when it was.
//!
//! Positions are not written: the order of the file is the order of the events. A record's
//! `invoked` and `completed` are its events' indices among the clients' events of the file.

use super::{Answer, Attempt, Ended, Input, Outcome, Record, RefusedFor};
use crate::{Event, History, Phase, Process, Value};
use std::collections::{BTreeMap, HashMap, VecDeque};

/// An event that is none of a flash sale's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {words}")]
pub struct CodecError {
    /// Line of the file; 0 when it came from no file.
    pub line: u32,
    /// What is wrong, and what was expected.
    pub words: String,
}

/// The event with which an operation begins.
pub fn invocation(process: i64, input: &Input, request: Option<&str>, at_ns: u64) -> Event {
    let mut entries = vec![("product", text(input.product()))];
    match input {
        Input::Create { stock, limit, .. } => {
            entries.push(("stock", number(*stock)));
            entries.extend(limit.map(|limit| ("limit", number(limit.into()))));
        }
        Input::Restock { quantity, .. } => entries.push(("quantity", Value::Int(*quantity))),
        Input::Buy { user, quantity, .. } | Input::Hold { user, quantity, .. } => {
            entries.push(("user", text(user)));
            entries.push(("quantity", number((*quantity).into())));
        }
        Input::Confirm { user, hold, .. } | Input::Release { user, hold, .. } => {
            entries.extend(user.as_deref().map(|user| ("user", text(user))));
            entries.push(("hold", number(*hold)));
        }
        Input::Expire { hold, .. } => entries.push(("hold", number(*hold))),
        Input::Read { .. } => {}
    }
    entries.extend(request.map(|request| ("request", text(request))));
    event(process, Phase::Invoke, input, entries, at_ns)
}

/// The event with which a record ends; of an unknown one, where the recorder gave up.
pub fn completion(record: &Record) -> Event {
    let mut entries = vec![("product", text(record.input.product()))];
    let mut phase = Phase::Fail;
    match &record.ended {
        Ended::Decided { answer, replayed } => {
            phase = if record.accepted().is_some() { Phase::Ok } else { Phase::Fail };
            entries.push(("seq", number(answer.seq)));
            write_outcome(&answer.outcome, &mut entries);
            if *replayed {
                entries.push(("replayed", Value::Bool(true)));
            }
        }
        Ended::NotDone => {}
        Ended::Unknown => phase = Phase::Info,
    }
    entries.push(("attempts", Value::List(record.attempts.iter().map(write_attempt).collect())));
    event(record.process, phase, &record.input, entries, record.ended_ns)
}

/// All events of these records, in the order of their positions.
///
/// The `info` of an unknown record takes a position that no other event has, in the order of
/// `ended_ns`; a recorder that counts it as a position gets its own numbers back.
pub fn events(records: &[Record]) -> Vec<Event> {
    let mut known: Vec<(u64, usize, Phase)> = Vec::with_capacity(records.len() * 2);
    let mut given_up: Vec<usize> = Vec::new();
    for (index, record) in records.iter().enumerate() {
        known.push((record.invoked, index, Phase::Invoke));
        match record.completed {
            Some(position) => known.push((position, index, Phase::Ok)),
            None => given_up.push(index),
        }
    }
    known.sort_unstable();
    given_up.sort_by_key(|&index| (records[index].ended_ns, records[index].invoked));
    let mut given_up: VecDeque<usize> = given_up.into();
    let mut open_of: HashMap<i64, usize> = HashMap::new();
    let mut events = Vec::with_capacity(records.len() * 2);
    for (position, index, phase) in known {
        // A free position is where a recorder counted an `info`.
        while let Some(&open) = given_up.front()
            && (events.len() as u64) < position
            && records[open].invoked < events.len() as u64
        {
            given_up.pop_front();
            if open_of.get(&records[open].process) == Some(&open) {
                open_of.remove(&records[open].process);
                events.push(completion(&records[open]));
            }
        }
        let record = &records[index];
        if phase == Phase::Invoke {
            // A process does one thing at a time: what it gave up ends before it goes on.
            if let Some(open) = open_of.remove(&record.process) {
                events.push(completion(&records[open]));
            }
            if record.completed.is_none() {
                open_of.insert(record.process, index);
            }
            let request = record.request.as_deref();
            events.push(invocation(record.process, &record.input, request, record.invoked_ns));
        } else {
            events.push(completion(record));
        }
    }
    let rest =
        given_up.into_iter().filter(|&open| open_of.get(&records[open].process) == Some(&open));
    events.extend(rest.map(|open| completion(&records[open])));
    events
}

/// The records of a history, by invocation.
///
/// # Errors
/// [`CodecError`] at the first event that is none of a flash sale's, or out of place.
pub fn records(history: &History) -> Result<Vec<Record>, CodecError> {
    let mut decoder = Decoder::default();
    let mut records = Vec::new();
    for event in &history.events {
        records.extend(decoder.push(event)?);
    }
    records.extend(decoder.finish());
    records.sort_by_key(|record| record.invoked);
    Ok(records)
}

/// Makes records of events, one at a time.
#[derive(Debug, Default)]
pub struct Decoder {
    position: u64,
    open: BTreeMap<i64, Record>,
}

impl Decoder {
    /// Takes the next event; gives the record that it ends, if it ends one. Events of the
    /// nemesis are passed over.
    ///
    /// # Errors
    /// [`CodecError`] when it is none of a flash sale's, or a process begins twice or ends what it
    /// did not begin.
    pub fn push(&mut self, event: &Event) -> Result<Option<Record>, CodecError> {
        let Process::Client(process) = event.process else {
            return Ok(None);
        };
        let position = self.position;
        self.position += 1;
        if event.phase == Phase::Invoke {
            let record = Record {
                process,
                input: input(event)?,
                request: event.value.get("request").and_then(Value::as_text).map(str::to_owned),
                invoked: position,
                completed: None,
                invoked_ns: event.time_ns.unwrap_or(0),
                ended_ns: event.time_ns.unwrap_or(0),
                ended: Ended::Unknown,
                attempts: Vec::new(),
            };
            return match self.open.insert(process, record) {
                Some(_) => Err(error(event, "this process invokes again before its last ended")),
                None => Ok(None),
            };
        }
        let Some(mut record) = self.open.remove(&process) else {
            return Err(error(event, "this process ends an operation that it did not begin"));
        };
        let began = record.input.f();
        if *event.f != *began {
            return Err(error(event, &format!("what this process began is a {began}")));
        }
        record.ended_ns = event.time_ns.unwrap_or(record.invoked_ns);
        record.attempts = attempts(event)?;
        if event.phase != Phase::Info {
            record.completed = Some(position);
            record.ended = match answer(event)? {
                Some(answer) => Ended::Decided {
                    answer,
                    replayed: event.value.get("replayed") == Some(&Value::Bool(true)),
                },
                None => Ended::NotDone,
            };
        }
        Ok(Some(record))
    }

    /// What never ended: unknown.
    pub fn finish(self) -> impl Iterator<Item = Record> {
        self.open.into_values()
    }
}

/// What an invocation can be.
const FUNCTIONS: [&str; 8] =
    ["create", "restock", "buy", "hold", "confirm", "release", "expire", "read"];

/// What an invocation asks.
///
/// # Errors
/// [`CodecError`] when `:f` or its `:value` is none of a flash sale's.
pub fn input(event: &Event) -> Result<Input, CodecError> {
    if !FUNCTIONS.contains(&&*event.f) {
        let known = FUNCTIONS.join(", ");
        return Err(error(event, &format!(":f {} is none of a flash sale's: {known}", event.f)));
    }
    let product = word(event, "product")?;
    let quantity = || {
        let wide = count(event, "quantity")?;
        u32::try_from(wide).map_err(|_| error(event, ":quantity is too large for a buy"))
    };
    // Histories were once written without it: then it is not known who settled a hold.
    let user = || match event.value.get("user") {
        None | Some(Value::Nil) => Ok(None),
        Some(_) => word(event, "user").map(Some),
    };
    Ok(match &*event.f {
        "create" => Input::Create {
            product,
            stock: count(event, "stock")?,
            limit: match event.value.get("limit") {
                None | Some(Value::Nil) => None,
                Some(_) => Some(
                    u32::try_from(count(event, "limit")?)
                        .map_err(|_| error(event, ":limit is too large"))?,
                ),
            },
        },
        "restock" => Input::Restock {
            product,
            quantity: event
                .value
                .get("quantity")
                .and_then(Value::as_int)
                .ok_or_else(|| error(event, ":quantity must be a whole number"))?,
        },
        "buy" => Input::Buy { product, user: word(event, "user")?, quantity: quantity()? },
        "hold" => Input::Hold { product, user: word(event, "user")?, quantity: quantity()? },
        "confirm" => Input::Confirm { product, user: user()?, hold: count(event, "hold")? },
        "release" => Input::Release { product, user: user()?, hold: count(event, "hold")? },
        "expire" => Input::Expire { product, hold: count(event, "hold")? },
        _ => Input::Read { product },
    })
}

/// What a completion answers; `None` when it has no answer, which an `:ok` must have.
///
/// # Errors
/// [`CodecError`] when a field has another type, or an `:ok` lacks its fields.
pub fn answer(event: &Event) -> Result<Option<Answer>, CodecError> {
    if event.phase == Phase::Info || event.value.get("seq").is_none() {
        return match event.phase {
            Phase::Ok => Err(error(event, "an :ok needs its :seq")),
            _ => Ok(None),
        };
    }
    let outcome = if let Some(reason) = event.value.get("reason") {
        let reason = reason.as_text().and_then(RefusedFor::named);
        Outcome::Refused {
            reason: reason.ok_or_else(|| error(event, "this :reason is not known"))?,
            remaining: count_if_any(event, "remaining")?,
        }
    } else if event.value.get("stocked").is_some() {
        Outcome::Counts {
            stocked: count(event, "stocked")?,
            available: count(event, "available")?,
            held: count(event, "held")?,
            sold: count(event, "sold")?,
        }
    } else {
        let remaining = count(event, "remaining")?;
        match event.value.get("hold") {
            Some(_) => Outcome::Hold {
                hold: count(event, "hold")?,
                remaining,
                log_ms: count_if_any(event, "log-ms")?,
            },
            None => Outcome::Ordered { remaining },
        }
    };
    if (event.phase == Phase::Fail) != matches!(outcome, Outcome::Refused { .. }) {
        return Err(error(event, "an answer with a :reason is a :fail, any other an :ok"));
    }
    Ok(Some(Answer { seq: count(event, "seq")?, outcome }))
}

fn write_outcome(outcome: &Outcome, entries: &mut Vec<(&str, Value)>) {
    match outcome {
        Outcome::Counts { stocked, available, held, sold } => entries.extend([
            ("stocked", number(*stocked)),
            ("available", number(*available)),
            ("held", number(*held)),
            ("sold", number(*sold)),
        ]),
        Outcome::Ordered { remaining } => entries.push(("remaining", number(*remaining))),
        Outcome::Hold { hold, remaining, log_ms } => {
            entries.extend([("hold", number(*hold)), ("remaining", number(*remaining))]);
            entries.extend(log_ms.map(|log_ms| ("log-ms", number(log_ms))));
        }
        Outcome::Refused { reason, remaining } => {
            entries.push(("reason", Value::Keyword(reason.name().to_owned())));
            entries.extend(remaining.map(|remaining| ("remaining", number(remaining))));
        }
    }
}

fn write_attempt(attempt: &Attempt) -> Value {
    map(vec![
        ("number", number(attempt.number.into())),
        ("node", number(attempt.node)),
        ("sent", number(attempt.sent_ns)),
        ("ended", number(attempt.ended_ns)),
        ("said", text(&attempt.said)),
    ])
}

fn attempts(event: &Event) -> Result<Vec<Attempt>, CodecError> {
    let Some(list) = event.value.get("attempts") else {
        return Ok(Vec::new());
    };
    let wrong = || error(event, ":attempts must list maps of number, node, sent, ended, said");
    let list = list.as_list().ok_or_else(wrong)?;
    let read = |value: &Value| {
        let field = |name| value.get(name).and_then(whole).ok_or_else(wrong);
        Ok(Attempt {
            number: u32::try_from(field("number")?).map_err(|_| wrong())?,
            node: field("node")?,
            sent_ns: field("sent")?,
            ended_ns: field("ended")?,
            said: value.get("said").and_then(Value::as_text).ok_or_else(wrong)?.to_owned(),
        })
    };
    list.iter().map(read).collect()
}

fn event(
    process: i64,
    phase: Phase,
    input: &Input,
    entries: Vec<(&str, Value)>,
    at_ns: u64,
) -> Event {
    Event {
        process: Process::Client(process),
        phase,
        f: input.f().into(),
        error: None,
        value: map(entries),
        key: None,
        time_ns: Some(at_ns),
        line: 0,
    }
}

fn map(entries: Vec<(&str, Value)>) -> Value {
    let keyed = |(name, value): (&str, Value)| (Value::Keyword(name.to_owned()), value);
    Value::Map(entries.into_iter().map(keyed).collect())
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

/// EDN's integers are 64 bits with a sign: what does not fit is written as text, not cut.
fn number(number: u64) -> Value {
    i64::try_from(number).map_or_else(|_| Value::Text(number.to_string()), Value::Int)
}

fn whole(value: &Value) -> Option<u64> {
    match value {
        Value::Int(number) => u64::try_from(*number).ok(),
        Value::Text(digits) => digits.parse().ok(),
        _ => None,
    }
}

fn count(event: &Event, name: &str) -> Result<u64, CodecError> {
    event
        .value
        .get(name)
        .and_then(whole)
        .ok_or_else(|| error(event, &format!(":{name} must be a whole number, 0 or more")))
}

fn count_if_any(event: &Event, name: &str) -> Result<Option<u64>, CodecError> {
    match event.value.get(name) {
        None | Some(Value::Nil) => Ok(None),
        Some(_) => count(event, name).map(Some),
    }
}

fn word(event: &Event, name: &str) -> Result<String, CodecError> {
    let word = event.value.get(name).and_then(Value::as_text).map(str::to_owned);
    word.ok_or_else(|| error(event, &format!(":{name} must be a text")))
}

fn error(event: &Event, words: &str) -> CodecError {
    CodecError { line: event.line, words: format!(":f {}: {words}", event.f) }
}
