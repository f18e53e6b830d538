//! Linearizable reads: one ReadIndex round serves everyone who asked before it began.
//!
//! The leader notes its commit index and confirms by a round of heartbeats that it still leads
//! (Raft, section 6.4 of Ongaro's dissertation); whoever then waits until that index is applied
//! reads a state that holds everything acknowledged before the round. A follower asks the leader
//! for the index. Never by lease: a restarted follower forgets the lease that it granted.

use crate::mutant::{self, Mutant};
use crate::peer::{Call, ReadIndexAnswer};
use crate::shared::Shared;
use openraft::ReadPolicy;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Readers that may wait for a round; more are told that there is no leader in time.
const WAITING_MAX: usize = 65_536;
/// One round, from the question to the index.
const ROUND_TIMEOUT: Duration = Duration::from_secs(1);
/// Between tries while there is no leader.
const RETRY_INTERVAL: Duration = Duration::from_millis(10);

/// Why a linearizable read cannot be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// No leader confirmed itself within the deadline.
    #[error("no leader confirmed itself in time")]
    NoLeader,
    /// The leader did, but this node could not apply up to its index within the deadline.
    #[error("this node could not catch up with the leader in time")]
    Timeout,
}

type Waiter = oneshot::Sender<Result<(), ReadError>>;

/// Handle to the task that runs the rounds.
#[derive(Clone)]
pub(crate) struct Barrier {
    waiters: mpsc::Sender<Waiter>,
}

impl Barrier {
    /// Starts the task among those of its replica.
    pub(crate) fn start(shared: Arc<Shared>, tasks: &mut JoinSet<()>) -> Self {
        let (waiters, asked) = mpsc::channel(WAITING_MAX);
        tasks.spawn(run(shared, asked));
        Self { waiters }
    }

    /// Returns when the applied state holds everything that was acknowledged before the call.
    ///
    /// # Errors
    /// [`ReadError`] at the deadline.
    pub(crate) async fn pass(&self, deadline: Instant) -> Result<(), ReadError> {
        loop {
            let (waiter, round) = oneshot::channel();
            if self.waiters.try_send(waiter).is_err() {
                return Err(ReadError::NoLeader);
            }
            let Ok(Ok(passed)) = tokio::time::timeout_at(deadline, round).await else {
                return Err(ReadError::NoLeader);
            };
            let Err(error) = passed else {
                return Ok(());
            };
            let again = Instant::now() + RETRY_INTERVAL;
            if again >= deadline {
                return Err(error);
            }
            tokio::time::sleep_until(again).await;
        }
    }
}

async fn run(shared: Arc<Shared>, mut asked: mpsc::Receiver<Waiter>) {
    let mut waiters = Vec::new();
    // Whoever asks while a round is under way waits for the next one.
    while asked.recv_many(&mut waiters, WAITING_MAX).await > 0 {
        // So does nobody whose request has come already: all tasks that are ready run first.
        tokio::task::yield_now().await;
        waiters.extend(std::iter::from_fn(|| asked.try_recv().ok()).take(WAITING_MAX));
        let passed = round(&shared).await;
        for waiter in waiters.drain(..) {
            // A waiter that is gone has passed its deadline.
            let _gone = waiter.send(passed);
        }
    }
}

async fn round(shared: &Shared) -> Result<(), ReadError> {
    let leader = shared.leader();
    let index = tokio::select! {
        index = tokio::time::timeout(ROUND_TIMEOUT, read_index(shared)) => {
            index.ok().flatten().ok_or(ReadError::NoLeader)?
        }
        () = shared.leader_differs_from(leader) => return Err(ReadError::NoLeader),
    };
    let mut progress = shared.applied.progress();
    let caught_up = progress.wait_for(|progress| progress.index >= index);
    match tokio::time::timeout(ROUND_TIMEOUT, caught_up).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(ReadError::Timeout),
    }
}

/// The commit index of this node, once a majority has confirmed that it led when it was asked;
/// none when it does not lead.
pub(crate) async fn confirmed_index(shared: &Shared) -> Option<u64> {
    if shared.fence.is_closed() {
        return None;
    }
    if mutant::is(Mutant::ReadWithoutReadIndex) {
        return shared.is_leader().then(|| shared.applied.mark().index);
    }
    let linearizer = shared.raft()?.get_read_linearizer(ReadPolicy::ReadIndex).await.ok()?;
    Some(linearizer.read_log_id().index())
}

async fn read_index(shared: &Shared) -> Option<u64> {
    let leader = shared.leader()?;
    if leader == shared.links.id() {
        return confirmed_index(shared).await;
    }
    let path = "/peer/read-index";
    let call = Call { to: leader, incarnation: None, path, timeout: ROUND_TIMEOUT };
    match shared.links.call(call, &()).await {
        Ok(ReadIndexAnswer::Index(index)) => Some(index),
        Ok(ReadIndexAnswer::NotLeader) | Err(_) => None,
    }
}
