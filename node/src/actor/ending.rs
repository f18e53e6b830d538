//! The node's end, as the actor and its tasks see it.
//!
//! A buy that waits for a leader may wait for longer than a node that was told to stop. So at the
//! end of its patience, which `node.rs` knows, each ask is answered by what is true of it: surely
//! not proposed, or unknown. A connection that only broke off would leave all of them unknown.

use super::{Actor, Ask, NotProposed, clicks, log_panic};
use raft::{ForwardAnswer, Forwarded, ForwardedFrame};
use std::time::Duration;
use tokio::sync::watch;

/// How long a try that is under way at the end may take: one at a leader that does not exist any
/// more fails at once, and is then known to have proposed nothing.
const LAST_TRY_MAX: Duration = Duration::from_millis(500);

/// Whether the actor shall stop, as each task of it looks at it.
#[derive(Clone)]
pub(super) struct Ending(watch::Receiver<bool>);

impl Ending {
    pub(super) fn new(ending: watch::Receiver<bool>) -> Self {
        Self(ending)
    }

    /// Returns when the actor shall stop. Who would say so and is gone has ended, too.
    pub(super) async fn has_come(&mut self) {
        let _come_or_gone = self.0.wait_for(|ending| *ending).await;
    }

    /// Returns when a try that is under way has no time left.
    pub(super) async fn is_over(&mut self) {
        self.has_come().await;
        tokio::time::sleep(LAST_TRY_MAX).await;
    }
}

impl Actor {
    /// Takes no more, answers what nobody works on, and waits for what is in flight, whose tasks
    /// see the end themselves.
    pub(super) async fn end(mut self, mut asks: Vec<Ask>) {
        self.asks.close();
        while let Some(ask) = self.asks.recv().await {
            asks.push(ask);
        }
        asks.append(&mut self.to_check);
        for queue in [&mut self.to_propose, &mut self.to_pass] {
            let (waiting, frames) = queue.take_all();
            asks.extend(waiting);
            frames.into_iter().for_each(refuse);
        }
        decline(asks);
        self.frames.close();
        while let Some(frame) = self.frames.recv().await {
            match frame {
                Forwarded::Commands(frame) => refuse(frame),
                Forwarded::Clicks(frame) => clicks::refuse(frame),
            }
        }
        while let Some(proposed) = self.proposals.join_next().await {
            log_panic(proposed.err());
        }
        for tasks in [&mut self.checks, &mut self.passes] {
            while let Some(given_back) = tasks.join_next().await {
                match given_back {
                    Ok(asks) => decline(asks),
                    Err(error) => log_panic(Some(error)),
                }
            }
        }
        while let Some(gathered) = self.gatherings.join_next().await {
            log_panic(gathered.err());
        }
    }
}

fn decline(asks: Vec<Ask>) {
    for ask in asks {
        ask.decline(NotProposed::ShuttingDown);
    }
}

/// Its sender tries again, at whoever leads by then.
fn refuse(frame: ForwardedFrame) {
    let _gone = frame.reply.send(ForwardAnswer::NotProposed);
}
