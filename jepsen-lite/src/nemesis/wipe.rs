//! A follower's directory is lost with all that is in it. The node must not vote with what it
//! forgot: it comes back as a new member, and gets everything from the others.
//!
//! Seen to take hold when the process is gone and so is the directory. It stays away for the
//! fault's time; one more node lost meanwhile would be one too many, so only one is taken.

use super::kill::kill;
use super::stage::{Injection, Stage, named};
use client::cluster::ClusterError;

/// Kills a follower and removes its directory; healed when it votes again.
pub(super) async fn inject(mut stage: Stage<'_>) -> Result<Injection, ClusterError> {
    let victim = stage.forgetful().await?;
    let gone = kill(&mut stage, &[victim])?;
    stage.cluster.wipe(victim)?;
    let empty = stage.cluster.is_empty(victim);
    Ok(Injection::seen(format!("the directory of {} is lost", named(&[victim])), gone && empty))
}
