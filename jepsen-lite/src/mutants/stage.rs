//! The stage of a directed scene: a cluster with the bug, and a product on sale. Called by `voter`.

use super::{Nodes, Stop, VARIABLE};
use crate::cluster::{Claim, stake_claim, unusable};
use crate::proxy::Network;
use client::cluster::{ClusterError, Launch, Options, ProcessCluster};
use client::{Client, Timeouts};
use std::ffi::OsString;
use std::sync::Arc;
use std::time::{Duration, Instant};
use stock::api::{PostBuy, ProductView, PutProduct};
use stock::{NodeId, Quantity, Sku, UserId};

/// How long a condition is waited for before it counts as one that does not come about.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_INTERVAL: Duration = Duration::from_millis(5);
const NODES: u64 = 3;
/// No scene lets chance decide what a link does.
const SEED: u64 = 0;
/// The units of the product that every stage sells.
pub(super) const STOCK: u64 = 1_000_000;

pub(super) struct Stage {
    pub(super) cluster: ProcessCluster,
    pub(super) network: Network,
    pub(super) client: Arc<Client>,
    pub(super) sku: Sku,
    pub(super) before: ProductView,
    env: Vec<(String, OsString)>,
    /// Dropped last: nothing is left to be claimed then.
    _claim: Claim,
}

impl Stage {
    /// Three nodes that are ready, with a product on sale.
    pub(super) async fn open(nodes: &Nodes) -> Result<Self, Stop> {
        let binary = nodes.binary.clone();
        let options = Options { nodes: NODES, binary, dir: None, extra_args: Vec::new() };
        let claim = stake_claim()?;
        let mut cluster = ProcessCluster::prepare(options)?;
        let mutant = nodes.mutant.iter().map(|name| (VARIABLE.to_owned(), name.into()));
        let env: Vec<(String, OsString)> = mutant.chain([claim.environment()]).collect();
        let peers: Vec<(NodeId, String)> =
            cluster.nodes().iter().map(|node| (node.id, node.peer.clone())).collect();
        let network = Network::between(&peers, SEED).await;
        let network = network.map_err(unusable("open", "proxies between the nodes"))?;
        for (from, to, address) in network.detours() {
            cluster.detour(from, to, address);
        }
        for id in Self::ids() {
            cluster.launch(id, &Launch { args: Vec::new(), env: env.clone() })?;
        }
        cluster.wait_ready(PATIENCE).await?;
        let timeouts = Timeouts { settle: PATIENCE, give_up: PATIENCE, ..Timeouts::default() };
        let client = Client::with_timeouts(cluster.addresses(), timeouts);
        let client = Arc::new(client.map_err(ClusterError::from)?);
        let sku = sku("sneaker");
        put(&client, &sku, STOCK).await?;
        let before = client.product(&sku).await.map_err(ClusterError::from)?;
        Ok(Self { cluster, network, client, sku, before, env, _claim: claim })
    }

    pub(super) fn ids() -> impl Iterator<Item = NodeId> {
        (1..=NODES).map(NodeId)
    }

    /// Starts a node that is down, with the bug that it had.
    pub(super) fn launch(&mut self, id: NodeId) -> Result<(), ClusterError> {
        self.cluster.launch(id, &Launch { args: Vec::new(), env: self.env.clone() })
    }

    /// All nodes are ready.
    pub(super) async fn recovers(&mut self) -> Result<(), ClusterError> {
        self.cluster.wait_ready(PATIENCE).await
    }

    pub(super) async fn leader(&self) -> Result<NodeId, ClusterError> {
        self.cluster.leader().await
    }

    /// A node besides `not` that says it leads.
    pub(super) async fn leader_besides(&self, not: NodeId) -> Result<NodeId, ClusterError> {
        until("another leader", || async {
            let views = self.cluster.own_views().await;
            let mut others = views.iter().flatten().filter(|view| view.id != not);
            others.find(|view| view.role == "leader").map(|view| view.id)
        })
        .await
    }

    pub(super) fn buy(&self, user: &str) -> PostBuy {
        buy(&self.sku, user)
    }
}

/// A buy of one unit.
pub(super) fn buy(sku: &Sku, user: &str) -> PostBuy {
    PostBuy { product_id: sku.clone(), user_id: user_id(user), quantity: Quantity::ONE }
}

/// Puts a product on sale.
pub(super) async fn put(client: &Client, sku: &Sku, stock: u64) -> Result<(), ClusterError> {
    let terms = PutProduct { name: "Sneaker".into(), stock, ..PutProduct::default() };
    client.create_product(sku, &terms).await.map(|_| ()).map_err(ClusterError::from)
}

/// A product's id.
///
/// # Panics
/// When a scene names a product as no product can be named.
pub(super) fn sku(name: &str) -> Sku {
    Sku::new(name).unwrap_or_else(|why| panic!("{name:?} is no product id: {why}"))
}

fn user_id(name: &str) -> UserId {
    UserId::new(name).unwrap_or_else(|why| panic!("{name:?} is no user id: {why}"))
}

/// The position of a node in its client's list.
pub(super) fn position(id: NodeId) -> usize {
    usize::try_from(id.0 - 1).unwrap_or(usize::MAX)
}

/// Waits for a condition.
///
/// # Errors
/// [`ClusterError::Deadline`], saying for what, when it does not come about.
pub(super) async fn until<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut look: impl FnMut() -> F,
) -> Result<T, ClusterError> {
    let started = Instant::now();
    loop {
        if let Some(seen) = look().await {
            return Ok(seen);
        }
        if started.elapsed() > PATIENCE {
            let deadline_ms = PATIENCE.as_millis() as u64;
            return Err(ClusterError::Deadline { what: what.to_owned(), deadline_ms });
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}
