//! The lines to all peers: opened when they are needed, and again when they have ended.

use super::line::{Greeted, Line};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use stock::NodeId;
use tokio::task::JoinSet;

/// A connect and greeting that take longer are given up: the peer is dead or cut off.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_millis(250);
/// Before a peer whose build has no lines is asked again whether it has.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// How a peer can be called.
pub(super) enum Way {
    Line(Arc<Line>),
    HttpOnly,
}

/// One line a peer.
pub(super) struct Lines {
    peers: BTreeMap<NodeId, Peer>,
}

#[derive(Default)]
struct Peer {
    open: Mutex<Option<Arc<Line>>>,
    opening: tokio::sync::Mutex<Opening>,
}

/// Held by whoever opens a line; the others wait, and share what came of it.
#[derive(Default)]
struct Opening {
    /// Owns the task of the line that is open.
    task: JoinSet<()>,
    failed: Option<(Instant, String)>,
    http_only: Option<Instant>,
}

impl Lines {
    pub(super) fn new(peers: impl Iterator<Item = NodeId>) -> Self {
        Self { peers: peers.map(|id| (id, Peer::default())).collect() }
    }

    /// The way to a peer, opened if it is not. Nothing of a request has been sent by then.
    ///
    /// # Errors
    /// When the peer cannot be reached, is not configured, or does not answer in time.
    pub(super) async fn to(&self, id: NodeId, address: &str) -> io::Result<Way> {
        let peer = self.peers.get(&id).ok_or(io::ErrorKind::NotFound)?;
        match peer.is_open() {
            Some(line) => Ok(Way::Line(line)),
            None => peer.open(address).await,
        }
    }
}

impl Peer {
    fn is_open(&self) -> Option<Arc<Line>> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.as_ref().filter(|line| !line.is_closed()).cloned()
    }

    async fn open(&self, address: &str) -> io::Result<Way> {
        let asked = Instant::now();
        let mut opening = self.opening.lock().await;
        if let Some(line) = self.is_open() {
            return Ok(Way::Line(line));
        }
        match &opening.failed {
            Some((at, why)) if *at > asked => return Err(io::Error::other(why.clone())),
            _ => {}
        }
        if opening.http_only.is_some_and(|since| since.elapsed() < ASK_AGAIN) {
            return Ok(Way::HttpOnly);
        }
        let greeted = tokio::time::timeout(CONNECT_TIMEOUT, Line::open(address)).await;
        match greeted.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(Greeted::Line(line, answers)) => {
                let line = Arc::new(line);
                let running = Arc::clone(&line);
                // The line before has ended, and its task with it.
                opening.task = JoinSet::new();
                opening.task.spawn(async move { running.run(answers).await });
                (opening.http_only, opening.failed) = (None, None);
                *self.open.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&line));
                Ok(Way::Line(line))
            }
            Ok(Greeted::HttpOnly) => {
                opening.http_only = Some(Instant::now());
                Ok(Way::HttpOnly)
            }
            Err(error) => {
                opening.failed = Some((Instant::now(), error.to_string()));
                Err(error)
            }
        }
    }
}
