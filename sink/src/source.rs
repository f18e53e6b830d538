//! What a sink asks of a cluster.
//!
//! Owns: the three questions, and how their failures differ. Never does: IO; `flashctl` answers
//! them over HTTP, a node from what it has applied.

use stock::Seq;
use stock::api::{EventView, ExportLine};
use tokio::sync::mpsc;

/// A cluster, as a sink sees it.
pub trait Source: Send + Sync + 'static {
    /// The whole state at one `seq`, being read.
    type State: State;

    /// Which cluster it is, and how far.
    fn standing(&self) -> impl Future<Output = Result<Standing, SourceError>> + Send;

    /// Hands over the changes after `after`, in order and without a gap, for as long as it can or
    /// the queue is taken from; then says why it ended.
    fn follow(
        &self,
        after: Seq,
        queue: mpsc::Sender<EventView>,
    ) -> impl Future<Output = SourceError> + Send;

    /// Begins to read the whole state.
    fn state(&self) -> impl Future<Output = Result<Self::State, SourceError>> + Send;
}

/// The whole state at one `seq`: products, then open holds, then all orders, each by id.
pub trait State: Send {
    /// What all of it is of; the feed goes on after it.
    fn seq(&self) -> Seq;

    /// The next line. None after the last: only then was it whole.
    fn next(&mut self) -> impl Future<Output = Result<Option<ExportLine>, SourceError>> + Send;
}

/// Which cluster it is, and how far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The cluster's id in hex.
    pub cluster_id: String,
    /// The newest change: none that was acknowledged before this was asked comes after it.
    pub newest: Seq,
}

/// Why the cluster gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// No node could answer; later one may.
    #[error("the cluster does not answer: {0}")]
    Unavailable(String),
    /// The feed no longer reaches back so far; the state does.
    #[error("the feed no longer reaches back: {0}")]
    Gone(String),
    /// It will not answer this later either.
    #[error("{0}")]
    Refused(String),
}
