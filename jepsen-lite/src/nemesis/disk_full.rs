//! A disk without room: a small tmpfs under each node's directory, which shrinks.
//!
//! Expected: with less than its reserve left a leader proposes nothing and a follower takes no
//! entries, and both say so; with nothing left a write may fail, and the node stops rather than
//! guess what is on its disk. With room again, or started again, it goes on.
//!
//! Seen to take hold when the file system has as little room as it should, and the node says that
//! its disk is nearly full, or ends. What a living node frees meanwhile is taken away again.

use super::stage::{Injection, Stage, named};
use crate::cluster::{LogEnd, Room};
use client::cluster::ClusterError;
use std::time::{Duration, Instant};

/// How long a node may take to notice.
const NOTICE_DEADLINE: Duration = Duration::from_secs(20);
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// What it says then.
const NOTICED: &str = "is nearly full";

/// Takes the room away; healed when it is there again.
pub(super) async fn inject(mut stage: Stage<'_>) -> Result<Injection, ClusterError> {
    if let Err(why) = stage.cluster.disks() {
        return Ok(Injection::skipped(why.clone()));
    }
    let (room, leads) = stage.variant(&[
        (Room::BelowReserve, true),
        (Room::None, false),
        (Room::BelowReserve, false),
        (Room::None, true),
    ]);
    let (followers, leader) = stage.followers().await?;
    let victim = if leads { leader } else { followers[0] };
    let before = LogEnd::of(&stage.cluster.processes.node(victim).log);
    if matches!(room, Room::None) {
        stage.cluster.excuse(victim);
    }
    let (mut small, mut noticed) = (false, false);
    let started = Instant::now();
    while !(small && noticed) && started.elapsed() < NOTICE_DEADLINE {
        if !small && let Ok(disks) = stage.cluster.disks() {
            disks.shrink(victim, room)?;
            small = disks.has_only(victim, room);
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
        noticed |= before.says_since(NOTICED) || !stage.cluster.processes.alive(victim);
    }
    let how = match room {
        Room::BelowReserve => "less than its reserve",
        Room::None => "nothing",
    };
    let who = if leads { "the leader" } else { "a follower" };
    let what = format!("the disk of {}, {who}, has {how} left", named(&[victim]));
    Ok(Injection::seen(what, small && noticed))
}
