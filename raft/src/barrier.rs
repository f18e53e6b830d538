//! Linearizable reads: one ReadIndex round serves everyone who asked before it began.
//!
//! The leader notes its commit index and confirms by a round of heartbeats that it still leads
//! (Raft, section 6.4 of Ongaro's dissertation); whoever then waits until that index is applied
//! reads a state that holds everything acknowledged before the round. A follower asks the leader
//! for the index. What the leader confirms it confirms for all nodes whose readers have asked by
//! then, so a reader waits for two of its rounds at most. Never by lease: a restarted follower
//! forgets the lease that it granted.

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

/// Many who ask, and one round for all who asked before it began: whoever asks while one is under
/// way waits for the next.
#[derive(Debug, Clone)]
pub(crate) struct Rounds<T>(mpsc::Sender<oneshot::Sender<T>>);

impl<T: Copy + Send + 'static> Rounds<T> {
    /// Starts the task that runs them.
    fn start<F>(tasks: &mut JoinSet<()>, round: impl Fn() -> F + Send + 'static) -> Self
    where
        F: Future<Output = T> + Send,
    {
        let (asks, mut asked) = mpsc::channel(WAITING_MAX);
        tasks.spawn(async move {
            let mut waiters: Vec<oneshot::Sender<T>> = Vec::new();
            while asked.recv_many(&mut waiters, WAITING_MAX).await > 0 {
                // Nobody waits whose request has come already: all tasks that are ready run first.
                tokio::task::yield_now().await;
                waiters.extend(std::iter::from_fn(|| asked.try_recv().ok()).take(WAITING_MAX));
                let answer = round().await;
                for waiter in waiters.drain(..) {
                    // A waiter that is gone has passed its deadline.
                    let _gone = waiter.send(answer);
                }
            }
        });
        Self(asks)
    }

    /// What the next round comes to; none when too many wait, or the node ends.
    async fn next(&self) -> Option<T> {
        let (waiter, round) = oneshot::channel();
        self.0.try_send(waiter).ok()?;
        round.await.ok()
    }
}

/// Handle to the task that runs the rounds of this node's readers.
#[derive(Clone)]
pub(crate) struct Barrier {
    readers: Rounds<Result<(), ReadError>>,
}

impl Barrier {
    /// Starts the task among those of its replica, and that of the confirmations, which all nodes
    /// share while this one leads.
    pub(crate) fn start(shared: &Arc<Shared>, tasks: &mut JoinSet<()>) -> Self {
        let leads = Arc::clone(shared);
        shared.set_confirmations(Rounds::start(tasks, move || confirm(Arc::clone(&leads))));
        let reads = Arc::clone(shared);
        Self { readers: Rounds::start(tasks, move || round(Arc::clone(&reads))) }
    }

    /// Returns when the applied state holds everything that was acknowledged before the call.
    ///
    /// # Errors
    /// [`ReadError`] at the deadline.
    pub(crate) async fn pass(&self, deadline: Instant) -> Result<(), ReadError> {
        loop {
            let round = tokio::time::timeout_at(deadline, self.readers.next()).await;
            let Ok(Some(passed)) = round else {
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

async fn round(shared: Arc<Shared>) -> Result<(), ReadError> {
    let leader = shared.leader();
    let index = tokio::select! {
        index = tokio::time::timeout(ROUND_TIMEOUT, read_index(&shared)) => {
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

/// The commit index of this node, once a majority has confirmed that it led after it was asked;
/// none when it does not lead.
pub(crate) async fn confirmed_index(shared: &Shared) -> Option<u64> {
    shared.confirmations()?.next().await.flatten()
}

/// One such confirmation, for all nodes whose readers wait. A leader that is cut off never gets it.
async fn confirm(shared: Arc<Shared>) -> Option<u64> {
    tokio::select! {
        index = tokio::time::timeout(ROUND_TIMEOUT, confirm_leading(&shared)) => index.ok().flatten(),
        () = shared.leader_differs_from(Some(shared.links.id())) => None,
    }
}

async fn confirm_leading(shared: &Shared) -> Option<u64> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};
    use tokio::sync::Semaphore;

    /// Whoever asks while a round is under way must not have what it comes to.
    #[tokio::test]
    async fn a_round_is_for_those_who_asked_before_it_began() {
        let (gate, begun) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicU32::new(0)));
        let mut tasks = JoinSet::new();
        let (gates, counts) = (Arc::clone(&gate), Arc::clone(&begun));
        let rounds = Rounds::start(&mut tasks, move || {
            let (gate, begun) = (Arc::clone(&gates), Arc::clone(&counts));
            async move {
                let number = begun.fetch_add(1, Ordering::Relaxed) + 1;
                gate.acquire().await.unwrap().forget();
                number
            }
        });
        let ask = || {
            tokio::spawn({
                let rounds = rounds.clone();
                async move { rounds.next().await }
            })
        };
        let early = [ask(), ask()];
        while begun.load(Ordering::Relaxed) < 1 {
            tokio::task::yield_now().await;
        }
        let late = [ask(), ask()];
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        gate.add_permits(2);
        for ask in early {
            assert_eq!(ask.await.unwrap(), Some(1));
        }
        for ask in late {
            assert_eq!(ask.await.unwrap(), Some(2));
        }
        let last = ask();
        tokio::task::yield_now().await;
        tasks.abort_all();
        while tasks.join_next().await.is_some() {}
        assert_eq!(last.await.unwrap(), None, "the node ends");
    }
}
