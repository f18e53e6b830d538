//! What Jepsen logged while it tested etcd: `INFO  jepsen.util - 0  :invoke  :read  nil`.
//!
//! Owns: that line. Never does: take another line of a log for it. Called by `format`.

use super::{FormatError, Take, edn};
use crate::{Event, Value};

const LOGGER: &str = "jepsen.util";

/// Whether any line of a text is an operation.
pub(super) fn has_operations(text: &str) -> bool {
    text.lines().any(|line| operation(line).is_some())
}

/// Takes each event of a log. Lines that are no operations are passed over.
///
/// # Errors
/// [`FormatError`] when an operation's function or value is missing or wrong, or that of `take`.
pub fn each(text: &str, take: &mut Take<'_>) -> Result<(), FormatError> {
    let mut names = Vec::new();
    let mut begin = 0;
    for (index, whole) in text.split_inclusive('\n').enumerate() {
        let line = whole.trim_end();
        if let Some(words) = operation(line) {
            let at = |part: &str| part.as_ptr() as usize - line.as_ptr() as usize;
            let place = |part: &str| begin + at(part);
            let process = edn::read_value(words.process)
                .ok()
                .and_then(|process| edn::process_of(&process).ok())
                .ok_or_else(|| {
                    FormatError::at(text, place(words.process), "not the number of a process")
                })?;
            let phase = edn::phase_of(&Value::Text(words.phase[1..].to_owned()))
                .map_err(|what| FormatError::at(text, place(words.phase), what))?;
            let f = words.f.strip_prefix(':').filter(|f| !f.is_empty()).ok_or_else(|| {
                FormatError::at(text, place(words.f), "the function is missing, such as :read")
            })?;
            if words.value.is_empty() {
                let what = "the value is missing; where there is none, nil stands";
                return Err(FormatError::at(text, begin + line.len(), what));
            }
            let value = edn::read_first(&text[..begin + line.len()], place(words.value))?;
            take(Event {
                process,
                phase,
                f: edn::shared(&mut names, f),
                value,
                key: None,
                error: None,
                time_ns: None,
                line: index as u32 + 1,
            })?;
        }
        begin += whole.len();
    }
    Ok(())
}

struct Words<'a> {
    process: &'a str,
    phase: &'a str,
    f: &'a str,
    value: &'a str,
}

/// The words of an operation's line: after the logger's name, a process and a type.
fn operation(line: &str) -> Option<Words<'_>> {
    let after = &line[line.find(LOGGER)? + LOGGER.len()..];
    let after = after.trim_start_matches(|it: char| it.is_whitespace() || it == '-' || it == ':');
    let (process, rest) = word(after);
    let is_process = process == "nemesis" || process.bytes().all(|it| it.is_ascii_digit());
    let (phase, rest) = word(rest);
    // A type that nobody knows is an operation all the same, and no line to pass over.
    if process.is_empty() || !is_process || !phase.starts_with(':') || phase.len() == 1 {
        return None;
    }
    let (f, rest) = word(rest);
    Some(Words { process, phase, f, value: rest.trim_start() })
}

fn word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    text.split_at(text.find(char::is_whitespace).unwrap_or(text.len()))
}
