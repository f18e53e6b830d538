//! Rate limits: how many clicks a user, or a client address, has in a time.
//!
//! Owns the quotas, as they are configured, and the counters of a node that leads. Never decides
//! what a click is or what becomes of it: the stock actor asks once for each click, and holds the
//! only [`Counter`], so there is no lock. Time is an argument.
//!
//! Why the GCRA is written out here and not taken from the crate `governor`: a click is counted by
//! both limits or by none, in a table of bounded memory, and its answer says what is left. The
//! crate counts in the same step in which it checks, one key of one limit at a time, its tables
//! are swept and not bounded, and of a yes it does not tell when there is more. What would be left
//! of it is three lines of arithmetic; it is the oracle of their test instead.

mod counter;
mod gcra;
mod ledger;
mod quota;

pub(crate) use counter::{Clicker, Counted, Counter};
pub(crate) use quota::Quota;

/// The limits of a node; none is on by default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct RateLimits {
    /// The clicks of one user.
    pub(crate) per_user: Option<Quota>,
    /// The clicks from one client address.
    pub(crate) per_ip: Option<Quota>,
}

impl RateLimits {
    /// Whether there is anything to count.
    pub(crate) fn any(&self) -> bool {
        self.per_user.is_some() || self.per_ip.is_some()
    }
}
