//! File formats: Jepsen's EDN, its etcd log, and JSONL.
//!
//! Owns: which format a file is in, and where in it something is wrong. Never does: open files,
//! or judge what a history means. Called by `jepsen-lite check`, and its recorder.
//!
//! | module | what it owns |
//! |---|---|
//! | [`edn`] | EDN values, and histories of them: one map a line, or all in one vector |
//! | [`etcd_log`] | what Jepsen logged while it tested etcd |
//! | [`jsonl`] | one JSON object a line |

pub mod edn;
mod edn_scalar;
pub mod etcd_log;
pub mod jsonl;

use crate::history::Malformed;
use crate::{Event, History};

/// A kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Maps, one a line or in one vector.
    Edn,
    /// Jepsen's log lines.
    EtcdLog,
    /// One JSON object a line.
    Jsonl,
}

/// Where and why a file cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{line}:{column}: {what}")]
pub struct FormatError {
    /// From 1.
    pub line: u32,
    /// In characters, from 1.
    pub column: u32,
    /// In words.
    pub what: String,
}

impl FormatError {
    /// Of something at a byte offset of a text.
    fn at(text: &str, offset: usize, what: impl Into<String>) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        let begin = before.rfind('\n').map_or(0, |newline| newline + 1);
        let column = before[begin..].chars().count() + 1;
        Self { line: line as u32, column: column as u32, what: what.into() }
    }

    /// Of an event that a history or a model refused: it begins its line.
    pub fn of(malformed: &Malformed) -> Self {
        Self { line: malformed.line, column: 1, what: malformed.what.clone() }
    }
}

/// Which format a text is in, by its content.
///
/// # Errors
/// [`FormatError`] when it looks like none.
pub fn detect(text: &str) -> Result<Format, FormatError> {
    let mut rest = text.trim_start_matches('\u{feff}').trim_start_matches(edn::is_blank);
    let offset = text.len() - rest.len();
    match rest.chars().next() {
        None => Err(FormatError::at(text, 0, "the file is empty: a history has events")),
        Some('{') => {
            rest = rest[1..].trim_start();
            Ok(if rest.starts_with('"') { Format::Jsonl } else { Format::Edn })
        }
        Some('[') if looks_like_json(rest) => {
            let what = "a JSON array: write one object a line instead";
            Err(FormatError::at(text, offset, what))
        }
        _ if etcd_log::has_operations(text) => Ok(Format::EtcdLog),
        Some('[' | '(' | '#' | ';') => Ok(Format::Edn),
        Some(_) => {
            let what = "neither EDN maps, nor Jepsen's log lines, nor JSON objects";
            Err(FormatError::at(text, offset, what))
        }
    }
}

fn looks_like_json(text: &str) -> bool {
    let inner = text[1..].trim_start();
    inner.strip_prefix('{').is_some_and(|inner| inner.trim_start().starts_with('"'))
}

/// What is done with each event; an error of it ends the reading.
pub type Take<'a> = dyn FnMut(Event) -> Result<(), FormatError> + 'a;

/// Takes each event of a history in whichever format it is, one after another: of a run of
/// millions, not all need be held at once.
///
/// # Errors
/// [`FormatError`], the first, or that of `take`.
pub fn each(text: &str, take: &mut Take<'_>) -> Result<(), FormatError> {
    let mut is_empty = true;
    let take: &mut Take<'_> = &mut |event| {
        is_empty = false;
        take(event)
    };
    match detect(text)? {
        Format::Edn => edn::each(text, take),
        Format::EtcdLog => etcd_log::each(text, take),
        Format::Jsonl => jsonl::each(text, take),
    }?;
    if is_empty {
        return Err(FormatError::at(text, 0, "no events in it: a history has some"));
    }
    Ok(())
}

/// Reads a history in whichever format it is. Values of Jepsen's `independent` are split into
/// key and value.
///
/// # Errors
/// [`FormatError`], the first.
pub fn read(text: &str) -> Result<History, FormatError> {
    let mut events = Vec::new();
    each(text, &mut |event| {
        events.push(event);
        Ok(())
    })?;
    let mut history = History { events };
    history.split_independent();
    Ok(history)
}

/// The text of a file.
///
/// # Errors
/// [`FormatError`] where the bytes are not UTF-8.
pub fn text(bytes: &[u8]) -> Result<&str, FormatError> {
    std::str::from_utf8(bytes).map_err(|error| {
        let valid = String::from_utf8_lossy(&bytes[..error.valid_up_to()]).into_owned();
        FormatError::at(&valid, valid.len(), "not UTF-8")
    })
}

/// Writes a history as EDN, one map a line.
pub fn write_edn(events: &[Event]) -> String {
    let mut out = String::new();
    for (index, event) in events.iter().enumerate() {
        edn::write_event(&mut out, index, event);
        out.push('\n');
    }
    out
}

/// Writes a history as JSONL.
pub fn write_jsonl(events: &[Event]) -> String {
    let mut out = String::new();
    for (index, event) in events.iter().enumerate() {
        out.push_str(&jsonl::event(index, event).to_string());
        out.push('\n');
    }
    out
}
