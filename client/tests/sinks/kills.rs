//! What is killed in the midst of a storm, and when.

use super::scene::{PATIENCE, Scene, Sink, until};
use super::servers::Server;
use client::storm::Progress;
use stock::NodeId;

/// What SIGKILL is sent to; what was killed is started again on what it had.
#[derive(Debug, Clone, Copy)]
enum Victim {
    /// Of two sinks each in turn.
    Sink,
    /// The target.
    Server,
    /// The node that leads.
    Leader,
    /// The node that a sink reads from.
    Reader,
    /// A node that neither leads nor is read from, where there is one.
    Follower,
}

/// At even distances, so that each is in the middle of its work.
const IN_TURN: [Victim; 8] = [
    Victim::Sink,
    Victim::Server,
    Victim::Leader,
    Victim::Sink,
    Victim::Reader,
    Victim::Server,
    Victim::Follower,
    Victim::Sink,
];

impl Scene {
    /// Kills one after the other at tenths of a storm.
    pub(crate) async fn kill_in_turn(
        &mut self,
        (progress, buyers): (&Progress, u64),
        sinks: &mut [Sink],
        server: &mut impl Server,
    ) {
        let mut killed = 0;
        for (step, victim) in (1..).zip(IN_TURN) {
            let due = buyers * step / 10;
            until("more orders", async || (progress.accepted_count() > due).then_some(())).await;
            match victim {
                Victim::Sink => {
                    let sink = &mut sinks[killed % sinks.len()];
                    sink.kill();
                    sink.start_again();
                    killed += 1;
                }
                Victim::Server => {
                    server.kill();
                    server.start_again().await;
                }
                Victim::Leader => {
                    let leader = self.leader().await;
                    self.replace(leader).await;
                }
                Victim::Reader => {
                    let reader = self.reader().await;
                    self.replace(reader).await;
                }
                Victim::Follower => {
                    let busy = [self.leader().await, self.reader().await];
                    let idle = (1..=3).map(NodeId).find(|id| !busy.contains(id));
                    self.replace(idle.unwrap()).await;
                }
            }
        }
    }

    /// Kills a node, and starts it again once the others serve.
    pub(crate) async fn replace(&mut self, id: NodeId) {
        self.cluster.kill(id).unwrap();
        until("a leader among the others", async || {
            self.cluster.leader().await.ok().filter(|leader| *leader != id)
        })
        .await;
        self.cluster.start_node(id).unwrap();
        self.cluster.wait_ready(PATIENCE).await.unwrap();
    }

    pub(crate) async fn leader(&self) -> NodeId {
        until("a leader", async || self.cluster.leader().await.ok()).await
    }

    /// A node whose changes somebody is told: only sinks listen here.
    async fn reader(&self) -> NodeId {
        until("a node that is read from", async || {
            for node in 0..3 {
                let metrics = self.client.metrics(node).await.ok()?;
                let listeners = "flashnode_listeners{feed=\"events\"} ";
                let count = metrics.lines().find_map(|line| line.strip_prefix(listeners));
                if count.unwrap() != "0" {
                    return Some(NodeId(node as u64 + 1));
                }
            }
            None
        })
        .await
    }
}
