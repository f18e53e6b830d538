//! `/metrics` of a sink: one page, for Prometheus.
//!
//! Owns: a listener that reads one request head a connection, in a bounded time and room, and
//! answers it. Never does: keep a connection, or ask again at once for one that the system does not
//! give.

use sink::Progress;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

/// The longest head that is read.
const HEAD_BYTES_MAX: usize = 8 * 1024;
/// How long one connection may take.
const CONNECTION_MAX: Duration = Duration::from_secs(5);
/// Before the next connection is accepted after one that was not: the process may be out of file
/// descriptors, and hears so at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// Connections at once.
const CONNECTIONS_MAX: usize = 16;

/// Listens, and answers for as long as this program runs.
pub(super) async fn serve(address: SocketAddr, progress: Arc<Progress>) -> io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    tokio::spawn(async move {
        while let Ok(turn) = Arc::clone(&room).acquire_owned().await {
            let (stream, _) = accepted(|| listener.accept()).await;
            let progress = Arc::clone(&progress);
            tokio::spawn(async move {
                // Whoever asked has gone when it fails; there is nobody to tell.
                let _ = timeout(CONNECTION_MAX, answer(stream, &progress)).await;
                drop(turn);
            });
        }
    });
    Ok(())
}

/// The next connection, however often the system gives none.
async fn accepted<T, F: Future<Output = io::Result<T>>>(accept: impl Fn() -> F) -> T {
    loop {
        match accept().await {
            Ok(connection) => return connection,
            Err(_) => sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn answer(mut stream: TcpStream, progress: &Progress) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if stream.read_buf(&mut head).await? == 0 || head.len() > HEAD_BYTES_MAX {
            return Ok(());
        }
    }
    let (status, text) = if head.starts_with(b"GET /metrics ") {
        ("200 OK", progress.metrics())
    } else {
        ("404 Not Found", "there is only GET /metrics\n".to_owned())
    };
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain; version=0.0.4\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n",
        text.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::time::Instant;

    /// `EMFILE` comes back at once, so only the pauses keep this from being a busy loop.
    #[tokio::test]
    async fn a_system_that_gives_no_connection_is_not_asked_again_at_once() {
        let (asked, began) = (Cell::new(0), Instant::now());
        let third = accepted(|| {
            asked.set(asked.get() + 1);
            let given = asked.get();
            async move { if given < 3 { Err(io::Error::other("EMFILE")) } else { Ok(given) } }
        })
        .await;
        assert_eq!(third, 3);
        assert!(began.elapsed() >= 2 * ACCEPT_PAUSE, "{:?}", began.elapsed());
    }
}
