//! Damage to a node's log while it is down, where a start reads it: flipped sectors, or a file that
//! lost its end.
//!
//! Expected: the node stops at its start and says so. Where nothing that it needs was hit it may
//! serve as before, with all that it had synced; this is looked at before the others can make up
//! for what it lacks. A node that serves with less breaks what it promised, and makes the run
//! illegal. What it serves wrongly otherwise is for the checks of the run to see.
//!
//! Seen to take hold when the node stopped and said why. However it came out, the fault is healed
//! by the documented way: the directory is wiped.

mod file;
mod journal;

use super::kill::kill;
use super::stage::{Injection, Stage, named};
use crate::cluster::{LogEnd, unusable};
use client::cluster::ClusterError;
use file::{Damage, synced_up_to};
use std::time::{Duration, Instant};
use stock::NodeId;

/// How long a node may take to stop or to say what it holds.
const VERDICT_DEADLINE: Duration = Duration::from_secs(30);
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// What a node says that does not start with its directory, or that cannot read on in it.
const REFUSES: [&str; 2] = ["This node must not take part with it", "the log store has stopped"];
/// What a node is that has opened its log and takes part in Raft.
const ROLES: [&str; 4] = ["leader", "follower", "candidate", "learner"];

/// Flips sectors of what was written last.
pub(super) async fn corrupt(stage: Stage<'_>) -> Result<Injection, ClusterError> {
    inject(stage, file::flip).await
}

/// Cuts the end off, and with it what was written last.
pub(super) async fn truncate(stage: Stage<'_>) -> Result<Injection, ClusterError> {
    inject(stage, file::cut).await
}

/// What a node does with a damaged log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Became {
    /// It stopped, and said that it must.
    Refused,
    /// It ended without a word of it.
    Ended,
    /// It serves, with entries up to this one.
    Serves(u64),
    /// None of these in time.
    Neither,
}

async fn inject(mut stage: Stage<'_>, damage: Damage) -> Result<Injection, ClusterError> {
    let victim = stage.forgetful().await?;
    kill(&mut stage, &[victim])?;
    let dir = stage.cluster.processes.node(victim).dir.clone();
    let in_words = dir.display().to_string();
    let synced = synced_up_to(&dir).map_err(unusable("read the mark in", &in_words))?;
    stage.cluster.mark_damaged(victim);
    let done = damage(&dir, &mut stage.turn.random).map_err(unusable("damage", &in_words))?;
    let before = LogEnd::of(&stage.cluster.processes.node(victim).log);
    // Among the others it would be sent what it lacks before it can be asked.
    stage.isolate(victim);
    stage.cluster.launch(victim)?;
    let became = became(&mut stage, victim, &before).await;
    stage.cluster.network.heal();
    let log = format!("log of {}", named(&[victim]));
    let done = done.map(|done| format!("{log}: {done}"));
    if let (Some(done), Some(broken)) = (&done, became.breaks(synced)) {
        stage.cluster.breach(format!("{done}, and {broken}"));
    }
    let seen = done.is_some() && became == Became::Refused;
    let done = done.unwrap_or_else(|| format!("{log} holds nothing to damage"));
    Ok(Injection::seen(format!("{done}; {}", became.in_words()), seen))
}

/// Waits until it is known.
async fn became(stage: &mut Stage<'_>, victim: NodeId, before: &LogEnd) -> Became {
    let started = Instant::now();
    while started.elapsed() < VERDICT_DEADLINE {
        let processes = &mut stage.cluster.processes;
        if processes.wait_exit(victim, Duration::ZERO).await.is_ok() {
            let refused = REFUSES.iter().any(|words| before.says_since(words));
            return if refused { Became::Refused } else { Became::Ended };
        }
        let view = processes.view(victim).await;
        let own = view.and_then(|view| view.nodes.into_iter().find(|node| node.id == victim));
        // While it starts it tells of no entry.
        if let Some(own) = own.filter(|own| ROLES.contains(&own.role.as_str()) && own.last_log > 0)
        {
            return Became::Serves(own.last_log);
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
    Became::Neither
}

impl Became {
    /// What it breaks of the promise that everything up to this entry is on its disk.
    fn breaks(self, synced: Option<u64>) -> Option<String> {
        match (self, synced) {
            (Self::Serves(last), Some(synced)) if last < synced => Some(format!(
                "it serves with entries up to {last}, though it had synced them up to {synced}"
            )),
            _ => None,
        }
    }

    fn in_words(self) -> &'static str {
        match self {
            Self::Refused => "it stopped, and said why",
            Self::Ended => "it ended without a word of it",
            Self::Serves(_) => "it serves",
            Self::Neither => "it neither stopped nor served in time",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_serves_with_less_than_was_synced_breaks_its_promise() {
        let broken = Became::Serves(299).breaks(Some(300)).unwrap();
        assert!(broken.contains("up to 299") && broken.contains("up to 300"), "{broken}");
        for kept in [Became::Serves(300), Became::Serves(301), Became::Refused, Became::Ended] {
            assert_eq!(kept.breaks(Some(300)), None);
        }
        assert_eq!(Became::Serves(1).breaks(None), None);
    }
}
