//! The way back to health: every fault is taken back, every node runs, hears a leader, is level.
//!
//! Owns: the order of these steps. Called by `run` at its end, and after each fault.

use super::{Cluster, Journals, unusable};
use client::cluster::ClusterError;
use std::time::{Duration, Instant};
use stock::NodeId;

/// How often it is looked whether who is waited for gets on.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// How long the way back may take. A node that was wiped fetches all there is, on a machine that is
/// busy, and as long as it gets on it is on its way.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Without any progress of the hindmost node.
    pub stalled: Duration,
    /// In all.
    pub at_most: Duration,
}

impl Patience {
    /// Of a run.
    pub const RUN: Self =
        Self { stalled: Duration::from_secs(90), at_most: Duration::from_secs(600) };
}

/// What is waited for.
#[derive(Debug, Clone, Copy)]
enum Goal {
    Ready,
    Level,
}

impl Cluster {
    /// Takes every fault back and waits until all nodes are ready and level. For the end of a
    /// run: under load no two nodes are level for long.
    ///
    /// # Errors
    /// [`ClusterError`] when the cluster did not recover in time, saying who was missing.
    pub async fn recover(&mut self, patience: Patience) -> Result<(), ClusterError> {
        let started = Instant::now();
        self.heal(patience).await?;
        let at_most = patience.at_most.saturating_sub(started.elapsed());
        self.wait(Goal::Level, Patience { at_most, ..patience }).await
    }

    /// Waits until every node that runs is ready.
    ///
    /// # Errors
    /// [`ClusterError`] when one has ended, or they are not in time, saying who was missing.
    pub(crate) async fn wait_ready(&mut self, patience: Patience) -> Result<(), ClusterError> {
        self.wait(Goal::Ready, patience).await
    }

    async fn wait(&mut self, goal: Goal, patience: Patience) -> Result<(), ClusterError> {
        let started = Instant::now();
        let (mut hindmost, mut moved) = (None, started);
        loop {
            let left = patience.at_most.saturating_sub(started.elapsed());
            let slice = LOOK_INTERVAL.min(left).min(patience.stalled);
            let waited = match goal {
                Goal::Ready => self.processes.wait_ready(slice).await,
                Goal::Level => self.processes.wait_level(slice).await.map(|_| ()),
            };
            let Err(ClusterError::Deadline { what, .. }) = waited else { return waited };
            let now = self.hindmost().await;
            if now != hindmost {
                (hindmost, moved) = (now, Instant::now());
            }
            if moved.elapsed() >= patience.stalled || started.elapsed() >= patience.at_most {
                let deadline_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
                return Err(ClusterError::Deadline { what, deadline_ms });
            }
        }
    }

    /// The least index that a running node has applied, none while one of them does not answer.
    async fn hindmost(&self) -> Option<u64> {
        let views = self.processes.own_views().await.into_iter();
        let running = views.zip(self.processes.nodes()).filter(|(_, node)| node.answers());
        running.map(|(view, _)| view.map(|view| view.applied)).min().flatten()
    }

    /// Takes every fault back and waits until all nodes are ready: a leader is heard, every node
    /// votes, and none is far behind. A damaged node gets an empty directory, whatever became of
    /// it, so that nothing later can be laid to the damage. Works under load.
    ///
    /// # Errors
    /// [`ClusterError`] when it did not come about in time, saying who was missing.
    pub async fn heal(&mut self, patience: Patience) -> Result<(), ClusterError> {
        let started = Instant::now();
        self.lift().await?;
        loop {
            for id in self.down() {
                if self.damaged == Some(id) {
                    self.wipe(id)?;
                }
                self.launch(id)?;
            }
            let at_most = patience.at_most.saturating_sub(started.elapsed());
            match self.wait_ready(Patience { at_most, ..patience }).await {
                // It was right to stop.
                Err(ClusterError::Exited { node, .. }) if self.damaged == Some(node) => {}
                Err(error) => return Err(error),
                Ok(()) => {
                    // Ready is who holds the lease of a leader: a node may have died since.
                    self.notice_deaths().await;
                    // It may hold wrong data where nobody has looked so far. The others are ready,
                    // so they have what it is to be sent.
                    if let Some(node) = self.damaged
                        && self.processes.alive(node)
                    {
                        self.processes.kill(node)?;
                    }
                    if self.down().is_empty() {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Takes back what faults are in place; starts nobody.
    async fn lift(&mut self) -> Result<(), ClusterError> {
        self.network.heal();
        for id in self.ids() {
            let node = self.processes.node(id);
            if node.pid().is_some() && !node.answers() {
                self.processes.resume(id)?;
            }
        }
        if let Ok(clocks) = &mut self.clocks {
            clocks.reset()?;
        }
        if let Ok(disks) = &self.disks {
            disks.grow()?;
        }
        self.notice_deaths().await;
        self.excused.clear();
        Ok(())
    }

    /// Removes what a node that is down kept. It comes back as a new member.
    ///
    /// # Errors
    /// [`ClusterError::Io`].
    ///
    /// # Panics
    /// When there is no such node, or it runs.
    pub(crate) fn wipe(&mut self, id: NodeId) -> Result<(), ClusterError> {
        self.processes.wipe(id)?;
        let dir = &self.processes.node(id).dir;
        Journals::forget(dir).map_err(unusable("remove", dir.display().to_string()))?;
        self.damaged = self.damaged.filter(|damaged| *damaged != id);
        Ok(())
    }

    /// Whether the node keeps nothing.
    pub(crate) fn is_empty(&self, id: NodeId) -> bool {
        let kept = std::fs::read_dir(&self.processes.node(id).dir);
        kept.map_or(true, |mut kept| kept.next().is_none())
    }

    /// Nodes without a process.
    pub(crate) fn down(&self) -> Vec<NodeId> {
        let down = self.processes.nodes().iter().filter(|node| node.pid().is_none());
        down.map(|node| node.id).collect()
    }
}
