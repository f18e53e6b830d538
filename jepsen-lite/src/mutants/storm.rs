//! Nodes die while buyers storm them, and the ledger is held against what every buyer was told.

use super::stage::{PATIENCE, Power, Stage, broken, until};
use super::{Nodes, Stop};
use client::audit;
use client::cluster::ClusterError;
use client::storm::{self, Plan, Progress};
use std::sync::Arc;
use stock::NodeId;

/// Buyers under way at a time.
const CONCURRENCY: usize = 32;
/// More than come in the time: the scene ends the storm.
const BUYERS: u64 = 1_000_000;
/// How often nodes die in one storm.
const DEATHS: u64 = 4;
/// Buys between one death and the next.
const BUYS_BETWEEN: u64 = 300;

/// Who dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    LeaderDies,
    LeaderIsBackFirst,
    AllDie,
    PowerFails,
}

impl Fault {
    fn args(self) -> &'static [&'static str] {
        match self {
            Self::LeaderDies | Self::AllDie | Self::PowerFails => &[],
            Self::LeaderIsBackFirst => {
                &["--heartbeat-ms", "100", "--election-min-ms", "2000", "--election-max-ms", "3000"]
            }
        }
    }

    fn power(self) -> Power {
        if self == Self::PowerFails { Power::MayFail } else { Power::Steady }
    }

    async fn victims(self, stage: &Stage) -> Result<Vec<NodeId>, ClusterError> {
        Ok(match self {
            Self::LeaderDies | Self::LeaderIsBackFirst => vec![stage.leader().await?],
            Self::AllDie | Self::PowerFails => Stage::ids().collect(),
        })
    }
}

pub(super) async fn play(nodes: &Nodes, fault: Fault) -> Result<(), Stop> {
    let mut stage = Stage::open_on(nodes, fault.args(), fault.power()).await?;
    let plan = Plan::new(stage.sku.clone(), BUYERS, CONCURRENCY);
    let progress = Arc::new(Progress::default());
    let (client, planned, counts) =
        (Arc::clone(&stage.client), plan.clone(), Arc::clone(&progress));
    let running = tokio::spawn(async move { storm::run(&client, &planned, &counts).await });
    let stormy = deaths(&mut stage, fault, &progress, nodes.seed).await;
    progress.stop();
    stormy?;
    stage.recovers().await?;
    let tally = running.await.map_err(|error| lost_storm(&error))?;
    let audit = audit::audit(&stage.client, &plan, &stage.before, &tally).await;
    let audit = audit.map_err(ClusterError::from)?;
    if let Some(violation) = audit.violations.first() {
        return Err(broken("ledger", violation.rule, violation.found.clone()));
    }
    stage.agrees().await
}

async fn deaths(
    stage: &mut Stage,
    fault: Fault,
    progress: &Progress,
    seed: u64,
) -> Result<(), Stop> {
    for death in 0..DEATHS {
        let enough = progress.accepted_units() + BUYS_BETWEEN;
        until("buyers to be served", || async {
            (progress.accepted_units() >= enough).then_some(())
        })
        .await
        .map_err(|error| broken("recovery", "selling goes on", error.to_string()))?;
        let victims = fault.victims(stage).await?;
        for id in &victims {
            stage.cluster.kill(*id)?;
        }
        for id in &victims {
            if fault == Fault::PowerFails {
                stage.lose_unsynced(*id, seed ^ (death << 32) ^ (id.0 << 48))?;
            }
        }
        for id in victims {
            stage.launch(id)?;
        }
        stage.recovers().await?;
    }
    Ok(())
}

fn lost_storm(error: &tokio::task::JoinError) -> ClusterError {
    let what = format!("the storm, which ended badly: {error}");
    ClusterError::Deadline { what, deadline_ms: PATIENCE.as_millis() as u64 }
}
