//! One direction of one connection: reads, holds what must wait, writes in the same order.
//!
//! Owns: the bytes on their way, at most [`HELD_BYTES_MAX`] of them; what does not fit stays in
//! the system's socket buffers and so slows the sender down. Called by `link`.

use rand::Rng;
use rand::rngs::StdRng;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::watch;
use tokio::time::Instant;

/// Bytes read at once.
const CHUNK_BYTES: usize = 16 * 1024;
/// Bytes held back in one direction of one connection before no more is read.
const HELD_BYTES_MAX: usize = 64 * CHUNK_BYTES;

/// Whether bytes get through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Flow {
    /// They do.
    #[default]
    Pass,
    /// None does: they are held, and new connections hang.
    Cut,
}

/// How long bytes are on their way: `least`, and evenly up to `jitter` more. Order is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Delay {
    /// Every chunk takes this long.
    pub least: Duration,
    /// And up to this much longer.
    pub jitter: Duration,
}

/// What becomes of a packet that was lost, in terms of TCP: it is sent again a timeout later, and
/// all behind it waits; or the connection breaks. Chances are per chunk that was read, in 1,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Loss {
    /// How many chunks of 1,000 are stalled.
    pub stalls_permille: u32,
    /// For how long.
    pub stall: Duration,
    /// How many chunks of 1,000 reset their connection.
    pub resets_permille: u32,
}

/// What one direction of one link does to its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Whether they get through.
    pub flow: Flow,
    /// How long they take.
    pub delay: Delay,
    /// How they get lost.
    pub loss: Loss,
}

/// Why a direction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The sender closed, and all that it sent was delivered.
    Closed,
    /// The connection is to break: the chance of [`Loss`], or an error on either side.
    Broken,
}

/// Bytes on their way.
struct Held {
    due: Instant,
    bytes: Vec<u8>,
    written: usize,
}

/// Carries bytes from `source` to `sink` until the sender closes or the connection breaks.
pub(super) async fn pump(
    mut source: ReadHalf<'_>,
    mut sink: WriteHalf<'_>,
    mut traffic: watch::Receiver<Traffic>,
    lost: Arc<AtomicU64>,
    mut random: StdRng,
) -> End {
    let mut held: VecDeque<Held> = VecDeque::new();
    let (mut held_bytes, mut closed) = (0, false);
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        if closed && held.is_empty() {
            let ended = sink.shutdown().await;
            return if ended.is_ok() { End::Closed } else { End::Broken };
        }
        let now = *traffic.borrow_and_update();
        let passes = now.flow == Flow::Pass;
        let due = held.front().map(|first| first.due);
        tokio::select! {
            // A change comes first: what is cut now must not slip through.
            biased;
            changed = traffic.changed() => {
                if changed.is_err() {
                    return End::Broken;
                }
            }
            written = deliver(&mut sink, held.front_mut()), if passes && due.is_some() => {
                let Ok(count) = written else { return End::Broken };
                held_bytes -= count;
                if held.front().is_some_and(|first| first.written == first.bytes.len()) {
                    held.pop_front();
                }
            }
            read = source.read(&mut chunk), if passes && !closed && held_bytes < HELD_BYTES_MAX => {
                let Ok(count) = read else { return End::Broken };
                if count == 0 {
                    closed = true;
                    continue;
                }
                let fate = fate(&now, &mut random);
                if !matches!(fate, Fate::Arrives(_)) {
                    lost.fetch_add(1, Ordering::Relaxed);
                }
                let wait = match fate {
                    Fate::Arrives(wait) | Fate::Stalls(wait) => wait,
                    Fate::Breaks => return End::Broken,
                };
                held_bytes += count;
                // Behind what was sent before it.
                let arrives = Instant::now() + wait;
                let due = held.back().map_or(arrives, |before| before.due.max(arrives));
                held.push_back(Held { due, bytes: chunk[..count].to_vec(), written: 0 });
            }
        }
    }
}

/// What becomes of one chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It arrives after this time.
    Arrives(Duration),
    /// It is lost, and arrives when it was sent again, after this time.
    Stalls(Duration),
    /// It breaks its connection.
    Breaks,
}

fn fate(traffic: &Traffic, random: &mut StdRng) -> Fate {
    let Traffic { delay, loss, .. } = traffic;
    let mut hits = |permille: u32| permille > 0 && random.random_range(0..1_000) < permille;
    if hits(loss.resets_permille) {
        return Fate::Breaks;
    }
    let stalls = hits(loss.stalls_permille);
    let wait = delay.least + delay.jitter.mul_f64(random.random_range(0.0..1.0));
    if stalls { Fate::Stalls(wait + loss.stall) } else { Fate::Arrives(wait) }
}

/// Writes what is due of the first that is held. Cancelled while it waits, it has written nothing.
async fn deliver(sink: &mut WriteHalf<'_>, first: Option<&mut Held>) -> io::Result<usize> {
    let Some(first) = first else { return Ok(0) };
    if first.due > Instant::now() {
        tokio::time::sleep_until(first.due).await;
    }
    let count = sink.write(&first.bytes[first.written..]).await?;
    first.written += count;
    Ok(count)
}
