//! Slow links: what nodes say to each other arrives late, and never equally late.
//!
//! Half of the delays are longer than an election timeout, so that a leader is deposed that is
//! alive and does not know. Seen to take hold when a question over each link takes as long as it
//! must, or gets no answer within the time of a probe.

use super::stage::{Injection, Stage, Whose};
use crate::proxy::Delay;
use client::cluster::ClusterError;
use futures_util::future::join_all;
use rand::Rng;
use std::time::Duration;

/// Delays as they are between data centres, and as they are when something is wrong.
const LEAST_MS: [u64; 4] = [5, 20, 60, 150];

/// Slows the links down; healed when they are as before.
pub(super) async fn inject(mut stage: Stage<'_>) -> Result<Injection, ClusterError> {
    let whose = stage.variant(&Whose::EACH);
    let links = stage.links(whose).await?;
    let least_ms = LEAST_MS[stage.turn.random.random_range(0..LEAST_MS.len())];
    let jitter_ms = stage.turn.random.random_range(least_ms..=2 * least_ms);
    let (least, jitter) = (Duration::from_millis(least_ms), Duration::from_millis(jitter_ms));
    let network = &stage.cluster.network;
    for (from, to) in &links {
        network.slow(*from, *to, Delay { least, jitter });
    }
    let taken = join_all(links.iter().map(|(from, to)| network.probe(*from, *to))).await;
    let slow = taken.iter().all(|taken| taken.is_none_or(|taken| taken >= 2 * least));
    let what = format!("{least_ms} ms and up to {jitter_ms} ms more on {}", whose.in_words());
    Ok(Injection::seen(what, slow))
}
