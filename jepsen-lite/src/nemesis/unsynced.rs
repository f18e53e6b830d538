//! A power cut: nodes are killed, and what they had written without a sync is lost, all of it or
//! a seeded part. Most of the time a majority loses it at once: what a minority forgets, the
//! others know, so that a missing fsync would never show.
//!
//! A log is synced so soon that most moments find nothing of it to take. So the victims are stopped
//! first (SIGSTOP), all at once; where none of them has anything unsynced besides the mark beside
//! its log, which never is synced, they go on for a moment and are stopped again. Then they are
//! killed as they stand. What a stopped process has done is what it had done at that moment: it is
//! a kill like any other, at a moment that was chosen, and for some milliseconds before it the
//! victims may have stood still a few times.
//!
//! Expected: nothing that was acknowledged is lost, and every node starts again. Seen to take
//! hold when the processes are gone and so is some unsynced change of theirs to another file than
//! the mark, which any power cut would take.

use super::MARK_FILE;
use super::kill::kill;
use super::stage::{Injection, Stage, named};
use ::unsynced::{Loss, Undone};
use client::cluster::ClusterError;
use rand::Rng;
use rustix::process::{Pid, Signal, kill_process};
use std::path::Path;
use std::time::Duration;
use stock::NodeId;

/// How often the victims are stopped in search of a moment at which there is something to take.
const STOPS_MAX: u32 = 40;
/// How long they go on in between, at most.
const BREATH_MAX: Duration = Duration::from_millis(16);

/// Whose power is cut.
#[derive(Debug, Clone, Copy)]
enum Victims {
    One,
    Majority,
    All,
}

const CUTS: [(Victims, Loss); 7] = [
    (Victims::Majority, Loss::All),
    (Victims::All, Loss::Subset),
    (Victims::Majority, Loss::Suffix),
    (Victims::All, Loss::All),
    (Victims::Majority, Loss::Subset),
    (Victims::All, Loss::Suffix),
    (Victims::One, Loss::Subset),
];

/// Kills them at once and takes back what they had not synced; healed by starting them again.
pub(super) async fn inject(mut stage: Stage<'_>) -> Result<Injection, ClusterError> {
    if let Err(why) = stage.cluster.journals() {
        return Ok(Injection::skipped(why.clone()));
    }
    let (victims, loss) = stage.variant(&CUTS);
    let mut ids = stage.shuffled();
    match victims {
        Victims::One => ids.truncate(1),
        Victims::Majority => ids.truncate(stage.majority()),
        Victims::All => {}
    }
    let stops = stop(&mut stage, &ids).await?;
    let gone = kill(&mut stage, &ids)?;
    let mut total = Undone::default();
    for id in &ids {
        let undone = stage.cluster.undo(*id, loss, stage.turn.random.random())?;
        total.changes_lost += undone.changes_lost;
        total.changes_torn += undone.changes_torn;
        total.changes_kept += undone.changes_kept;
        total.bytes_lost += undone.bytes_lost;
        total.files.extend(undone.files);
    }
    let how_much = match loss {
        Loss::All => "all",
        Loss::Subset => "some",
        Loss::Suffix => "the last",
    };
    let what = format!(
        "power cut at {}: of {} unsynced changes {how_much} lost ({} lost, {} torn, {} bytes), {} \
         (stop {stops})",
        named(&ids),
        total.changes_lost + total.changes_torn + total.changes_kept,
        total.changes_lost,
        total.changes_torn,
        total.bytes_lost,
        if lost_more_than_marks(&total) { "more than marks" } else { "of marks alone" }
    );
    Ok(Injection::seen(what, gone && lost_more_than_marks(&total)))
}

/// Stops them at a moment at which a power cut would take more than marks, or, where none was
/// found, at any; gives how often they were stopped.
async fn stop(stage: &mut Stage<'_>, ids: &[NodeId]) -> Result<u32, ClusterError> {
    let running: Vec<NodeId> = ids.iter().copied().filter(|id| runs(stage, *id)).collect();
    for stops in 1.. {
        stop_at_once(stage, &running)?;
        let mut waiting = 0;
        for id in &running {
            waiting += stage.cluster.waiting(*id, Path::new(MARK_FILE))?;
        }
        if waiting > 0 || stops == STOPS_MAX {
            return Ok(stops);
        }
        for id in &running {
            stage.cluster.processes.resume(*id)?;
        }
        tokio::time::sleep(BREATH_MAX.mul_f64(stage.turn.random.random())).await;
    }
    Ok(STOPS_MAX)
}

/// All are told before the first is waited for: who goes on while another stands still has synced
/// by the time that it stops.
fn stop_at_once(stage: &mut Stage<'_>, ids: &[NodeId]) -> Result<(), ClusterError> {
    for id in ids {
        let pid = stage.cluster.processes.node(*id).pid().and_then(|pid| i32::try_from(pid).ok());
        if let Some(pid) = pid.and_then(Pid::from_raw) {
            // The same is sent again below, where it is an error if it cannot be.
            let _ = kill_process(pid, Signal::STOP);
        }
    }
    ids.iter().try_for_each(|id| stage.cluster.processes.pause(*id))
}

fn runs(stage: &Stage<'_>, id: NodeId) -> bool {
    stage.cluster.processes.node(id).pid().is_some()
}

fn lost_more_than_marks(undone: &Undone) -> bool {
    undone.files.iter().any(|file| file != Path::new(MARK_FILE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_that_takes_nothing_but_marks_is_not_seen_to_take_hold() {
        let mut undone = Undone { changes_lost: 700, bytes_lost: 36_400, ..Undone::default() };
        assert!(!lost_more_than_marks(&undone));
        undone.files.insert(MARK_FILE.into());
        assert!(!lost_more_than_marks(&undone));
        undone.files.insert("db-dir/db".into());
        assert!(lost_more_than_marks(&undone));
    }
}
