//! `flashctl export`: the whole state at one `seq`, a JSON object a line.
//!
//! A file gets its name once it is whole: what was cut off is never taken for the state.

use super::{Exit, Failure, Global, interrupted};
use client::Client;
use client::storm::grouped;
use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use stock::Seq;
use stock::api::ExportLine;
use tempfile::NamedTempFile;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  flashctl export > state.jsonl              check the exit code: 0 means that it is whole
  flashctl export --out state.jsonl          the file is there when it is whole, or not at all
  flashctl watch --after SEQ --json          what came after it; its first line names its seq

Exits with 3 when it was cut off.")]
pub(crate) struct Args {
    /// Write to this file, not to the standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// What was written.
#[derive(Debug, Default)]
struct Written {
    seq: Seq,
    lines: BTreeMap<&'static str, u64>,
}

pub(crate) async fn run(args: &Args, global: &Global) -> Result<Exit, Failure> {
    let client = global.client()?;
    let writing = async {
        match &args.out {
            None => write(&client, BufWriter::new(io::stdout().lock())).await,
            Some(path) => write_file(&client, path).await,
        }
    };
    let written = tokio::select! {
        written = writing => written?,
        () = interrupted() => return Err(Failure::Interrupted),
    };
    let count = |name| grouped(written.lines.get(name).copied().unwrap_or(0));
    // Not on the standard output, which may be the export.
    eprintln!(
        "flashctl: {} products, {} open holds and {} orders at seq {}",
        count("product"),
        count("hold"),
        count("order"),
        written.seq
    );
    Ok(Exit::Ok)
}

async fn write_file(client: &Client, path: &Path) -> Result<Written, Failure> {
    let failed =
        |error: &dyn std::fmt::Display| Failure::Failed(format!("{}: {error}", path.display()));
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    let file = NamedTempFile::new_in(dir.unwrap_or(Path::new("."))).map_err(|why| failed(&why))?;
    let mut whole = BufWriter::new(file);
    let written = write(client, &mut whole).await?;
    let file = whole.into_inner().map_err(|why| failed(&why))?;
    file.as_file().sync_all().map_err(|why| failed(&why))?;
    file.persist(path).map_err(|why| failed(&why))?;
    Ok(written)
}

/// Copies line by line, each as the node wrote it.
async fn write(client: &Client, mut to: impl Write) -> Result<Written, Failure> {
    let mut export = client.export().await?;
    let mut written = Written { seq: export.seq(), ..Written::default() };
    let failed = |error: io::Error| Failure::Failed(format!("the export: {error}"));
    while let Some(line) = export.next().await? {
        to.write_all(export.text()).and_then(|()| to.write_all(b"\n")).map_err(failed)?;
        *written.lines.entry(name(&line)).or_default() += 1;
    }
    to.flush().map_err(failed)?;
    Ok(written)
}

fn name(line: &ExportLine) -> &'static str {
    match line {
        ExportLine::Head { .. } => "head",
        ExportLine::Product(_) => "product",
        ExportLine::Debt { .. } => "debt",
        ExportLine::Cursor { .. } => "cursor",
        ExportLine::Hold(_) => "hold",
        ExportLine::Order(_) => "order",
        ExportLine::End { .. } => "end",
    }
}
