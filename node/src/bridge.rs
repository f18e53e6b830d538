//! The sink inside a node: `[sink]` of `cluster.toml`, at work on the node that leads.
//!
//! Owns: when it runs. It is started on every node with the same settings, works where its node
//! leads, and stops when that node is deposed, so it moves by itself when a node dies. Two leaders
//! for a moment are harmless: the target refuses a write that does not begin where it stands (see
//! the crate `sink`). It reads what this node has applied, committed all of it, so the feed never
//! ends too early: segments are kept for ever, and the limits of `/v1/events` are not its own.
//! Never does: wait in the way of a buy, or end the node when the target fails.

use crate::metrics::Metrics;
use raft::{Feed, FeedLimits, Replica};
use sink::postgres::{Database, Postgres};
use sink::{Options, Progress, Source, SourceError, Standing, State};
use std::sync::Arc;
use std::time::Duration;
use stock::Seq;
use stock::api::{EventView, ExportLine};
use tokio::sync::{mpsc, watch};

/// Changes that are read at once.
const PAGE: usize = 1_000;
/// Between two looks for the metrics.
const LOOK: Duration = Duration::from_millis(500);
/// Before it is tried again after a failure that trying did not help.
const PAUSE: Duration = Duration::from_secs(30);

/// What `[sink]` says, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SinkConfig {
    /// Where to.
    pub(crate) postgres: Database,
    /// The most rows written in a second.
    pub(crate) max_rows_per_second: Option<u32>,
}

/// Runs for as long as the node does.
pub(crate) async fn run(replica: Replica, config: SinkConfig, metrics: Metrics) {
    let progress = Arc::new(Progress::new("postgres"));
    let source = Arc::new(Own { replica: replica.clone() });
    let options = Options { rows_per_second: config.max_rows_per_second, ..Options::default() };
    loop {
        leads(&replica).await;
        tracing::info!("this node leads: the sink is at work here");
        let (stop, stopping) = watch::channel(false);
        let mut target = Postgres::new(config.postgres.clone());
        let ended = {
            let carrying = sink::run(&source, &mut target, &options, &progress, stopping);
            tokio::pin!(carrying);
            tokio::select! {
                ended = &mut carrying => ended,
                () = replica.leader_differs_from(Some(replica.id())) => {
                    stop.send_replace(true);
                    carrying.await
                }
                () = show(&progress, &metrics) => Ok(()),
            }
        };
        metrics.sink(None);
        if let Err(why) = ended {
            tracing::error!("the sink cannot go on, and begins anew in {PAUSE:?}: {why}");
            tokio::time::sleep(PAUSE).await;
        }
    }
}

async fn leads(replica: &Replica) {
    loop {
        let leader = replica.leader();
        if leader == Some(replica.id()) {
            return;
        }
        replica.leader_differs_from(leader).await;
    }
}

/// Shows how far it is, and never returns.
async fn show(progress: &Progress, metrics: &Metrics) {
    loop {
        metrics.sink(Some(progress));
        tokio::time::sleep(LOOK).await;
    }
}

/// What this node has applied.
struct Own {
    replica: Replica,
}

impl Source for Own {
    type State = NoState;

    async fn standing(&self) -> Result<Standing, SourceError> {
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
enum NoState {}

impl State for NoState {
    fn seq(&self) -> Seq {
        match *self {}
    }

    async fn next(&mut self) -> Result<Option<ExportLine>, SourceError> {
        match *self {}
    }
}
