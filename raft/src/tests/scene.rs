//! Replicas in one process: their ports, their start, and what a test waits for.

use crate::{Forwarded, Proposed, Replica, ReplicaConfig, Role};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;
use stock::{
    Attempt, Batch, Command, Envelope, NodeId, Quantity, Reply, RequestId, Requester, Sku, Terms,
    UserId,
};
use tokio::net::TcpSocket;
use tokio::sync::mpsc;
use tokio::time::Instant;

pub(super) const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// The addresses of a cluster's nodes, kept from everyone else for as long as this lives: each is
/// bound and never listened on, so that a node can share it.
pub(super) struct Peers {
    pub(super) addresses: BTreeMap<NodeId, String>,
    _bound: Vec<TcpSocket>,
}

impl Peers {
    pub(super) fn new(nodes: u64) -> Self {
        let (mut addresses, mut bound) = (BTreeMap::new(), Vec::new());
        for id in (1..=nodes).map(NodeId) {
            let socket = TcpSocket::new_v4().expect("a socket");
            socket.set_reuseaddr(true).expect("an option of every socket");
            socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a port");
            addresses.insert(id, socket.local_addr().expect("an address").to_string());
            bound.push(socket);
        }
        Self { addresses, _bound: bound }
    }

    /// Starts a node with its files in `dir`; its election timeout is up to twice the least.
    pub(super) async fn open(&self, id: NodeId, dir: &Path, election_min: Duration) -> Replica {
        let (forwarded, frames) = mpsc::channel::<Forwarded>(1);
        // Nobody forwards here; the receiver only has to live as long as the replica.
        std::mem::forget(frames);
        let config = ReplicaConfig {
            id,
            peers: self.addresses.clone(),
            http: String::new(),
            data: dir.join(id.to_string()),
            heartbeat: Duration::from_millis(100),
            election_min,
            election_max: election_min * 2,
            snapshot_entries: 10_000,
            keep_entries: 1_000,
            counts_clicks: false,
        };
        let started = Instant::now();
        loop {
            match Replica::open(config.clone(), forwarded.clone()).await {
                Ok(replica) => return replica,
                // The old listener's connections may take a moment to close.
                Err(error) => assert!(started.elapsed() < PATIENCE, "{error}"),
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }
}

pub(super) async fn until<T>(what: &str, look: impl Fn() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(started.elapsed() < PATIENCE, "waited for {what}");
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

/// Waits until one of them leads; its place among them.
pub(super) async fn leader_of(replicas: &[Replica]) -> usize {
    until("a leader", || {
        replicas.iter().position(|replica| {
            let status = replica.status();
            status.role == Role::Leader && status.ready.is_ok()
        })
    })
    .await
}

/// Its reply; none when it was proposed and the outcome is not known, or nobody led for long.
pub(super) async fn propose(replica: &Replica, command: &Envelope) -> Option<Reply> {
    let started = Instant::now();
    while started.elapsed() < PATIENCE {
        let mut batch = Batch { stamp_ms: 0, commands: vec![command.clone()] };
        match replica.propose(&mut batch, Instant::now() + PATIENCE).await {
            Proposed::Decided(mut replies) => return replies.pop(),
            Proposed::NotProposed => tokio::time::sleep(LOOK_INTERVAL).await,
            Proposed::Unknown => return None,
        }
    }
    None
}

fn envelope(requester: Requester, command: Command) -> Envelope {
    let name = format!("{requester:?}").replace(['"', ' ', '(', ')'], "");
    let request_id = RequestId::new(name).expect("a valid id");
    Envelope { requester, request_id, attempt: Attempt::First, command }
}

fn sku() -> Sku {
    Sku::new("tee").expect("a valid id")
}

/// Puts a thousand of one product on sale.
pub(super) fn create() -> Envelope {
    let product = Terms::plain(sku(), "Tee", 1_000);
    envelope(Requester::Operator, Command::CreateProduct(Box::new(product)))
}

/// One unit of it for this user, who asks once.
pub(super) fn buy(user: &str) -> Envelope {
    let user = UserId::new(user).expect("a valid id");
    envelope(Requester::User(user), Command::Buy { sku: sku(), quantity: Quantity::ONE })
}
