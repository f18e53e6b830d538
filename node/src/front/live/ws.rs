//! `GET /ws`: stock levels over a WebSocket, `{"product_id":…,"stock":…}` at each change.
//!
//! Who connects is told every product's level, then each level that changed, at most ten times a
//! second. Levels are not changes: what rose and fell between two looks is told once, as it is
//! now. `levels.rs` looks for all listeners.

use super::super::docs::{Answer, Docs, Tag};
use super::super::{FrontState, query};
use super::bell::Seat;
use crate::metrics::Listener;
use crate::problem::{Kind, Problem};
use axum::extract::ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::extract::{FromRequestParts, Request};
use axum::http::StatusCode;
use axum::response::Response;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::MissedTickBehavior;

/// A silent connection is asked whether it is still there.
pub(super) const PING_INTERVAL: Duration = Duration::from_secs(15);
/// Nothing is expected from listeners but pongs and a goodbye.
const MESSAGE_BYTES_MAX: usize = 4 * 1024;

pub(in super::super) const SHOW: Docs = Docs {
    id: "levels",
    tag: Tag::Live,
    summary: "Stock levels, over a WebSocket",
    notes: "What `/v1/levels` tells: every product's level to who connects, then each that changed, \
            at most ten times a second, as texts such as \
            `{\"product_id\":\"sneaker\",\"stock\":498}`. Without the headers of a WebSocket's \
            handshake (RFC 6455) it is a 400.",
    parameters: &[],
    body: None,
    answers: &[Answer::new(StatusCode::SWITCHING_PROTOCOLS, "The WebSocket is open.", &[])],
    problems: &[&[Kind::InvalidQuery, Kind::InvalidHeader, Kind::TooManyListeners]],
};

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
    let seat = state.live.bell.sit(Listener::Levels)?;
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
    let Some((levels, mut looks)) = state.live.levels.subscribe().await else {
        return socket.send(Message::Close(None)).await;
    };
    send(&mut socket, levels.messages()).await?;
    let mut ping = tokio::time::interval(PING_INTERVAL);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            look = looks.recv() => match look {
                Ok(look) => send(&mut socket, look.messages()).await?,
                Err(RecvError::Lagged(_)) => {
                    let Some((levels, newer)) = state.live.levels.subscribe().await else {
                        break;
                    };
                    looks = newer;
                    send(&mut socket, levels.messages()).await?;
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
