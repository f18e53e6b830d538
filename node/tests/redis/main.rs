//! The Redis protocol on a real three-node cluster, by clients that nobody here wrote: `redis-cli`
//! and `redis-benchmark` (Debian package redis-tools), and a Flask program with redis-py.
//!
//! Where a program is missing its tests say aloud that they are skipped, and fail when
//! `FLASHNODE_NO_SKIPS` is set. `FLASHNODE_PYTHON` names a Python that has what
//! `deploy/redis-client/requirements.txt` names.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends at what it cannot do without")]

mod cli;
mod raw;
#[path = "../scene/mod.rs"]
mod scene;
mod shop;

use scene::Scene;
use stock::{NodeId, Sku};

/// The arguments of a node that speaks the Redis protocol.
const RESP: [&str; 2] = ["--resp", "{resp}"];
const DEBT: [&str; 3] = ["--resp", "{resp}", "--resp-debt"];

/// Time enough for all that comes at once, on a busy machine.
const PATIENT: [&str; 2] = ["--deadline-ms", "60000"];

/// The port on which a node speaks it.
fn port(scene: &Scene, node: NodeId) -> String {
    let address = &scene.cluster.node(node).resp;
    address.rsplit(':').next().expect("a port").to_owned()
}

fn key(text: &str) -> Sku {
    text.parse().expect("a key")
}

/// Says that a test is skipped for want of a program; fails where none may be.
fn skipped(why: &str) {
    assert!(std::env::var_os("FLASHNODE_NO_SKIPS").is_none(), "{why}");
    eprintln!("skipped: {why}");
}
