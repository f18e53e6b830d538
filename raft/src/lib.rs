//! Replication: everything between a batch of commands and the disks of a majority.
//!
//! Owns the Raft log (openraft over a sled store), snapshots and segment files, the network
//! between nodes, and how a node forms, joins and rejoins a cluster. Nothing outside this crate
//! imports openraft or sled. Called by `node`: the stock actor proposes and forwards, the front
//! reads.

mod applied;
mod apply;
mod barrier;
#[cfg(feature = "bench")]
pub mod bench;
mod check;
mod clock;
mod counting;
mod detector;
mod diagnosis;
mod feed;
mod fence;
mod formation;
mod forwarding;
mod fsync;
mod handover;
pub mod mutant;
mod peer;
mod propose;
mod readmission;
mod replica;
mod rollback;
mod roster;
mod segment;
mod shared;
mod snapshot;
mod status;
mod store;
mod tail;
#[cfg(test)]
mod tests;
mod tick;
mod trace;
mod types;
mod upgrade;
mod upkeep;

pub use barrier::ReadError;
pub use feed::{Export, FEED_EVENTS_MAX, Feed, FeedLimits, FeedWatch};
pub use formation::IdentityError;
pub use peer::{
    Allowance, Click, ClickAnswer, ClickFrame, ClickOutcome, ClicksAnswer, ForwardAnswer, Limit,
    Limited, Room,
};
pub use replica::{OpenError, Proposed, Replica, ReplicaConfig};
pub use rollback::RolledBack;
pub use roster::RosterError;
pub use shared::{Forwarded, ForwardedFrame};
pub use status::{LocalStatus, Role};
pub use store::{FLUSH_US_BOUNDS, StoreError, StoreMetrics};
pub use types::{ClusterId, Incarnation};
