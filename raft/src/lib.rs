//! Replication: everything between a batch of commands and the disks of a majority.
mod types;
pub use types::{ClusterId, Incarnation};
