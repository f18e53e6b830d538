//! What a connection is told when there are as many as this node takes: a 503, and goodbye.
//!
//! The answer is written without reading a request, so a client that never sends one costs
//! nothing. It is made once.

use super::stream::linger;
use crate::metrics::Metrics;
use crate::problem::{Kind, Problem};
use axum::response::IntoResponse;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

/// Refused connections that may still be on their way out; more are cut without a word.
const LEAVING_MAX: usize = 256;
/// How soon it is worth to connect again.
const RETRY: Duration = Duration::from_secs(1);

/// Refuses connections.
pub(super) struct Refusals {
    answer: Arc<str>,
    leaving: Arc<Semaphore>,
    metrics: Metrics,
}

impl Refusals {
    /// Writes the answer.
    pub(super) async fn new(metrics: &Metrics) -> Self {
        let leaving = Arc::new(Semaphore::new(LEAVING_MAX));
        Self { answer: answer().await.into(), leaving, metrics: metrics.clone() }
    }

    /// Says no to one connection, and closes it.
    pub(super) fn refuse(&self, tcp: TcpStream) {
        self.metrics.connection_refused();
        let Ok(leaving) = Arc::clone(&self.leaving).try_acquire_owned() else {
            return;
        };
        let answer = Arc::clone(&self.answer);
        tokio::spawn(async move {
            // A fresh connection takes so few bytes at once, or it is gone.
            if tcp.writable().await.is_ok() && tcp.try_write(answer.as_bytes()).is_ok() {
                linger(tcp).await;
            }
            drop(leaving);
        });
    }
}

async fn answer() -> String {
    let problem = Problem::plain(Kind::TooManyConnections).retry_after(RETRY);
    let (head, body) = problem.into_response().into_parts();
    // The body is in memory already, and far smaller.
    let body = axum::body::to_bytes(body, 4096).await.unwrap_or_default();
    let mut text = format!("HTTP/1.1 {}\r\n", head.status);
    for (name, value) in &head.headers {
        let value = value.to_str().unwrap_or_default();
        let _infallible = write!(text, "{name}: {value}\r\n");
    }
    let _infallible = write!(text, "content-length: {}\r\nconnection: close\r\n\r\n", body.len());
    text.push_str(&String::from_utf8_lossy(&body));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_is_an_answer_in_http() {
        let text = answer().await;
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{head}");
        for header in ["content-type: application/problem+json", "retry-after: 1"] {
            assert!(head.contains(header), "{head}");
        }
        assert!(head.contains(&format!("content-length: {}", body.len())), "{head}");
        let problem: stock::api::Problem = serde_json::from_str(body).unwrap();
        assert_eq!(problem.kind, "/problems/too-many-connections");
    }
}
