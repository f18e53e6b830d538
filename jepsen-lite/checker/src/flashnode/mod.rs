//! A flash sale, as its HTTP contract tells of it.
//!
//! | module | what it owns |
//! |---|---|
//! | [`op`] | what a buyer asks and is told |
//! | [`codec`] | the same as a history's events, and back |
//! | [`recorded`] | a file of those |
//! | [`replica`] | what the replicas hold at the end, and its file |
//! | [`ledger`] | the rules on it |
//! | [`model`] | one product, for the exact search |
//! | [`witness`] | the whole run, ordered by `seq` |
//! | [`exact`] | the search, product by product |
//! | [`mod@judge`] | the verdict of all layers |
//! | [`synthetic`] | correct histories, simulated |
//! | [`bugs`] | the same with one bug planted |

pub mod bugs;
mod buyers;
pub mod codec;
mod density;
pub mod exact;
pub mod judge;
pub mod ledger;
mod log_time;
pub mod model;
mod named;
pub mod op;
mod persistent;
pub mod recorded;
pub mod replica;
mod settle;
pub mod synthetic;
pub mod witness;

pub use judge::{Finding, Judgement, Layer, judge};
pub use ledger::Violation;
pub use op::{Answer, Attempt, Ended, Input, Outcome, Record, RefusedFor};
pub use recorded::Recorded;
pub use replica::{Began, Expiries, FinalCounts, LedgerHold, LedgerOrder, Ledgers, ReplicaLedger};
