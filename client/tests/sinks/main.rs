//! `flashctl sink` against real servers, a real cluster of three nodes and a storm of buyers, while
//! the target, the sink and the nodes are killed.
//!
//! Where a server is missing its tests say aloud that they are skipped, and fail when
//! `FLASHNODE_NO_SKIPS` is set. `FLASHNODE_SINK_BUYS` is how many buy, 10,000 unless told
//! otherwise.

#![allow(clippy::unwrap_used, reason = "a test ends at what it cannot go on without")]

mod brokers;
mod certificates;
mod differences;
mod files;
mod isolated;
mod kills;
mod mistyped;
mod nats;
mod node;
mod postgres;
#[path = "../program/mod.rs"]
mod program;
mod rabbitmq;
mod rebase;
mod scene;
mod servers;
mod takeover;
mod tls;
mod webhook;
