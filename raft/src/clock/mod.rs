//! Clocks: what the nodes' wall clocks show, and log time as the leader makes it of them.
//!
//! Owns the only readings of a clock that anything replicated depends on. Never decides what is
//! due: the machine does, by the stamps of the entries. Called by whoever stamps a batch, by the
//! peer listener (a peer asks for this node's clock) and by the status.
//!
//! - [`log_time`], the leader's clock: slew and step
//! - [`walls`], the nodes' wall clocks and their median
//! - [`probe`], the task that asks the peers, and reports a clock that is off

mod log_time;
pub(crate) mod probe;
mod walls;

pub(crate) use log_time::Leadership;

use crate::peer::wall_clock_ms;
use log_time::LogClock;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use stock::NodeId;
use walls::{Moment, WallClocks};

/// Between looks of a new leader that waits for a majority's clocks.
const WAIT_INTERVAL: Duration = Duration::from_millis(5);

/// The clocks of one process.
pub(crate) struct Clocks {
    origin: Instant,
    state: Mutex<State>,
}

struct State {
    walls: WallClocks,
    log: LogClock,
}

impl Clocks {
    /// Clocks of a node among so many, itself included.
    pub(crate) fn new(me: NodeId, nodes: usize) -> Self {
        let state = State { walls: WallClocks::new(me, nodes), log: LogClock::default() };
        Self { origin: Instant::now(), state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn mono_us(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn now(&self) -> Moment {
        Moment { mono_us: self.mono_us(), wall_ms: wall_clock_ms() }
    }

    /// Log time in milliseconds since the Unix epoch, for a node that leads; none while it has
    /// yet to hear a majority's clocks. Two readings of one leader never go back.
    pub(crate) fn log_time_ms(&self, leads: Leadership) -> Option<u64> {
        let now = self.now();
        let mut state = self.state();
        let median = state.walls.median(now);
        state.log.read(now, leads, median).map(|log_us| log_us / 1_000)
    }

    /// As [`Clocks::log_time_ms`], waiting where that has none; the wait is bounded by the clock
    /// itself, which then goes on without.
    pub(crate) async fn stamp_ms(&self, leads: Leadership) -> u64 {
        loop {
            if let Some(log_time_ms) = self.log_time_ms(leads) {
                return log_time_ms;
            }
            tokio::time::sleep(WAIT_INTERVAL).await;
        }
    }

    /// A request came from this node, whose clock showed this. Used until the node answers a
    /// probe, which tells more: how long the message took is not known here.
    pub(crate) fn heard(&self, node: NodeId, wall_ms: u64) {
        let mono_us = self.mono_us();
        let mut state = self.state();
        if !state.walls.knows(node, mono_us) {
            state.walls.learn(node, Moment { mono_us, wall_ms });
        }
    }

    /// By how many milliseconds each node's wall clock is ahead of the median (negative: behind),
    /// as far as known; empty while fewer than a majority are.
    pub(crate) fn off_ms(&self) -> BTreeMap<NodeId, i64> {
        let now = self.now();
        self.state().walls.off_ms(now)
    }
}
