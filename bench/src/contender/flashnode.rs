//! Three flashnode processes with their defaults.

use super::{Running, Servers, UNITS};
use anyhow::Context;
use client::cluster::{Options, ProcessCluster};
use std::path::PathBuf;
use std::time::Duration;
use stock::api::PutProduct;

/// How long a cluster may take to form.
const FORM_MAX: Duration = Duration::from_secs(120);

/// Where the clients are.
#[derive(Debug, Clone, Copy)]
pub(super) enum Clients {
    Everywhere,
    OnOneFollower,
}

/// Forms a cluster and puts the product on sale.
pub(super) async fn start(binary: Option<PathBuf>, clients: Clients) -> anyhow::Result<Running> {
    let mut cluster = ProcessCluster::start(Options { binary, ..Options::default() })?;
    cluster.wait_ready(FORM_MAX).await?;
    let body = PutProduct { name: "Sneaker".into(), stock: UNITS, ..PutProduct::default() };
    let leader = cluster.leader().await?;
    let url = format!("http://{}/v1/products/sneaker", cluster.node(leader).http);
    let answer = reqwest::Client::new().put(url).json(&body).send().await?;
    answer.error_for_status().context("the product was not put on sale")?;
    let targets = match clients {
        Clients::Everywhere => cluster.addresses(),
        Clients::OnOneFollower => {
            let follower = cluster.nodes().iter().find(|node| node.id != leader);
            // Three clients as elsewhere, all on the one node.
            vec![follower.context("no follower")?.http.clone(); 3]
        }
    };
    Ok(Running { targets, servers: Servers::Cluster(Box::new(cluster)) })
}
