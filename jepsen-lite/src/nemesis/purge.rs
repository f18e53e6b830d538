//! A follower misses so much that the leader's log no longer has it: it must catch up by a
//! snapshot and by segments. Seen to take hold when its log says that it did.
//!
//! It takes load, and nodes that purge early ([`NODE_ARGS`]); without either it is indeterminate.

use super::kill::kill;
use super::stage::{Injection, Stage, named};
use crate::cluster::LogEnd;
use client::cluster::ClusterError;
use std::time::{Duration, Instant};

pub(super) const NODE_ARGS: &[&str] = &["--snapshot-entries", "200", "--keep-entries", "50"];

/// How long it may take until the others have purged what the victim lacks. It ends as soon as
/// they have: a slow machine only needs longer.
const PURGED_DEADLINE: Duration = Duration::from_secs(40);
/// How long a node may take until it says that it has the snapshot.
const CAUGHT_UP_DEADLINE: Duration = Duration::from_secs(40);
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// What a node says then.
const CAUGHT_UP: &str = "caught up by a snapshot";

/// How it comes to miss them.
#[derive(Debug, Clone, Copy)]
enum Away {
    Down,
    CutOff,
}

/// Keeps a follower away until its entries are purged, and lets it catch up.
pub(super) async fn inject(mut stage: Stage<'_>) -> Result<Injection, ClusterError> {
    let away = stage.variant(&[Away::Down, Away::CutOff]);
    let (followers, _) = stage.followers().await?;
    let victim = followers[0];
    let before = LogEnd::of(&stage.cluster.processes.node(victim).log);
    match away {
        Away::Down => {
            kill(&mut stage, &[victim])?;
        }
        Away::CutOff => stage.isolate(victim),
    }
    // Nobody has sent it more than this.
    let had = stage.cluster.others(victim).await.iter().map(|view| view.last_log).max();
    let started = Instant::now();
    let mut purged = false;
    while !purged && started.elapsed() < PURGED_DEADLINE {
        tokio::time::sleep(LOOK_INTERVAL).await;
        let others = stage.cluster.others(victim).await;
        // Any of them may lead when the victim is back.
        purged = others.len() + 1 == stage.cluster.ids().len()
            && others.iter().all(|view| view.purged >= had);
    }
    let others = stage.cluster.others(victim).await;
    let has = others.iter().map(|view| view.last_log).max();
    let missed = has.unwrap_or(0).saturating_sub(had.unwrap_or(0));
    match away {
        Away::Down => stage.cluster.launch(victim)?,
        Away::CutOff => stage.cluster.network.heal(),
    }
    let started = Instant::now();
    let mut caught_up = false;
    while purged && !caught_up && started.elapsed() < CAUGHT_UP_DEADLINE {
        tokio::time::sleep(LOOK_INTERVAL).await;
        caught_up = before.says_since(CAUGHT_UP);
    }
    let how = match away {
        Away::Down => "down",
        Away::CutOff => "cut off",
    };
    let end = match (purged, caught_up) {
        (_, true) => "caught up by a snapshot",
        (true, false) => "was not seen to need a snapshot",
        (false, false) => "which were not purged",
    };
    let what = format!("{} {how} for {missed} entries, {end}", named(&[victim]));
    Ok(Injection::seen(what, caught_up).over())
}
