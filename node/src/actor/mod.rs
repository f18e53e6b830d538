//! The stock actor: the one place on a node where commands become batches.
//!
//! Owns the mailbox and the proposals in flight; never owns counts, which live in the replicated
//! machine. On the leader a batch becomes one Raft entry; on a follower, one frame to the leader's
//! actor, which merges it into its own next batch. What the applied state would refuse is not
//! proposed at all but read: see [`checks`]. Under a rate limit the leader's actor counts every
//! click, so that followers pass on what they would refuse too: see [`clicks`].
//!
//! Batching is adaptive and has no timer. While no proposal is in flight, whatever waits is
//! proposed at once; else it accumulates until it is as much as what is in flight, see
//! [`Queue::is_worth_a_batch`].
//!
//! At the node's end everything that still waits is answered by what is true of it: see [`ending`].

mod batch;
mod checks;
mod clicks;
mod deliver;
mod ending;
mod queue;
mod reply_to;
mod sort;

use crate::metrics::{Metrics, Waiting};
use crate::rate::{Counter, RateLimits};
use crate::trace;
use batch::Group;
use ending::Ending;
use queue::{Load, Queue, Room};
use raft::{Allowance, Forwarded, Limited, Replica};
use reply_to::{Gathering, ReplyTo};
use std::net::IpAddr;
use std::time::Duration;
use stock::{Envelope, NodeId, Reply};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::Span;

/// Asks that may wait in the mailbox; more are answered 503 at once.
pub(crate) const MAILBOX_MAX: usize = 16_384;
/// Asks that the actor holds outside the mailbox before it stops draining it; and, apart from them,
/// commands of followers' frames before it takes no more of those.
const QUEUE_MAX: usize = 8_192;
/// Commands of one caller that may be in the mailbox at once.
const PORTION_MAX: usize = 2_048;
/// Frames from followers that may wait.
const FRAMES_MAX: usize = 256;
/// Proposals in flight: one at the leader's disk, one on its way to the others, one whose replies
/// fan out. More only make batches smaller (measured: `bench/README.md`).
const PROPOSALS_IN_FLIGHT_MAX: usize = 3;
/// Frames on their way to the leader: as much as the proposals there can hold of one follower's, and
/// as much again that waits for the next, so that its lane there is not empty while others go.
const FRAMES_IN_FLIGHT_MAX: usize = 8;
/// Checks of refusals in flight; each waits for a ReadIndex round, which they share.
const CHECKS_IN_FLIGHT_MAX: usize = 2;
/// Frames of clicks on their way to the leader; while they are, the next ones grow.
const PASSES_IN_FLIGHT_MAX: usize = 2;
/// How long after its deadline an ask is given up even if the actor does not answer.
const ANSWER_GRACE: Duration = Duration::from_secs(1);

/// What becomes of one command. The three cases stay distinct all the way to the client.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The machine decided it.
    Decided(Reply),
    /// A click beyond a rate limit: surely not proposed.
    Limited(Limited),
    /// Surely not proposed: safe to ask again.
    NotProposed(NotProposed),
    /// Maybe proposed: only another attempt under the same request id can tell.
    Unknown,
}

/// Why a command was surely not proposed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotProposed {
    /// The node has more to do than it can.
    MailboxFull,
    /// No leader took it before its deadline.
    NoLeader,
    /// The leader's disk is nearly full.
    DiskFull,
    /// The node shuts down.
    ShuttingDown,
}

/// An answer, with what is left of the rate limits if it was counted.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) answer: Answer,
    pub(crate) allowance: Option<Box<Allowance>>,
}

impl Told {
    fn unknown() -> Self {
        Self { answer: Answer::Unknown, allowance: None }
    }
}

/// One command, and the client's address where a rate limit may count it.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) envelope: Envelope,
    pub(crate) address: Option<IpAddr>,
}

/// One command and where its answer goes.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) envelope: Envelope,
    /// Whom it counts for besides its user.
    address: Option<IpAddr>,
    /// Whether it was counted before, here or elsewhere.
    counted: bool,
    /// When this node took it in.
    came: Instant,
    pub(crate) deadline: Instant,
    pub(crate) reply_to: ReplyTo,
    tries: Tries,
    waits: Span,
}

/// Who tries again when a command was not proposed, or nobody knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tries {
    /// This node, until the deadline.
    UntilDeadline,
    /// The node that it came from.
    Once,
}

impl Ask {
    /// Answers it.
    pub(crate) fn answer(self, answer: Answer) {
        self.reply_to.send(answer);
    }

    /// Answers that it was surely not proposed.
    fn decline(self, why: NotProposed) {
        self.answer(Answer::NotProposed(why));
    }
}

/// Clonable handle to the actor. The actor stops when all handles are dropped.
#[derive(Clone)]
pub(crate) struct StockHandle {
    mailbox: mpsc::Sender<Ask>,
}

impl StockHandle {
    /// Asks the actor; answers by the deadline, or a little after.
    pub(crate) async fn ask(&self, sent: Sent, deadline: Instant) -> Told {
        let (asker, answered) = oneshot::channel();
        self.post(sent, deadline, ReplyTo::alone(asker));
        match tokio::time::timeout_at(deadline + ANSWER_GRACE, answered).await {
            Ok(Ok(told)) => told,
            Ok(Err(_)) | Err(_) => Told::unknown(),
        }
    }

    /// Asks for many commands at once; answers in their order, by the deadline or a little after.
    ///
    /// They go into the mailbox in portions, each when the one before is answered, so that one
    /// caller's many commands leave room for those of others.
    pub(crate) async fn ask_all(
        &self,
        commands: Vec<Envelope>,
        address: Option<IpAddr>,
        deadline: Instant,
    ) -> Vec<Told> {
        let mut answers = Vec::with_capacity(commands.len());
        let mut commands = commands.into_iter();
        while commands.len() > 0 && Instant::now() < deadline {
            let portion: Vec<Envelope> = commands.by_ref().take(PORTION_MAX).collect();
            let (gathering, places) = Gathering::new(portion.len());
            for (envelope, reply_to) in portion.into_iter().zip(places) {
                self.post(Sent { envelope, address }, deadline, reply_to);
            }
            answers.extend(gathering.wait(deadline + ANSWER_GRACE).await);
        }
        let late = || Answer::NotProposed(NotProposed::NoLeader);
        answers.extend(commands.map(|_| Told { answer: late(), allowance: None }));
        answers
    }

    /// Asks that are in the mailbox now.
    pub(crate) fn waiting(&self) -> usize {
        self.mailbox.max_capacity() - self.mailbox.capacity()
    }

    /// Puts an ask into the mailbox, or answers it when there is no room.
    fn post(&self, sent: Sent, deadline: Instant, reply_to: ReplyTo) {
        use mpsc::error::TrySendError::{Closed, Full};
        let Sent { envelope, address } = sent;
        let (counted, tries, waits) = (false, Tries::UntilDeadline, trace::waits(&envelope));
        let came = Instant::now();
        let ask = Ask { envelope, address, counted, came, deadline, reply_to, tries, waits };
        match self.mailbox.try_send(ask) {
            Ok(()) => {}
            Err(Full(ask)) => ask.decline(NotProposed::MailboxFull),
            Err(Closed(ask)) => ask.decline(NotProposed::ShuttingDown),
        }
    }
}

/// The channel on which the replica hands over frames from followers.
pub(crate) fn frames() -> (mpsc::Sender<Forwarded>, mpsc::Receiver<Forwarded>) {
    mpsc::channel(FRAMES_MAX)
}

/// What the actor refuses.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Clicks beyond these.
    pub(crate) limits: RateLimits,
    /// A buyer's click that would wait for its turn for longer, or has.
    pub(crate) wait_max: Duration,
}

/// Starts the actor, which stops when `ending` turns true, too.
pub(crate) fn start(
    replica: Replica,
    frames: mpsc::Receiver<Forwarded>,
    Bounds { limits, wait_max }: Bounds,
    metrics: Metrics,
    ending: watch::Receiver<bool>,
) -> StockHandle {
    let (mailbox, asks) = mpsc::channel(MAILBOX_MAX);
    let actor = Actor {
        replica,
        asks,
        frames,
        metrics,
        ending: Ending::new(ending),
        counter: Counter::new(limits, Instant::now()),
        to_propose: Queue::new(wait_max),
        to_check: Vec::new(),
        to_pass: Queue::new(wait_max),
        leader: None,
        proposals: JoinSet::new(),
        checks: JoinSet::new(),
        passes: JoinSet::new(),
        gatherings: JoinSet::new(),
    };
    tokio::spawn(actor.run());
    StockHandle { mailbox }
}

struct Actor {
    replica: Replica,
    asks: mpsc::Receiver<Ask>,
    frames: mpsc::Receiver<Forwarded>,
    metrics: Metrics,
    ending: Ending,
    /// Of clicks that come while this node leads; none when no limit is on.
    counter: Option<Counter>,
    /// Commands for the next batches.
    to_propose: Queue,
    /// Asks that the applied state would refuse, for the next check.
    to_check: Vec<Ask>,
    /// Clicks for the leader to count.
    to_pass: Queue,
    /// Who led when it was looked at last.
    leader: Option<NodeId>,
    /// Each gives back what it was of.
    proposals: JoinSet<Load>,
    /// Checks give back the asks that turned out to need a proposal.
    checks: JoinSet<Vec<Ask>>,
    /// Passes give back the clicks that are for this node to sort after all.
    passes: JoinSet<Vec<Ask>>,
    /// Each waits for the last answer to a follower's frame of clicks.
    gatherings: JoinSet<()>,
}

impl Actor {
    async fn run(mut self) {
        let mut inbox = Vec::new();
        loop {
            self.look_at_leader();
            self.start_work();
            let (propose, check) = (self.to_propose.len(), self.to_check.len());
            let pass = self.to_pass.len();
            self.metrics.observe_waiting(Waiting { propose, check, pass });
            let room = QUEUE_MAX.saturating_sub(self.queued());
            let has_room_for_frames = self.to_propose.framed() < QUEUE_MAX;
            tokio::select! {
                received = self.asks.recv_many(&mut inbox, room), if room > 0 => {
                    if received == 0 {
                        break;
                    }
                }
                Some(frame) = self.frames.recv(), if has_room_for_frames => {
                    self.receive(frame, &mut inbox);
                }
                Some(proposed) = self.proposals.join_next() => self.landed(proposed),
                Some(checked) = self.checks.join_next() => match checked {
                    Ok(undecided) => self.to_propose.extend(undecided),
                    Err(error) => log_panic(Some(error)),
                },
                Some(passed) = self.passes.join_next() => match passed {
                    Ok(mut back) => self.sort(&mut back, self.replica.leader()),
                    Err(error) => log_panic(Some(error)),
                },
                Some(gathered) = self.gatherings.join_next() => log_panic(gathered.err()),
                () = self.ending.has_come() => break,
            }
            self.gather(&mut inbox).await;
        }
        self.end(inbox).await;
    }

    /// Lets all other tasks that are ready run first, and takes what they sent: buyers whose
    /// requests have come already join this batch, and need none of their own.
    ///
    /// This is no timer: on an idle node nothing else is ready, and it costs a microsecond.
    async fn gather(&mut self, inbox: &mut Vec<Ask>) {
        tokio::task::yield_now().await;
        while let Some(proposed) = self.proposals.try_join_next() {
            self.landed(proposed);
        }
        let asks = self.asks.len().min(QUEUE_MAX.saturating_sub(self.queued() + inbox.len()));
        inbox.extend(std::iter::from_fn(|| self.asks.try_recv().ok()).take(asks));
        if !inbox.is_empty() {
            self.sort(inbox, self.replica.leader());
        }
        for _ in 0..self.frames.len() {
            if self.to_propose.framed() >= QUEUE_MAX {
                break;
            }
            if let Ok(frame) = self.frames.try_recv() {
                self.receive(frame, inbox);
            }
        }
    }

    /// Commands of this node's own buyers that this actor holds. Those of followers have as much
    /// room of their own, so that a crowd here keeps out nobody from elsewhere.
    fn queued(&self) -> usize {
        self.to_propose.own_len() + self.to_check.len() + self.to_pass.len()
    }

    fn landed(&mut self, proposed: Result<Load, tokio::task::JoinError>) {
        self.metrics.in_flight_add(-1);
        match proposed {
            Ok(load) => self.to_propose.landed(&load),
            Err(error) => log_panic(Some(error)),
        }
    }

    /// Nobody has waited for too long because there was no leader.
    fn look_at_leader(&mut self) {
        let leader = self.replica.leader();
        if leader.is_none() || leader != self.leader {
            self.leader = leader;
            self.to_propose.begin_anew();
            self.to_pass.begin_anew();
        }
    }

    /// Takes what a follower sent.
    fn receive(&mut self, frame: Forwarded, inbox: &mut Vec<Ask>) {
        let leader = self.replica.leader();
        match frame {
            Forwarded::Commands(frame) => self.to_propose.push_frame(frame),
            Forwarded::Clicks(frame) if leader != Some(self.replica.id()) => clicks::refuse(frame),
            Forwarded::Clicks(frame) => {
                self.gatherings.spawn(clicks::split(frame, inbox));
                self.sort(inbox, leader);
            }
        }
    }

    fn start_work(&mut self) {
        let (room, most) = match self.leader {
            Some(leader) if leader == self.replica.id() => (Room::Entry, PROPOSALS_IN_FLIGHT_MAX),
            Some(_) => (Room::Frame, FRAMES_IN_FLIGHT_MAX),
            // They wait either way.
            None => (Room::Frame, PROPOSALS_IN_FLIGHT_MAX),
        };
        while self.proposals.len() < most && self.to_propose.is_worth_a_batch(room) {
            let Some(group) = Group::take(&mut self.to_propose, room) else {
                break;
            };
            self.metrics.observe_batch(group.len());
            self.metrics.in_flight_add(1);
            let (replica, ending) = (self.replica.clone(), self.ending.clone());
            let load = group.load();
            self.proposals.spawn(async move {
                deliver::deliver(replica, group, ending).await;
                load
            });
        }
        if !self.to_check.is_empty() && self.checks.len() < CHECKS_IN_FLIGHT_MAX {
            let asks = std::mem::take(&mut self.to_check);
            let (replica, ending) = (self.replica.clone(), self.ending.clone());
            self.checks.spawn(checks::check(replica, asks, ending));
        }
        while self.passes.len() < PASSES_IN_FLIGHT_MAX {
            let asks = self.to_pass.take_asks();
            if asks.is_empty() {
                break;
            }
            let (replica, ending) = (self.replica.clone(), self.ending.clone());
            self.passes.spawn(clicks::pass(replica, asks, ending));
        }
    }
}

fn log_panic(error: Option<tokio::task::JoinError>) {
    if let Some(error) = error {
        tracing::error!("a task of the stock actor ended badly: {error}");
    }
}
