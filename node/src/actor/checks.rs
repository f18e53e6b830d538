//! Refusals are reads. A flash sale has few winners and many losers; a "sold out" costs no log
//! entry and no flush, and is still linearizable.
//!
//! What the applied state would refuse may have become possible meanwhile, so the refusal is only
//! given after one ReadIndex round that began after the ask arrived: the state read then holds
//! everything acknowledged before. Still refused, or answered before under the same request id:
//! that is the answer. Else the ask goes back to be proposed.

use super::{Answer, Ask, Ending, NotProposed};
use crate::trace;
use raft::Replica;
use tokio::time::Instant;
use tracing::Span;

/// Decides what it can by reading; returns the asks that must be proposed, at the end all.
pub(super) async fn check(replica: Replica, asks: Vec<Ask>, mut ending: Ending) -> Vec<Ask> {
    let now = Instant::now();
    let read = trace::each(asks.iter().map(|ask| &ask.envelope), trace::read);
    let deadline = asks.iter().map(|ask| ask.deadline).max().unwrap_or(now);
    let confirmed = tokio::select! {
        confirmed = replica.read_barrier(deadline) => confirmed,
        () = ending.has_come() => return asks,
    };
    if confirmed.is_err() {
        for ask in asks {
            ask.decline(NotProposed::NoLeader);
        }
        return Vec::new();
    }
    let mut undecided = Vec::new();
    let mut decided = Vec::with_capacity(asks.len());
    replica.read(|machine| {
        let spans = read.into_iter().chain(std::iter::repeat_with(Span::none));
        for (ask, span) in asks.into_iter().zip(spans) {
            match machine.peek(&ask.envelope) {
                Some(reply) => decided.push((ask, reply, span)),
                None => undecided.push(ask),
            }
        }
    });
    for (ask, reply, span) in decided {
        trace::decided(&span, &reply);
        ask.answer(Answer::Decided(reply));
    }
    undecided
}
