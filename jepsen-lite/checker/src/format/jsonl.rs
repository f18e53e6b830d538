//! JSONL: one JSON object a line, with Jepsen's names.
//!
//! Owns: how a value becomes JSON and comes back. What JSON has no word for, such as a keyword,
//! is `{"#edn": ":timed-out"}`. Never does: lose a difference. Called by `format`.

use super::{FormatError, Take, edn};
use crate::{Event, Process, Value};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value as Json, json};
use std::fmt;

/// The key of what only EDN can say.
const EDN: &str = "#edn";

/// Takes each event of a history. Empty lines are passed over.
///
/// # Errors
/// [`FormatError`], the first, or that of `take`.
pub fn each(text: &str, take: &mut Take<'_>) -> Result<(), FormatError> {
    let mut names = Vec::new();
    for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let number = index as u32 + 1;
        let op: Op = serde_json::from_str(line).map_err(|error| {
            let what = error.to_string();
            // The position is told by its own fields.
            let what = what.rsplit_once(" at line ").map_or(&*what, |(what, _)| what).to_owned();
            let before = line.get(..error.column().saturating_sub(1)).unwrap_or(line);
            FormatError { line: number, column: before.chars().count() as u32 + 1, what }
        })?;
        let wrong = |what| FormatError { line: number, column: 1, what };
        take(Event {
            process: edn::process_of(&op.process.0).map_err(wrong)?,
            phase: edn::phase_of(&op.phase.0).map_err(wrong)?,
            f: edn::shared(&mut names, &op.f),
            value: op.value.0,
            key: Some(op.key.0).filter(|key| !key.is_nil()).map(Box::new),
            error: Some(op.error.0).filter(|error| !error.is_nil()).map(Box::new),
            time_ns: op.time,
            line: number,
        })?;
    }
    Ok(())
}

/// One event as an object.
pub fn event(index: usize, event: &Event) -> Json {
    let process = match event.process {
        Process::Client(number) => json!(number),
        Process::Nemesis => json!("nemesis"),
    };
    let mut object = Map::new();
    object.insert("index".to_owned(), json!(index));
    object.insert("process".to_owned(), process);
    object.insert("type".to_owned(), json!(event.phase.name()));
    object.insert("f".to_owned(), json!(&*event.f));
    object.insert("value".to_owned(), value(&event.value));
    let optional = [("key", event.key.as_deref()), ("error", event.error.as_deref())];
    for (name, it) in optional {
        if let Some(it) = it {
            object.insert(name.to_owned(), value(it));
        }
    }
    if let Some(time) = event.time_ns {
        object.insert("time".to_owned(), json!(time));
    }
    Json::Object(object)
}

/// A value as JSON.
pub fn value(it: &Value) -> Json {
    match it {
        Value::Nil => Json::Null,
        Value::Bool(it) => json!(it),
        Value::Int(it) => json!(it),
        Value::Float(it) if it.is_finite() => json!(it),
        Value::Text(it) => json!(it),
        Value::List(items) => items.iter().map(value).collect(),
        Value::Map(entries) => object(entries).unwrap_or_else(|| json!({EDN: it.to_string()})),
        other => json!({EDN: other.to_string()}),
    }
}

/// A map whose keys are distinct plain keywords.
fn object(entries: &[(Value, Value)]) -> Option<Json> {
    let mut object = Map::new();
    for (key, it) in entries {
        let Value::Keyword(name) = key else { return None };
        if name == EDN || object.insert(name.clone(), value(it)).is_some() {
            return None;
        }
    }
    Some(Json::Object(object))
}

#[derive(serde::Deserialize)]
struct Op {
    process: Read,
    #[serde(rename = "type")]
    phase: Read,
    f: String,
    #[serde(default)]
    value: Read,
    #[serde(default)]
    key: Read,
    #[serde(default)]
    error: Read,
    #[serde(default)]
    time: Option<u64>,
}

struct Read(Value);

impl Default for Read {
    fn default() -> Self {
        Self(Value::Nil)
    }
}

impl<'de> Deserialize<'de> for Read {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue).map(Self)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Nil)
    }

    fn visit_bool<E>(self, it: bool) -> Result<Value, E> {
        Ok(Value::Bool(it))
    }

    fn visit_i64<E>(self, it: i64) -> Result<Value, E> {
        Ok(Value::Int(it))
    }

    fn visit_u64<E>(self, it: u64) -> Result<Value, E> {
        Ok(i64::try_from(it).map_or_else(|_| Value::Number(format!("{it}N")), Value::Int))
    }

    fn visit_f64<E>(self, it: f64) -> Result<Value, E> {
        Ok(Value::Float(it))
    }

    fn visit_str<E>(self, it: &str) -> Result<Value, E> {
        Ok(Value::Text(it.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Read(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries: Vec<(Value, Value)> = Vec::new();
        while let Some((name, Read(it))) = map.next_entry::<String, Read>()? {
            entries.push((Value::Keyword(name), it));
        }
        if let [(Value::Keyword(name), Value::Text(text))] = &entries[..]
            && name == EDN
        {
            return edn::read_value(text).map_err(A::Error::custom);
        }
        Ok(Value::Map(entries))
    }
}
