//! The whole state at one `seq`, line by line, in room for one line.
//!
//! Owns: the check that an export is whole: it begins with its head, and ends with a line that
//! counts the others. Never does: keep a line, or go on with another node, whose export is of
//! another `seq`; who was cut off begins anew. Called by `flashctl export`, `audit`, and whoever
//! keeps a copy of the stock and goes on with [`Client::events`] after [`Export::seq`].

use crate::call::in_words;
use crate::lines::Lines;
use crate::{Client, ClientError};
use reqwest::Response;
use std::time::{Duration, Instant};
use stock::Seq;
use stock::api::ExportLine;

/// A node writes an export as it reads it; one that says nothing for so long is given up.
const SILENCE_MAX: Duration = Duration::from_secs(25);
/// Between two rounds in which no node began.
const ROUND_PAUSE: Duration = Duration::from_millis(100);

/// An export that is being read.
#[derive(Debug)]
pub struct Export {
    address: String,
    stream: Response,
    lines: Lines,
    seq: Seq,
    /// The first line, read already and not yet handed out.
    head: Option<ExportLine>,
    /// Lines handed out.
    taken: u64,
    ended: bool,
}

impl Client {
    /// Begins an export at the first node that gives one: linearizable, unless
    /// [`Client::reading`] says otherwise.
    ///
    /// # Errors
    /// [`ClientError::Refused`], [`ClientError::Unavailable`] when no node begins in time.
    pub async fn export(&self) -> Result<Export, ClientError> {
        let deadline = Instant::now() + self.timeouts.give_up;
        let mut node = self.nodes.awake_from(self.nodes.next());
        for tried in 1.. {
            match self.begin_export(node).await {
                Err(ClientError::Unavailable { .. })
                    if tried < self.nodes.len() || Instant::now() < deadline => {}
                begun => return begun,
            }
            if tried % self.nodes.len() == 0 {
                tokio::time::sleep(ROUND_PAUSE).await;
            }
            node = self.nodes.awake_from(node + 1);
        }
        unreachable!("the deadline ends the loop")
    }

    async fn begin_export(&self, node: usize) -> Result<Export, ClientError> {
        let address = self.address(node).to_owned();
        let stream = self.open_stream(node, &self.reads.on("v1/export"), None).await?;
        let (lines, seq, taken, ended) = (Lines::default(), Seq(0), 0, false);
        let mut export = Export { address, stream, lines, seq, head: None, taken, ended };
        let head = export.next().await?;
        let Some(ExportLine::Head { seq, .. }) = head else {
            return Err(export.broken("it does not begin with its head"));
        };
        Ok(Export { seq, head, taken: 0, ..export })
    }
}

impl Export {
    /// What all of it is of; the change feed goes on after it.
    pub fn seq(&self) -> Seq {
        self.seq
    }

    /// The next line, from the head on. None after the last: only then is the export whole.
    ///
    /// # Errors
    /// [`ClientError::Unavailable`] when it was cut off, or is not what it says it is. What was
    /// read until then is not the state.
    pub async fn next(&mut self) -> Result<Option<ExportLine>, ClientError> {
        if let Some(head) = self.head.take() {
            self.taken = 1;
            return Ok(Some(head));
        }
        if self.ended {
            return Ok(None);
        }
        while !self.lines.advance().map_err(|why| self.broken(&why.to_string()))? {
            let chunk = tokio::time::timeout(SILENCE_MAX, self.stream.chunk()).await;
            match chunk {
                Ok(Ok(Some(chunk))) => self.lines.push(&chunk),
                Ok(Ok(None)) => return Err(self.broken("it was cut off")),
                Ok(Err(why)) => return Err(self.broken(&in_words(&why))),
                Err(_) => return Err(self.broken("it fell silent")),
            }
        }
        let line = serde_json::from_slice(self.lines.line());
        let line = line.map_err(|why| self.broken(&format!("a line is none: {why}")))?;
        if let ExportLine::End { lines } = line {
            if lines != self.taken || self.lines.is_amid() {
                let why = format!("it ends after {} lines and counts {lines}", self.taken);
                return Err(self.broken(&why));
            }
            self.ended = true;
        }
        self.taken += 1;
        Ok(Some(line))
    }

    /// The line that [`Export::next`] returned last, as the node wrote it, without its end.
    pub fn text(&self) -> &[u8] {
        self.lines.line()
    }

    fn broken(&self, why: &str) -> ClientError {
        ClientError::Unavailable { why: format!("the export of {}: {why}", self.address) }
    }
}
