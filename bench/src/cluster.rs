//! Three flashnodes for what is measured on them alone: formed, with something on sale.
//!
//! Owns how they are started and what is asked of them besides the load. Called by `failover`,
//! `overload`, `growth` and `answers`.

use crate::load::{self, Load, Script};
use anyhow::{Context, ensure};
use client::cluster::{NodeProcess, Options, ProcessCluster};
use std::path::PathBuf;
use std::time::Duration;
use stock::NodeId;
use stock::api::{ProductView, PutProduct};

/// How long a cluster may take to form, or a node to come back.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(120);

/// Starts three nodes with these further arguments, and puts `units` of the sneaker on sale.
///
/// # Errors
/// When a node does not start or the cluster does not form.
pub(crate) async fn start(
    binary: Option<PathBuf>,
    extra_args: &[&str],
    units: u64,
) -> anyhow::Result<ProcessCluster> {
    let extra_args = extra_args.iter().map(ToString::to_string).collect();
    let mut cluster = ProcessCluster::start(Options { binary, extra_args, ..Options::default() })?;
    cluster.wait_ready(WAIT_MAX).await?;
    put(&cluster, "sneaker", units).await?;
    Ok(cluster)
}

/// Puts a product on sale.
pub(crate) async fn put(cluster: &ProcessCluster, sku: &str, units: u64) -> anyhow::Result<()> {
    let body = PutProduct { name: sku.into(), stock: units, ..PutProduct::default() };
    let leader = cluster.leader().await?;
    let url = format!("http://{}/v1/products/{sku}", cluster.node(leader).http);
    let answer = reqwest::Client::new().put(url).json(&body).send().await?;
    answer.error_for_status().context("the product was not put on sale")?;
    Ok(())
}

/// The sneaker, read linearizably.
pub(crate) async fn product(cluster: &ProcessCluster) -> anyhow::Result<ProductView> {
    let leader = cluster.leader().await?;
    let url = format!("http://{}/v1/products/sneaker", cluster.node(leader).http);
    Ok(reqwest::get(url).await?.error_for_status()?.json().await?)
}

/// One that does not lead.
pub(crate) async fn follower(cluster: &ProcessCluster) -> anyhow::Result<NodeId> {
    let leader = cluster.leader().await?;
    let other = cluster.nodes().iter().find(|node| node.id != leader);
    Ok(other.context("no follower")?.id)
}

/// The processes that run.
pub(crate) fn pids(cluster: &ProcessCluster) -> Vec<u32> {
    cluster.nodes().iter().filter_map(NodeProcess::pid).collect()
}

/// Accepted buys a second in a closed loop.
///
/// # Errors
/// When any answer is another.
pub(crate) async fn capacity(
    cluster: &ProcessCluster,
    connections: usize,
    seconds: u64,
    salt: &str,
) -> anyhow::Result<load::Seen> {
    let load = Load {
        targets: cluster.addresses(),
        script: Script::Buys,
        connections,
        seconds,
        salt: salt.to_owned(),
    };
    let seen = load::run(&load).await?;
    ensure!(seen.errors == 0, "{} answers were no 201", seen.errors);
    Ok(seen)
}
