//! The other end of a line: takes requests, works on many at once, and answers in any order.
//!
//! One task a connection does all of it, so that a request and its answer wake nobody else.

use super::frames::{self, CALLS_MAX, Frame, MAGIC, READ_BYTES, Status};
use bytes::{Bytes, BytesMut};
use futures_util::{FutureExt, StreamExt, stream::FuturesUnordered};
use std::future::Future;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long the greeting may take, of which the first byte is there.
const GREETING_TIME_MAX: Duration = Duration::from_secs(5);

/// What came of one request.
pub(super) struct Outcome {
    pub(super) status: Status,
    pub(super) body: Vec<u8>,
}

/// Answers the greeting, which is still to be read, and then every request, until the caller
/// closes. What is being worked on then is dropped, as it is when an HTTP connection closes.
///
/// # Errors
/// When the connection fails, or carries what is no frame.
pub(super) async fn serve<F>(mut stream: TcpStream, act: impl Fn(u8, Bytes) -> F) -> io::Result<()>
where
    F: Future<Output = Outcome>,
{
    let mut greeting = [0; MAGIC.len()];
    timeout(GREETING_TIME_MAX, stream.read_exact(&mut greeting)).await??;
    if greeting != MAGIC {
        let what = "the greeting is of another version";
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    stream.write_all(&MAGIC).await?;
    let (mut reader, mut writer) = stream.split();
    let mut input = BytesMut::with_capacity(READ_BYTES);
    let mut output = Vec::new();
    let mut calls = FuturesUnordered::new();
    loop {
        while calls.len() < CALLS_MAX
            && let Some(Frame { call, kind, body }) = frames::take(&mut input)?
        {
            calls.push(act(kind, body).map(move |outcome| (call, outcome)));
        }
        let answered = tokio::select! {
            biased;
            Some(answered) = calls.next(), if !calls.is_empty() => Some(answered),
            read = reader.read_buf(&mut input), if calls.len() < CALLS_MAX => {
                if read? == 0 {
                    return Ok(());
                }
                None
            }
        };
        let mut next = answered;
        while let Some((call, Outcome { status, body })) = next {
            frames::put(&mut output, call, status as u8, &body)?;
            // What else is ready goes with the same write.
            next = calls.next().now_or_never().flatten();
        }
        if !output.is_empty() {
            writer.write_all(&output).await?;
            output.clear();
        }
        if input.capacity() - input.len() < READ_BYTES / 4 {
            input.reserve(READ_BYTES);
        }
    }
}
