//! Seeded bugs: what a tester of this cluster must be able to catch.
//!
//! A build with the feature `mutants` carries all of them and runs as exactly one, named by
//! [`VARIABLE`]; `jepsen-lite mutants` runs each until it is caught. Any other build has none:
//! there [`is`] is a constant `false`, so that the branch behind it is removed, and what is longer
//! than a branch is not compiled at all. Call sites ask `mutant::is(Mutant::…)`; search for that,
//! and for `feature = "mutants"`, to see every place where a bug can be planted. Called by this
//! crate's and `node`'s call sites; chosen once, by `node`, before anything runs.

#[cfg(feature = "mutants")]
mod chosen;
#[cfg(feature = "mutants")]
pub(crate) mod early_answer;
#[cfg(feature = "mutants")]
pub(crate) mod flipped_bit;

#[cfg(feature = "mutants")]
pub use chosen::{UnknownMutant, choose, is};

/// The variable that names the bug.
pub const VARIABLE: &str = "FLASHNODE_MUTANT";

/// One seeded bug.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    /// A leader takes its own commit index for a read without asking a majority whether it still
    /// leads: a deposed leader, and whoever asks it, reads the past.
    ReadWithoutReadIndex,
    /// A leader answers a buy from its own state when it proposes it: a yes may be lost with it.
    AnswerBeforeCommit,
    /// Nothing is ever synced, and everything is reported as durable: a power cut loses it.
    NoFsync,
    /// A node that comes back from a snapshot has forgotten the request ids before it: a late
    /// retry buys a second time.
    RequestTableMissingFromSnapshot,
    /// The vote lives in memory: a node that restarts follows a leader that it had voted out.
    VoteNotPersisted,
    /// A node's own retry after an unknown outcome goes under a new request id: if the first had
    /// gone through after all, one click makes two orders.
    RetryUnderNewId,
    /// What is proposed counts as sold: a refusal may speak of a sale that never happens.
    SpeculativeSoldOut,
    /// A follower refuses and reads from its own state without asking the leader.
    FollowerAnswersStale,
    /// Appended entries are reported as durable when they are queued for the disk: a crash of a
    /// majority loses what it acknowledged.
    AckBeforeWrite,
    /// A leader that restarts within its term leads on (openraft's default), though it may have
    /// lost what its followers acknowledged in its name.
    LeaderRestored,
    /// One bit of a replica's memory flips: from then on it tells something else than the others.
    FlippedBit,
}

/// Whether this process runs with this bug: never, in a build without the feature.
#[cfg(not(feature = "mutants"))]
#[inline(always)]
#[allow(clippy::inline_always, reason = "the branch behind it must go in every profile")]
pub const fn is(_: Mutant) -> bool {
    false
}

/// Whether this process looks for damage of its own. Beside a seeded bug that is for an outside
/// tester to catch it does not: it would take the node out before the bug shows.
pub(crate) fn defends_itself() -> bool {
    cfg!(not(feature = "mutants")) || is(Mutant::FlippedBit)
}
