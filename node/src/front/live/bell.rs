//! The bell: one task that follows the replica and wakes every listener, at a bounded rate.
//!
//! A busy cluster commits hundreds of batches a second. Waking ten thousand listeners for each
//! would cost more than the buys themselves, so the bell rests between two rings, the longer the
//! more listeners there are. Owns the count of listeners; never reads an event.

use crate::metrics::{Listener, Metrics};
use raft::Replica;
use std::sync::Arc;
use std::time::Duration;
use stock::Seq;
use tokio::sync::watch;

/// The least time between two rings.
const REST_MIN: Duration = Duration::from_millis(5);
/// What one listener adds to it: waking it and writing to its socket takes about as long.
const REST_EACH: Duration = Duration::from_micros(20);

/// Tells listeners of new changes. Clones share it.
#[derive(Clone)]
pub(super) struct Bell {
    newest: watch::Receiver<Seq>,
    closing: watch::Receiver<bool>,
    /// Held once by each listener, besides the bell itself.
    listeners: Arc<()>,
    metrics: Metrics,
}

/// A place at the bell, for as long as a listener listens.
pub(super) struct Seat {
    newest: watch::Receiver<Seq>,
    closing: watch::Receiver<bool>,
    _listeners: Arc<()>,
    metrics: Metrics,
    kind: Listener,
}

impl Bell {
    /// Starts the task, which ends with the replica or when `closing` turns true.
    pub(super) fn hang(
        replica: &Replica,
        metrics: Metrics,
        closing: watch::Receiver<bool>,
    ) -> Self {
        let (ring, newest) = watch::channel(replica.read(stock::Machine::seq));
        let listeners = Arc::new(());
        let (mut feed, counted) = (replica.feed_watch(), Arc::clone(&listeners));
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
                let seats = u32::try_from(Arc::strong_count(&counted)).unwrap_or(u32::MAX);
                tokio::time::sleep(REST_MIN.max(REST_EACH.saturating_mul(seats))).await;
            }
        });
        Self { newest, closing, listeners, metrics }
    }

    /// A place for one more listener.
    pub(super) fn sit(&self, kind: Listener) -> Seat {
        self.metrics.listeners_add(kind, 1);
        Seat {
            newest: self.newest.clone(),
            closing: self.closing.clone(),
            _listeners: Arc::clone(&self.listeners),
            metrics: self.metrics.clone(),
            kind,
        }
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
