//! A line to one peer: a connection that carries all hot calls to it, many at once.
//!
//! Owns the connection and who waits for which answer. A caller writes its request itself where
//! the socket takes it, and its task alone reads; so a call wakes one task here and one there.
//! Never connects anew: a line that is closed stays so, and [`super::lines`] opens the next.

use super::frames::{self, Frame, MAGIC, NOT_A_LINE, READ_BYTES, Route, Status};
use bytes::{Bytes, BytesMut};
use rustix::net::sockopt;
use std::collections::HashMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Notify, oneshot, watch};

/// A peer's host that does not acknowledge what was sent for so long is gone, and so is the line.
const UNACKNOWLEDGED_MS_MAX: u32 = 2_000;
/// How long a connection may be silent before the system asks whether the other host is still
/// there. Else those of hosts that died without a word would take up all places of a listener.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// The most bytes that may wait for the socket. A peer that takes so little is as good as gone.
const OUTPUT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Why a call over a line has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LineError {
    /// The line ended before the answer came.
    #[error("the connection ended")]
    Closed,
    /// No answer came in time.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// The peer could not read the request, or not write its answer.
    #[error("{0}")]
    Failed(String),
    /// The peer's build has no such route.
    #[error("it has no such route")]
    NoRoute,
}

/// What answers the greeting.
pub(super) enum Greeted {
    /// A build that has lines; what it answers is read by [`Line::run`].
    Line(Line, OwnedReadHalf),
    /// A build that speaks HTTP alone.
    HttpOnly,
}

/// One open connection.
pub(super) struct Line {
    stream: OwnedWriteHalf,
    state: Mutex<State>,
    /// Some output waits until the socket takes more.
    is_held_up: Notify,
    /// For whoever waits for its end.
    ended: watch::Sender<bool>,
}

struct State {
    output: Vec<u8>,
    waiting: HashMap<u32, oneshot::Sender<Frame>>,
    next: u32,
    is_closed: bool,
    /// When something came last.
    heard: Instant,
}

impl Line {
    /// Connects and greets.
    ///
    /// # Errors
    /// When the peer cannot be reached, or answers with neither.
    pub(super) async fn open(address: &str) -> io::Result<Greeted> {
        let mut stream = TcpStream::connect(address).await?;
        prepare(&stream);
        stream.write_all(&MAGIC).await?;
        let mut greeting = [0; MAGIC.len()];
        stream.read_exact(&mut greeting).await?;
        if greeting == NOT_A_LINE {
            return Ok(Greeted::HttpOnly);
        }
        if greeting != MAGIC {
            let what = "it does not answer as a flashnode";
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        let state = State {
            output: Vec::new(),
            waiting: HashMap::new(),
            next: 0,
            is_closed: false,
            heard: Instant::now(),
        };
        let (is_held_up, ended) = (Notify::new(), watch::Sender::new(false));
        let (answers, stream) = stream.into_split();
        Ok(Greeted::Line(Self { stream, state: Mutex::new(state), is_held_up, ended }, answers))
    }

    /// Returns when the line is closed.
    pub(super) async fn ended(&self) {
        let mut ended = self.ended.subscribe();
        // It cannot fail: the sender is here.
        let _ended = ended.wait_for(|ended| *ended).await;
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state().is_closed
    }

    /// Asks, and waits for the answer.
    ///
    /// A call that is given up halfway has been sent, whole or not at all.
    ///
    /// # Errors
    /// [`LineError`]. Of [`LineError::NoRoute`] alone it is sure that the peer did nothing.
    pub(super) async fn call(
        &self,
        route: Route,
        request: &[u8],
        timeout: Duration,
    ) -> Result<Bytes, LineError> {
        let asked = Instant::now();
        let (waiting, answered) = self.send(route, request)?;
        let answer = tokio::time::timeout(timeout, answered).await;
        drop(waiting);
        let Ok(answer) = answer else {
            self.give_up_if_silent_since(asked);
            return Err(LineError::TimedOut(timeout));
        };
        let frame = answer.map_err(|_| LineError::Closed)?;
        match Status::from_byte(frame.kind) {
            Some(Status::Answered) => Ok(frame.body),
            Some(Status::NoRoute) => Err(LineError::NoRoute),
            Some(Status::Failed) => {
                Err(LineError::Failed(String::from_utf8_lossy(&frame.body).into_owned()))
            }
            None => Err(LineError::Failed(format!("an answer of the kind {}", frame.kind))),
        }
    }

    fn send(
        &self,
        route: Route,
        request: &[u8],
    ) -> Result<(Waiting<'_>, oneshot::Receiver<Frame>), LineError> {
        let (answer, answered) = oneshot::channel();
        let mut state = self.state();
        if state.is_closed || state.output.len() > OUTPUT_BYTES_MAX {
            return Err(LineError::Closed);
        }
        let call = state.next;
        frames::put(&mut state.output, call, route as u8, request)
            .map_err(|error| LineError::Failed(error.to_string()))?;
        state.next = call.wrapping_add(1);
        state.waiting.insert(call, answer);
        match write(&self.stream, &mut state.output) {
            Ok(Written::All) => {}
            // The task writes the rest; or it meets the same error, and closes.
            Ok(Written::Some) | Err(_) => self.is_held_up.notify_one(),
        }
        Ok((Waiting { line: self, call }, answered))
    }

    /// Reads answers, and writes what the socket did not take at once, until the line ends.
    pub(super) async fn run(&self, answers: OwnedReadHalf) {
        if let Err(error) = self.serve(answers).await {
            tracing::debug!("a connection to a peer ended: {error}");
        }
        self.close();
    }

    async fn serve(&self, mut answers: OwnedReadHalf) -> io::Result<()> {
        let mut input = BytesMut::with_capacity(READ_BYTES);
        let mut holds_output = false;
        loop {
            tokio::select! {
                read = answers.read_buf(&mut input) => {
                    if read? == 0 {
                        return Ok(());
                    }
                    self.deliver(&mut input)?;
                }
                writable = self.stream.writable(), if holds_output => {
                    writable?;
                    let written = write(&self.stream, &mut self.state().output)?;
                    holds_output = matches!(written, Written::Some);
                }
                () = self.is_held_up.notified() => holds_output = true,
            }
            if self.state().is_closed {
                return Ok(());
            }
        }
    }

    fn deliver(&self, input: &mut BytesMut) -> io::Result<()> {
        let mut state = self.state();
        state.heard = Instant::now();
        while let Some(frame) = frames::take(input)? {
            if let Some(answer) = state.waiting.remove(&frame.call) {
                // Whoever is gone has given up.
                let _gone = answer.send(frame);
            }
        }
        if input.capacity() - input.len() < READ_BYTES / 4 {
            input.reserve(READ_BYTES);
        }
        Ok(())
    }

    /// After a partition TCP may keep silent for many seconds more, and a new connection works at
    /// once. So a call that ran out of time closes the line, if nothing at all came meanwhile.
    fn give_up_if_silent_since(&self, asked: Instant) {
        let is_silent = self.state().heard < asked;
        if is_silent {
            self.close();
            self.is_held_up.notify_one();
        }
    }

    fn close(&self) {
        let mut state = self.state();
        state.is_closed = true;
        // Their receivers learn of it.
        state.waiting.clear();
        state.output = Vec::new();
        drop(state);
        self.ended.send_replace(true);
    }

    /// The state stays sound if a holder panics: no change of it is left half done.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call whose answer somebody waits for; nobody does once this is dropped.
struct Waiting<'a> {
    line: &'a Line,
    call: u32,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.line.state().waiting.remove(&self.call);
    }
}

enum Written {
    All,
    Some,
}

/// Writes as much as the socket takes now.
fn write(stream: &OwnedWriteHalf, output: &mut Vec<u8>) -> io::Result<Written> {
    let mut written = 0;
    while written < output.len() {
        match stream.try_write(&output[written..]) {
            Ok(bytes) => written += bytes,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    output.drain(..written);
    Ok(if output.is_empty() { Written::All } else { Written::Some })
}

/// Sets what both ends of a peer's connection want of their socket.
pub(super) fn prepare(stream: &TcpStream) {
    // Without it a small frame may wait for the acknowledgement of the one before.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!("a peer connection without TCP_NODELAY: {error}");
    }
    // A probe that is not acknowledged counts as what was sent.
    let bounded = sockopt::set_tcp_user_timeout(stream, UNACKNOWLEDGED_MS_MAX)
        .and_then(|()| sockopt::set_tcp_keepidle(stream, SILENCE_MAX))
        .and_then(|()| sockopt::set_socket_keepalive(stream, true));
    if let Err(error) = bounded {
        tracing::debug!("a peer connection that outlives a host that is gone: {error}");
    }
}
