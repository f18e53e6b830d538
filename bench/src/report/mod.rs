//! What a run prints and writes.

mod lines;
mod plot;

pub(crate) use lines::{Line, lines};
pub(crate) use plot::{Bar, Panel, draw_all, plot};

use crate::machine::Machine;
use crate::samples::{Row, Sample, Spread};
use serde::Serialize;
use std::fmt::Write;

/// One sample in one line.
pub(crate) fn sample(sample: &Sample) -> String {
    format!(
        "{} connections, {}: {:.0}/s ({:.2} of the no-op), p50 {:.2} ms, p99 {:.2} ms",
        sample.connections,
        sample.contender.name(),
        sample.buys_a_second,
        sample.ratio,
        sample.p50_us as f64 / 1e3,
        sample.p99_us as f64 / 1e3,
    )
}

/// The rows as a Markdown table: medians, with the least and the most in brackets.
pub(crate) fn table(rows: &[Row]) -> String {
    let heads = [
        "connections",
        "contender",
        "a yes is on",
        "ratio to the no-op",
        "buys/s",
        "p50 ms",
        "p99 ms",
        "p99, to the no-op's",
        "cores: clients",
        "cores: servers",
        "peak MiB",
    ];
    let mut out = format!("\n| {} |\n|{}\n", heads.join(" | "), "---|".repeat(heads.len()));
    for row in rows {
        // Writing to a string does not fail.
        let _written = writeln!(
            out,
            "| {} | {} | {} | {} | {:.0} | {} | {} | {} | {:.2} | {:.2} | {:.0} |",
            row.connections,
            row.contender.name(),
            row.contender.promise(),
            spread(row.ratio, 1.0),
            row.buys_a_second.median,
            spread(row.p50_us, 1e3),
            spread(row.p99_us, 1e3),
            spread(row.p99_ratio, 1.0),
            row.clients_cores.median,
            row.servers_cores.median,
            row.servers_peak_mib.median,
        );
    }
    out
}

fn spread(spread: Spread, unit: f64) -> String {
    let Spread { median, least, most } = spread;
    format!("{:.2} ({:.2}–{:.2})", median / unit, least / unit, most / unit)
}

#[derive(Serialize)]
struct Written<'a, T> {
    machine: &'a Machine,
    #[serde(flatten)]
    measured: &'a T,
}

/// What `buys` measured.
#[derive(Serialize)]
pub(crate) struct Sale<'a> {
    pub(crate) rows: &'a [Row],
    pub(crate) samples: &'a [Sample],
}

/// Everything, for programs.
///
/// # Errors
/// Never, as long as what was measured holds plain numbers and is no list.
pub(crate) fn json<T: Serialize>(machine: &Machine, measured: &T) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(&Written { machine, measured })?)
}
