//! Bytes on a TCP connection, as no HTTP library would send them.

use super::PATIENCE;
use serde_json::Value;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

/// What came back before the connection was closed.
#[derive(Debug)]
pub(crate) struct RawAnswer {
    /// 0 when the connection was closed without an answer.
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Value,
}

impl RawAnswer {
    fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        let body = serde_json::from_str(body).unwrap_or(Value::Null);
        Self { status, head: head.to_owned(), body }
    }

    pub(crate) fn kind(&self) -> &str {
        self.body["type"].as_str().unwrap_or("").trim_start_matches("/problems/")
    }

    pub(crate) fn detail(&self) -> &str {
        self.body["detail"].as_str().unwrap_or("")
    }
}

/// A request with a body of these bytes, after which the connection closes.
pub(crate) fn request(method: &str, path: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: flashnode\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// Sends everything, and reads until the node closes the connection.
pub(crate) async fn exchange(address: &str, bytes: &[u8]) -> RawAnswer {
    send(TcpStream::connect(address).await.expect("the node listens"), bytes).await
}

/// As [`exchange`], with a node that may be gone: none then.
pub(crate) async fn try_exchange(address: &str, bytes: &[u8]) -> Option<RawAnswer> {
    let answer = send(TcpStream::connect(address).await.ok()?, bytes).await;
    (answer.status != 0).then_some(answer)
}

async fn send(tcp: TcpStream, bytes: &[u8]) -> RawAnswer {
    let (mut from, mut to) = tcp.into_split();
    // A node that has answered need not read the rest, so a failing write is no failure.
    let bytes = bytes.to_vec();
    let sender = tokio::spawn(async move {
        let _cut = to.write_all(&bytes).await;
        to
    });
    let mut answer = Vec::new();
    let _reset = tokio::time::timeout(PATIENCE, from.read_to_end(&mut answer))
        .await
        .expect("the node closes the connection");
    sender.abort();
    RawAnswer::parse(&answer)
}

/// Sends one byte after another, and reads until the node closes the connection.
pub(crate) async fn drip(
    address: &str,
    at_once: &[u8],
    slowly: &[u8],
    pause: Duration,
) -> RawAnswer {
    let tcp = TcpStream::connect(address).await.expect("the node listens");
    let (mut from, mut to) = tcp.into_split();
    let (at_once, slowly) = (at_once.to_vec(), slowly.to_vec());
    let sender = tokio::spawn(async move {
        let _cut = to.write_all(&at_once).await;
        // By the clock: pauses that each last a little longer would add up.
        let began = Instant::now();
        for (byte, number) in slowly.into_iter().zip(1..) {
            if to.write_all(&[byte]).await.is_err() {
                return;
            }
            tokio::time::sleep_until(began + pause * number).await;
        }
        // The half stays open: the node, not the client, gives up.
        std::future::pending::<()>().await;
    });
    let mut answer = Vec::new();
    let _reset = tokio::time::timeout(PATIENCE, from.read_to_end(&mut answer))
        .await
        .expect("the node closes the connection");
    sender.abort();
    RawAnswer::parse(&answer)
}
