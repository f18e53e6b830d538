//! `jepsen-lite sweep`: ends what runs left behind that were killed.

use super::Exit;
use anyhow::Context;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args) -> anyhow::Result<Exit> {
    let swept = jepsen_lite::cluster::sweep().context("a killed run's remains stay")?;
    for pid in &swept.processes {
        println!("ended process {pid}");
    }
    for path in &swept.mounts {
        println!("unmounted {}", path.display());
    }
    for path in &swept.shared_memory {
        println!("removed {}", path.display());
    }
    println!("{swept}");
    Ok(Exit::Ok)
}
