//! The way back to health: every fault is taken back, every node runs, hears a leader, is level.
//!
//! Owns: the order of these steps. Called by `run` at its end, and after each fault.

use super::{Cluster, Journals, unusable};
use client::cluster::ClusterError;
use std::time::{Duration, Instant};
use stock::NodeId;

impl Cluster {
    /// Takes every fault back and waits until all nodes are ready and level. For the end of a
    /// run: under load no two nodes are level for long.
    ///
    /// # Errors
    /// [`ClusterError`] when the cluster did not recover in time, saying who was missing.
    pub async fn recover(&mut self, deadline: Duration) -> Result<(), ClusterError> {
        let started = Instant::now();
        self.heal(deadline).await?;
        let left = deadline.saturating_sub(started.elapsed());
        self.processes.wait_level(left).await.map(|_| ())
    }

    /// Takes every fault back and waits until all nodes are ready: a leader is heard, every node
    /// votes, and none is far behind. A damaged node gets an empty directory, whatever became of
    /// it, so that nothing later can be laid to the damage. Works under load.
    ///
    /// # Errors
    /// [`ClusterError`] when it did not come about in time, saying who was missing.
    pub async fn heal(&mut self, deadline: Duration) -> Result<(), ClusterError> {
        let started = Instant::now();
        self.lift().await?;
        loop {
            for id in self.down() {
                if self.damaged == Some(id) {
                    self.wipe(id)?;
                }
                self.launch(id)?;
            }
            let left = deadline.saturating_sub(started.elapsed());
            match self.processes.wait_ready(left).await {
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
