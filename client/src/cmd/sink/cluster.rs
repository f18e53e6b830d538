//! The cluster as a sink's source: the typed client's feed, export and cursors.

use client::export::Export;
use client::{Answer, Client, ClientError, new_request_id};
use futures_util::future::select_ok;
use sink::cursor::Cursors;
use sink::{Source, SourceError, Standing, State};
use stock::api::{EventView, ExportLine, PutCursor};
use stock::{CursorName, Seq};
use tokio::sync::mpsc;

/// What a node answers whose feed no longer reaches back.
const GONE: u16 = 410;
/// And one that knows no such cursor.
const UNKNOWN: &str = "/problems/unknown-cursor";
/// And one that has it elsewhere.
const MOVED: &str = "/problems/cursor-moved";

/// See the module.
pub(super) struct Cluster {
    client: Client,
}

impl Cluster {
    pub(super) fn new(client: Client) -> Self {
        Self { client }
    }
}

impl Source for Cluster {
    type State = Whole;

    /// As the node sees it that answers first.
    async fn standing(&self) -> Result<Standing, SourceError> {
        let nodes = 0..self.client.nodes_count();
        let asked = select_ok(nodes.map(|node| Box::pin(self.client.cluster(node)))).await;
        let (view, _) = asked.map_err(told)?;
        let newest = view.nodes.iter().filter(|node| node.reachable).map(|node| node.seq).max();
        let unformed = || SourceError::Unavailable("the cluster has not formed yet".to_owned());
        let cluster_id = view.cluster_id.ok_or_else(unformed)?;
        Ok(Standing { cluster_id, newest: newest.unwrap_or_default() })
    }

    async fn follow(&self, after: Seq, queue: mpsc::Sender<EventView>) -> SourceError {
        let mut events = self.client.events(Some(after));
        loop {
            match events.next().await {
                Ok(event) => {
                    if queue.send(event).await.is_err() {
                        return SourceError::Unavailable("nobody reads it any more".to_owned());
                    }
                }
                Err(error) => return told(error),
            }
        }
    }

    async fn state(&self) -> Result<Whole, SourceError> {
        Ok(Whole(self.client.export().await.map_err(told)?))
    }
}

impl Cursors for Cluster {
    async fn read(&self, name: &CursorName) -> Result<Seq, SourceError> {
        match self.client.cursor(name).await {
            Ok(cursor) => Ok(Seq(cursor.position)),
            // Made before anything is delivered: where it cannot be made, nothing is.
            Err(ClientError::Refused(problem)) if problem.kind == UNKNOWN => {
                let put = PutCursor { expected: None, position: 0 };
                if self.moved(name, &put).await? {
                    Ok(Seq(0))
                } else {
                    Err(SourceError::Unavailable("somebody else made it".to_owned()))
                }
            }
            Err(error) => Err(told(error)),
        }
    }

    async fn advance(
        &self,
        name: &CursorName,
        (from, to): (Seq, Seq),
    ) -> Result<bool, SourceError> {
        let put = PutCursor { expected: Some(from.0), position: to.0 };
        self.moved(name, &put).await
    }
}

impl Cluster {
    /// Whether the cursor was moved, or stands elsewhere.
    async fn moved(&self, name: &CursorName, put: &PutCursor) -> Result<bool, SourceError> {
        let settled = self.client.move_cursor(name, put, &new_request_id()).await;
        match settled.answer {
            Answer::Done { .. } => Ok(true),
            Answer::Refused { problem } if problem.kind == MOVED => Ok(false),
            Answer::Refused { problem } => {
                Err(SourceError::Refused(format!("{}: {}", problem.title, problem.detail)))
            }
            Answer::NotProposed { why, .. } | Answer::Unknown { why } => {
                Err(SourceError::Unavailable(why))
            }
        }
    }
}

/// An export that is being read.
pub(super) struct Whole(Export);

impl State for Whole {
    fn seq(&self) -> Seq {
        self.0.seq()
    }

    async fn next(&mut self) -> Result<Option<ExportLine>, SourceError> {
        self.0.next().await.map_err(told)
    }
}

fn told(error: ClientError) -> SourceError {
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
