//! SIGSTOP: a node stands still in the middle of whatever it does, and goes on later as if no time
//! had passed. A leader that wakes must not answer from what it knew. Seen to take hold when the
//! system says of every thread that it is stopped.

use super::stage::{Injection, Stage, named};
use client::cluster::ClusterError;

/// Who stands still.
#[derive(Debug, Clone, Copy)]
enum Victims {
    Leader,
    Minority,
    /// The leader among them: with five nodes, one more than the leader alone.
    MinorityWithLeader,
}

const VICTIMS: [Victims; 3] = [Victims::Leader, Victims::Minority, Victims::MinorityWithLeader];

/// Stops them one right after the other; healed by SIGCONT.
pub(super) async fn inject(mut stage: Stage<'_>) -> Result<Injection, ClusterError> {
    let victims = stage.variant(&VICTIMS);
    let (followers, leader) = stage.followers().await?;
    let mut ids = match victims {
        Victims::Leader => vec![leader],
        Victims::Minority => followers,
        Victims::MinorityWithLeader => [vec![leader], followers].concat(),
    };
    ids.truncate(stage.minority());
    let mut stopped = true;
    for id in &ids {
        stage.cluster.processes.pause(*id)?;
        stopped &= stage.cluster.processes.node(*id).stopped() == Some(true);
    }
    let why = if ids.contains(&leader) { ", the leader among them" } else { "" };
    Ok(Injection::seen(format!("SIGSTOP of {}{why}", named(&ids)), stopped))
}
