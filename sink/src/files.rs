//! The target files: one change a line, in files that are rotated.
//!
//! **Exactly once**, because the files themselves say where they end: the last whole line's id is
//! the position. A line that was cut off by a kill is taken away before anything is added. A lock
//! keeps a second runner out for as long as the first lives; it then stands by.
//!
//! Owns: a directory, with `events-FIRST.ndjson`, FIRST being the first change in it, and `lock`.
//! Never does: remove a file that has its name. A line is a CloudEvent ([`crate::message`]).

use crate::durable::{sync_dir, unsynced};
use crate::message::{Envelope, Message};
use crate::pace::Pages;
use crate::source::State;
use crate::target::{Applied, Target, TargetError};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde_json::Value;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use stock::Seq;
use stock::api::{EventView, ExportLine};

/// The longest line that is looked for at a file's end: an event of twenty products with the
/// longest ids is below 8 KiB.
const LINE_BYTES_MAX: u64 = 1 << 20;
/// What a file is called that is not whole yet.
const PART: &str = "part";

/// See the module.
pub struct Files {
    dir: PathBuf,
    rotate_bytes: u64,
    open: Option<Open>,
}

struct Open {
    /// Held for as long as this runner writes.
    _lock: File,
    envelope: Envelope,
    /// What is added to; none until something is, when there is no file or the last one is full.
    file: Option<(File, u64)>,
    position: Seq,
}

impl Files {
    /// Into this directory, which is made; a file of so many bytes or more is not added to.
    pub fn new(dir: PathBuf, rotate_bytes: u64) -> Self {
        Self { dir, rotate_bytes, open: None }
    }

    /// Which directory of which host, as a URL.
    pub fn identity(&self) -> String {
        let dir = std::path::absolute(&self.dir).unwrap_or_else(|_| self.dir.clone());
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname");
        let host = host.as_deref().map_or("localhost", str::trim);
        format!("file://{host}{}", dir.display())
    }

    fn open_now(&mut self, cluster_id: &str) -> Result<Seq, TargetError> {
        // Its own lock would be in the way.
        self.open = None;
        let dir = self.dir.as_path();
        std::fs::create_dir_all(dir).map_err(|why| failed(dir, &why))?;
        let path = dir.join("lock");
        let lock = OpenOptions::new().create(true).append(true).open(&path);
        let lock = lock.map_err(|why| failed(&path, &why))?;
        let envelope = Envelope::new(cluster_id);
        // Read by whoever stands by, too: it must see the position move.
        let free = match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => true,
            Err(Errno::WOULDBLOCK) => false,
            Err(why) => return Err(failed(&path, &why.into())),
        };
        let last = last_file(dir).map_err(|why| failed(dir, &why))?;
        let end = match &last {
            Some(path) => end_of(path, &envelope)?,
            None => End { position: Seq(0), bytes: 0 },
        };
        if !free {
            return Err(TargetError::Taken(end.position));
        }
        let mut file = None;
        if let Some(path) = last {
            let opened = OpenOptions::new().append(true).open(&path);
            let opened = opened.map_err(|why| failed(&path, &why))?;
            // What was cut off, and what was written but never synced.
            opened.set_len(end.bytes).map_err(|why| failed(&path, &why))?;
            opened.sync_all().map_err(|why| unsynced(&path, &why))?;
            file = Some((opened, end.bytes));
        }
        let position = end.position;
        self.open = Some(Open { _lock: lock, envelope, file, position });
        Ok(position)
    }

    fn apply_now(&mut self, from: Seq, batch: &[EventView]) -> Result<Applied, TargetError> {
        let (dir, rotate_bytes) = (self.dir.clone(), self.rotate_bytes);
        let Some(open) = &mut self.open else {
            return Err(TargetError::Lost("it is not open".to_owned()));
        };
        if open.position != from {
            return Err(TargetError::Moved);
        }
        let (Some(first), Some(last)) = (batch.first(), batch.last()) else {
            return Ok(Applied::default());
        };
        if open.file.as_ref().is_none_or(|(_, bytes)| *bytes >= rotate_bytes) {
            let path = dir.join(name(first.seq));
            let made = OpenOptions::new().create_new(true).append(true).open(&path);
            let made = made.map_err(|why| failed(&path, &why))?;
            sync_dir(&dir)?;
            open.file = Some((made, 0));
        }
        let Some((file, bytes)) = &mut open.file else { unreachable!("it was made above") };
        let mut text = Vec::new();
        for event in batch {
            line(&mut text, &open.envelope.event(event));
        }
        // Of a write that fails half-way nothing counts: the next open looks at the file.
        file.write_all(&text).map_err(|why| failed(&dir, &why))?;
        if let Err(why) = file.sync_data() {
            // Nobody knows what of it is on the disk, and a later sync would not tell: it is
            // written anew. Where it cannot be cut off either, the next open fails as well.
            file.set_len(*bytes).map_err(|why| unsynced(&dir, &why))?;
            return Err(unsynced(&dir, &why));
        }
        *bytes += text.len() as u64;
        open.position = last.seq;
        Ok(Applied { rows: batch.len() as u64 })
    }

    async fn rebase_now<S: State>(
        &mut self,
        from: Seq,
        state: &mut S,
        pages: &mut Pages<'_>,
    ) -> Result<Applied, TargetError> {
        let dir = self.dir.clone();
        let Some(open) = &mut self.open else {
            return Err(TargetError::Lost("it is not open".to_owned()));
        };
        let seq = state.seq();
        // It gets its name once it is whole: what was cut off is never read.
        let path = dir.join(name(Seq(from.0 + 1)));
        let part = path.with_extension(PART);
        let made = File::create(&part).map_err(|why| failed(&part, &why))?;
        let mut file = BufWriter::new(made);
        let (mut rows, mut paced, mut at_ms, mut text) = (0, 0, 0, Vec::new());
        while let Some(told) = state.next().await? {
            if let ExportLine::Head { log_time_ms, .. } = told {
                at_ms = log_time_ms;
            }
            text.clear();
            for message in open.envelope.state((from, seq), at_ms, &told) {
                line(&mut text, &message);
                rows += 1;
            }
            file.write_all(&text).map_err(|why| failed(&part, &why))?;
            if rows - paced >= pages.rows_max() {
                pages.wrote(rows - paced).await;
                paced = rows;
            }
        }
        let file = file.into_inner().map_err(|why| failed(&part, why.error()))?;
        file.sync_all().map_err(|why| failed(&part, &why))?;
        let bytes = file.metadata().map_err(|why| failed(&part, &why))?.len();
        // An empty file of that name is what a kill leaves between making it and the first line.
        std::fs::rename(&part, &path).map_err(|why| failed(&path, &why))?;
        sync_dir(&dir)?;
        open.file = Some((file, bytes.max(self.rotate_bytes)));
        open.position = seq;
        Ok(Applied { rows: rows as u64 })
    }
}

impl Target for Files {
    async fn open(&mut self, cluster_id: &str) -> Result<Seq, TargetError> {
        self.open_now(cluster_id)
    }

    async fn apply(&mut self, from: Seq, batch: &[EventView]) -> Result<Applied, TargetError> {
        self.apply_now(from, batch)
    }

    async fn rebase<S: State>(
        &mut self,
        from: Seq,
        state: &mut S,
        pages: &mut Pages<'_>,
    ) -> Result<Applied, TargetError> {
        self.rebase_now(from, state, pages).await
    }
}

fn failed(path: &Path, why: &io::Error) -> TargetError {
    TargetError::Lost(format!("{}: {why}", path.display()))
}

fn name(first: Seq) -> String {
    // Sorted by name they are sorted by change.
    format!("events-{:020}.ndjson", first.0)
}

fn line(text: &mut Vec<u8>, message: &Message) {
    text.extend_from_slice(message.json.as_bytes());
    text.push(b'\n');
}

/// The newest file that has its name.
fn last_file(dir: &Path) -> io::Result<Option<PathBuf>> {
    let mut last: Option<PathBuf> = None;
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with("events-") && name.ends_with(".ndjson") {
            last = last.max(Some(path));
        }
    }
    Ok(last)
}

/// Where a file ends.
struct End {
    position: Seq,
    /// Bytes up to and with the last whole line.
    bytes: u64,
}

fn end_of(path: &Path, envelope: &Envelope) -> Result<End, TargetError> {
    let failed = |why: &io::Error| failed(path, why);
    let mut file = File::open(path).map_err(|why| failed(&why))?;
    let length = file.metadata().map_err(|why| failed(&why))?.len();
    let from = length.saturating_sub(2 * LINE_BYTES_MAX);
    file.seek(SeekFrom::Start(from)).map_err(|why| failed(&why))?;
    let mut tail = Vec::new();
    file.take(length - from).read_to_end(&mut tail).map_err(|why| failed(&why))?;
    let strange = |why: &str| TargetError::Refused(format!("{}: {why}", path.display()));
    let Some(end) = tail.iter().rposition(|byte| *byte == b'\n') else {
        if from > 0 {
            return Err(strange("its end is no line of an event"));
        }
        // No line was whole: it goes on right before the first that it was made for.
        let first = path.file_stem().and_then(|stem| stem.to_str()?.strip_prefix("events-"));
        let first: u64 = first.and_then(|first| first.parse().ok()).unwrap_or(1);
        return Ok(End { position: Seq(first.saturating_sub(1)), bytes: 0 });
    };
    let begin = tail[..end].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let last: Value = serde_json::from_slice(&tail[begin..end])
        .map_err(|why| strange(&format!("its last line is no event: {why}")))?;
    if last["source"] != envelope.source() {
        let why = format!(
            "it is of {}, and this is {}; give each cluster a directory of its own",
            last["source"],
            envelope.source()
        );
        return Err(strange(&why));
    }
    let position = match last["type"].as_str() {
        Some("flashnode.gap") => last["data"]["through"].as_u64(),
        _ => last["id"].as_str().and_then(|id| id.parse().ok()),
    };
    let position = position.ok_or_else(|| strange("its last line does not say where it stands"))?;
    Ok(End { position: Seq(position), bytes: from + end as u64 + 1 })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test ends at what it cannot go on without")]

    use super::*;
    use stock::Sku;
    use stock::api::ChangeView;

    fn events(seqs: std::ops::RangeInclusive<u64>) -> Vec<EventView> {
        let product_id = Sku::new("tee").unwrap();
        let change = ChangeView::Restocked { product_id, quantity: 1, remaining: 1 };
        seqs.map(|seq| EventView { seq: Seq(seq), at_ms: seq, change: change.clone() }).collect()
    }

    fn ids(dir: &Path) -> Vec<u64> {
        let mut files: Vec<_> =
            std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap()).collect();
        files.sort_by_key(std::fs::DirEntry::file_name);
        let text = |entry: &std::fs::DirEntry| std::fs::read_to_string(entry.path()).unwrap();
        let all: String =
            files.iter().filter(|entry| entry.file_name() != "lock").map(text).collect();
        let id = |line: &str| {
            let value: Value = serde_json::from_str(line).unwrap();
            value["id"].as_str().unwrap().parse().unwrap()
        };
        all.lines().map(id).collect()
    }

    #[test]
    fn a_kill_at_any_byte_loses_and_doubles_nothing() {
        let made = tempfile::tempdir().unwrap();
        let mut files = Files::new(made.path().to_owned(), 1_000);
        assert_eq!(files.open_now("c").unwrap(), Seq(0));
        for from in [0, 3, 6, 9] {
            files.apply_now(Seq(from), &events(from + 1..=from + 3)).unwrap();
        }
        drop(files);
        assert_eq!(ids(made.path()), (1..=12).collect::<Vec<_>>());
        let last = last_file(made.path()).unwrap().unwrap();
        assert!(!last.ends_with(name(Seq(1))), "it was rotated");
        let whole = std::fs::read(&last).unwrap();
        for bytes in (0..=whole.len()).rev().step_by(7) {
            std::fs::write(&last, &whole[..bytes]).unwrap();
            let mut files = Files::new(made.path().to_owned(), 1_000);
            let position = files.open_now("c").unwrap();
            files.apply_now(position, &events(position.0 + 1..=13)).unwrap();
            assert_eq!(ids(made.path()), (1..=13).collect::<Vec<_>>(), "cut off at {bytes}");
            // A roll-over during the above makes another file.
            let newest = last_file(made.path()).unwrap().unwrap();
            if newest != last {
                std::fs::remove_file(newest).unwrap();
            }
        }
    }

    #[test]
    fn one_runner_writes_and_one_cluster_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let mut first = Files::new(dir.path().to_owned(), 1_000);
        let mut second = Files::new(dir.path().to_owned(), 1_000);
        first.open_now("c").unwrap();
        first.apply_now(Seq(0), &events(1..=3)).unwrap();
        assert_eq!(second.open_now("c"), Err(TargetError::Taken(Seq(3))));
        assert_eq!(first.apply_now(Seq(2), &events(3..=3)), Err(TargetError::Moved));
        drop(first);
        assert_eq!(second.open_now("c").unwrap(), Seq(3));
        assert!(matches!(second.open_now("d"), Err(TargetError::Refused(_))));
    }
}
