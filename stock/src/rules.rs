//! By which rules a machine decides, so that an old log leads to the state that it always led to.
//!
//! A log outlives the build that wrote it, and replicas of two builds run side by side while a
//! cluster is upgraded. So what a build changes about decisions, events or the state hash it does
//! under rules of a new number; each log entry says by which it is applied, and a machine never
//! goes back. Called by the machine; `raft` reads the number off the entry.

use crate::{
    COUNTER_STORED_MAX, DONE_MAX, EXPIRIES_PER_APPLY_MAX, OPERATOR_STORED_MAX, SETTLED_MAX,
    STORED_MAX,
};
use serde::{Deserialize, Serialize};

/// The rules of the machine, oldest first. Appended, never reordered: the number is in snapshots.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum Rules {
    /// Each accepted hold, release and cancel is stored as a whole outcome for a day of log time;
    /// how a hold ended is known for ever, to every user; all due holds expire with one entry.
    #[default]
    One,
    /// Events carry what a hold, release or cancel was asked with, so of an accepted one only its
    /// fingerprint is kept, and no part of it is in snapshots. What is kept is bounded in number
    /// too, operators' outcomes apart from users', and so is what expires with one entry:
    /// [`Bounds`]. Another user's ended hold is as unknown as an open one, so whose it was is in
    /// the state hash.
    Two,
    /// Decides as [`Rules::Two`]. Logs may hold what came with it: cursors, and products as
    /// counters ([`crate::Command::Count`] and what follows). Builds before it cannot read these.
    Three,
    /// What counters have stored no longer counts among what buyers have, so that a busy program
    /// makes nobody's refusal forgotten: it has a bound of its own. Cursors may say what they are
    /// for, and can be removed; that one was made or removed is known for a day. The event of an
    /// order by a counter that owes says how much.
    Four,
}

impl Rules {
    /// The newest that this build knows.
    pub const NEWEST: Self = Self::Four;
}

/// How much a machine keeps and does from [`Rules::Two`] on. Part of the rules: only machines of
/// one test may have others than [`Bounds::default`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Requests that became a hold, a release or a cancel: [`DONE_MAX`].
    pub done: usize,
    /// Users' outcomes that are stored whole: [`STORED_MAX`].
    pub stored: usize,
    /// Operators': [`OPERATOR_STORED_MAX`].
    pub operator_stored: usize,
    /// Counters', from [`Rules::Four`] on: [`COUNTER_STORED_MAX`].
    pub counter_stored: usize,
    /// Ended holds: [`SETTLED_MAX`].
    pub settled: usize,
    /// Holds that expire with one entry because they are due: [`EXPIRIES_PER_APPLY_MAX`].
    pub expiries: usize,
}

impl Bounds {
    /// Those of [`Rules::One`].
    const NONE: Self = Self {
        done: usize::MAX,
        stored: usize::MAX,
        operator_stored: usize::MAX,
        counter_stored: usize::MAX,
        settled: usize::MAX,
        expiries: usize::MAX,
    };

    /// Those that hold under the rules.
    pub(crate) fn under(self, rules: Rules) -> Self {
        match rules {
            Rules::One => Self::NONE,
            Rules::Two | Rules::Three | Rules::Four => self,
        }
    }
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            done: DONE_MAX,
            stored: STORED_MAX,
            operator_stored: OPERATOR_STORED_MAX,
            counter_stored: COUNTER_STORED_MAX,
            settled: SETTLED_MAX,
            expiries: EXPIRIES_PER_APPLY_MAX,
        }
    }
}
