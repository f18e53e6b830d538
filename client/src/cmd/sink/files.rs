//! `flashctl sink files` and `flashctl sink csv`.

use super::{Running, carry};
use crate::cmd::{Exit, Failure, Global, interrupted};
use client::Client;
use client::storm::grouped;
use sink::files::Files;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use stock::Seq;
use stock::api::{ExportLine, OrderView, Timestamp};
use tempfile::NamedTempFile;

/// Bytes of a MiB.
const MIB: u64 = 1024 * 1024;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: flashctl sink files --dir /var/lib/flashnode-events

A CloudEvent a line, in files that are named by their first change. Goes on after the last whole line
that is there, so the directory is all it needs to keep.")]
pub(super) struct Args {
    /// The directory, which is made
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Begin another file once one has so many MiB
    #[arg(long, value_name = "MIB", default_value_t = 64,
        value_parser = clap::value_parser!(u64).range(1..=65_536))]
    rotate_mib: u64,
    #[command(flatten)]
    running: Running,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: flashctl sink csv --out orders.csv

All orders at one seq, a line an item. The file is there when it is whole, or not at all.")]
pub(super) struct CsvArgs {
    /// The file
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

pub(super) async fn run(args: &Args, global: &Global) -> Result<Exit, Failure> {
    let files = Files::new(args.dir.clone(), args.rotate_mib * MIB);
    let identity = files.identity();
    carry(("files", &identity), files, &args.running, global).await
}

pub(super) async fn csv(args: &CsvArgs, global: &Global) -> Result<Exit, Failure> {
    let client = global.client()?;
    let (seq, orders) = tokio::select! {
        written = write_file(&client, &args.out) => written?,
        () = interrupted() => return Err(Failure::Interrupted),
    };
    eprintln!("flashctl: {} orders at seq {seq}", grouped(orders));
    Ok(Exit::Ok)
}

async fn write_file(client: &Client, path: &Path) -> Result<(Seq, u64), Failure> {
    let failed =
        |why: &dyn std::fmt::Display| Failure::Failed(format!("{}: {why}", path.display()));
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    let file = NamedTempFile::new_in(dir.unwrap_or(Path::new("."))).map_err(|why| failed(&why))?;
    let mut whole = BufWriter::new(file);
    let mut export = client.export().await?;
    let mut orders = 0;
    let head = "order_id,ordered_at,user_id,request_id,hold_id,product_id,quantity,cancelled\r\n";
    whole.write_all(head.as_bytes()).map_err(|why| failed(&why))?;
    while let Some(line) = export.next().await? {
        if let ExportLine::Order(order) = line {
            write_order(&mut whole, &order).map_err(|why| failed(&why))?;
            orders += 1;
        }
    }
    let file = whole.into_inner().map_err(|why| failed(&why))?;
    file.as_file().sync_all().map_err(|why| failed(&why))?;
    file.persist(path).map_err(|why| failed(&why))?;
    Ok((export.seq(), orders))
}

/// RFC 4180.
fn write_order(to: &mut impl Write, order: &OrderView) -> io::Result<()> {
    let at = Timestamp::at_most(order.at_ms);
    let (user, request) = (field(order.user_id.as_str()), field(order.request_id.as_str()));
    let hold = order.hold_id.map(|hold| hold.to_string()).unwrap_or_default();
    for item in &order.items {
        write!(
            to,
            "{},{at},{user},{request},{hold},{},{},{}\r\n",
            order.order_id,
            field(item.product_id.as_str()),
            item.quantity,
            order.cancelled
        )?;
    }
    Ok(())
}

/// A text as a field: in quotes where it holds what has a meaning, and, so that no spreadsheet
/// takes it for a formula, where it begins as one does.
fn field(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@']);
    if formula || text.contains([',', '"', '\r', '\n']) {
        let guard = if formula { "'" } else { "" };
        format!("\"{guard}{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_keep_their_meaning() {
        for (text, expected) in
            [("a-1", "a-1"), ("a,b", "\"a,b\""), ("a\"b", "\"a\"\"b\""), ("=1+1", "\"'=1+1\"")]
        {
            assert_eq!(field(text), expected);
        }
    }
}
