//! One proxy: how one node reaches another.
//!
//! Owns: a listener, and a pair of sockets for each connection that it accepted. Dropping it
//! closes all of them. Called by `network`.

use super::pump::{End, Flow, Traffic, pump};
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::Interest;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// Connections of one link. More wait in the listener's backlog, as over a congested link.
const CONNECTIONS_MAX: usize = 512;
/// How long the other side may take to accept.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long to wait after a failed accept: the process may be out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// A direction of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From the node that connects.
    Forward,
    /// To the node that connects.
    Back,
}

/// One proxy, listening on loopback.
#[derive(Debug)]
pub struct Link {
    address: SocketAddr,
    traffic: Ways<watch::Sender<Traffic>>,
    lost: Arc<AtomicU64>,
    listening: JoinHandle<()>,
}

#[derive(Debug, Clone)]
struct Ways<T> {
    forward: T,
    back: T,
}

impl Link {
    /// Listens on a free port, and joins whoever connects with `target`, a `host:port`. `seed`
    /// decides about jitter and loss.
    ///
    /// # Errors
    /// When no port can be bound.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn open(target: String, seed: u64) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (forward, forward_seen) = watch::channel(Traffic::default());
        let (back, back_seen) = watch::channel(Traffic::default());
        let watched = Ways { forward: forward_seen, back: back_seen };
        let lost = Arc::default();
        let listening = tokio::spawn(listen(listener, target, watched, Arc::clone(&lost), seed));
        Ok(Self { address, traffic: Ways { forward, back }, lost, listening })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on, this is what happens to bytes on this way.
    pub fn set(&self, way: Way, change: impl FnOnce(&mut Traffic)) {
        match way {
            Way::Forward => self.traffic.forward.send_modify(change),
            Way::Back => self.traffic.back.send_modify(change),
        }
    }

    /// Chunks that were stalled or broke their connection so far, by [`super::Loss`].
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// What happens to bytes on this way.
    pub fn traffic(&self, way: Way) -> Traffic {
        match way {
            Way::Forward => *self.traffic.forward.borrow(),
            Way::Back => *self.traffic.back.borrow(),
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn listen(
    listener: TcpListener,
    target: String,
    traffic: Ways<watch::Receiver<Traffic>>,
    lost: Arc<AtomicU64>,
    seed: u64,
) {
    // Dropped with this task, which ends all connections.
    let mut connections = JoinSet::new();
    for connection in 0_u64.. {
        while connections.try_join_next().is_some() {}
        if connections.len() >= CONNECTIONS_MAX {
            connections.join_next().await;
        }
        match listener.accept().await {
            Ok((near, _)) => {
                let random = StdRng::seed_from_u64(seed.wrapping_add(connection << 1));
                connections.spawn(join(
                    near,
                    target.clone(),
                    traffic.clone(),
                    Arc::clone(&lost),
                    random,
                ));
            }
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// One connection, from its accept to its end.
async fn join(
    mut near: TcpStream,
    target: String,
    mut traffic: Ways<watch::Receiver<Traffic>>,
    lost: Arc<AtomicU64>,
    mut random: StdRng,
) {
    if !both_pass(&near, &mut traffic).await {
        return;
    }
    let connected = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(&target)).await;
    let Ok(Ok(mut far)) = connected else {
        reset(&near);
        return;
    };
    // A chunk that waits for another would be a delay that nobody asked for.
    let (_, _) = (near.set_nodelay(true), far.set_nodelay(true));
    let back_random = StdRng::from_rng(&mut random);
    let ends = {
        let ((near_in, near_out), (far_in, far_out)) = (near.split(), far.split());
        let forward = pump(near_in, far_out, traffic.forward, Arc::clone(&lost), random);
        let back = pump(far_in, near_out, traffic.back, lost, back_random);
        both_or_broken(forward, back).await
    };
    if ends == End::Broken {
        reset(&near);
        reset(&far);
    }
}

/// Waits until a handshake could complete: both ways pass. False when the caller has gone by then.
async fn both_pass(near: &TcpStream, traffic: &mut Ways<watch::Receiver<Traffic>>) -> bool {
    let passes = |traffic: &Traffic| traffic.flow == Flow::Pass;
    let mut waited = false;
    while !(passes(&traffic.forward.borrow()) && passes(&traffic.back.borrow())) {
        waited = true;
        let passing = traffic.forward.wait_for(passes).await.is_ok()
            && traffic.back.wait_for(passes).await.is_ok();
        if !passing {
            return false;
        }
    }
    !waited || !has_gone(near).await
}

/// Whether the caller has closed its socket. Without bytes to be read it surely waits still.
async fn has_gone(near: &TcpStream) -> bool {
    let ready = tokio::time::timeout(Duration::ZERO, near.ready(Interest::READABLE)).await;
    matches!(ready, Ok(Ok(ready)) if ready.is_read_closed())
}

/// Both ways to their ends; but when one breaks, so does the other.
async fn both_or_broken(
    forward: impl Future<Output = End>,
    back: impl Future<Output = End>,
) -> End {
    tokio::pin!(forward, back);
    let (first, forward_is_first) = tokio::select! {
        end = &mut forward => (end, true),
        end = &mut back => (end, false),
    };
    match (first, forward_is_first) {
        (End::Broken, _) => End::Broken,
        (End::Closed, true) => back.await,
        (End::Closed, false) => forward.await,
    }
}

/// Lets the coming drop send RST.
fn reset(stream: &TcpStream) {
    // An error means that the socket is gone already.
    let _ = stream.set_zero_linger();
}
