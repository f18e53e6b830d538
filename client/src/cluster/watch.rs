//! What the nodes of a [`ProcessCluster`] say of themselves, and waiting until they say it.
//!
//! Owns: nothing. Never does: change a node. Called by whoever has a cluster.

use super::{ClusterError, ProcessCluster};
use std::process::ExitStatus;
use std::time::{Duration, Instant};
use stock::NodeId;
use stock::api::{ClusterView, NodeView};

/// How often a condition is looked at while it is waited for.
const POLL_INTERVAL: Duration = Duration::from_millis(10);
/// How long [`ProcessCluster::leader`] looks for one.
const LEADER_DEADLINE: Duration = Duration::from_secs(30);

impl ProcessCluster {
    /// Whether the node says that it is ready, now.
    ///
    /// # Panics
    /// When there is no such node.
    pub async fn ready(&self, id: NodeId) -> bool {
        let position = self.position(id);
        self.nodes[position].answers() && self.client.ready(position).await
    }

    /// Waits until every node that was started, and is not paused, is ready.
    ///
    /// # Errors
    /// [`ClusterError::Exited`] with the end of its log as soon as one of them has ended,
    /// [`ClusterError::Deadline`] with whom it waited for.
    pub async fn wait_ready(&mut self, deadline: Duration) -> Result<(), ClusterError> {
        let started = Instant::now();
        let mut waiting: Vec<usize> =
            (0..self.nodes.len()).filter(|position| self.nodes[*position].answers()).collect();
        loop {
            let mut unready = Vec::new();
            for position in waiting {
                if let Some(status) = self.nodes[position].try_wait()? {
                    return Err(self.nodes[position].exited(status));
                }
                if !self.client.ready(position).await {
                    unready.push(position);
                }
            }
            if unready.is_empty() {
                return Ok(());
            }
            if started.elapsed() > deadline {
                let names: Vec<String> =
                    unready.iter().map(|position| self.nodes[*position].in_words()).collect();
                let what = format!("{} to be ready", names.join(" and "));
                return Err(ClusterError::deadline(what, deadline));
            }
            waiting = unready;
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// The leader: of the nodes that run and are not paused, the one that says so of itself, in
    /// the highest term.
    ///
    /// # Errors
    /// [`ClusterError::Deadline`] when none does for 30 s.
    pub async fn leader(&self) -> Result<NodeId, ClusterError> {
        let started = Instant::now();
        loop {
            let mut leader: Option<(u64, NodeId)> = None;
            for position in 0..self.nodes.len() {
                let view = self.own_view(position).await;
                if let Some(view) = view.filter(|view| view.role == "leader") {
                    leader = leader.max(Some((view.term, view.id)));
                }
            }
            if let Some((_, id)) = leader {
                return Ok(id);
            }
            if started.elapsed() > LEADER_DEADLINE {
                return Err(ClusterError::deadline("a leader".to_owned(), LEADER_DEADLINE));
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// The cluster as this node sees it; `None` when it does not answer.
    ///
    /// # Panics
    /// When there is no such node.
    pub async fn view(&self, id: NodeId) -> Option<ClusterView> {
        let position = self.position(id);
        if !self.nodes[position].answers() {
            return None;
        }
        self.client.cluster(position).await.ok()
    }

    /// What each node says of itself, by id; `None` of one that does not answer.
    pub async fn own_views(&self) -> Vec<Option<NodeView>> {
        futures_util::future::join_all((0..self.nodes.len()).map(|at| self.own_view(at))).await
    }

    /// Waits until all running nodes have applied the same index; returns what they say of
    /// themselves then, so that their state hashes can be compared.
    ///
    /// # Errors
    /// [`ClusterError::Deadline`] with the indexes they are at.
    pub async fn wait_level(&self, deadline: Duration) -> Result<Vec<NodeView>, ClusterError> {
        let started = Instant::now();
        let expected = self.nodes.iter().filter(|node| node.answers()).count();
        loop {
            let views: Vec<NodeView> = self.own_views().await.into_iter().flatten().collect();
            let level = views.windows(2).all(|pair| pair[0].applied == pair[1].applied);
            if level && views.len() == expected && views.iter().all(|view| view.lag == 0) {
                return Ok(views);
            }
            if started.elapsed() > deadline {
                let applied: Vec<String> = views
                    .iter()
                    .map(|view| format!("node {} at {}", view.id, view.applied))
                    .collect();
                let what = format!("all nodes to be level (now {})", applied.join(", "));
                return Err(ClusterError::deadline(what, deadline));
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Waits until the process has ended by itself.
    ///
    /// # Errors
    /// [`ClusterError::Deadline`] when it has not.
    ///
    /// # Panics
    /// When there is no such node, or it was not started.
    pub async fn wait_exit(
        &mut self,
        id: NodeId,
        deadline: Duration,
    ) -> Result<ExitStatus, ClusterError> {
        let (position, started) = (self.position(id), Instant::now());
        loop {
            if let Some(status) = self.nodes[position].try_wait()? {
                return Ok(status);
            }
            if started.elapsed() > deadline {
                return Err(ClusterError::deadline(format!("node {id} to exit"), deadline));
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    async fn own_view(&self, position: usize) -> Option<NodeView> {
        let id = self.nodes[position].id;
        self.view(id).await?.nodes.into_iter().find(|view| view.id == id)
    }
}
