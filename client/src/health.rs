//! What a node says of itself: whether it is alive, whether it is ready and why not, its metrics.
//!
//! Never does: go to another node; each question is about one. Called by `flashctl storm`, the
//! harness and tests.

use crate::call::Exchange;
use crate::{Client, ClientError};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use stock::{NodeId, Seq};

/// The answer of `/readyz?verbose`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    /// Whether it leads, or hears from a leader that it can reach, and is not far behind.
    pub ready: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether it is about to end.
    pub draining: bool,
    /// The node.
    pub node: NodeId,
    /// As in [`stock::api::NodeView::role`].
    pub role: String,
    /// Its Raft term.
    pub term: u64,
    /// The leader, as it knows it.
    pub leader: Option<NodeId>,
    /// Index of its last log entry.
    pub last_log: u64,
    /// Index up to which it knows entries to be committed.
    pub committed: u64,
    /// Index up to which it has applied.
    pub applied: u64,
    /// The machine's version after `applied`.
    pub seq: Seq,
}

impl Client {
    /// Asks whether the node is alive, whatever the quorum.
    ///
    /// # Errors
    /// [`ClientError::Unavailable`] with what was met instead of an answer.
    pub async fn alive(&self, node: usize) -> Result<(), ClientError> {
        self.text(node, "livez").await.map(|_| ())
    }

    /// Whether this node says that it is ready to serve.
    pub async fn ready(&self, node: usize) -> bool {
        let exchange = self.exchange(node, Method::GET, "readyz", None, self.timeouts.attempt);
        matches!(exchange.await, Exchange::Answered(answered) if answered.status == 200)
    }

    /// Whether it is ready, and why not.
    ///
    /// # Errors
    /// [`ClientError::Unavailable`] when it does not answer.
    pub async fn readiness(&self, node: usize) -> Result<Readiness, ClientError> {
        let (_, body) = self.whole(node, "readyz?verbose").await?;
        serde_json::from_slice(&body).map_err(|why| self.unlike(node, &why.to_string()))
    }

    /// Its metrics, in Prometheus' text format.
    ///
    /// # Errors
    /// [`ClientError::Unavailable`] when it does not answer.
    pub async fn metrics(&self, node: usize) -> Result<String, ClientError> {
        self.text(node, "metrics").await
    }

    async fn text(&self, node: usize, path: &str) -> Result<String, ClientError> {
        let (status, body) = self.whole(node, path).await?;
        if status != 200 {
            return Err(self.unlike(node, &format!("it answered {status}")));
        }
        String::from_utf8(body).map_err(|why| self.unlike(node, &why.to_string()))
    }

    async fn whole(&self, node: usize, path: &str) -> Result<(u16, Vec<u8>), ClientError> {
        let exchange = self.exchange(node, Method::GET, path, None, self.timeouts.attempt).await;
        self.settler().notice(node, &exchange);
        match exchange {
            Exchange::Answered(answered) => Ok((answered.status, answered.body)),
            Exchange::NotSent { why } | Exchange::Lost { why } | Exchange::Silent { why } => {
                Err(self.unlike(node, &why))
            }
        }
    }

    fn unlike(&self, node: usize, why: &str) -> ClientError {
        ClientError::Unavailable { why: format!("{}: {why}", self.address(node)) }
    }
}
