//! One client thread, in Jepsen's sense: a succession of logical processes that ask one thing at a
//! time.
//!
//! Owns: attempts within an operation, and when to give up. Never does: choose what is asked
//! (`workload`) or what an answer means (`send`). Called by `run`.
//!
//! An operation is one request id. After an unknown attempt the same operation goes on with the
//! next number at another node, until it is decided or the time to settle is over. A seeded few
//! buys and confirms are given up at once, so that unknown outcomes exist; half of these are left
//! for the end of the run, which makes one more attempt, and half are never heard of again. A
//! process with an unknown outcome is replaced by a new one, `concurrency` above it.

use super::board::Board;
use super::roster::Roster;
use super::send::{self, Heard};
use crate::recorder::{Asked, Lane, Open, Recorder, Said, Sent};
use crate::workload::{KnownHold, Shelf, Workload};
use checker::flashnode::{Answer, Ended, Outcome};
use client::Client;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use stock::Seq;
use tokio::sync::watch;

/// As long as nothing can have been proposed, no attempt begins later than this after the first.
const GIVE_UP: Duration = Duration::from_secs(2);
/// Once an attempt is unknown, later ones go on for this long after the first.
const SETTLE: Duration = Duration::from_secs(8);
/// One command of this many is asked by a buyer who does not wait for the answer.
const IMPATIENT_ONE_IN: u32 = 150;
/// How long such a buyer waits at most.
const IMPATIENCE_MAX: Duration = Duration::from_millis(12);
/// One unknown outcome of this many is given up at once.
const GIVEN_UP_ONE_IN: u32 = 6;
/// The most operations of a run that are given up at once: each may take effect at any later
/// time, which is what costs a checker most.
const GIVEN_UP_MAX: usize = 200;
/// The pause before another attempt; it doubles up to the longest.
const PAUSE_MIN: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_millis(160);

/// What all workers of a run share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) client: Client,
    pub(super) recorder: Recorder,
    pub(super) workload: Box<dyn Workload>,
    pub(super) shelf: Shelf,
    pub(super) board: Board,
    pub(super) pace: Pace,
    pub(super) roster: Roster,
    pub(super) concurrency: u32,
    /// Whether clients are to stop.
    pub(super) over: watch::Sender<bool>,
}

/// Spreads operations evenly over time.
#[derive(Debug)]
pub(super) struct Pace {
    interval: Option<Duration>,
    next: Mutex<Instant>,
}

impl Pace {
    /// So many operations a second; without a number there is no pace.
    pub(super) fn new(rate: Option<u32>) -> Self {
        let interval = rate.map(|rate| Duration::from_secs(1) / rate.max(1));
        Self { interval, next: Mutex::new(Instant::now()) }
    }

    /// Waits for the next turn. Turns that nobody took in time are lost, not made up for.
    async fn turn(&self) {
        let Some(interval) = self.interval else { return };
        let turn = {
            let mut next = self.next.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let turn = (*next).max(Instant::now());
            *next = turn + interval;
            turn
        };
        tokio::time::sleep_until(turn.into()).await;
    }
}

/// What a worker leaves behind.
#[derive(Debug, Default)]
pub(super) struct Left {
    pub(super) lane: Lane,
    /// Unknown, for the end of the run to settle.
    pub(super) open: Vec<Open>,
    /// The last process.
    pub(super) process: u32,
}

/// How an operation was left by its attempts.
pub(super) enum Settled {
    Ended(Ended),
    /// Some attempt is unknown.
    InDoubt,
}

/// One client thread.
#[derive(Debug)]
pub(super) struct Worker {
    shared: Arc<Shared>,
    rng: SmallRng,
    process: u32,
    left: Left,
}

impl Worker {
    /// The worker whose first process has this number.
    pub(super) fn new(shared: Arc<Shared>, process: u32, seed: u64) -> Self {
        // Spread by a golden-ratio step, so that neighbours share nothing.
        let seed = seed ^ u64::from(process + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        Self { shared, rng: SmallRng::seed_from_u64(seed), process, left: Left::default() }
    }

    /// Asks until it is over; an operation that began before goes on until it is settled.
    pub(super) async fn run(mut self) -> Left {
        let mut over = self.shared.over.subscribe();
        loop {
            tokio::select! {
                biased;
                _ = over.wait_for(|over| *over) => {
                    self.left.process = self.process;
                    return self.left;
                }
                () = self.shared.pace.turn() => {}
            }
            let asked = self.shared.workload.next(&mut self.rng, &self.shared.shelf);
            self.perform(asked).await;
        }
    }

    /// Asks these in turn, whatever the workload.
    pub(super) async fn ask(mut self, all: Vec<Asked>) -> Left {
        for asked in all {
            self.perform(asked).await;
        }
        self.left.process = self.process;
        self.left
    }

    async fn perform(&mut self, asked: Asked) {
        let shared = self.shared.clone();
        let mut open = shared.recorder.invoke(self.process, asked);
        let node = self.rng.random_range(0..shared.client.nodes_count());
        let settled = self.attempts(&mut open, node).await;
        match settled {
            Settled::Ended(ended) => {
                shared.board.ended(&ended);
                self.left.lane.complete(&shared.recorder, open, ended);
            }
            Settled::InDoubt => {
                shared.board.ended(&Ended::Unknown);
                self.process += shared.concurrency;
                if !may_stay_open(asked) || self.rng.random() {
                    self.left.open.push(open);
                } else {
                    self.left.lane.leave_unknown(&shared.recorder, open);
                }
            }
        }
    }

    /// Attempts under one request id, until a decision or until no more may begin.
    async fn attempts(&mut self, open: &mut Open, mut node: usize) -> Settled {
        let shared = self.shared.clone();
        let began = Instant::now();
        let (mut number, mut in_doubt, mut pause) = (1, false, PAUSE_MIN);
        loop {
            let patience = self.patience(open.asked(), number);
            let visit = shared.roster.visit(node);
            node = visit.position;
            let heard = attempt(&shared, open, (node, number), patience).await;
            visit.heard(matches!(heard, Heard::Decided { .. }));
            let asked_to_wait = match heard {
                Heard::Decided { answer, replayed, .. } => {
                    remember(&shared.shelf, open.asked(), &answer);
                    return Settled::Ended(Ended::Decided { answer, replayed });
                }
                Heard::Unexpected { said } => {
                    shared.board.unexpected(&said);
                    return Settled::InDoubt;
                }
                Heard::NotProposed { retry_after, .. } => {
                    if open.request().is_none() {
                        // A read changes nothing: another one is another operation.
                        return Settled::Ended(Ended::NotDone);
                    }
                    retry_after
                }
                Heard::Unknown { .. } => {
                    if !in_doubt && may_stay_open(open.asked()) && self.gives_up() {
                        return Settled::InDoubt;
                    }
                    (number, in_doubt) = (number + 1, true);
                    None
                }
            };
            let wait = asked_to_wait.map_or(pause, |asked| asked.clamp(pause, PAUSE_MAX));
            let patience = if in_doubt { SETTLE } else { GIVE_UP };
            if began.elapsed() + wait >= patience {
                return if in_doubt { Settled::InDoubt } else { Settled::Ended(Ended::NotDone) };
            }
            tokio::time::sleep(wait).await;
            pause = (pause * 2).min(PAUSE_MAX);
            node = (node + 1) % shared.client.nodes_count();
        }
    }

    fn gives_up(&mut self) -> bool {
        self.rng.random_ratio(1, GIVEN_UP_ONE_IN) && self.shared.board.may_leave_open(GIVEN_UP_MAX)
    }

    fn patience(&mut self, asked: Asked, number: u32) -> Option<Duration> {
        let impatient = number == 1
            && asked.function().has_request()
            && self.rng.random_ratio(1, IMPATIENT_ONE_IN);
        impatient.then(|| self.rng.random_range(Duration::ZERO..IMPATIENCE_MAX))
    }
}

/// Whether an unknown outcome may stay so for good. The ledger lists orders, so it tells later
/// what became of a buy or a confirm; of the rest nothing tells but another attempt.
fn may_stay_open(asked: Asked) -> bool {
    matches!(asked, Asked::Buy { .. } | Asked::Confirm { .. })
}

/// One attempt, written down. Who does not wait for the answer breaks the connection off.
pub(super) async fn attempt(
    shared: &Shared,
    open: &mut Open,
    (node, number): (usize, u32),
    patience: Option<Duration>,
) -> Heard {
    let sent_ns = shared.recorder.now_ns();
    let once = send::once(&shared.client, node, (open.asked(), open.request()), number);
    let heard = match patience {
        None => once.await,
        Some(patience) => tokio::time::timeout(patience, once)
            .await
            .unwrap_or(Heard::Unknown { said: "the client did not wait for the answer".into() }),
    };
    let said: Said = match &heard {
        Heard::Decided { said, .. }
        | Heard::NotProposed { said, .. }
        | Heard::Unknown { said }
        | Heard::Unexpected { said } => said.clone(),
    };
    let ended_ns = shared.recorder.now_ns();
    open.attempted(Sent { number, node: node as u64 + 1, sent_ns, ended_ns, said });
    heard
}

fn remember(shelf: &Shelf, asked: Asked, answer: &Answer) {
    let remaining = match &answer.outcome {
        Outcome::Counts { available, .. } => Some(*available),
        Outcome::Ordered { remaining } | Outcome::Hold { remaining, .. } => Some(*remaining),
        Outcome::Refused { remaining, .. } => *remaining,
    };
    if let Some(remaining) = remaining {
        shelf.told(asked.product(), remaining);
    }
    if let (Asked::Hold { product, user, ttl_ms, .. }, Outcome::Hold { hold, .. }) =
        (asked, &answer.outcome)
    {
        let known = KnownHold { product, user, hold: Seq(*hold) };
        shelf.held(known, Duration::from_millis(ttl_ms.into()));
    }
}
