//! A recorded history of a flash sale, read from a file of any format.
//!
//! Owns: which line is whose, and what the nemesis did. Never does: meaning (`codec`) or syntax
//! (`format`). Called by `jepsen-lite check`.

use super::Record;
use super::codec::{CodecError, Decoder};
use crate::format::{self, FormatError};
use crate::{History, Process};

/// What was asked and told, and where in the file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Recorded {
    /// By invocation.
    pub records: Vec<Record>,
    /// The line of each client's event, by its position.
    pub lines: Vec<u32>,
    /// What the nemesis did.
    pub nemesis: History,
}

impl Recorded {
    /// The line of the event at this position; 0 where there is none.
    pub fn line(&self, position: u64) -> u32 {
        usize::try_from(position).ok().and_then(|at| self.lines.get(at)).copied().unwrap_or(0)
    }
}

/// Reads a recorded history of any format, without holding all its events at once.
///
/// # Errors
/// [`FormatError`] where it is no history, or none of a flash sale.
pub fn read(text: &str) -> Result<Recorded, FormatError> {
    let (mut recorded, mut decoder) = (Recorded::default(), Decoder::default());
    format::each(text, &mut |event| {
        if event.process == Process::Nemesis {
            recorded.nemesis.events.push(event);
            return Ok(());
        }
        recorded.lines.push(event.line);
        recorded.records.extend(decoder.push(&event)?);
        Ok(())
    })?;
    recorded.records.extend(decoder.finish());
    recorded.records.sort_by_key(|record| record.invoked);
    Ok(recorded)
}

impl From<CodecError> for FormatError {
    fn from(CodecError { line, words }: CodecError) -> Self {
        Self { line, column: 1, what: words }
    }
}
