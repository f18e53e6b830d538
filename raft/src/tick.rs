//! Ticks: batches without commands, which only move log time.
//!
//! A sale opens, a sale ends and a hold expires by log time, which moves with the entries. So that
//! it happens on time where nobody buys, the leader proposes a tick when the machine says that
//! something is due, and at no other time: an idle cluster writes nothing. A tick is decided
//! nowhere but in the machine, so a late or a second one does no harm; a new leader reads off its
//! own state what is due next.

use crate::propose::encode_batch;
use crate::shared::Shared;
use openraft::error::{ClientWriteError, RaftError};
use std::sync::Arc;
use std::time::Duration;
use stock::{Batch, Machine, Seq};

/// The longest sleep between looks, whatever wakes it earlier.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// The shortest: a clock is read in milliseconds.
const WAIT_MIN: Duration = Duration::from_millis(1);
/// Before the next try when a tick could not be proposed, or changed nothing.
const RETRY_INTERVAL: Duration = Duration::from_millis(10);
/// Log time runs at most a tenth fast, so this part of the way is slept at once.
const FAST_TENTHS: u32 = 11;

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// Nothing is due for so long, if the state stays as it is.
    Sleep(Duration),
    /// Propose a tick with this stamp: something is due.
    Tick { stamp_ms: u64 },
}

/// What to do about something that is due, when it is this late in log time.
fn next(due_ms: Option<u64>, log_time_ms: u64) -> Next {
    match due_ms {
        None => Next::Sleep(LOOK_INTERVAL),
        Some(due_ms) if due_ms <= log_time_ms => Next::Tick { stamp_ms: log_time_ms },
        Some(due_ms) => {
            let soonest = Duration::from_millis(due_ms - log_time_ms) * 10 / FAST_TENTHS;
            Next::Sleep(soonest.clamp(WAIT_MIN, LOOK_INTERVAL))
        }
    }
}

/// Runs for the life of the node; acts only while it leads. Never more than one tick is in flight.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut progress = shared.applied.progress();
    loop {
        progress.mark_unchanged();
        match look(&shared) {
            Next::Sleep(wait) => {
                let leader = shared.leader();
                // What is applied may bring something that is due sooner.
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    changed = progress.changed() => if changed.is_err() {
                        return;
                    },
                    () = shared.leader_differs_from(leader) => {}
                }
            }
            Next::Tick { stamp_ms } => {
                let before = shared.applied.read(progress_of);
                propose(&shared, stamp_ms).await;
                // Of many due holds each entry lets some expire, so the next tick comes at once.
                if shared.applied.read(progress_of) == before {
                    tokio::time::sleep(RETRY_INTERVAL).await;
                }
            }
        }
    }
}

/// What a tick moves on, if it does anything.
fn progress_of(machine: &Machine) -> (Seq, Option<u64>) {
    (machine.seq(), machine.next_due_ms())
}

fn look(shared: &Shared) -> Next {
    let idle = Next::Sleep(LOOK_INTERVAL);
    let Some(leads) = shared.leadership() else {
        return idle;
    };
    if shared.fence.is_closed() || !shared.has_room() {
        return idle;
    }
    // Read even where nothing is due: a new leader's first reading is its one step.
    match shared.clocks.log_time_ms(leads) {
        Some(log_time_ms) => next(shared.applied.read(Machine::next_due_ms), log_time_ms),
        None => Next::Sleep(RETRY_INTERVAL),
    }
}

/// Proposes a tick; returns when it is applied, or when this node leads no more.
async fn propose(shared: &Shared, stamp_ms: u64) {
    let Some(raft) = shared.raft() else {
        return;
    };
    let tick = Batch { stamp_ms, commands: Vec::new() };
    let proposal = match encode_batch(shared.rules(), &tick) {
        Ok(proposal) => proposal,
        Err(error) => {
            tracing::error!("a tick could not be encoded: {error}");
            return;
        }
    };
    // A leader that is cut off never completes a write.
    let written = tokio::select! {
        written = raft.client_write(proposal) => written,
        () = shared.leader_differs_from(Some(shared.links.id())) => return,
    };
    match written {
        Ok(_) | Err(RaftError::APIError(ClientWriteError::ForwardToLeader(_))) => {}
        Err(error) => tracing::debug!("a tick was not applied: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_comes_when_it_is_due_and_not_before() {
        assert_eq!(next(None, 5_000), Next::Sleep(LOOK_INTERVAL));
        assert_eq!(next(Some(5_001), 5_000), Next::Sleep(WAIT_MIN));
        assert_eq!(next(Some(5_110), 5_000), Next::Sleep(Duration::from_millis(100)));
        assert_eq!(next(Some(9_000), 5_000), Next::Sleep(LOOK_INTERVAL));
        assert_eq!(next(Some(5_000), 5_000), Next::Tick { stamp_ms: 5_000 });
        assert_eq!(next(Some(4_990), 5_000), Next::Tick { stamp_ms: 5_000 });
    }
}
