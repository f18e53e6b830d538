//! This node as a sink sees it: what it has applied, and the cluster's cursors.
//!
//! It reads what this node has applied, committed all of it, so the feed never ends too early:
//! segments are kept for ever, and the limits of `/v1/events` are not its own. A cursor is moved as
//! everybody moves one, by a command to the stock actor that the cluster decides. Never does: IO
//! with a target.

use crate::actor::{Answer, NotProposed, Sent, StockHandle};
use raft::{Feed, FeedLimits, Replica};
use sink::cursor::Cursors;
use sink::report::has_room;
use sink::{Source, SourceError, Standing, State};
use std::time::Duration;
use stock::api::{EventView, ExportLine};
use stock::{
    Attempt, Command, CursorMove, CursorMoveFor, CursorName, CursorTarget, Envelope, Outcome,
    Refusal, Reply, RequestId, Requester, Rules, Seq,
};
use tokio::sync::mpsc;
use tokio::time::Instant;
use uuid::Uuid;

/// Changes that are read at once.
const PAGE: usize = 1_000;
/// How long a majority may say nothing to a read.
const READ_MAX: Duration = Duration::from_secs(3);
/// How long the move of a cursor may take, with an election in it.
const MOVE_MAX: Duration = Duration::from_secs(5);

/// See the module.
pub(super) struct Own {
    replica: Replica,
    stock: StockHandle,
}

impl Own {
    pub(super) fn new(replica: Replica, stock: StockHandle) -> Self {
        Self { replica, stock }
    }

    pub(super) fn replica(&self) -> &Replica {
        &self.replica
    }

    /// Waits until this node has applied what was acknowledged before this was asked.
    async fn current(&self) -> Result<(), SourceError> {
        let barrier = self.replica.read_barrier(Instant::now() + READ_MAX).await;
        barrier.map_err(|why| SourceError::Unavailable(why.to_string()))
    }

    /// Whether a cursor can be moved now: what is delivered before that would come again.
    fn can_move(&self) -> Result<(), SourceError> {
        let why = if self.replica.rules() < Rules::Four {
            "not all nodes have said yet that they know cursors of targets"
        } else if !self.replica.has_room() {
            "this node's disk is nearly full"
        } else {
            return Ok(());
        };
        Err(SourceError::Unavailable(why.to_owned()))
    }

    /// Whether the cursor was moved, or stands elsewhere.
    async fn moved(
        &self,
        (name, target): (&CursorName, &CursorTarget),
        (expected, position): (Option<u64>, u64),
    ) -> Result<bool, SourceError> {
        let unavailable = |why: &str| Err(SourceError::Unavailable(why.to_owned()));
        self.can_move()?;
        let moved = CursorMove { name: name.clone(), expected, position };
        let moved = CursorMoveFor { moved, target: target.clone() };
        let request_id = RequestId::new(Uuid::now_v7().to_string());
        let envelope = Envelope {
            requester: Requester::Operator,
            request_id: request_id.unwrap_or_else(|why| unreachable!("a UUID is one: {why}")),
            attempt: Attempt::First,
            command: Command::MoveCursorFor(Box::new(moved)),
        };
        let sent = Sent { envelope, address: None };
        let outcome = match self.stock.ask(sent, Instant::now() + MOVE_MAX).await.answer {
            Answer::Decided(Reply { outcome, .. }) => outcome,
            Answer::NotProposed(NotProposed::DiskFull) => {
                return unavailable("the leader's disk is full");
            }
            Answer::NotProposed(_) | Answer::Limited(_) => {
                return unavailable("no leader moved the cursor in time");
            }
            // Asked again, it says where it stands.
            Answer::Unknown => return unavailable("nobody knows whether the cursor was moved"),
        };
        match outcome {
            Outcome::CursorMoved { .. } => Ok(true),
            Outcome::Refused(Refusal::CursorMoved { .. }) => Ok(false),
            Outcome::Refused(Refusal::CursorOfAnother) => {
                Err(of_another((name, target), "another target"))
            }
            Outcome::Refused(Refusal::TooManyCursors) => Err(too_many(name)),
            other => unavailable(&format!("the move of a cursor was answered {other:?}")),
        }
    }
}

impl Cursors for Own {
    async fn read(
        &self,
        (name, target): (&CursorName, &CursorTarget),
    ) -> Result<Option<Seq>, SourceError> {
        self.current().await?;
        self.can_move()?;
        let (position, is_for, count) = self.replica.read(|machine| {
            let is_for = machine.cursor_target(name).cloned();
            (machine.cursor(name), is_for, machine.cursors().len())
        });
        match (position, is_for) {
            (Some(_), Some(other)) if other != *target => {
                Err(of_another((name, target), other.as_str()))
            }
            (Some(position), _) => Ok(Some(Seq(position))),
            // Nothing is delivered whose cursor could not be made.
            (None, _) if has_room(name, count) => Ok(None),
            (None, _) => Err(too_many(name)),
        }
    }

    async fn advance(
        &self,
        cursor: (&CursorName, &CursorTarget),
        (from, to): (Option<Seq>, Seq),
    ) -> Result<bool, SourceError> {
        self.moved(cursor, (from.map(|from| from.0), to.0)).await
    }
}

/// Says what to do when there is no room for a cursor.
fn too_many(name: &CursorName) -> SourceError {
    SourceError::Refused(format!(
        "there are as many cursors as can be, and {name} is none of them; `flashctl cursor \
         remove` makes room"
    ))
}

/// Says what to do with a cursor that is for another target.
fn of_another((name, target): (&CursorName, &CursorTarget), other: &str) -> SourceError {
    SourceError::Refused(format!(
        "the cursor {name} is for {other}, and this is {target}; give this sink a `name` of its \
         own in cluster.toml, or end the other one with `flashctl cursor remove {name}`, after \
         which this target is told everything from the first change on"
    ))
}

impl Source for Own {
    type State = NoState;

    async fn standing(&self) -> Result<Standing, SourceError> {
        self.current().await?;
        let status = self.replica.status();
        let unformed = || SourceError::Unavailable("the cluster has not formed yet".to_owned());
        let cluster_id = status.cluster_id.ok_or_else(unformed)?.to_string();
        Ok(Standing { cluster_id, newest: status.seq })
    }

    async fn follow(&self, mut after: Seq, queue: mpsc::Sender<EventView>) -> SourceError {
        let mut watch = self.replica.feed_watch();
        loop {
            match self.replica.events(after, PAGE, FeedLimits::default()).await {
                Ok(Feed::Events(events)) if !events.is_empty() => {
                    for event in events {
                        after = event.seq;
                        if queue.send(event.into()).await.is_err() {
                            return SourceError::Unavailable("nobody reads it".to_owned());
                        }
                    }
                }
                // Nothing yet, or this node has still to apply what the target already has.
                Ok(Feed::Events(_) | Feed::Ahead { .. }) => {
                    if watch.after(after).await.is_none() {
                        return SourceError::Unavailable("the node ends".to_owned());
                    }
                }
                Ok(Feed::Gone { oldest }) => {
                    let why = format!("it begins at {oldest}, though nothing limits it");
                    return SourceError::Refused(why);
                }
                Err(why) => return SourceError::Unavailable(format!("the history: {why}")),
            }
        }
    }

    async fn state(&self) -> Result<NoState, SourceError> {
        Err(SourceError::Refused("a node's own history has no gap".to_owned()))
    }
}

/// There is none: see [`Own::state`].
pub(super) enum NoState {}

impl State for NoState {
    fn seq(&self) -> Seq {
        match *self {}
    }

    async fn next(&mut self) -> Result<Option<ExportLine>, SourceError> {
        match *self {}
    }
}
