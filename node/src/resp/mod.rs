//! The Redis protocol on a listener of its own: stock as counters, for code that keeps it in Redis.
//!
//! Owns the listener and its bounds, and the little of Redis that there is: `wire` has the bytes,
//! `command` the commands, `connection` one client, `inbox` what it sent, `pipeline` what its
//! commands come to. Never decides anything: writes go to the stock actor like those of the HTTP
//! front, a pipeline's as one batch, and reads wait for a read barrier. Off unless `--resp` names
//! an address. It knows no passwords, and trusts whoever reaches it.

mod command;
mod connection;
mod inbox;
mod pipeline;
mod wire;

use crate::actor::{MAILBOX_MAX, StockHandle};
use connection::Connection;
use raft::Replica;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use stock::Debt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

/// Before the next try when the system has no room for a further connection.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);
/// Writes of all connections that may be in the actor's mailbox at once: half of it. However many
/// pipelines come, HTTP buyers find room; further writes wait for their turn, until their deadline.
const WRITES_IN_FLIGHT_MAX: usize = MAILBOX_MAX / 2;
/// Connections that are told that they are one too many, at once; others are closed without a word.
const REFUSALS_MAX: usize = 64;
/// How long such a one is still read, so that it gets to read the word.
const REFUSAL_TIME_MAX: Duration = Duration::from_secs(1);
/// And how much of it.
const REFUSAL_BYTES_MAX: u64 = 64 * 1024;

/// What the listener is set to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RespSettings {
    /// Where it binds.
    pub(crate) address: SocketAddr,
    /// What becomes of a decrement below zero.
    pub(crate) debt: Debt,
    /// The most connections, besides those of HTTP; further ones are refused.
    pub(crate) connections_max: usize,
}

/// What every connection works with.
pub(crate) struct Resp {
    replica: Replica,
    stock: StockHandle,
    /// How long an answer may take once its request is here.
    deadline: Duration,
    debt: Debt,
    /// Places in the mailbox.
    writes: Semaphore,
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
        let writes = Semaphore::new(WRITES_IN_FLIGHT_MAX);
        Self { replica, stock, deadline, debt, writes, next_id: AtomicU64::new(1) }
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
    let refusals = Arc::new(Semaphore::new(REFUSALS_MAX));
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
            if let Ok(turn) = Arc::clone(&refusals).try_acquire_owned() {
                tokio::spawn(async move {
                    refuse(tcp).await;
                    drop(turn);
                });
            }
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

/// Tells one connection too many so. What it has sent by then is read, or the close would be a
/// reset that overtakes the word.
async fn refuse(mut tcp: TcpStream) {
    let told = async {
        tcp.write_all(b"-ERR max number of clients reached\r\n").await?;
        tcp.shutdown().await?;
        let mut rest = tcp.take(REFUSAL_BYTES_MAX);
        tokio::io::copy(&mut rest, &mut tokio::io::sink()).await
    };
    let told = tokio::time::timeout(REFUSAL_TIME_MAX, told).await;
    tracing::debug!("one connection of the Redis protocol too many: {told:?}");
}
