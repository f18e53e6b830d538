//! `GET /ws`: stock levels over a WebSocket, `{"product_id":…,"stock":…}` at each change.
//!
//! Who connects is told every product's level, then each level that changed, at most ten times a
//! second. Levels are not changes: what rose and fell between two looks is told once, as it is
//! now. One task looks for all listeners, and only while there are any.

use super::super::{FrontState, query};
use super::bell::Seat;
use crate::metrics::Listener;
use crate::problem::{Kind, Problem};
use axum::extract::ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::extract::{FromRequestParts, Request};
use axum::response::Response;
use bytes::Bytes;
use raft::Replica;
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use stock::{Product, Seq, Sku};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};
use tokio::time::MissedTickBehavior;

/// Between two looks at the levels.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// Looks that a listener may be behind before it is told all levels anew.
const LOOKS_BEHIND_MAX: usize = 16;
/// A silent connection is asked whether it is still there.
const PING_INTERVAL: Duration = Duration::from_secs(15);
/// Nothing is expected from listeners but pongs and a goodbye.
const MESSAGE_BYTES_MAX: usize = 4 * 1024;

/// The levels that changed between two looks, one message each.
type Look = Arc<[Utf8Bytes]>;

/// What listeners share.
pub(super) struct Levels {
    looks: broadcast::Sender<Look>,
    replica: Replica,
}

/// One message.
#[derive(Serialize)]
struct Level<'a> {
    product_id: &'a Sku,
    stock: u64,
}

impl Levels {
    /// Starts the task, which ends when `closing` turns true.
    pub(super) fn follow(replica: Replica, mut closing: watch::Receiver<bool>) -> Self {
        let (looks, _) = broadcast::channel(LOOKS_BEHIND_MAX);
        let levels = Self { looks: looks.clone(), replica: replica.clone() };
        let mut feed = replica.feed_watch();
        tokio::spawn(async move {
            let mut last = Seq(0);
            loop {
                tokio::select! {
                    Some(_) = feed.after(last) => {}
                    _ = closing.wait_for(|closing| *closing) => return,
                }
                let before = std::mem::replace(&mut last, replica.read(stock::Machine::seq));
                if looks.receiver_count() > 0 {
                    // An error is that the last listener has just gone.
                    let _nobody = looks.send(changed_since(&replica, before).into());
                }
                tokio::time::sleep(LOOK_INTERVAL).await;
            }
        });
        levels
    }
}

/// The levels of the products that changed after `seq`.
fn changed_since(replica: &Replica, seq: Seq) -> Vec<Utf8Bytes> {
    replica.read(|machine| {
        machine.products().filter(|product| product.seq > seq).filter_map(message).collect()
    })
}

fn message(product: &Product) -> Option<Utf8Bytes> {
    let level = Level { product_id: &product.terms.sku, stock: product.available };
    serde_json::to_string(&level).ok().map(Utf8Bytes::from)
}

/// `GET /ws`.
pub(in super::super) async fn show(
    state: Arc<FrontState>,
    request: Request,
) -> Result<Response, Problem> {
    let (mut parts, _) = request.into_parts();
    query::none(&parts.uri)?;
    let upgrade = WebSocketUpgrade::from_request_parts(&mut parts, &()).await;
    let upgrade = upgrade.map_err(|refused| {
        let why = refused.body_text();
        Problem::new(Kind::InvalidHeader, format!("This route is a WebSocket: {why}."))
    })?;
    let seat = state.live.bell.sit(Listener::Levels);
    let upgrade = upgrade.max_message_size(MESSAGE_BYTES_MAX).max_frame_size(MESSAGE_BYTES_MAX);
    Ok(upgrade.on_upgrade(move |socket| async move {
        // However it ends, there is nobody left to tell.
        let _gone = tell(&state, seat, socket).await;
    }))
}

/// Tells a listener the levels until either side ends.
async fn tell(
    state: &FrontState,
    mut seat: Seat,
    mut socket: WebSocket,
) -> Result<(), axum::Error> {
    let levels = &state.live.levels;
    // Before the first look, so that no change falls between the two.
    let mut looks = levels.looks.subscribe();
    send(&mut socket, &changed_since(&levels.replica, Seq(0))).await?;
    let mut ping = tokio::time::interval(PING_INTERVAL);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            look = looks.recv() => match look {
                Ok(look) => send(&mut socket, &look).await?,
                Err(RecvError::Lagged(_)) => {
                    send(&mut socket, &changed_since(&levels.replica, Seq(0))).await?;
                }
                Err(RecvError::Closed) => break,
            },
            received = socket.recv() => match received {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return Ok(()),
                Some(Ok(_)) => {}
            },
            _ = ping.tick() => socket.send(Message::Ping(Bytes::new())).await?,
            () = seat.closed() => break,
        }
        if state.replica.fenced().is_some() {
            break;
        }
    }
    socket.send(Message::Close(None)).await
}

async fn send(socket: &mut WebSocket, levels: &[Utf8Bytes]) -> Result<(), axum::Error> {
    for level in levels {
        socket.send(Message::Text(level.clone())).await?;
    }
    Ok(())
}
