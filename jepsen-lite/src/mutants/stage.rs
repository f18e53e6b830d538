//! The stage of a scene: a cluster with the bug, a product on sale, and the rules that hold after
//! every scene whatever happened in it. Called by the scenes.

use super::{Broken, Nodes, Stop, VARIABLE};
use crate::cluster::{Claim, stake_claim, unusable};
use crate::proxy::Network;
use client::cluster::{ClusterError, Launch, Options, ProcessCluster};
use client::{Client, Timeouts};
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use stock::api::{PostBuy, ProductView, PutProduct};
use stock::{NodeId, Quantity, Sku, UserId};

/// How long a condition is waited for before it counts as one that does not come about.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
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
    power: Power,
    /// Dropped last: nothing is left to be claimed then.
    _claim: Claim,
}

/// Whether nodes can lose what they did not sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Power {
    Steady,
    MayFail,
}

impl Stage {
    /// Three nodes that are ready, with a product on sale.
    pub(super) async fn open(nodes: &Nodes, args: &[&str]) -> Result<Self, Stop> {
        Self::open_on(nodes, args, Power::Steady).await
    }

    /// As [`Stage::open`], where the power may fail.
    pub(super) async fn open_on(nodes: &Nodes, args: &[&str], power: Power) -> Result<Self, Stop> {
        let extra_args = args.iter().map(ToString::to_string).collect();
        let binary = nodes.binary.clone();
        let options = Options { nodes: NODES, binary, dir: None, extra_args };
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
            let env = environment(&cluster, id, &env, power)?;
            cluster.launch(id, &Launch { args: Vec::new(), env })?;
        }
        cluster.wait_ready(PATIENCE).await?;
        let timeouts = Timeouts { settle: PATIENCE, give_up: PATIENCE, ..Timeouts::default() };
        let client = Client::with_timeouts(cluster.addresses(), timeouts);
        let client = Arc::new(client.map_err(ClusterError::from)?);
        let sku = sku("sneaker");
        put(&client, &sku, STOCK).await?;
        let before = client.product(&sku).await.map_err(ClusterError::from)?;
        Ok(Self { cluster, network, client, sku, before, env, power, _claim: claim })
    }

    pub(super) fn ids() -> impl Iterator<Item = NodeId> {
        (1..=NODES).map(NodeId)
    }

    /// Starts a node that is down, with the bug that it had.
    pub(super) fn launch(&mut self, id: NodeId) -> Result<(), ClusterError> {
        let env = environment(&self.cluster, id, &self.env, self.power)?;
        self.cluster.launch(id, &Launch { args: Vec::new(), env })
    }

    /// Takes from a node that was killed what it wrote and did not sync after some moment that
    /// the seed decides.
    pub(super) fn lose_unsynced(&self, id: NodeId, seed: u64) -> Result<(), ClusterError> {
        let journal = journal(&self.cluster, id);
        let undone = unsynced::undo(&journal, unsynced::Loss::Suffix, seed);
        undone.map(|_| ()).map_err(unusable("undo what is in", journal.display().to_string()))
    }

    /// All nodes are ready; one that ended by itself, or does not come back, breaks a rule.
    pub(super) async fn recovers(&mut self) -> Result<(), Stop> {
        match self.cluster.wait_ready(PATIENCE).await {
            Ok(()) => Ok(()),
            // Another program took its port while it was down: not this node's doing.
            Err(ClusterError::Exited { log_end, node, status, log }) if port_taken(&log_end) => {
                Err(ClusterError::Exited { node, status, log, log_end }.into())
            }
            Err(error @ (ClusterError::Exited { .. } | ClusterError::Deadline { .. })) => {
                Err(broken("recovery", "every node comes back", error.to_string()))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// All nodes hold the same state at the same index.
    pub(super) async fn agrees(&mut self) -> Result<(), Stop> {
        self.recovers().await?;
        let views = match self.cluster.wait_level(PATIENCE).await {
            Ok(views) => views,
            Err(error @ ClusterError::Deadline { .. }) => {
                return Err(broken("replicas", "all become level", error.to_string()));
            }
            Err(error) => return Err(error.into()),
        };
        match views.windows(2).find(|pair| pair[0].state_hash != pair[1].state_hash) {
            None => Ok(()),
            Some(pair) => Err(broken(
                "replicas",
                "equal states at one index",
                format!(
                    "at entry {}, node {} is at change {} with state {}, node {} at {} with {}",
                    pair[0].applied,
                    pair[0].id,
                    pair[0].seq,
                    pair[0].state_hash,
                    pair[1].id,
                    pair[1].seq,
                    pair[1].state_hash
                ),
            )),
        }
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

/// A node's journal of unsynced changes, beside its directory.
fn journal(cluster: &ProcessCluster, id: NodeId) -> PathBuf {
    cluster.node(id).dir.with_extension("unsynced")
}

/// What a node's environment has besides that of this program.
fn environment(
    cluster: &ProcessCluster,
    id: NodeId,
    env: &[(String, OsString)],
    power: Power,
) -> Result<Vec<(String, OsString)>, ClusterError> {
    let mut env = env.to_vec();
    if power == Power::MayFail {
        let library = unsynced::library().map_err(unusable("find", "the library to preload"))?;
        let dir = &cluster.node(id).dir;
        env.extend(unsynced::environment(&library, dir, &journal(cluster, id)));
    }
    Ok(env)
}

fn port_taken(log_end: &str) -> bool {
    log_end.contains("Address already in use")
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

pub(super) fn broken(layer: &'static str, rule: &'static str, found: String) -> Stop {
    Stop::Broken(Broken { layer, rule, found })
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
