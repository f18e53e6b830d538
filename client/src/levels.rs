//! Stock levels over a WebSocket, followed over any node.
//!
//! Owns: the connection, and the way on to the next node when one falls silent. Levels are no
//! changes and have no place in a feed: a product that rose and fell within a tenth of a second is
//! told once, and a node that goes on for another tells every level anew. Never does: keep a
//! level. Called by `flashctl watch --levels`; who must miss nothing follows [`Client::events`].

use crate::{Client, ClientError};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};
use stock::Sku;
use stock::api::Problem;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

/// A node asks at least every 15 s whether its listener is there; a silent one is given up.
const SILENCE_MAX: Duration = Duration::from_secs(25);
/// Before the next node is asked when one does not answer.
const NEXT_NODE_PAUSE: Duration = Duration::from_millis(50);

/// What can be bought of a product now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Level {
    /// The product.
    pub product_id: Sku,
    /// Units available.
    pub stock: u64,
}

/// A listener to stock levels.
#[derive(Debug)]
pub struct Levels<'c> {
    client: &'c Client,
    node: usize,
    socket: Option<WebSocketStream<TcpStream>>,
}

impl Client {
    /// Follows the stock levels: all of them first, then each that changed, at most ten times a
    /// second. Nothing is connected yet.
    pub fn levels(&self) -> Levels<'_> {
        let node = self.nodes.awake_from(self.nodes.next());
        Levels { client: self, node, socket: None }
    }
}

impl Levels<'_> {
    /// Waits for the next level, however long it takes.
    ///
    /// # Errors
    /// [`ClientError::Unavailable`] when no node tells any in time; [`ClientError::Refused`] when
    /// a node does not tell levels at all.
    pub async fn next(&mut self) -> Result<Level, ClientError> {
        let mut silent_since = Instant::now();
        loop {
            let told = match &mut self.socket {
                None => self.connect().await?,
                Some(socket) => match tokio::time::timeout(SILENCE_MAX, socket.next()).await {
                    Ok(Some(Ok(Message::Text(text)))) => match serde_json::from_str(&text) {
                        Ok(level) => return Ok(level),
                        Err(why) => Err(format!("a level is none: {why}")),
                    },
                    Ok(Some(Ok(Message::Close(_))) | None) => Err("it ended the stream".to_owned()),
                    // A ping, which the next read answers.
                    Ok(Some(Ok(_))) => Ok(()),
                    Ok(Some(Err(why))) => Err(why.to_string()),
                    Err(_) => Err("it fell silent".to_owned()),
                },
            };
            let Err(why) = told else {
                silent_since = Instant::now();
                continue;
            };
            let why = format!("{}: {why}", self.client.address(self.node));
            self.socket = None;
            self.node = self.client.nodes.awake_from(self.node + 1);
            if silent_since.elapsed() > self.client.timeouts.give_up {
                return Err(ClientError::Unavailable { why });
            }
            tokio::time::sleep(NEXT_NODE_PAUSE).await;
        }
    }

    /// Asks this node; says why it does not tell.
    async fn connect(&mut self) -> Result<Result<(), String>, ClientError> {
        let address = self.client.address(self.node);
        let timeouts = self.client.timeouts;
        let tcp = match tokio::time::timeout(timeouts.connect, TcpStream::connect(address)).await {
            Ok(Ok(tcp)) => tcp,
            Ok(Err(why)) => return Ok(Err(why.to_string())),
            Err(_) => return Ok(Err("no connection in time".to_owned())),
        };
        let upgrade = client_async(format!("ws://{address}/ws"), tcp);
        match tokio::time::timeout(timeouts.attempt, upgrade).await {
            Ok(Ok((socket, _))) => {
                self.socket = Some(socket);
                Ok(Ok(()))
            }
            Ok(Err(Error::Http(answer))) => {
                let status = answer.status().as_u16();
                // No body is no problem document either, and then the status says all there is.
                let words = answer.body().as_deref().unwrap_or_default();
                match serde_json::from_slice::<Problem>(words) {
                    Ok(problem) if status < 500 => Err(ClientError::Refused(Box::new(problem))),
                    Ok(problem) => Ok(Err(problem.detail)),
                    Err(_) => Ok(Err(format!("it answered {status}"))),
                }
            }
            Ok(Err(why)) => Ok(Err(why.to_string())),
            Err(_) => Ok(Err("no answer in time".to_owned())),
        }
    }
}
