//! Nodes that wake up in the past: whatever they say must be true *now*.
//!
//! A stopped process (SIGSTOP) loses no connection. Questions that are sent to it while it sleeps
//! wait in its sockets, and are what it sees first when it wakes, before it hears that the world
//! went on without it.

use super::stage::{PATIENCE, Stage, broken, position};
use super::{Nodes, Stop};
use client::cluster::ClusterError;
use client::{BuyAnswer, Client, Timeouts};
use std::time::Duration;
use stock::NodeId;

/// How often a node falls asleep in one scene.
const ROUNDS: u32 = 3;
/// Buys that the sleeper misses.
const MISSED: u64 = 40;
/// Reads that wait in its sockets when it wakes.
const READS: usize = 16;
/// How long reads are given to arrive in the sleeper's sockets: nobody there can tell us.
const ARRIVAL: Duration = Duration::from_millis(100);

/// Who sleeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sleeper {
    Leader,
    Follower,
}

/// Someone sleeps while the others sell, and is asked what is left.
pub(super) async fn wakes(nodes: &Nodes, sleeper: Sleeper) -> Result<(), Stop> {
    let mut stage = Stage::open(nodes, &[]).await?;
    for round in 0..ROUNDS {
        let leader = stage.leader().await?;
        let asleep = match sleeper {
            Sleeper::Leader => leader,
            Sleeper::Follower => other_than(&[leader]),
        };
        stage.cluster.pause(asleep)?;
        let seller = match sleeper {
            Sleeper::Leader => stage.leader_besides(asleep).await?,
            Sleeper::Follower => leader,
        };
        let sold = sell(&stage, seller, &format!("round-{round}")).await?;
        let reads = ask(&stage, asleep)?;
        tokio::time::sleep(ARRIVAL).await;
        stage.cluster.resume(asleep)?;
        judge(reads, sold).await?;
        stage.recovers().await?;
    }
    stage.agrees().await
}

/// Leader `old` is cut off while `new` leads by the vote of `voter`. Then `new` is cut off, `voter`
/// restarts, and `old` reaches it again: a voter that must remember to have voted it out.
pub(super) async fn voter_forgets(nodes: &Nodes) -> Result<(), Stop> {
    let mut stage = Stage::open(nodes, &[]).await?;
    for round in 0..ROUNDS {
        let old = stage.leader().await?;
        let others: Vec<NodeId> = Stage::ids().filter(|id| *id != old).collect();
        for other in others {
            both_ways(old, other, |from, to| stage.network.cut(from, to));
        }
        let new = stage.leader_besides(old).await?;
        let voter = other_than(&[old, new]);
        let sold = sell(&stage, new, &format!("round-{round}")).await?;
        both_ways(new, voter, |from, to| stage.network.cut(from, to));
        stage.cluster.kill(voter)?;
        both_ways(old, voter, |from, to| stage.network.pass(from, to));
        stage.launch(voter)?;
        let reads = ask(&stage, old)?;
        judge(reads, sold).await?;
        stage.network.heal();
        stage.recovers().await?;
    }
    stage.agrees().await
}

fn both_ways(one: NodeId, other: NodeId, change: impl Fn(NodeId, NodeId)) {
    change(one, other);
    change(other, one);
}

fn other_than(taken: &[NodeId]) -> NodeId {
    // Three nodes, and at most two are taken.
    Stage::ids().find(|id| !taken.contains(id)).unwrap_or(NodeId(1))
}

/// Sells units at one node; returns how many have been sold at least, by all that was answered.
async fn sell(stage: &Stage, seller: NodeId, buyers: &str) -> Result<u64, Stop> {
    let mut sold = 0;
    for buyer in 0..MISSED {
        let buy = stage.buy(&format!("{buyers}-{buyer}"));
        let request = client::new_request_id();
        let answer = stage.client.buy_once(position(seller), &buy, &request, 1).await;
        if let BuyAnswer::Accepted { order, .. } = answer {
            sold = stage.before.available - order.remaining;
        }
    }
    if sold == 0 {
        let what = format!("node {seller} to sell anything");
        let deadline_ms = PATIENCE.as_millis() as u64;
        return Err(ClusterError::Deadline { what, deadline_ms }.into());
    }
    Ok(sold)
}

type Reads = Vec<tokio::task::JoinHandle<Option<u64>>>;

/// Sends reads to one node alone; each tells how many units are sold, if it was answered.
fn ask(stage: &Stage, node: NodeId) -> Result<Reads, ClusterError> {
    let address = stage.cluster.node(node).http.clone();
    let (sku, stocked) = (stage.sku.clone(), stage.before.stocked);
    let one_read = |_| {
        let timeouts = Timeouts { give_up: Duration::ZERO, ..Timeouts::default() };
        let client = Client::with_timeouts(vec![address.clone()], timeouts)?;
        let sku = sku.clone();
        Ok(tokio::spawn(async move {
            let view = client.product(&sku).await.ok()?;
            Some(stocked - view.available)
        }))
    };
    (0..READS).map(one_read).collect()
}

async fn judge(reads: Reads, sold: u64) -> Result<(), Stop> {
    for read in reads {
        if let Ok(Some(seen)) = read.await
            && seen < sold
        {
            let found = format!(
                "a linearizable read saw {seen} units sold; it was asked after {sold} buyers had \
                 their yes"
            );
            return Err(broken("real-time", "no stale read", found));
        }
    }
    Ok(())
}
