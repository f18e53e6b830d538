//! Which bug this process runs with: named once, before anything runs, and asked everywhere.

use super::Mutant;
use std::fmt;
use std::sync::OnceLock;

static CHOSEN: OnceLock<Mutant> = OnceLock::new();

/// Every bug and its name, as [`super::VARIABLE`] takes it.
const NAMES: [(&str, Mutant); 11] = [
    ("read-without-readindex", Mutant::ReadWithoutReadIndex),
    ("answer-before-commit", Mutant::AnswerBeforeCommit),
    ("no-fsync", Mutant::NoFsync),
    ("request-table-missing-from-snapshot", Mutant::RequestTableMissingFromSnapshot),
    ("vote-not-persisted", Mutant::VoteNotPersisted),
    ("retry-under-new-id", Mutant::RetryUnderNewId),
    ("speculative-sold-out", Mutant::SpeculativeSoldOut),
    ("follower-answers-stale", Mutant::FollowerAnswersStale),
    ("ack-before-write", Mutant::AckBeforeWrite),
    ("leader-restored", Mutant::LeaderRestored),
    ("flipped-bit", Mutant::FlippedBit),
];

/// No bug has this name. Displays the names that there are, separated by commas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownMutant;

impl fmt::Display for UnknownMutant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&NAMES.map(|(name, _)| name).join(", "))
    }
}

impl std::error::Error for UnknownMutant {}

/// Plants the bug of this name, for the life of the process.
///
/// # Errors
/// [`UnknownMutant`]; nothing is planted.
///
/// # Panics
/// When one is planted already.
pub fn choose(name: &str) -> Result<(), UnknownMutant> {
    let found = NAMES.iter().find(|(known, _)| *known == name);
    let (_, mutant) = found.ok_or(UnknownMutant)?;
    assert!(CHOSEN.set(*mutant).is_ok(), "one bug is planted in a process, and once");
    Ok(())
}

/// Whether this process runs with this bug.
pub fn is(mutant: Mutant) -> bool {
    CHOSEN.get() == Some(&mutant)
}
