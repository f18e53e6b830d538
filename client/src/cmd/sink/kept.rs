//! A whole state, read to its end and kept in a file without a name.
//!
//! Owns: that a slow target has no part in how long a node tells its state. A node cuts off who
//! takes nothing for ten seconds, and tells two states at once at most; a target, or
//! `--max-rows-per-second`, may need hours for one. In memory there is a line of it.

use super::cluster::told;
use client::export::Export;
use sink::{SourceError, State};
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, BufWriter, Seek as _, Write as _};
use stock::Seq;
use stock::api::ExportLine;

/// See the module.
pub(super) struct Kept {
    seq: Seq,
    lines: BufReader<File>,
    line: Vec<u8>,
}

impl Kept {
    /// Reads it to its end, into the directory for temporary files.
    pub(super) async fn read(mut export: Export) -> Result<Self, SourceError> {
        let mut file = BufWriter::new(tempfile::tempfile().map_err(|why| failed(&why))?);
        while export.next().await.map_err(told)?.is_some() {
            let text = [export.text(), b"\n"];
            text.iter().try_for_each(|part| file.write_all(part)).map_err(|why| failed(&why))?;
        }
        let rewound = file.into_inner().map_err(io::IntoInnerError::into_error);
        let mut file = rewound.map_err(|why| failed(&why))?;
        file.rewind().map_err(|why| failed(&why))?;
        Ok(Self { seq: export.seq(), lines: BufReader::new(file), line: Vec::new() })
    }
}

impl State for Kept {
    fn seq(&self) -> Seq {
        self.seq
    }

    async fn next(&mut self) -> Result<Option<ExportLine>, SourceError> {
        self.line.clear();
        if self.lines.read_until(b'\n', &mut self.line).map_err(|why| failed(&why))? == 0 {
            return Ok(None);
        }
        let line = serde_json::from_slice(&self.line);
        line.map(Some).map_err(|why| failed(&why.into()))
    }
}

/// Later there may be room.
fn failed(why: &io::Error) -> SourceError {
    let dir = std::env::temp_dir();
    SourceError::Unavailable(format!(
        "the state cannot be kept in {}: {why}; TMPDIR can name another directory",
        dir.display()
    ))
}
