//! Old requests come again after all nodes came back from their snapshots: one request id makes
//! one order, however late its retry.

use super::stage::{Stage, broken, position};
use super::{Nodes, Stop};
use client::cluster::ClusterError;
use client::storm::{self, Plan, Progress};
use client::{BuyAnswer, new_request_id};
use std::sync::Arc;

/// Entries are snapshotted and purged as early as a node lets us.
const ARGS: [&str; 4] = ["--snapshot-entries", "10", "--keep-entries", "1"];
/// Buys after the early one, nearly one at a time: each is an entry.
const LATER_BUYS: u64 = 400;
const CONCURRENCY: usize = 2;

pub(super) async fn play(nodes: &Nodes) -> Result<(), Stop> {
    let mut stage = Stage::open(nodes, &ARGS).await?;
    let (early, request) = (stage.buy("early"), new_request_id());
    let first = match stage.client.buy(&early, &request).await.answer {
        BuyAnswer::Accepted { order, .. } => order.order_id,
        other => return Err(not_sold(&other).into()),
    };
    let plan = Plan::new(stage.sku.clone(), LATER_BUYS, CONCURRENCY);
    storm::run(&stage.client, &plan, &Arc::new(Progress::default())).await;
    for id in Stage::ids() {
        stage.cluster.kill(id)?;
    }
    for id in Stage::ids() {
        stage.launch(id)?;
    }
    stage.recovers().await?;
    for id in Stage::ids() {
        match stage.client.buy_once(position(id), &early, &request, 2).await {
            BuyAnswer::Accepted { order, .. } if order.order_id != first => {
                let found = format!(
                    "a request that had won order {first} won order {} when it was sent again to \
                     node {id}, after all nodes had come back from snapshots",
                    order.order_id
                );
                return Err(broken("ledger", "one order a request id", found));
            }
            // A node without a leader may not answer; the others do.
            _ => {}
        }
    }
    stage.agrees().await
}

fn not_sold(answer: &BuyAnswer) -> ClusterError {
    ClusterError::Deadline { what: format!("the first buy, but it got {answer:?}"), deadline_ms: 0 }
}
