//! A rolling restart, as an upgrade does it: SIGTERM, wait for the end, start again, wait until it
//! is ready, the next one. Seen to take hold when every node has exited with success by itself.

use super::stage::{Injection, Stage};
use crate::cluster::Patience;
use client::cluster::ClusterError;
use std::time::Duration;

/// How long a node may take to hand over and end.
const EXIT_DEADLINE: Duration = Duration::from_secs(30);

/// Restarts one node after the other, in an order that the seed decides.
pub(super) async fn inject(mut stage: Stage<'_>) -> Result<Injection, ClusterError> {
    let (mut ended_well, mut order) = (true, Vec::new());
    for id in stage.shuffled() {
        stage.cluster.processes.terminate(id)?;
        let status = stage.cluster.processes.wait_exit(id, EXIT_DEADLINE).await?;
        ended_well &= status.success();
        stage.cluster.launch(id)?;
        stage.cluster.wait_ready(Patience::RUN).await?;
        order.push(id.to_string());
    }
    let what = format!("SIGTERM and restart of nodes {}, in this order", order.join(", "));
    Ok(Injection::seen(what, ended_well).over())
}
