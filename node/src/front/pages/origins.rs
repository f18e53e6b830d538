//! The nodes' public addresses: whom a page may speak to, and whose pages may speak to this node.
//!
//! To a browser each node is another origin. A page goes on with another node when its own dies,
//! so every page's `connect-src` names the advertised addresses of the nodes, and this node lets
//! pages of exactly these read its answers (CORS). An address is remembered when its node dies.

use crate::problem::Problem;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use raft::Replica;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use stock::NodeId;
use stock::api::NodeView;
use tokio::sync::watch;

/// Between two questions while a node's address is not known yet.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// Between two questions once all are known: a node may come back with another.
const LOOK_AGAIN_INTERVAL: Duration = Duration::from_secs(10);

/// What a page of another node may ask with.
const METHODS: &str = "GET, POST, DELETE";
const REQUEST_HEADERS: &str = "content-type, idempotency-key, flashnode-attempt, last-event-id";
/// What it may read of an answer.
const ANSWER_HEADERS: &str = "flashnode-node, flashnode-leader, flashnode-seq, \
                              idempotent-replayed, retry-after, location, etag";

/// See the module. Clones share it.
#[derive(Clone)]
pub(in super::super) struct Origins(Arc<RwLock<BTreeMap<NodeId, Option<String>>>>);

impl Origins {
    /// Asks the others of the `configured` nodes until `closing` turns true.
    pub(super) fn follow(
        replica: Replica,
        http: &str,
        configured: impl Iterator<Item = NodeId>,
        mut closing: watch::Receiver<bool>,
    ) -> Self {
        let mut nodes: BTreeMap<_, _> = configured.map(|id| (id, None)).collect();
        nodes.insert(replica.id(), Some(http.to_owned()));
        let origins = Self(Arc::new(RwLock::new(nodes)));
        let learning = origins.clone();
        tokio::spawn(async move {
            loop {
                learning.learn(&replica.cluster().await);
                let pause = if learning.all_known() { LOOK_AGAIN_INTERVAL } else { LOOK_INTERVAL };
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    _ = closing.wait_for(|closing| *closing) => return,
                }
            }
        });
        origins
    }

    /// Every node whose address is known.
    pub(super) fn known(&self) -> Vec<(NodeId, String)> {
        let nodes = self.0.read().unwrap_or_else(PoisonError::into_inner);
        nodes.iter().filter_map(|(id, http)| Some((*id, http.clone()?))).collect()
    }

    /// How many nodes there are, also those whose address is not known.
    pub(super) fn configured(&self) -> usize {
        self.0.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn all_known(&self) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).values().all(Option::is_some)
    }

    fn learn(&self, nodes: &[NodeView]) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for node in nodes {
            let address = node.http.as_ref().filter(|address| is_address(address));
            let place = known.entry(node.id).or_default();
            if address.is_some() {
                place.clone_from(&address.cloned());
            }
        }
    }

    /// The policy of a page: its own scripts, styles and icon, and the nodes. Asks the others once
    /// more while one is not known, for a page keeps the policy that it was served with.
    ///
    /// # Errors
    /// `internal`; an address is always a header's value.
    pub(super) async fn policy(&self, replica: &Replica) -> Result<HeaderValue, Problem> {
        if !self.all_known() {
            self.learn(&replica.cluster().await);
        }
        let mut policy =
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                          base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
                          connect-src 'self'"
                .to_owned();
        for (_, address) in self.known() {
            // To write into memory never fails.
            let _ = write!(policy, " http://{address}");
        }
        HeaderValue::try_from(policy).map_err(|why| Problem::internal("write a policy", &why))
    }

    /// The origin of the request, when it is a page of one of the nodes.
    pub(in super::super) fn welcome(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let origin = headers.get(header::ORIGIN)?;
        let address = origin.to_str().ok()?.strip_prefix("http://")?;
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.values().flatten().any(|known| known == address).then(|| origin.clone())
    }
}

/// Whether it can stand in a header, and is no list of several.
fn is_address(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    !text.is_empty() && text.bytes().all(is_part)
}

/// Lets a page of another node read the answer.
pub(in super::super) fn let_read(response: &mut Response, origin: HeaderValue) {
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    let exposed = HeaderValue::from_static(ANSWER_HEADERS);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    headers.append(header::VARY, HeaderValue::from_static("origin"));
}

/// The answer to a browser that asks whether a page of another node may ask, if it is that.
pub(in super::super) fn preflight(origins: &Origins, headers: &HeaderMap) -> Option<Response> {
    headers.get(header::ACCESS_CONTROL_REQUEST_METHOD)?;
    origins.welcome(headers)?;
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
    let asked_with = HeaderValue::from_static(REQUEST_HEADERS);
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked_with);
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    Some(response)
}

#[cfg(test)]
mod tests {
    use super::*;
    use stock::Seq;

    fn node(id: u64, http: Option<&str>) -> NodeView {
        NodeView {
            id: NodeId(id),
            http: http.map(str::to_owned),
            reachable: http.is_some(),
            role: "follower".into(),
            term: 1,
            last_log: 1,
            purged: None,
            committed: 1,
            applied: 1,
            lag: 0,
            seq: Seq(0),
            state_hash: String::new(),
            clock_off_ms: None,
        }
    }

    fn asking(origin: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::ORIGIN, HeaderValue::try_from(origin).unwrap());
        headers
    }

    #[test]
    fn the_nodes_are_welcome_and_nobody_else_and_the_dead_are_remembered() {
        let origins = Origins(Arc::default());
        origins.learn(&[node(1, Some("127.0.0.1:8101")), node(2, None)]);
        assert!(!origins.all_known());
        assert!(origins.welcome(&asking("http://127.0.0.1:8102")).is_none());
        origins.learn(&[node(1, None), node(2, Some("127.0.0.1:8102"))]);
        assert!(origins.all_known());
        for ours in ["http://127.0.0.1:8101", "http://127.0.0.1:8102"] {
            assert_eq!(origins.welcome(&asking(ours)).unwrap(), ours);
        }
        for stranger in [
            "http://127.0.0.1:81",
            "http://127.0.0.1:8103",
            "https://127.0.0.1:8101",
            "http://127.0.0.1:8101/",
            "http://evil.example",
            "null",
            "",
        ] {
            assert!(origins.welcome(&asking(stranger)).is_none(), "{stranger}");
        }
        assert!(origins.welcome(&HeaderMap::new()).is_none());
    }

    #[test]
    fn what_is_no_address_gets_into_no_header() {
        let origins = Origins(Arc::default());
        origins.learn(&[node(1, Some("a:1; script-src *")), node(2, Some("a:1 http://b"))]);
        assert_eq!(origins.known(), []);
        origins.learn(&[node(1, Some("[::1]:8101")), node(2, Some("my-host_1.lan:80"))]);
        assert_eq!(origins.known().len(), 2);
    }
}
