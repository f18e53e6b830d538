//! One accepted connection: a TCP stream that gives up on a client that does not read, keeps its
//! place among the connections until it is closed, and closes so that the last answer arrives.

use crate::metrics::Metrics;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep};

/// How long a client may take nothing of what is written to it.
const WRITE_STALL_MAX: Duration = Duration::from_secs(10);
/// How long a closed connection is still read.
const LINGER_TIME_MAX: Duration = Duration::from_secs(1);
/// How much of a closed connection is still read.
const LINGER_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// A place among the connections; free again when it is dropped.
pub(super) struct Slot {
    _permit: OwnedSemaphorePermit,
    metrics: Metrics,
}

impl Slot {
    /// Counts one connection more.
    pub(super) fn new(permit: OwnedSemaphorePermit, metrics: Metrics) -> Self {
        metrics.connections_add(1);
        Self { _permit: permit, metrics }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.metrics.connections_add(-1);
    }
}

/// See the module.
pub(super) struct Stream {
    /// `Some` until it is dropped.
    open: Option<(TcpStream, Slot)>,
    /// Armed while the client takes nothing.
    stall: Option<Pin<Box<Sleep>>>,
    /// This side has said that it is done, and the client has not.
    half_closed: bool,
    /// The client has said that it is done.
    ended: bool,
}

impl Stream {
    /// Takes charge of a connection.
    pub(super) fn new(tcp: TcpStream, slot: Slot) -> Self {
        Self { open: Some((tcp, slot)), stall: None, half_closed: false, ended: false }
    }

    fn tcp(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        match &mut self.open {
            Some((tcp, _)) => Ok(Pin::new(tcp)),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Passes on what a write came to, and ends a stall that lasts too long.
    fn watch(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.stall = None;
            return written;
        }
        let stall = self.stall.get_or_insert_with(|| {
            Box::pin(tokio::time::sleep_until(Instant::now() + WRITE_STALL_MAX))
        });
        ready!(stall.as_mut().poll(context));
        let why = "the client does not read its answer";
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, why)))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let Some((tcp, slot)) = self.open.take() else {
            return;
        };
        // Closing with unread bytes resets the connection, and a reset may overtake the answer: a
        // client that sends ten megabytes would never see its 413.
        if self.half_closed && !self.ended && tokio::runtime::Handle::try_current().is_ok() {
            tokio::spawn(async move {
                linger(tcp).await;
                drop(slot);
            });
        }
    }
}

/// Says that nothing more will be written, and reads, within bounds, until the client ends too.
pub(super) async fn linger(mut tcp: TcpStream) {
    if tcp.shutdown().await.is_err() {
        return;
    }
    let mut rest = tcp.take(LINGER_BYTES_MAX);
    let mut nowhere = tokio::io::sink();
    let read = tokio::io::copy(&mut rest, &mut nowhere);
    let _closed_either_way = tokio::time::timeout(LINGER_TIME_MAX, read).await;
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let room = buffer.remaining();
        let read = ready!(self.tcp()?.poll_read(context, buffer));
        // An error is an end too.
        if room > 0 && buffer.filled().len() == before {
            self.ended = true;
        }
        Poll::Ready(read)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = self.tcp()?.poll_write(context, bytes);
        self.watch(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = self.tcp()?.poll_write_vectored(context, slices);
        self.watch(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tcp()?.poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.half_closed = true;
        self.tcp()?.poll_shutdown(context)
    }
}
