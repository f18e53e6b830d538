//! The Redis protocol on a listener of its own: stock as counters, for code that keeps it in Redis.
//!
//! Owns the listener and its bounds, and the little of Redis that there is: `wire` has the bytes,
//! `command` the commands, `connection` one client, `pipeline` what its commands come to. Never
//! decides anything: writes go to the stock actor like those of the HTTP front, a pipeline's as one
//! batch, and reads wait for a read barrier. Off unless `--resp` names an address. It knows no
//! passwords, and trusts whoever reaches it.

mod command;
mod connection;
mod pipeline;
mod wire;

use crate::actor::StockHandle;
use connection::Connection;
use raft::Replica;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use stock::Debt;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

/// Before the next try when the system has no room for a further connection.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// What the listener is set to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RespSettings {
    /// Where it binds.
    pub(crate) address: SocketAddr,
    /// What becomes of a decrement below zero.
    pub(crate) debt: Debt,
}

/// What every connection works with.
pub(crate) struct Resp {
    replica: Replica,
    stock: StockHandle,
    /// How long an answer may take once its request is here.
    deadline: Duration,
    debt: Debt,
    /// The number of the next connection.
    next_id: AtomicU64,
}

impl Resp {
    pub(crate) fn new(
        replica: Replica,
        stock: StockHandle,
        deadline: Duration,
        debt: Debt,
    ) -> Self {
        Self { replica, stock, deadline, debt, next_id: AtomicU64::new(1) }
    }
}

/// Serves until `closing` turns true and every connection has ended.
pub(crate) async fn serve(
    listener: TcpListener,
    resp: Resp,
    connections_max: usize,
    mut closing: watch::Receiver<bool>,
) {
    let resp = Arc::new(resp);
    let slots = Arc::new(Semaphore::new(connections_max));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = closing.wait_for(|closing| *closing) => break,
        };
        let tcp = match accepted {
            Ok((tcp, _)) => tcp,
            Err(error) => {
                tracing::warn!("cannot accept a connection of the Redis protocol: {error}");
                tokio::time::sleep(ACCEPT_RETRY).await;
                continue;
            }
        };
        let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
            refuse(tcp).await;
            continue;
        };
        let id = resp.next_id.fetch_add(1, Ordering::Relaxed);
        let connection = Connection::new(tcp, id, Arc::clone(&resp));
        let closing = closing.clone();
        tokio::spawn(async move {
            if let Err(error) = connection.run(closing).await {
                tracing::debug!("a connection of the Redis protocol ended: {error}");
            }
            drop(slot);
        });
    }
    drop(listener);
    let all = u32::try_from(connections_max).unwrap_or(u32::MAX);
    // The semaphore is never closed, so this waits for the last connection's slot.
    let _ended = slots.acquire_many(all).await;
}

/// Tells one connection too many so. What does not fit the system's buffer is not waited for.
async fn refuse(mut tcp: TcpStream) {
    let line = b"-ERR max number of clients reached\r\n";
    let written = tokio::time::timeout(ACCEPT_RETRY, tcp.write_all(line)).await;
    tracing::debug!("one connection of the Redis protocol too many: {written:?}");
}
