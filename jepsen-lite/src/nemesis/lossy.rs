//! Lossy links. TCP hides lost packets: what follows one waits until it was sent again, and when
//! too many are lost the connection breaks. So some chunks stall, and some reset their connection.
//!
//! Seen to take hold when the links have stalled or reset something that the nodes sent.

use super::stage::{Injection, Stage, Whose};
use crate::proxy::Loss;
use client::cluster::ClusterError;
use rand::Rng;
use std::time::{Duration, Instant};

/// Linux's least retransmission timeout.
const STALL: Duration = Duration::from_millis(200);
/// How long the nodes may take to send something that gets lost. They send heartbeats all the
/// time, tens a second; at the least chances below, one chunk of 66 is hit.
const SEEN_DEADLINE: Duration = Duration::from_secs(20);
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// Lets the links lose; healed when they are as before.
pub(super) async fn inject(mut stage: Stage<'_>) -> Result<Injection, ClusterError> {
    let whose = stage.variant(&Whose::EACH);
    let links = stage.links(whose).await?;
    let stalls_permille = stage.turn.random.random_range(10..=80);
    let resets_permille = stage.turn.random.random_range(5..=40);
    let network = &stage.cluster.network;
    let before = network.lost();
    for (from, to) in links {
        network.lose(from, to, Loss { stalls_permille, stall: STALL, resets_permille });
    }
    let started = Instant::now();
    while network.lost() == before && started.elapsed() < SEEN_DEADLINE {
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
    let what = format!(
        "of 1,000 chunks {stalls_permille} stall and {resets_permille} break their connection, \
         on {}",
        whose.in_words()
    );
    Ok(Injection::seen(what, network.lost() > before))
}
