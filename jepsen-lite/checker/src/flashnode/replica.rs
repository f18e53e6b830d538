//! What the replicas hold at the end of a run, and `ledgers.json`, where it is kept.
//!
//! Owns: the shape, in memory and in the file. Never does: judge it (`ledger`). Called by whoever
//! reads replicas, and by the layers.
//!
//! The file is one JSON object with one order, product or hold a line, so that it can be searched,
//! compared and cut with the tools for lines.

use crate::format::FormatError;
use serde::{Deserialize, Serialize};
use std::io::{self, Write};

/// One order, as a replica lists it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LedgerOrder {
    /// The order's id: the `seq` of the change that made it.
    pub order: u64,
    /// The product.
    pub product: String,
    /// The buyer.
    pub user: String,
    /// The request id under which it was asked for.
    pub request: String,
    /// Units.
    pub quantity: u32,
    /// Units available right after it.
    pub remaining: u64,
    /// Log time of it, in milliseconds since the Unix epoch, where it was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_ms: Option<u64>,
}

/// One open hold, as a replica lists it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LedgerHold {
    /// The hold's id: the `seq` of the change that made it.
    pub hold: u64,
    /// The product.
    pub product: String,
    /// For whom.
    pub user: String,
    /// Units.
    pub quantity: u32,
}

/// A product's counts at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FinalCounts {
    /// The product.
    pub product: String,
    /// Units ever stocked, less those taken back.
    pub stocked: u64,
    /// Units that can be bought.
    pub available: u64,
    /// Units in holds.
    pub held: u64,
    /// Units sold.
    pub sold: u64,
}

/// What one replica holds at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplicaLedger {
    /// The node.
    pub node: u64,
    /// The last change that it has applied.
    pub seq: u64,
    /// The hash of its state, where it tells one.
    pub state_hash: Option<String>,
    /// Its products, in any order.
    pub products: Vec<FinalCounts>,
    /// Its open holds, in any order; `None` where they were not read.
    pub holds: Option<Vec<LedgerHold>>,
    /// Its orders, in any order.
    pub orders: Vec<LedgerOrder>,
}

/// What the machine had when the first operation of a history was invoked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Began {
    /// Nothing: it is a run from its beginning. So the first change is numbered 1, and each
    /// product was put on sale by an operation of the history.
    Empty,
    /// Nobody knows.
    #[default]
    Anyhow,
}

/// Whether a history tells of all holds that ran out. Nobody is answered when one does, so it is
/// read from elsewhere.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Expiries {
    /// It does.
    All,
    /// They could not be read: it tells of none.
    Unread,
    /// Nobody says. Where holds were made and it tells of none that ran out, they may be missing.
    #[default]
    Anyhow,
}

/// What is known of the replicas.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ledgers {
    /// What they had at first.
    #[serde(default)]
    pub began: Began,
    /// Which holds ran out.
    #[serde(default)]
    pub expiries: Expiries,
    /// One a replica, all taken after the last operation ended; none where none was gathered.
    pub replicas: Vec<ReplicaLedger>,
}

impl Ledgers {
    /// Reads `ledgers.json`.
    ///
    /// # Errors
    /// [`FormatError`] where it is not of that shape.
    pub fn read(json: &[u8]) -> Result<Self, FormatError> {
        serde_json::from_slice(json).map_err(|error| {
            let what = error.to_string();
            // The position is told by its own fields.
            let what = what.rsplit_once(" at line ").map_or(&*what, |(what, _)| what).to_owned();
            FormatError { line: error.line() as u32, column: error.column() as u32, what }
        })
    }

    /// Writes `ledgers.json`.
    ///
    /// # Errors
    /// The writer's.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let (began, expiries) =
            (serde_json::to_string(&self.began)?, serde_json::to_string(&self.expiries)?);
        write!(out, "{{\"began\":{began},\"expiries\":{expiries},\"replicas\":[")?;
        for (index, replica) in self.replicas.iter().enumerate() {
            let ReplicaLedger { node, seq, state_hash, products, holds, orders } = replica;
            let (comma, hash) = (separator(index), serde_json::to_string(state_hash)?);
            write!(out, "{comma}\n{{\"node\":{node},\"seq\":{seq},\"state_hash\":{hash},")?;
            write!(out, "\"products\":")?;
            lines(out, products)?;
            write!(out, ",\"holds\":")?;
            match holds {
                Some(holds) => lines(out, holds)?,
                None => write!(out, "null")?,
            }
            write!(out, ",\"orders\":")?;
            lines(out, orders)?;
            write!(out, "}}")?;
        }
        writeln!(out, "]}}")
    }
}

fn separator(index: usize) -> &'static str {
    if index == 0 { "" } else { "," }
}

/// A list with an item a line.
fn lines<T: Serialize>(out: &mut impl Write, items: &[T]) -> io::Result<()> {
    write!(out, "[")?;
    for (index, item) in items.iter().enumerate() {
        writeln!(out, "{}", separator(index))?;
        serde_json::to_writer(&mut *out, item)?;
    }
    write!(out, "]")
}
