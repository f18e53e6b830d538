//! EDN: values, and histories of them.
//!
//! Owns: the reader and the writer of EDN (github.com/edn-format/edn), with what Clojure's
//! printer adds: `#:ns{…}`, `##Inf`. Never does: build what an event does not keep. Called by
//! `format`; `etcd_log` and `jsonl` read single values with it.

use super::{FormatError, Take, edn_scalar};
use crate::{Event, Phase, Process, Value};
use std::fmt::{self, Write as _};
use std::sync::Arc;

/// How deep values may nest.
pub const DEPTH_MAX: usize = 128;

/// Whether EDN takes it for a blank: commas are.
pub(super) fn is_blank(it: char) -> bool {
    it.is_whitespace() || it == ','
}

/// Takes each event of a history: op maps one after another, or in one vector or list; also
/// Knossos's `[process type f value]`. Tags of maps, such as `#jepsen.history.Op`, are dropped.
///
/// # Errors
/// [`FormatError`], the first, or that of `take`.
pub fn each(text: &str, take: &mut Take<'_>) -> Result<(), FormatError> {
    let mut reader = Reader::new(text);
    while let Some(byte) = reader.peek()? {
        let begin = reader.at;
        let is_container = matches!(byte, b'[' | b'(') && {
            reader.at += 1;
            matches!(reader.peek()?, Some(b'{' | b'#' | b'[' | b'(' | b']' | b')'))
        };
        if !is_container {
            reader.at = begin;
            take(reader.event()?)?;
            continue;
        }
        let close = if byte == b'[' { b']' } else { b')' };
        while !reader.closes(close, begin)? {
            take(reader.event()?)?;
        }
    }
    Ok(())
}

/// Reads one value, and nothing after it.
///
/// # Errors
/// [`FormatError`].
pub fn read_value(text: &str) -> Result<Value, FormatError> {
    let mut reader = Reader::new(text);
    let value = reader.value(0)?;
    match reader.peek()? {
        None => Ok(value),
        Some(_) => Err(reader.error(reader.at, "more after the value")),
    }
}

/// Reads the first value of a text, from a byte offset; positions of errors are the text's.
pub(super) fn read_first(text: &str, offset: usize) -> Result<Value, FormatError> {
    let mut reader = Reader::new(text);
    reader.at = offset;
    reader.value(0)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    /// Where lines were counted up to, and the line there.
    counted: (usize, u32),
    /// Names of functions, shared.
    names: Vec<Arc<str>>,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Self {
        let at = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        Self { text, at, counted: (0, 1), names: Vec::new() }
    }

    fn error(&self, offset: usize, what: impl Into<String>) -> FormatError {
        FormatError::at(self.text, offset, what)
    }

    /// The line of an offset; offsets only rise.
    fn line(&mut self, offset: usize) -> u32 {
        let new = &self.text[self.counted.0..offset];
        let lines = new.bytes().filter(|byte| *byte == b'\n').count();
        self.counted = (offset, self.counted.1 + lines as u32);
        self.counted.1
    }

    /// The first byte of the next form, past blanks, comments and discarded forms.
    fn peek(&mut self) -> Result<Option<u8>, FormatError> {
        self.peek_at_depth(0)
    }

    fn peek_at_depth(&mut self, depth: usize) -> Result<Option<u8>, FormatError> {
        let bytes = self.text.as_bytes();
        loop {
            match bytes.get(self.at) {
                None => return Ok(None),
                Some(b' ' | b',' | b'\n' | b'\t' | b'\r' | 0x0b | 0x0c) => self.at += 1,
                Some(b';') => {
                    let rest = &bytes[self.at..];
                    let length = rest.iter().position(|byte| *byte == b'\n');
                    self.at += length.unwrap_or(rest.len());
                }
                Some(b'#') if bytes.get(self.at + 1) == Some(&b'_') => {
                    self.at += 2;
                    self.value(depth + 1)?;
                }
                Some(byte) => return Ok(Some(*byte)),
            }
        }
    }

    /// Whether the next form is this closing bracket, which is then taken.
    fn closes(&mut self, close: u8, begin: usize) -> Result<bool, FormatError> {
        self.closes_at_depth(close, begin, 0)
    }

    fn closes_at_depth(
        &mut self,
        close: u8,
        begin: usize,
        depth: usize,
    ) -> Result<bool, FormatError> {
        match self.peek_at_depth(depth)? {
            None => Err(self.error(begin, format!("it is never closed: no {}", close as char))),
            Some(byte) if byte == close => {
                self.at += 1;
                Ok(true)
            }
            Some(byte @ (b')' | b']' | b'}')) => {
                let what = format!("{} where {} was due", byte as char, close as char);
                Err(self.error(self.at, what))
            }
            Some(_) => Ok(false),
        }
    }

    /// The bare word at the present place.
    fn token(&mut self) -> &'a str {
        let rest = &self.text[self.at..];
        let ends =
            |it: char| is_blank(it) || matches!(it, '(' | ')' | '[' | ']' | '{' | '}' | '"' | ';');
        let token = &rest[..rest.find(ends).unwrap_or(rest.len())];
        self.at += token.len();
        token
    }

    fn value(&mut self, depth: usize) -> Result<Value, FormatError> {
        let Some(byte) = self.peek_at_depth(depth)? else {
            return Err(self.error(self.text.len(), "a value is missing at the end"));
        };
        let begin = self.at;
        if depth > DEPTH_MAX {
            return Err(self.error(begin, format!("nested deeper than {DEPTH_MAX}")));
        }
        match byte {
            b'"' => edn_scalar::text(self.text, &mut self.at).map(Value::Text),
            b'\\' => edn_scalar::char(self.text, &mut self.at).map(Value::Char),
            b'[' | b'(' => {
                self.at += 1;
                let close = if byte == b'[' { b']' } else { b')' };
                self.items(close, begin, depth).map(Value::List)
            }
            b'{' => {
                self.at += 1;
                self.entries(begin, depth).map(Value::Map)
            }
            b'#' => self.dispatch(begin, depth),
            b')' | b']' | b'}' => {
                Err(self.error(begin, format!("{} without an opening one", byte as char)))
            }
            _ => {
                let token = self.token();
                edn_scalar::word(token).map_err(|what| self.error(begin, what))
            }
        }
    }

    fn dispatch(&mut self, begin: usize, depth: usize) -> Result<Value, FormatError> {
        self.at += 1;
        if self.text.as_bytes().get(self.at) == Some(&b'{') {
            self.at += 1;
            return self.items(b'}', begin, depth).map(Value::Set);
        }
        let tag = self.token();
        match tag {
            "#Inf" => return Ok(Value::Float(f64::INFINITY)),
            "#-Inf" => return Ok(Value::Float(f64::NEG_INFINITY)),
            "#NaN" => return Ok(Value::Float(f64::NAN)),
            _ => {}
        }
        if let Some(space) = tag.strip_prefix(':') {
            let value = self.value(depth + 1)?;
            let Value::Map(entries) = value else {
                return Err(self.error(begin, format!("#:{space} is not followed by a map")));
            };
            return Ok(Value::Map(entries.into_iter().map(|it| qualified(space, it)).collect()));
        }
        if !tag.starts_with(char::is_alphabetic) {
            return Err(self.error(begin, format!("#{tag} is not a tag")));
        }
        let value = self.value(depth + 1)?;
        Ok(Value::Tagged(tag.to_owned(), Box::new(value)))
    }

    fn items(&mut self, close: u8, begin: usize, depth: usize) -> Result<Vec<Value>, FormatError> {
        let mut items = Vec::new();
        while !self.closes_at_depth(close, begin, depth)? {
            items.push(self.value(depth + 1)?);
        }
        Ok(items)
    }

    fn entries(&mut self, begin: usize, depth: usize) -> Result<Vec<(Value, Value)>, FormatError> {
        let mut entries = Vec::new();
        while !self.closes_at_depth(b'}', begin, depth)? {
            let key = self.value(depth + 1)?;
            if self.peek_at_depth(depth)? == Some(b'}') {
                return Err(self.error(self.at, format!("{key} has no value in this map")));
            }
            entries.push((key, self.value(depth + 1)?));
        }
        Ok(entries)
    }

    /// One op.
    fn event(&mut self) -> Result<Event, FormatError> {
        let first = self.peek()?;
        let begin = self.at;
        let line = self.line(begin);
        let mut fields = Fields::default();
        match first {
            Some(b'#') if self.text.as_bytes().get(begin + 1) != Some(&b'{') => {
                self.at += 1;
                let tag = self.token();
                if self.peek()? != Some(b'{') {
                    return Err(self.error(begin, format!("#{tag} is not followed by an op map")));
                }
                self.at += 1;
                self.fields(begin, &mut fields)?;
            }
            Some(b'{') => {
                self.at += 1;
                self.fields(begin, &mut fields)?;
            }
            Some(b'[') => {
                self.at += 1;
                fields.process = Some((begin, self.value(1)?));
                fields.phase = Some((begin, self.value(1)?));
                fields.f = Some((begin, self.value(1)?));
                fields.value = Some((begin, self.value(1)?));
                if !self.closes(b']', begin)? {
                    return Err(self.error(self.at, "more than [process type f value]"));
                }
            }
            _ => {
                let what = "an op is a map such as {:process 0, :type :invoke, :f :read}";
                return Err(self.error(begin, what));
            }
        }
        self.event_of(fields, begin, line)
    }

    fn fields(&mut self, begin: usize, fields: &mut Fields) -> Result<(), FormatError> {
        while !self.closes(b'}', begin)? {
            let at = self.at;
            if self.text.as_bytes()[at] != b':' {
                return Err(self.error(at, "the keys of an op are keywords, such as :process"));
            }
            let name = self.token();
            if self.peek()? == Some(b'}') {
                return Err(self.error(at, format!("{name} has no value")));
            }
            let place = self.at;
            let value = self.value(1)?;
            let field = match name {
                ":process" => &mut fields.process,
                ":type" => &mut fields.phase,
                ":f" => &mut fields.f,
                ":value" => &mut fields.value,
                ":key" => &mut fields.key,
                ":error" => &mut fields.error,
                ":time" => &mut fields.time,
                _ => continue,
            };
            if field.is_some() {
                return Err(self.error(at, format!("{name} twice in one op")));
            }
            *field = Some((place, value));
        }
        Ok(())
    }

    fn event_of(&mut self, fields: Fields, begin: usize, line: u32) -> Result<Event, FormatError> {
        let missing = |name: &str| self.error(begin, format!("this op has no {name}"));
        let (at, process) = fields.process.ok_or_else(|| missing(":process"))?;
        let process = process_of(&process).map_err(|what| self.error(at, what))?;
        let (at, phase) = fields.phase.ok_or_else(|| missing(":type"))?;
        let phase = phase_of(&phase).map_err(|what| self.error(at, what))?;
        let (at, f) = fields.f.ok_or_else(|| missing(":f"))?;
        let Some(name) = f.as_text() else {
            return Err(self.error(at, format!(":f is a keyword, and this is {f}")));
        };
        let named = |(_, value): (usize, Value)| value;
        let time = fields.time.map(named).and_then(|time| time.as_int());
        Ok(Event {
            process,
            phase,
            f: shared(&mut self.names, name),
            value: fields.value.map_or(Value::Nil, named),
            key: fields.key.map(named).filter(|key| !key.is_nil()).map(Box::new),
            error: fields.error.map(named).filter(|it| !it.is_nil()).map(Box::new),
            time_ns: time.and_then(|time| u64::try_from(time).ok()),
            line,
        })
    }
}

/// What an op map has, each with its place.
#[derive(Default)]
struct Fields {
    process: Option<(usize, Value)>,
    phase: Option<(usize, Value)>,
    f: Option<(usize, Value)>,
    value: Option<(usize, Value)>,
    key: Option<(usize, Value)>,
    error: Option<(usize, Value)>,
    time: Option<(usize, Value)>,
}

/// The most names of functions that are shared; a history has a handful.
const NAMES_MAX: usize = 64;

/// The name, as one that was seen before where possible.
pub(super) fn shared(names: &mut Vec<Arc<str>>, name: &str) -> Arc<str> {
    if let Some(known) = names.iter().find(|known| &***known == name) {
        return Arc::clone(known);
    }
    let new: Arc<str> = name.into();
    if names.len() < NAMES_MAX {
        names.push(Arc::clone(&new));
    }
    new
}

/// Who a `:process` is: a number, or the nemesis. Any other word is an error: to read it as the
/// nemesis would leave out what a client saw, and accept a history unread.
pub(super) fn process_of(value: &Value) -> Result<Process, String> {
    match value {
        Value::Int(number) => Ok(Process::Client(*number)),
        word if word.as_text() == Some("nemesis") => Ok(Process::Nemesis),
        other => Err(format!(":process is a number or :nemesis, and this is {other}")),
    }
}

/// What a `:type` is.
pub(super) fn phase_of(value: &Value) -> Result<Phase, String> {
    match value.as_text() {
        Some("invoke") => Ok(Phase::Invoke),
        Some("ok") => Ok(Phase::Ok),
        Some("fail") => Ok(Phase::Fail),
        Some("info") => Ok(Phase::Info),
        _ => Err(format!(":type is :invoke, :ok, :fail or :info, and this is {value}")),
    }
}

fn qualified(space: &str, (key, value): (Value, Value)) -> (Value, Value) {
    match key {
        Value::Keyword(name) if !name.contains('/') => {
            (Value::Keyword(format!("{space}/{name}")), value)
        }
        other => (other, value),
    }
}

/// Writes one op as a map.
pub fn write_event(out: &mut String, index: usize, event: &Event) {
    let process = match event.process {
        Process::Client(number) => Value::Int(number),
        Process::Nemesis => Value::Keyword("nemesis".to_owned()),
    };
    let f = if edn_scalar::is_name(&event.f) {
        Value::Keyword(event.f.to_string())
    } else {
        Value::Text(event.f.to_string())
    };
    // Writing to a string does not fail.
    let _ = write!(out, "{{:index {index}, :process {process}, :type :{}", event.phase.name());
    let _ = write!(out, ", :f {f}, :value {}", event.value);
    if let Some(key) = &event.key {
        let _ = write!(out, ", :key {key}");
    }
    if let Some(error) = &event.error {
        let _ = write!(out, ", :error {error}");
    }
    if let Some(time) = event.time_ns {
        let _ = write!(out, ", :time {time}");
    }
    out.push('}');
}

impl fmt::Display for Value {
    /// As EDN.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::List(items) => list(f, "[", items, "]"),
            Self::Set(items) => list(f, "#{", items, "}"),
            Self::Map(entries) => {
                f.write_str("{")?;
                for (index, (key, value)) in entries.iter().enumerate() {
                    let comma = if index == 0 { "" } else { ", " };
                    write!(f, "{comma}{key} {value}")?;
                }
                f.write_str("}")
            }
            Self::Tagged(tag, value) => write!(f, "#{tag} {value}"),
            scalar => edn_scalar::write(f, scalar),
        }
    }
}

fn list(f: &mut fmt::Formatter<'_>, open: &str, items: &[Value], close: &str) -> fmt::Result {
    f.write_str(open)?;
    for (index, item) in items.iter().enumerate() {
        let space = if index == 0 { "" } else { " " };
        write!(f, "{space}{item}")?;
    }
    f.write_str(close)
}
