//! Wall clocks that jump: bumps forward and back, and strobes between two times. By libfaketime.
//!
//! Expected: nothing. Elections and leases run on the monotonic clock, which no administrator and
//! no NTP sets, and which stays true here as well. Log time runs on the leader's monotonic clock
//! and is slewed towards the median of the nodes' wall clocks; it steps once a term, forward, so
//! one clock that jumps moves nothing. No check of a run looks at log time (`node/tests/clocks.rs`
//! does): here a jump shows if it breaks elections, leases, answers or a process.
//!
//! Seen to take hold when the library is in the node's memory, and another program that is given
//! the same clock tells the time that it should. Sizes are Jepsen's: up to 262 s, small ones as
//! likely as large ones.

use super::stage::{Injection, Stage, named};
use crate::cluster::{Clocks, Shift};
use client::cluster::ClusterError;
use rand::Rng;
use std::time::Duration;

/// Shifts are 2 to the power of up to this, in ms.
const SHIFT_POWER_MAX: f64 = 18.0;
/// The least of them is seen in whole seconds.
const SHIFT_POWER_MIN: f64 = 12.0;
/// How long a strobing clock tells one of its times.
const STROBE_INTERVAL: Duration = Duration::from_millis(10);

#[derive(Debug, Clone, Copy)]
enum Jump {
    Forward,
    Back,
    Strobe,
}

/// Sets the clocks of some nodes; healed when they tell the time again.
pub(super) async fn inject(mut stage: Stage<'_>) -> Result<Injection, ClusterError> {
    if let Err(why) = stage.cluster.clocks() {
        return Ok(Injection::skipped(why.clone()));
    }
    let jump = stage.variant(&[Jump::Forward, Jump::Strobe, Jump::Back]);
    let (followers, leader) = stage.followers().await?;
    let count = stage.turn.random.random_range(0..=followers.len());
    let victims = [&[leader], &followers[..count]].concat();
    let power = stage.turn.random.random_range(SHIFT_POWER_MIN..SHIFT_POWER_MAX);
    let size = Duration::from_millis(1).mul_f64(power.exp2());
    let shift = match jump {
        Jump::Forward | Jump::Strobe => Shift::Ahead(size),
        Jump::Back => Shift::Behind(size),
    };
    let pids: Vec<u32> =
        victims.iter().filter_map(|id| stage.cluster.processes.node(*id).pid()).collect();
    let Ok(clocks) = stage.cluster.clocks_mut() else {
        return Ok(Injection::skipped("the clocks are gone".to_owned()));
    };
    for id in &victims {
        clocks.set(*id, shift)?;
    }
    let mut seen = pids.len() == victims.len() && pids.into_iter().all(Clocks::is_loaded_in);
    for id in &victims {
        seen &= clocks.tells(*id, shift).await;
    }
    if matches!(jump, Jump::Strobe) {
        clocks.strobe(&victims, shift, STROBE_INTERVAL);
    }
    let how = match jump {
        Jump::Forward => "ahead",
        Jump::Back => "behind",
        Jump::Strobe => "ahead and right in turns",
    };
    let what = format!(
        "the clock is {:.1} s {how} on {}, the leader among them",
        size.as_secs_f64(),
        named(&victims)
    );
    Ok(Injection::seen(what, seen))
}
