//! The scene for `vote-not-persisted`: a deposed leader meets a voter that restarted.
//!
//! Directed, because ordinary runs do not catch this bug: pre-vote keeps a node that cannot win
//! from raising the term, and whoever restarts asks the leader first, so that a forgotten vote
//! counts only where the one who won by it is out of reach before anything else is heard of the new
//! term. Whatever a node says must be true *now*.

use super::stage::{PATIENCE, Stage, position};
use super::{Broken, Nodes, Stop};
use client::cluster::ClusterError;
use client::{BuyAnswer, Client, Timeouts};
use std::time::Duration;
use stock::NodeId;

/// How often a leader is deposed in one scene.
const ROUNDS: u32 = 3;
/// Buys that the deposed leader misses.
const MISSED: u64 = 40;
/// Reads that it is asked.
const READS: usize = 16;

/// Leader `old` is cut off while `new` leads by the vote of `voter`. Then `new` is cut off, `voter`
/// restarts, and `old` reaches it again: a voter that must remember to have voted it out.
pub(super) async fn forgets(nodes: &Nodes) -> Result<(), Stop> {
    let mut stage = Stage::open(nodes).await?;
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
        // A node that never answers says nothing stale either.
        if judge(ask(&stage, old)?, sold).await? == 0 {
            return Err(deadline(format!("node {old} to answer a read")).into());
        }
    }
    Ok(())
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
        return Err(deadline(format!("node {seller} to sell anything")).into());
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

/// How many reads were answered, all of them right.
async fn judge(reads: Reads, sold: u64) -> Result<usize, Stop> {
    let mut answered = 0;
    for read in reads {
        let Ok(Some(seen)) = read.await else { continue };
        answered += 1;
        if seen < sold {
            let found = format!(
                "stale-read: a linearizable read saw {seen} units sold; it was asked after {sold} \
                 buyers had their yes"
            );
            return Err(Stop::Broken(Broken { by: "real-time".to_owned(), found }));
        }
    }
    Ok(answered)
}

fn deadline(what: String) -> ClusterError {
    ClusterError::Deadline { what, deadline_ms: PATIENCE.as_millis() as u64 }
}
