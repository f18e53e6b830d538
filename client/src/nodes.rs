//! The nodes a client may ask: their addresses, and which of them to leave alone for a moment.
//!
//! Owns: the order in which nodes are tried, and the short rest of one that refused a connection.
//! Never does: IO. Called by `api` and `settle`.

use crate::ClientError;
use reqwest::Url;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use stock::NodeId;

/// Whether an id can be a part of a URL's path: `.` and `..` mean another place (RFC 3986, section
/// 5.2.4).
pub fn is_path_segment(id: &str) -> bool {
    !matches!(id, "." | "..")
}

/// One node, as the client was told of it.
#[derive(Debug)]
pub(crate) struct Node {
    /// `host:port`, for people.
    pub(crate) address: String,
    base: Url,
    /// Its buy route, parsed once: a storm asks for it with every request.
    pub(crate) buys: Url,
    /// Its id as its answers name it; 0 until the first one.
    id: AtomicU64,
    /// Microseconds after `Nodes::born` until which it is passed over.
    rests_until_us: AtomicU64,
    /// Whether it gave no answer when it was last asked.
    silent: AtomicBool,
}

impl Node {
    fn parse(given: &str) -> Result<Self, ClientError> {
        let bad = |problem: &str| ClientError::BadAddress {
            address: given.to_owned(),
            problem: problem.to_owned(),
        };
        let text = given.trim();
        let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let base = Url::parse(&text).map_err(|error| bad(&error.to_string()))?;
        if base.scheme() != "http" {
            return Err(bad("only http is spoken here"));
        }
        if base.path() != "/" || base.query().is_some() {
            return Err(bad("it has a path"));
        }
        let host = base.host_str().ok_or_else(|| bad("it has no host"))?;
        let port = base.port_or_known_default().ok_or_else(|| bad("it has no port"))?;
        // A URL forgets the default port, so look whether it was written.
        if base.port().is_none() && !text.trim_end_matches('/').ends_with(&format!(":{port}")) {
            return Err(bad("it has no port"));
        }
        Ok(Self {
            address: format!("{host}:{port}"),
            buys: base.join("v1/buys").map_err(|error| bad(&error.to_string()))?,
            base,
            id: AtomicU64::new(0),
            rests_until_us: AtomicU64::new(0),
            silent: AtomicBool::new(false),
        })
    }

    /// The URL of a path, which begins without a slash. Never one of another path: an id of `..`
    /// would make it one.
    pub(crate) fn url(&self, path: &str) -> Result<Url, ClientError> {
        let bad = |problem: String| {
            Err(ClientError::BadAddress { address: format!("{}{path}", self.base), problem })
        };
        let before_query = path.split('?').next().unwrap_or_default();
        if !before_query.split('/').all(is_path_segment) {
            return bad("it would be another URL".into());
        }
        self.base.join(path).or_else(|error| bad(error.to_string()))
    }

    /// Remembers the id that this node's answers carry.
    pub(crate) fn learn_id(&self, id: NodeId) {
        if self.id.load(Ordering::Relaxed) != id.0 {
            self.id.store(id.0, Ordering::Relaxed);
        }
    }

    /// Remembers whether it answered. Read often and seldom changed, so it is not written in vain.
    pub(crate) fn learn_silent(&self, silent: bool) {
        if self.silent.load(Ordering::Relaxed) != silent {
            self.silent.store(silent, Ordering::Relaxed);
        }
    }

    fn is(&self, id: NodeId) -> bool {
        id.0 != 0 && self.id.load(Ordering::Relaxed) == id.0
    }
}

/// All nodes of a client, by position.
#[derive(Debug)]
pub(crate) struct Nodes {
    list: Vec<Node>,
    born: Instant,
    turn: AtomicUsize,
}

impl Nodes {
    pub(crate) fn parse(addresses: &[String]) -> Result<Self, ClientError> {
        let list: Vec<Node> =
            addresses.iter().map(|given| Node::parse(given)).collect::<Result<_, _>>()?;
        if list.is_empty() {
            return Err(ClientError::NoNodes);
        }
        Ok(Self { list, born: Instant::now(), turn: AtomicUsize::new(0) })
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// The node at a position.
    ///
    /// # Panics
    /// When the position is not one of this client's.
    pub(crate) fn at(&self, position: usize) -> &Node {
        &self.list[position]
    }

    /// The position whose turn it is.
    pub(crate) fn next(&self) -> usize {
        self.turn.fetch_add(1, Ordering::Relaxed) % self.list.len()
    }

    /// The first position from `from` on, in order, that does not rest; `from` when all rest.
    pub(crate) fn awake_from(&self, from: usize) -> usize {
        let now_us = self.now_us();
        let awake = |position: &usize| {
            self.list[*position].rests_until_us.load(Ordering::Relaxed) <= now_us
        };
        let count = self.list.len();
        (0..count).map(|step| (from + step) % count).find(awake).unwrap_or(from % count)
    }

    /// Passes over the node for this long, while others may be asked.
    pub(crate) fn rest(&self, position: usize, rest: Duration) {
        let until_us = self.now_us() + rest.as_micros() as u64;
        self.list[position].rests_until_us.store(until_us, Ordering::Relaxed);
    }

    /// The position of the node with this id, when one of its answers has been seen.
    pub(crate) fn position_of(&self, id: NodeId) -> Option<usize> {
        self.list.iter().position(|node| node.is(id))
    }

    /// The positions of the nodes that gave no answer when they were last asked.
    pub(crate) fn silent(&self) -> Vec<usize> {
        let silent = |position: &usize| self.list[*position].silent.load(Ordering::Relaxed);
        (0..self.list.len()).filter(silent).collect()
    }

    fn now_us(&self) -> u64 {
        self.born.elapsed().as_micros() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(addresses: &[&str]) -> Result<Nodes, ClientError> {
        Nodes::parse(&addresses.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn addresses_come_with_or_without_scheme() {
        let nodes = nodes(&["127.0.0.1:8101", "http://localhost:8102/", " a:80"]).unwrap();
        assert_eq!(nodes.at(0).buys.as_str(), "http://127.0.0.1:8101/v1/buys");
        assert_eq!(nodes.at(1).address, "localhost:8102");
        assert_eq!(nodes.at(2).address, "a:80");
    }

    #[test]
    fn bad_addresses_say_what_to_write() {
        for bad in ["", "localhost", "https://a:1", "http://a:1/v1", "127.0.0.1:99999"] {
            let error = nodes(&[bad]).unwrap_err().to_string();
            assert!(error.contains("HOST:PORT"), "{bad:?}: {error}");
        }
        assert!(matches!(nodes(&[]), Err(ClientError::NoNodes)));
    }

    #[test]
    fn no_id_makes_a_path_another() {
        let nodes = nodes(&["a:1"]).unwrap();
        let node = nodes.at(0);
        assert_eq!(node.url("v1/products/...").unwrap().as_str(), "http://a:1/v1/products/...");
        assert_eq!(node.url("v1/orders?after=..").unwrap().path(), "/v1/orders");
        for path in
            ["v1/products/.", "v1/products/..", "v1/products/../restock", "v1/cursors/..?a=1"]
        {
            let error = node.url(path).unwrap_err().to_string();
            assert!(error.contains("another URL"), "{path}: {error}");
        }
    }

    #[test]
    fn a_resting_node_is_passed_over_unless_all_rest() {
        let nodes = nodes(&["a:1", "a:2", "a:3"]).unwrap();
        assert_eq!(nodes.awake_from(1), 1);
        nodes.rest(1, Duration::from_mins(1));
        assert_eq!(nodes.awake_from(1), 2);
        nodes.rest(2, Duration::from_mins(1));
        assert_eq!(nodes.awake_from(1), 0);
        nodes.rest(0, Duration::from_mins(1));
        assert_eq!(nodes.awake_from(1), 1);
    }

    #[test]
    fn a_leader_hint_finds_its_node_once_seen() {
        let nodes = nodes(&["a:1", "a:2"]).unwrap();
        assert_eq!(nodes.position_of(NodeId(7)), None);
        nodes.at(1).learn_id(NodeId(7));
        assert_eq!(nodes.position_of(NodeId(7)), Some(1));
    }
}
