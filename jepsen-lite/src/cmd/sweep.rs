//! `jepsen-lite sweep`: ends what runs left behind that were killed.

use super::Exit;
use anyhow::Context;
use std::io::{self, Write};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args) -> anyhow::Result<Exit> {
    let swept = jepsen_lite::cluster::sweep().context("a killed run's remains stay")?;
    let mut out = io::stdout().lock();
    for pid in &swept.processes {
        writeln!(out, "ended process {pid}")?;
    }
    for path in &swept.mounts {
        writeln!(out, "unmounted {}", path.display())?;
    }
    for path in &swept.shared_memory {
        writeln!(out, "removed {}", path.display())?;
    }
    writeln!(out, "{swept}")?;
    Ok(Exit::Ok)
}
