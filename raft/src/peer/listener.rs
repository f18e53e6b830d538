//! The peer listener: takes connections, within limits, and tells lines from HTTP.
//!
//! Never looks into a request. A task a connection, all of them owned by the listener's.

use super::frames::MAGIC;
use super::{desk, line, server};
use crate::shared::Shared;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Connections at once: a few from each peer, and room for those that a partition left behind.
const CONNECTIONS_MAX: usize = 512;
/// How long the first byte may take, and a head of HTTP; so it is also how long a connection that
/// carries HTTP may idle.
const HEAD_TIME_MAX: Duration = Duration::from_secs(30);
/// The most bytes of a head.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Before the next try when the system has no room for a further connection.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Serves peers until it is dropped.
pub(crate) async fn listen(listener: TcpListener, shared: Arc<Shared>) {
    let routes = server::router(Arc::clone(&shared));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME_MAX)
        .max_header_size(HEAD_BYTES_MAX);
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => accepted,
            Some(_ended) = connections.join_next() => continue,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!("a peer's connection cannot be taken: {error}");
                tokio::time::sleep(ACCEPT_RETRY).await;
                continue;
            }
        };
        let (routes, http, shared) = (routes.clone(), http.clone(), Arc::clone(&shared));
        connections.spawn(async move {
            line::prepare(&stream);
            let ended = match opens_a_line(&stream).await {
                Ok(true) => {
                    desk::serve(stream, |route, body| server::act(Arc::clone(&shared), route, body))
                        .await
                }
                Ok(false) => http
                    .serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes))
                    .await
                    .map_err(io::Error::other),
                Err(error) => Err(error),
            };
            if let Err(error) = ended {
                tracing::debug!("a peer's connection ended: {error}");
            }
        });
    }
}

/// Looks at the first byte, and leaves it where it is.
async fn opens_a_line(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0];
    match tokio::time::timeout(HEAD_TIME_MAX, stream.peek(&mut first)).await {
        Ok(Ok(0)) => Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(peeked) => peeked.map(|_| first[0] == MAGIC[0]),
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}
