//! `kill -9`: what was in memory is gone, what was written to files is not (the system has it).
//! See `unsynced` for a crash of the whole machine. Seen to take hold when no such process is left.

use super::stage::{Injection, Stage, named};
use client::cluster::ClusterError;
use stock::NodeId;

/// Who dies.
#[derive(Debug, Clone, Copy)]
enum Victims {
    One,
    Leader,
    Minority,
    Majority,
    All,
}

const VICTIMS: [Victims; 5] =
    [Victims::One, Victims::Leader, Victims::Minority, Victims::Majority, Victims::All];

/// Kills them at once; healed by starting them again.
pub(super) async fn inject(mut stage: Stage<'_>) -> Result<Injection, ClusterError> {
    let victims = stage.variant(&VICTIMS);
    let mut ids = stage.shuffled();
    match victims {
        Victims::One => ids.truncate(1),
        Victims::Leader => ids = vec![stage.cluster.processes.leader().await?],
        Victims::Minority => ids.truncate(stage.minority()),
        Victims::Majority => ids.truncate(stage.majority()),
        Victims::All => {}
    }
    let why = match victims {
        Victims::One => ", one of them",
        Victims::Leader => ", the leader",
        Victims::Minority => ", a minority",
        Victims::Majority => ", a majority",
        Victims::All => ", all",
    };
    let gone = kill(&mut stage, &ids)?;
    Ok(Injection::seen(format!("kill -9 of {}{why}", named(&ids)), gone))
}

/// Kills these, and tells whether all of them ran, and are gone.
pub(super) fn kill(stage: &mut Stage<'_>, ids: &[NodeId]) -> Result<bool, ClusterError> {
    let mut gone = true;
    for id in ids {
        let Some(pid) = stage.cluster.processes.node(*id).pid() else {
            gone = false;
            continue;
        };
        stage.cluster.processes.kill(*id)?;
        gone &= !std::path::Path::new(&format!("/proc/{pid}")).exists();
    }
    Ok(gone)
}
