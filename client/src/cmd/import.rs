//! `flashctl import`: products from a CSV file (RFC 4180), each put on sale as `product create`
//! does.
//!
//! The whole file is read and checked, by the rules of a node, before anything is asked of the
//! cluster. The same file again changes nothing.

use super::{Exit, Failure, Global};
use crate::out;
use client::{Client, ClientError};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use stock::api::PutProduct;
use stock::{HoldTtl, Quantity, Sku};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
The first line names the columns, in any order: id and stock, and any of name, price, currency,
per_user_limit, starts_at, ends_at, hold_ttl_ms. An empty cell is as if its column were not there.

Example:
  id,name,stock,price,currency,per_user_limit,starts_at
  sneaker,\"Sneaker, red\",10000,12900,EUR,2,2026-11-27T18:00:00Z

  flashctl import products.csv")]
pub(crate) struct Args {
    /// The file
    file: PathBuf,
    /// Check the file and ask nothing of the cluster
    #[arg(long)]
    dry_run: bool,
}

/// A product, and the line that it stands on.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    line: usize,
    id: Sku,
    terms: PutProduct,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Imported<'a> {
    products: usize,
    on_sale: usize,
    refused: Vec<RefusedRow<'a>>,
}

#[derive(Debug, Serialize)]
struct RefusedRow<'a> {
    line: usize,
    id: &'a Sku,
    why: &'a str,
}

pub(crate) async fn run(args: &Args, global: &Global) -> Result<Exit, Failure> {
    let text = std::fs::read_to_string(&args.file)
        .map_err(|error| Failure::Usage(format!("{}: {error}", args.file.display())))?;
    let rows = rows(&text).map_err(|problems| {
        let problems: Vec<String> = problems.iter().map(|told| at(&args.file, told)).collect();
        Failure::Usage(format!("nothing was imported:\n  {}", problems.join("\n  ")))
    })?;
    let refused = if args.dry_run { Vec::new() } else { send(&global.client()?, &rows).await? };
    let on_sale = if args.dry_run { 0 } else { rows.len() - refused.len() };
    if global.json {
        let refused = refused
            .iter()
            .map(|(row, why)| RefusedRow { line: row.line, id: &row.id, why })
            .collect();
        out::json(&Imported { products: rows.len(), on_sale, refused });
    } else {
        for (row, why) in &refused {
            let told = Told { line: row.line, what: format!("{}: {why}", row.id) };
            eprintln!("flashctl: {}", at(&args.file, &told));
        }
        let done = if args.dry_run { "can be put on sale" } else { "are on sale" };
        let count = if args.dry_run { rows.len() } else { on_sale };
        out::text(&format!("{count} of {} products {done}\n", rows.len()));
    }
    Ok(if refused.is_empty() { Exit::Ok } else { Exit::Failed })
}

/// Puts them on sale, one after the other; returns those that were refused.
async fn send<'a>(client: &Client, rows: &'a [Row]) -> Result<Vec<(&'a Row, String)>, Failure> {
    let mut refused = Vec::new();
    for row in rows {
        match client.create_product(&row.id, &row.terms).await {
            Ok(_) => {}
            Err(error @ ClientError::Refused(_)) => refused.push((row, error.to_string())),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(refused)
}

/// What is wrong, and on which line, from 1.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    line: usize,
    what: String,
}

fn at(file: &Path, told: &Told) -> String {
    format!("{}:{}: {}", file.display(), told.line, told.what)
}

const COLUMNS: [&str; 9] = [
    "id",
    "name",
    "stock",
    "price",
    "currency",
    "per_user_limit",
    "starts_at",
    "ends_at",
    "hold_ttl_ms",
];

/// Reads the products of a file; else everything that is wrong with it.
fn rows(text: &str) -> Result<Vec<Row>, Vec<Told>> {
    let mut records = records(text.trim_start_matches('\u{feff}')).map_err(|told| vec![told])?;
    if records.is_empty() {
        return Err(vec![Told { line: 1, what: "it is empty; name the columns first".into() }]);
    }
    let (line, head) = records.remove(0);
    let head: Vec<String> = head.iter().map(|name| name.trim().to_owned()).collect();
    let wrong = |what| Err(vec![Told { line, what }]);
    if let Some(name) = head.iter().find(|name| !COLUMNS.contains(&name.as_str())) {
        return wrong(format!("there is no column {name:?}; use {}", COLUMNS.join(", ")));
    }
    for needed in ["id", "stock"] {
        match head.iter().filter(|name| *name == needed).count() {
            1 => {}
            count => return wrong(format!("the column {needed} is there {count} times")),
        }
    }
    let (mut rows, mut problems) = (Vec::new(), Vec::new());
    let mut lines: BTreeMap<Sku, usize> = BTreeMap::new();
    for (line, cells) in records {
        match row(line, &head, &cells) {
            Ok(row) => {
                let first = *lines.entry(row.id.clone()).or_insert(line);
                if first != line {
                    let what = format!("{} stands on line {first} already", row.id);
                    problems.push(Told { line, what });
                }
                rows.push(row);
            }
            Err(what) => problems.push(Told { line, what }),
        }
    }
    if problems.is_empty() { Ok(rows) } else { Err(problems) }
}

fn row(line: usize, head: &[String], cells: &[String]) -> Result<Row, String> {
    if cells.len() != head.len() {
        return Err(format!("it has {} cells, the first line has {}", cells.len(), head.len()));
    }
    let cell = |name: &str| {
        let position = head.iter().position(|known| known == name)?;
        Some(cells[position].trim()).filter(|text| !text.is_empty())
    };
    let id: Sku = {
        let id = cell("id").ok_or("id is missing")?;
        super::in_url(id).map_err(|why| format!("id {id:?}: {why}"))?
    };
    let terms = PutProduct {
        name: cell("name").map_or_else(|| id.to_string(), str::to_owned),
        stock: number(cell("stock"), "stock")?.ok_or("stock is missing")?,
        price: number(cell("price"), "price")?,
        currency: read(cell("currency"), "currency")?,
        per_user_limit: units(cell("per_user_limit"), "per_user_limit")?,
        starts_at: read(cell("starts_at"), "starts_at")?,
        ends_at: read(cell("ends_at"), "ends_at")?,
        hold_ttl_ms: hold_ttl(cell("hold_ttl_ms"), "hold_ttl_ms")?,
    };
    match terms.clone().terms(id.clone()) {
        Ok(_) => Ok(Row { line, id, terms }),
        Err(why) => Err(why.to_string()),
    }
}

fn read<T: FromStr>(cell: Option<&str>, name: &str) -> Result<Option<T>, String>
where
    T::Err: std::fmt::Display,
{
    let Some(text) = cell else { return Ok(None) };
    text.parse().map(Some).map_err(|why| format!("{name} {text:?}: {why}"))
}

/// Digits alone: JSON, in which a node reads it, knows no `+5` either.
fn number(cell: Option<&str>, name: &str) -> Result<Option<u64>, String> {
    let Some(text) = cell else { return Ok(None) };
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| digits);
    number.map(Some).ok_or_else(|| format!("{name} {text:?}: use a whole number, such as 5"))
}

fn units(cell: Option<&str>, name: &str) -> Result<Option<Quantity>, String> {
    let Some(number) = number(cell, name)? else { return Ok(None) };
    Quantity::new(number).map(Some).map_err(|why| format!("{name}: {why}"))
}

fn hold_ttl(cell: Option<&str>, name: &str) -> Result<Option<HoldTtl>, String> {
    let Some(ms) = number(cell, name)? else { return Ok(None) };
    HoldTtl::from_ms(ms).map(Some).map_err(|why| format!("{name}: {why}"))
}

/// The records of a CSV text with the lines that they begin on; empty lines are none.
fn records(text: &str) -> Result<Vec<(usize, Vec<String>)>, Told> {
    let (mut records, mut cells, mut cell) = (Vec::new(), Vec::new(), String::new());
    let (mut line, mut begun, mut quoted) = (1, 1, false);
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        if quoted {
            match letter {
                '"' if letters.peek() == Some(&'"') => {
                    letters.next();
                    cell.push('"');
                }
                '"' => {
                    quoted = false;
                    if !matches!(letters.peek(), None | Some(',' | '\r' | '\n')) {
                        let what = "something follows the closing quote of a cell".into();
                        return Err(Told { line, what });
                    }
                }
                other => {
                    line += usize::from(other == '\n');
                    cell.push(other);
                }
            }
            continue;
        }
        match letter {
            '"' if cell.is_empty() => quoted = true,
            '"' => {
                let what = "a quote stands within a cell; quote all of it, and double it".into();
                return Err(Told { line, what });
            }
            ',' => cells.push(std::mem::take(&mut cell)),
            '\r' if letters.peek() == Some(&'\n') => {}
            '\n' => {
                end_record(&mut records, &mut cells, &mut cell, begun);
                line += 1;
                begun = line;
            }
            other => cell.push(other),
        }
    }
    if quoted {
        return Err(Told { line: begun, what: "the quote of a cell does not end".into() });
    }
    end_record(&mut records, &mut cells, &mut cell, begun);
    Ok(records)
}

fn end_record(
    records: &mut Vec<(usize, Vec<String>)>,
    cells: &mut Vec<String>,
    cell: &mut String,
    line: usize,
) {
    if cells.is_empty() && cell.trim().is_empty() {
        cell.clear();
        return;
    }
    cells.push(std::mem::take(cell));
    records.push((line, std::mem::take(cells)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_file_is_read() {
        let text = "\u{feff}id,stock,name,price,currency,per_user_limit,starts_at,hold_ttl_ms\r\n\
                    tee,5,\"Tee, \"\"red\"\"\n\",1999,EUR,2,2026-11-27T18:00:00Z,90000\r\n\
                    \r\n\
                    cap,7,,,,,,\n";
        let read = rows(text).unwrap();
        assert_eq!(read.len(), 2);
        let tee = &read[0].terms;
        assert_eq!((read[0].line, read[0].id.as_str()), (2, "tee"));
        assert_eq!((tee.name.as_str(), tee.stock, tee.price), ("Tee, \"red\"", 5, Some(1999)));
        assert_eq!(tee.hold_ttl_ms.map(stock::HoldTtl::ms), Some(90_000));
        assert_eq!((read[1].line, read[1].id.as_str()), (5, "cap"));
        let plain = PutProduct { name: "cap".into(), stock: 7, ..PutProduct::default() };
        assert_eq!(read[1].terms, plain);
    }

    #[test]
    fn everything_that_is_wrong_is_told_with_its_line() {
        for (text, line, named) in [
            ("", 1, "empty"),
            ("id,stock,colour\n", 1, "\"colour\""),
            ("id,name\ntee,Tee\n", 1, "stock"),
            ("id,stock,id\n", 1, "2 times"),
            ("id,stock\ntee\n", 2, "1 cells"),
            ("id,stock\ntee,5,6\n", 2, "3 cells"),
            ("id,stock\n,5\n", 2, "id is missing"),
            ("id,stock\ntee,\n", 2, "stock is missing"),
            ("id,stock\na b,5\n", 2, "A-Z a-z 0-9"),
            ("id,stock\ntee,-1\n", 2, "stock \"-1\""),
            ("id,stock\ntee,1.5\n", 2, "stock \"1.5\""),
            ("id,stock,price\ntee,1,5\n", 2, "price and currency"),
            ("id,stock,currency,price\ntee,1,eur,5\n", 2, "ISO 4217"),
            ("id,stock,per_user_limit\ntee,1,0\n", 2, "1 to 1000000"),
            ("id,stock,starts_at\ntee,1,tomorrow\n", 2, "RFC 3339"),
            ("id,stock,hold_ttl_ms\ntee,1,5\n", 2, "hold_ttl_ms: hold time is out of range"),
            // What a node would refuse.
            ("id,stock\ntee,99999999999999\n", 2, "stock is too large; use 0 to 1000000000000"),
            ("id,stock\ntee,18446744073709551616\n", 2, "stock \"18446744073709551616\""),
            ("id,stock\ntee,+5\n", 2, "stock \"+5\": use a whole number"),
            ("id,stock,hold_ttl_ms\ntee,1,+5000\n", 2, "hold_ttl_ms \"+5000\""),
            ("id,stock\n.,1\n", 2, "id \".\": "),
            ("id,stock\n..,1\n", 2, "cannot stand in a URL"),
            ("id,stock,name\ntee,1,\"a\nb\"\n", 2, "name holds control characters; use"),
            ("id,stock,name\ntee,1,a\u{202e}b\n", 2, "name holds control characters; use"),
            (
                format!("id,stock,name\ntee,1,{}\n", "x".repeat(257)).as_str(),
                2,
                "name is too long; use",
            ),
            (
                "id,stock,price,currency\ntee,1,1000000000000001,EUR\n",
                2,
                "price is too large; use 0 to 1000000000000000",
            ),
            (
                "id,stock,starts_at,ends_at\ntee,1,2026-11-27T20:00:00Z,2026-11-27T20:00:00Z\n",
                2,
                "ends_at is not after starts_at",
            ),
            ("id,stock\ntee,1\ncap,2\ntee,3\n", 4, "line 2 already"),
            ("id,stock\n\"tee,1\n", 2, "does not end"),
            ("id,stock\n\"tee\"x,1\n", 2, "closing quote"),
            ("id,stock\nt\"ee,1\n", 2, "within a cell"),
        ] {
            let problems = rows(text).unwrap_err();
            assert_eq!(problems.len(), 1, "{text:?}: {problems:?}");
            assert_eq!(problems[0].line, line, "{text:?}: {problems:?}");
            assert!(problems[0].what.contains(named), "{text:?}: {problems:?}");
        }
        let largest = format!(
            "id,stock,name,price,currency\n...,1000000000000,{},1000000000000000,EUR\n",
            "x".repeat(256)
        );
        assert_eq!(rows(&largest).unwrap().len(), 1);
        let two = rows("id,stock\na b,1\ntee,x\n").unwrap_err();
        assert_eq!(two.iter().map(|told| told.line).collect::<Vec<_>>(), [2, 3]);
    }
}
