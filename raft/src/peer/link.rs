//! The way to each peer: addresses, connections, one call.
//!
//! What is asked for every batch goes over a line (see `frames`), all else over HTTP, and so does
//! everything to a peer of a build that has no lines.

use super::frames::Route;
use super::line::{Line, LineError};
use super::lines::{CONNECT_TIMEOUT, Lines, Way};
use super::wire::{Envelope, FORMAT, FRAME_BYTES_MAX, PeerRefusal};
use crate::types::{ClusterId, Incarnation};
use serde::{Serialize, de::DeserializeOwned};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use stock::{NodeId, codec};

/// Idle HTTP connections kept to each peer.
const IDLE_CONNECTIONS_MAX: usize = 16;
/// How long an HTTP connection is kept for the next call: less than peers keep it.
const IDLE_TIME_MAX: Duration = Duration::from_secs(15);

/// Connections that end without an answer before a peer counts as gone: one may be lost.
const PROBES: usize = 3;
const PROBE_INTERVAL: Duration = Duration::from_millis(10);
/// Before the next look at a peer to which there is no line.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Who this node is, to its peers.
#[derive(Debug)]
pub(crate) struct Me {
    pub(crate) id: NodeId,
    pub(crate) incarnation: Incarnation,
    cluster: Mutex<Option<ClusterId>>,
}

/// All peers, as this node reaches them. Clones share connections.
#[derive(Clone)]
pub(crate) struct Links {
    me: Arc<Me>,
    addresses: Arc<BTreeMap<NodeId, String>>,
    lines: Arc<Lines>,
    http: reqwest::Client,
}

/// One request to one peer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call {
    pub(crate) to: NodeId,
    /// The directory that is meant; none where any will do.
    pub(crate) incarnation: Option<Incarnation>,
    pub(crate) path: &'static str,
    pub(crate) timeout: Duration,
}

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PeerError {
    /// The request surely did not reach the peer.
    #[error("node {to} cannot be reached: {source}")]
    Unreachable { to: NodeId, source: Failure },
    /// The request may have reached the peer.
    #[error("node {to} did not answer: {source}")]
    Broken { to: NodeId, source: Failure },
    /// The peer is of a build that has no such route.
    #[error("node {to} is of a build that does not know this request")]
    NoRoute { to: NodeId },
    /// The peer took no notice of the request, and says why.
    #[error("node {to} refused: {refusal}")]
    Refused { to: NodeId, refusal: PeerRefusal },
    /// The frame, or the answer, is not what this build understands.
    #[error("node {to} and this node do not understand each other: {source}")]
    Codec { to: NodeId, source: codec::CodecError },
    /// The answer is larger than any that this build sends.
    #[error("node {to} answered with more than {FRAME_BYTES_MAX} bytes: is it a flashnode?")]
    TooLarge { to: NodeId },
    /// `--peers` does not name this node.
    #[error("node {to} is not among the configured peers")]
    Unknown { to: NodeId },
}

/// What happened on the way.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Connect(std::io::Error),
    #[error(transparent)]
    Line(LineError),
    #[error(transparent)]
    Http(reqwest::Error),
}

impl Failure {
    pub(crate) fn is_timeout(&self) -> bool {
        match self {
            Self::Connect(error) => error.kind() == std::io::ErrorKind::TimedOut,
            Self::Line(error) => matches!(error, LineError::TimedOut(_)),
            Self::Http(error) => error.is_timeout(),
        }
    }
}

impl PeerError {
    /// What is behind it all, such as what the system says of a connection.
    pub(crate) fn root(&self) -> String {
        let mut error: &dyn std::error::Error = self;
        while let Some(source) = error.source() {
            error = source;
        }
        error.to_string()
    }

    /// True when the peer surely did nothing with the request.
    pub(crate) fn surely_not_taken(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::NoRoute { .. }
            | Self::Refused { .. }
            | Self::Unknown { .. } => true,
            Self::Broken { .. } | Self::Codec { .. } | Self::TooLarge { .. } => false,
        }
    }
}

impl Links {
    /// Links to `addresses` (which may contain this node itself; it is never called).
    ///
    /// # Errors
    /// When the HTTP client cannot be built, which no configuration of ours causes.
    pub(crate) fn new(
        id: NodeId,
        incarnation: Incarnation,
        cluster: Option<ClusterId>,
        addresses: BTreeMap<NodeId, String>,
    ) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .pool_idle_timeout(IDLE_TIME_MAX)
            .tcp_nodelay(true)
            .no_proxy()
            .build()?;
        let me = Arc::new(Me { id, incarnation, cluster: Mutex::new(cluster) });
        let lines = Arc::new(Lines::new(addresses.keys().copied()));
        Ok(Self { me, addresses: Arc::new(addresses), lines, http })
    }

    pub(crate) fn id(&self) -> NodeId {
        self.me.id
    }

    pub(crate) fn incarnation(&self) -> Incarnation {
        self.me.incarnation
    }

    pub(crate) fn cluster(&self) -> Option<ClusterId> {
        *self.me.cluster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_cluster(&self, cluster: ClusterId) {
        *self.me.cluster.lock().unwrap_or_else(PoisonError::into_inner) = Some(cluster);
    }

    /// Returns when the line to a peer has ended; opens it first if there is none.
    pub(crate) async fn lost(&self, peer: NodeId) {
        loop {
            let opened = match self.address(peer) {
                Some(address) => self.lines.to(peer, address).await.ok(),
                None => None,
            };
            match opened {
                Some(Way::Line(line)) => return line.ended().await,
                // A build without lines, or nobody yet.
                Some(Way::HttpOnly) | None => tokio::time::sleep(LOOK_AGAIN).await,
            }
        }
    }

    /// Whether nobody listens at a peer's address: its system says so, or what stands before it
    /// closes one connection after the other.
    pub(crate) async fn is_refused_by(&self, peer: NodeId) -> bool {
        let Some(address) = self.address(peer) else {
            return false;
        };
        for _ in 0..PROBES {
            match tokio::time::timeout(CONNECT_TIMEOUT, Line::open(address)).await {
                Ok(Err(error)) => match error.kind() {
                    io::ErrorKind::ConnectionRefused => return true,
                    io::ErrorKind::ConnectionReset
                    | io::ErrorKind::ConnectionAborted
                    | io::ErrorKind::BrokenPipe
                    | io::ErrorKind::UnexpectedEof => tokio::time::sleep(PROBE_INTERVAL).await,
                    _ => return false,
                },
                // It answers, or nobody knows.
                Ok(Ok(_)) | Err(_) => return false,
            }
        }
        true
    }

    /// Every configured node, this one too.
    pub(crate) fn ids(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.addresses.keys().copied()
    }

    /// Every configured node but this one.
    pub(crate) fn others(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.ids().filter(|id| *id != self.me.id)
    }

    /// The address of a node's peer listener, as this node reaches it.
    pub(crate) fn address(&self, id: NodeId) -> Option<&str> {
        self.addresses.get(&id).map(String::as_str)
    }

    fn envelope(&self, call: Call) -> Envelope {
        Envelope {
            cluster: self.cluster(),
            from: self.me.id,
            from_incarnation: self.me.incarnation,
            to: call.to,
            to_incarnation: call.incarnation,
            clock_ms: wall_clock_ms(),
        }
    }

    /// Sends one request and decodes the answer.
    ///
    /// # Errors
    /// [`PeerError`]; [`PeerError::surely_not_taken`] tells whether the peer may have acted on it.
    pub(crate) async fn call<Q: Serialize, A: DeserializeOwned>(
        &self,
        call: Call,
        request: &Q,
    ) -> Result<A, PeerError> {
        let frame_bytes_max = crate::snapshot::MANIFEST_BYTES_MAX + FRAME_BYTES_MAX;
        let frame = codec::encode(&(self.envelope(call), request), frame_bytes_max)
            .map_err(|source| PeerError::Codec { to: call.to, source })?;
        let mut body = Vec::with_capacity(2 + frame.len());
        body.extend_from_slice(&FORMAT.to_le_bytes());
        body.extend_from_slice(&frame);
        let answer = self.send(call, body).await?;
        let answer: Result<A, PeerRefusal> = codec::decode(&answer, FRAME_BYTES_MAX)
            .map_err(|source| PeerError::Codec { to: call.to, source })?;
        answer.map_err(|refusal| PeerError::Refused { to: call.to, refusal })
    }

    async fn send(&self, call: Call, body: Vec<u8>) -> Result<bytes::Bytes, PeerError> {
        let to = call.to;
        let address = self.address(to).ok_or(PeerError::Unknown { to })?;
        let Some(route) = Route::of(call.path) else {
            return self.send_http(address, call, body).await;
        };
        let unreachable = |source| PeerError::Unreachable { to, source: Failure::Connect(source) };
        match self.lines.to(to, address).await.map_err(unreachable)? {
            Way::HttpOnly => self.send_http(address, call, body).await,
            Way::Line(line) => {
                line.call(route, &body, call.timeout).await.map_err(|source| match source {
                    LineError::NoRoute => PeerError::NoRoute { to },
                    source => PeerError::Broken { to, source: Failure::Line(source) },
                })
            }
        }
    }

    async fn send_http(
        &self,
        address: &str,
        call: Call,
        body: Vec<u8>,
    ) -> Result<bytes::Bytes, PeerError> {
        let to = call.to;
        let failed = |source: reqwest::Error| {
            if source.is_connect() {
                PeerError::Unreachable { to, source: Failure::Http(source) }
            } else if source.status() == Some(reqwest::StatusCode::NOT_FOUND) {
                PeerError::NoRoute { to }
            } else {
                PeerError::Broken { to, source: Failure::Http(source) }
            }
        };
        let mut answer = self
            .http
            .post(format!("http://{address}{}", call.path))
            .timeout(call.timeout)
            .body(body)
            .send()
            .await
            .and_then(reqwest::Response::error_for_status)
            .map_err(failed)?;
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(failed)? {
            if bytes.len() + chunk.len() > FRAME_BYTES_MAX as usize {
                return Err(PeerError::TooLarge { to });
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes.into())
    }
}

/// Milliseconds since the Unix epoch; 0 on a clock before it.
pub(crate) fn wall_clock_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
