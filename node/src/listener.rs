//! The public listener: takes connections, within limits, and speaks HTTP/1 on them.
//!
//! Owns the bounds that no endpoint can keep by itself: how many connections there are, how long
//! a head may take and how large it may be, how long a client may refuse to read. Never looks
//! into a request. Called by `node.rs`, which also says when to stop.
//!
//! What hyper cannot parse, it answers itself with a bare 400, 414 or 431 and closes; a head that
//! does not arrive in time is closed without an answer. Everything else reaches the routes.

mod refusal;
mod stream;

use crate::front::PeerAddress;
use crate::metrics::Metrics;
use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use refusal::Refusals;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use stream::{Slot, Stream};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, watch};
use tower::ServiceExt;

/// How long a head may take, from the first byte of a connection or the answer before it. So it
/// is also how long a connection may idle between two requests.
const HEAD_TIME_MAX: Duration = Duration::from_secs(15);
/// The most bytes of a head: the request line and all headers.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// The most bytes that are read ahead, or wait to be written, on one connection.
const BUFFER_BYTES_MAX: usize = 64 * 1024;
/// Connections that the system takes before this node does.
pub(crate) const BACKLOG: u32 = 1024;
/// Before the next try when the system has no room for a further connection.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);
/// Files that are no public connections: the log, segments, peers.
const FILES_RESERVED: u64 = 512;

/// Takes a port for this node, without taking connections on it: they are refused until
/// [`TcpSocket::listen`]. A node that reads its snapshot would let them wait for nothing.
///
/// # Errors
/// When somebody listens there, or this address is none of this machine's.
pub(crate) fn take_port(address: SocketAddr) -> io::Result<TcpSocket> {
    let port = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // A node that was restarted gets its port although connections of its last run linger.
    port.set_reuseaddr(true)?;
    port.bind(address)?;
    Ok(port)
}

/// Serves the routes until `closing` turns true and every connection has ended.
///
/// From then on nothing is accepted, and each connection ends after the answer that it waits for.
pub(crate) async fn serve(
    listener: TcpListener,
    routes: Router,
    connections_max: usize,
    metrics: Metrics,
    mut closing: watch::Receiver<bool>,
) {
    let slots = Arc::new(Semaphore::new(connections_max));
    let refusals = Refusals::new(&metrics).await;
    let connections = Connections { http: http(), routes, closing: closing.clone() };
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = closing.wait_for(|closing| *closing) => break,
        };
        let (tcp, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                wait_to_accept(&error).await;
                continue;
            }
        };
        match Arc::clone(&slots).try_acquire_owned() {
            Ok(permit) => {
                connections.start(tcp, PeerAddress(peer.ip()), Slot::new(permit, metrics.clone()));
            }
            Err(_) => refusals.refuse(tcp),
        }
    }
    drop(listener);
    let all = u32::try_from(connections_max).unwrap_or(u32::MAX);
    // The semaphore is never closed, so this waits for the last connection's slot.
    let _ended = slots.acquire_many(all).await;
}

/// Lets this process open as many files as the system allows it, and returns how many of the wanted
/// connections there is room for: those of HTTP, and those of the Redis protocol. Where there is
/// too little for all, both have the same part of what they want.
pub(crate) fn make_room(http_wanted: usize, resp_wanted: usize) -> (usize, usize) {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::warn!("the limit of open files stays as it is: {error}");
        }
    }
    let Some(files) = getrlimit(Resource::Nofile).current else {
        return (http_wanted, resp_wanted);
    };
    let room = usize::try_from(files.saturating_sub(FILES_RESERVED).max(1)).unwrap_or(usize::MAX);
    let wanted = http_wanted.saturating_add(resp_wanted);
    if room < wanted {
        tracing::warn!(
            "{files} open files are allowed, so at most {room} connections are taken, not \
             {wanted}; raise `ulimit -n`"
        );
    }
    share(room, http_wanted, resp_wanted)
}

/// The parts of two who want more than there is; who wants one gets one.
fn share(room: usize, http_wanted: usize, resp_wanted: usize) -> (usize, usize) {
    let wanted = http_wanted.saturating_add(resp_wanted);
    if wanted <= room {
        return (http_wanted, resp_wanted);
    }
    let part = |wants: usize| {
        let part = wants as u128 * room as u128 / wanted as u128;
        usize::try_from(part).unwrap_or(usize::MAX).max(usize::from(wants > 0))
    };
    (part(http_wanted), part(resp_wanted))
}

fn http() -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME_MAX)
        .max_header_size(HEAD_BYTES_MAX)
        .max_buf_size(BUFFER_BYTES_MAX);
    http
}

/// What every connection is served with.
struct Connections {
    http: http1::Builder,
    routes: Router,
    closing: watch::Receiver<bool>,
}

impl Connections {
    /// Serves one connection in a task of its own, which ends with it.
    fn start(&self, tcp: TcpStream, peer: PeerAddress, slot: Slot) {
        // Without it a small answer may wait for the acknowledgement of the one before.
        if let Err(error) = tcp.set_nodelay(true) {
            tracing::debug!("a connection without TCP_NODELAY: {error}");
        }
        let io = TokioIo::new(Stream::new(tcp, slot));
        let routes = self.routes.clone().map_request(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer);
            request
        });
        let service = TowerToHyperService::new(routes);
        let served = self.http.serve_connection(io, service).with_upgrades();
        let mut closing = self.closing.clone();
        tokio::spawn(async move {
            let mut served = pin!(served);
            tokio::select! {
                biased;
                ended = served.as_mut() => return log_end(ended),
                _ = closing.wait_for(|closing| *closing) => {}
            }
            served.as_mut().graceful_shutdown();
            log_end(served.await);
        });
    }
}

fn log_end(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!("a connection ended: {error}");
    }
}

/// A connection that broke before it was accepted is no reason to wait; a lack of files or memory
/// is: accepting again at once would spin.
async fn wait_to_accept(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        return;
    }
    tracing::warn!("cannot accept a connection: {error}");
    tokio::time::sleep(ACCEPT_RETRY).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_listeners_share_what_room_there_is() {
        assert_eq!(share(usize::MAX, 20_000, 10_000), (20_000, 10_000));
        assert_eq!(share(30_000, 20_000, 10_000), (20_000, 10_000));
        assert_eq!(share(512, 20_000, 10_000), (341, 170));
        assert_eq!(share(512, 20_000, 0), (512, 0));
        assert_eq!(share(1, 20_000, 10_000), (1, 1));
    }
}
