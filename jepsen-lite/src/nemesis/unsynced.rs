//! A power cut: nodes are killed, and what they had written without a sync is lost, all of it or
//! a seeded part. Most of the time a majority loses it at once: what a minority forgets, the
//! others know, so that a missing fsync would never show.
//!
//! Expected: nothing that was acknowledged is lost, and every node starts again. Seen to take
//! hold when the processes are gone and so is some unsynced change of theirs, to another file than
//! the mark beside the log: that is never synced, so it would be lost by any power cut.

use super::MARK_FILE;
use super::kill::kill;
use super::stage::{Injection, Stage, named};
use ::unsynced::{Loss, Undone};
use client::cluster::ClusterError;
use rand::Rng;
use std::path::Path;

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
pub(super) fn inject(mut stage: Stage<'_>) -> Result<Injection, ClusterError> {
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
        "power cut at {}: of {} unsynced changes {how_much} lost ({} lost, {} torn, {} bytes), {}",
        named(&ids),
        total.changes_lost + total.changes_torn + total.changes_kept,
        total.changes_lost,
        total.changes_torn,
        total.bytes_lost,
        if lost_more_than_marks(&total) { "more than marks" } else { "of marks alone" }
    );
    Ok(Injection::seen(what, gone && lost_more_than_marks(&total)))
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
