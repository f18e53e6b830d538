//! The cluster as a sink's source: the typed client's feed, export and cursors.
//!
//! Owns: the way to another node. A node that is cut off from the others lives, answers, and knows
//! of nothing new, so what is newest is asked linearizably, and a node that does not tell it is
//! left.

use super::kept::Kept;
use client::{Answer, Client, ClientError, new_request_id};
use futures_util::future::select_ok;
use sink::cursor::Cursors;
use sink::report::has_room;
use sink::{Source, SourceError, Standing};
use std::time::Duration;
use stock::api::{CursorView, EventView, PutCursor};
use stock::{CURSORS_MAX, CursorName, CursorTarget, Seq};
use tokio::sync::mpsc;
use tokio::time::sleep;

/// What a node answers whose feed no longer reaches back.
const GONE: u16 = 410;
/// And one that knows no such cursor.
const UNKNOWN: &str = "/problems/unknown-cursor";
/// And one that has it elsewhere.
const MOVED: &str = "/problems/cursor-moved";
/// And one that has it for another target.
const OF_ANOTHER: &str = "/problems/cursor-of-another";

/// Above every order's id: a list from there on is empty, and says how far the cluster is.
const PAST_ALL: Seq = Seq(u64::MAX >> 11);
/// How long a node may tell nothing before the cluster is asked whether there is something, and
/// then to tell what there was.
const SILENCE_MAX: Duration = Duration::from_secs(2);

/// See the module.
pub(super) struct Cluster {
    client: Client,
}

impl Cluster {
    pub(super) fn new(client: Client) -> Self {
        Self { client }
    }

    /// As the node tells it that answers first.
    async fn id(&self) -> Result<String, SourceError> {
        let nodes = 0..self.client.nodes_count();
        let asked = select_ok(nodes.map(|node| Box::pin(self.client.cluster(node)))).await;
        let (view, _) = asked.map_err(told)?;
        let unformed = || SourceError::Unavailable("the cluster has not formed yet".to_owned());
        view.cluster_id.ok_or_else(unformed)
    }

    /// No older than any change that was answered before this was asked.
    async fn newest(&self) -> Result<Seq, SourceError> {
        Ok(self.client.orders_after(PAST_ALL).await.map_err(told)?.seq)
    }

    /// Returns when the node that is read should have told more than `after`.
    async fn falls_behind(&self, after: Seq) {
        loop {
            sleep(SILENCE_MAX).await;
            if self.newest().await.is_ok_and(|newest| newest > after) {
                sleep(SILENCE_MAX).await;
                return;
            }
        }
    }
}

impl Source for Cluster {
    type State = Kept;

    async fn standing(&self) -> Result<Standing, SourceError> {
        let (cluster_id, newest) = tokio::try_join!(self.id(), self.newest())?;
        Ok(Standing { cluster_id, newest })
    }

    async fn follow(&self, mut after: Seq, queue: mpsc::Sender<EventView>) -> SourceError {
        let mut events = self.client.events(Some(after));
        loop {
            let next = tokio::select! {
                biased;
                next = events.next() => next,
                () = self.falls_behind(after) => {
                    let node = events.node();
                    eprintln!(
                        "flashctl: {} does not tell what the cluster has: asking another node",
                        self.client.address(node)
                    );
                    events = self.client.events_at(node + 1, Some(after));
                    continue;
                }
            };
            match next {
                Ok(event) => {
                    after = event.seq;
                    if queue.send(event).await.is_err() {
                        return SourceError::Unavailable("nobody reads it any more".to_owned());
                    }
                }
                Err(error) => return told(error),
            }
        }
    }

    async fn state(&self) -> Result<Kept, SourceError> {
        Kept::read(self.client.export().await.map_err(told)?).await
    }
}

impl Cursors for Cluster {
    async fn read(
        &self,
        (name, target): (&CursorName, &CursorTarget),
    ) -> Result<Option<Seq>, SourceError> {
        match self.client.cursor(name).await {
            Ok(CursorView { target: Some(other), .. }) if other != *target => {
                Err(of_another((name, target), other.as_str()))
            }
            // One that was made before cursors had a target has this one from its next move on.
            Ok(cursor) => Ok(Some(Seq(cursor.position))),
            Err(ClientError::Refused(problem)) if problem.kind == UNKNOWN => {
                // Nothing is delivered whose cursor could not be made.
                let count = self.client.cursors().await.map_err(told)?.cursors.len();
                if has_room(name, count) { Ok(None) } else { Err(too_many(name)) }
            }
            Err(error) => Err(told(error)),
        }
    }

    async fn advance(
        &self,
        (name, target): (&CursorName, &CursorTarget),
        (from, to): (Option<Seq>, Seq),
    ) -> Result<bool, SourceError> {
        let expected = from.map(|from| from.0);
        let put = PutCursor { expected, position: to.0, target: Some(target.clone()) };
        let settled = self.client.move_cursor(name, &put, &new_request_id()).await;
        match settled.answer {
            Answer::Done { .. } => Ok(true),
            Answer::Refused { problem } if problem.kind == MOVED => Ok(false),
            Answer::Refused { problem } if problem.kind == OF_ANOTHER => {
                Err(of_another((name, target), "another target"))
            }
            Answer::Refused { problem } => {
                Err(SourceError::Refused(format!("{}: {}", problem.title, problem.detail)))
            }
            Answer::NotProposed { why, .. } | Answer::Unknown { why } => {
                Err(SourceError::Unavailable(why))
            }
        }
    }
}

/// Says what to do with a cursor that is for another target.
fn of_another((name, target): (&CursorName, &CursorTarget), other: &str) -> SourceError {
    SourceError::Refused(format!(
        "the cursor {name} is for {other}, and this is {target}; give this target a cursor of its \
         own with --cursor, or end the other one with `flashctl cursor remove {name}`, after which \
         this target is told everything from the first change on"
    ))
}

fn too_many(name: &CursorName) -> SourceError {
    SourceError::Refused(format!(
        "there is no cursor {name}, and no room for one beside {CURSORS_MAX} others; remove one \
         that nobody uses with `flashctl cursor remove`"
    ))
}

pub(super) fn told(error: ClientError) -> SourceError {
    match error {
        ClientError::Refused(problem) if problem.status == GONE => {
            SourceError::Gone(problem.detail)
        }
        ClientError::Unavailable { why } | ClientError::Unknown { why, .. } => {
            SourceError::Unavailable(why)
        }
        other => SourceError::Refused(other.to_string()),
    }
}
