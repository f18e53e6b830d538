//! The bell: one task that follows the replica and wakes every listener, at a bounded rate.
//!
//! A busy cluster commits hundreds of batches a second. Waking ten thousand listeners for each
//! would cost more than the buys themselves, so the bell rests between two rings, the longer the
//! more listeners there are. Owns the seats of listeners, which are bounded: a listener stays, and
//! so many must not take every connection that buyers come by. Never reads an event.

use crate::metrics::{Listener, Metrics};
use crate::problem::{Kind, Problem};
use raft::Replica;
use std::sync::Arc;
use std::time::Duration;
use stock::Seq;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// The least time between two rings.
const REST_MIN: Duration = Duration::from_millis(5);
/// What one listener adds to it: waking it and writing to its socket takes about as long.
const REST_EACH: Duration = Duration::from_micros(20);
/// Who finds no seat comes back after this, here or elsewhere.
const RETRY: Duration = Duration::from_secs(1);

/// How many may listen where so many connections are taken: three quarters.
pub(super) fn seats_of(connections_max: usize) -> usize {
    // One may listen even where there is but one.
    let seats = connections_max - connections_max / 4;
    seats.min(Semaphore::MAX_PERMITS)
}

/// Tells listeners of new changes. Clones share it.
#[derive(Clone)]
pub(super) struct Bell {
    newest: watch::Receiver<Seq>,
    closing: watch::Receiver<bool>,
    seats: Arc<Semaphore>,
    metrics: Metrics,
}

/// A place at the bell, for as long as a listener listens.
pub(super) struct Seat {
    newest: watch::Receiver<Seq>,
    closing: watch::Receiver<bool>,
    _permit: OwnedSemaphorePermit,
    metrics: Metrics,
    kind: Listener,
}

impl Bell {
    /// Starts the task, which ends with the replica or when `closing` turns true.
    pub(super) fn hang(
        replica: &Replica,
        metrics: Metrics,
        seats_max: usize,
        closing: watch::Receiver<bool>,
    ) -> Self {
        let (ring, newest) = watch::channel(replica.read(stock::Machine::seq));
        let seats = Arc::new(Semaphore::new(seats_max));
        metrics.listeners_max(seats_max);
        let (mut feed, counted) = (replica.feed_watch(), Arc::clone(&seats));
        let mut ends = closing.clone();
        tokio::spawn(async move {
            loop {
                let last = *ring.borrow();
                let next = tokio::select! {
                    next = feed.after(last) => next,
                    _ = ends.wait_for(|closing| *closing) => None,
                };
                let Some(next) = next else { return };
                ring.send_replace(next);
                let taken = seats_max - counted.available_permits();
                let taken = u32::try_from(taken).unwrap_or(u32::MAX);
                tokio::time::sleep(REST_MIN.max(REST_EACH.saturating_mul(taken))).await;
            }
        });
        Self { newest, closing, seats, metrics }
    }

    /// A place for one more listener.
    ///
    /// # Errors
    /// `too-many-listeners`.
    pub(super) fn sit(&self, kind: Listener) -> Result<Seat, Problem> {
        let Ok(permit) = Arc::clone(&self.seats).try_acquire_owned() else {
            self.metrics.listener_refused();
            return Err(Problem::plain(Kind::TooManyListeners).retry_after(RETRY));
        };
        self.metrics.listeners_add(kind, 1);
        Ok(Seat {
            newest: self.newest.clone(),
            closing: self.closing.clone(),
            _permit: permit,
            metrics: self.metrics.clone(),
            kind,
        })
    }
}

impl Seat {
    /// Waits for a change after `seq`. False when there will be none: the node shuts down.
    pub(super) async fn after(&mut self, seq: Seq) -> bool {
        tokio::select! {
            rung = self.newest.wait_for(|newest| *newest > seq) => rung.is_ok(),
            _ = self.closing.wait_for(|closing| *closing) => false,
        }
    }

    /// Waits until the node shuts down.
    pub(super) async fn closed(&mut self) {
        // Without a sender nobody is left to keep the node open.
        let _ = self.closing.wait_for(|closing| *closing).await;
    }

    /// Whether the node shuts down.
    pub(super) fn closing(&self) -> bool {
        *self.closing.borrow()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.metrics.listeners_add(self.kind, -1);
    }
}
