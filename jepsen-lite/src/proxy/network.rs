//! All links of a cluster, in terms of nodes: who hears whom, how late, how well.
//!
//! Owns: one [`Link`] for each ordered pair, and which of its two ways a fault means: what `a`
//! sends `b` travels forward on `a`'s connections to `b` and back on `b`'s connections to `a`.
//! Called by `cluster` and the nemeses.

use super::link::{Link, Way};
use super::pump::{Delay, Flow, Loss, Traffic};
use std::collections::BTreeMap;
use std::io;
use std::time::Duration;
use stock::NodeId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long a link stays silent before it is believed to be cut. A link that passes answers in
/// well under a millisecond; a false "silent" can only come from a machine that stands still.
const SILENCE: Duration = Duration::from_millis(300);
/// A request that every HTTP server answers, if only with an error.
const PROBE: &[u8] = b"GET /probe HTTP/1.1\r\nhost: probe\r\nconnection: close\r\n\r\n";

/// The links between the nodes of one cluster.
#[derive(Debug)]
pub struct Network {
    links: BTreeMap<(NodeId, NodeId), Link>,
}

impl Network {
    /// Opens a link for each ordered pair of these nodes, given with the `host:port` at which
    /// each listens for its peers. `seed` decides about jitter and loss.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn between(nodes: &[(NodeId, String)], seed: u64) -> io::Result<Self> {
        let mut links = BTreeMap::new();
        for (from, _) in nodes {
            for (to, target) in nodes.iter().filter(|(to, _)| to != from) {
                // Any injective mix will do: two links must not draw the same numbers.
                let seed = seed ^ (from.0 << 48) ^ (to.0 << 32);
                links.insert((*from, *to), Link::open(target.clone(), seed).await?);
            }
        }
        Ok(Self { links })
    }

    /// Each ordered pair, with the `host:port` at which the first reaches the second.
    pub fn detours(&self) -> impl Iterator<Item = (NodeId, NodeId, String)> + '_ {
        self.links.iter().map(|((from, to), link)| (*from, *to, link.address().to_string()))
    }

    /// From now on, nothing that `from` sends reaches `to`. The other way is left as it is.
    ///
    /// # Panics
    /// When there are no two such nodes.
    pub fn cut(&self, from: NodeId, to: NodeId) {
        self.change(from, to, |traffic| traffic.flow = Flow::Cut);
    }

    /// From now on, what `from` sends reaches `to` again, what was held meanwhile first.
    ///
    /// # Panics
    /// As [`Network::cut`].
    pub fn pass(&self, from: NodeId, to: NodeId) {
        self.change(from, to, |traffic| traffic.flow = Flow::Pass);
    }

    /// From now on, what `from` sends takes this long to reach `to`.
    ///
    /// # Panics
    /// As [`Network::cut`].
    pub fn slow(&self, from: NodeId, to: NodeId, delay: Delay) {
        self.change(from, to, |traffic| traffic.delay = delay);
    }

    /// From now on, what `from` sends `to` gets lost like this.
    ///
    /// # Panics
    /// As [`Network::cut`].
    pub fn lose(&self, from: NodeId, to: NodeId, loss: Loss) {
        self.change(from, to, |traffic| traffic.loss = loss);
    }

    /// Chunks that were stalled or broke their connection so far, on all links.
    pub fn lost(&self) -> u64 {
        self.links.values().map(Link::lost).sum()
    }

    /// Every link passes again, at once and whole.
    pub fn heal(&self) {
        for link in self.links.values() {
            for way in [Way::Forward, Way::Back] {
                link.set(way, |traffic| *traffic = Traffic::default());
            }
        }
    }

    /// Asks `to` something over `from`'s way to it, and tells after how long it answered; none
    /// when it stayed silent. (A question needs both ways: a cut of either makes it hang.)
    ///
    /// # Panics
    /// As [`Network::cut`].
    pub async fn probe(&self, from: NodeId, to: NodeId) -> Option<Duration> {
        let address = self.link(from, to).address();
        let asked = tokio::time::Instant::now();
        let answered = tokio::time::timeout(SILENCE, async {
            let mut stream = TcpStream::connect(address).await?;
            stream.write_all(PROBE).await?;
            stream.read_u8().await
        });
        matches!(answered.await, Ok(Ok(_))).then(|| asked.elapsed())
    }

    fn change(&self, from: NodeId, to: NodeId, change: impl Fn(&mut Traffic)) {
        self.link(from, to).set(Way::Forward, &change);
        self.link(to, from).set(Way::Back, &change);
    }

    fn link(&self, from: NodeId, to: NodeId) -> &Link {
        let link = self.links.get(&(from, to));
        link.unwrap_or_else(|| panic!("no link from node {from} to node {to}"))
    }
}
