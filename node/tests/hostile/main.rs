//! Hostile input through real connections to a real three-node cluster: each request gets its
//! documented answer, and none changes anything.

#![allow(clippy::expect_used, reason = "a test ends at what it cannot do without")]

mod bodies;
mod connections;
mod fields;
mod headers;
mod heads;
mod paths;
mod peers;
#[path = "../scene/mod.rs"]
mod scene;

use scene::{PATIENCE, Scene};
use stock::Seq;

/// The deadline of nodes that are asked for the impossible, which shall not be waited for long: as
/// short as calm elections allow.
const DEADLINE: [&str; 2] = ["--deadline-ms", "3500"];

/// What must be the same before and after.
#[derive(Debug, PartialEq, Eq)]
struct State {
    seq: Seq,
    hash: String,
}

/// The state that all nodes agree on.
async fn state(scene: &Scene) -> State {
    let views = scene.cluster.wait_level(PATIENCE).await.expect("the nodes become level");
    for view in &views {
        assert_eq!(view.state_hash, views[0].state_hash, "states differ: {views:?}");
    }
    State { seq: views[0].seq, hash: views[0].state_hash.clone() }
}
