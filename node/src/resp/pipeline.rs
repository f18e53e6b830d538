//! What the commands of a pipeline come to.
//!
//! They are gathered into *segments*: commands whose order among themselves makes no difference,
//! for no two of them are about one key but alike (only increments, only decrements, only reads).
//! The writes of a segment go to the actor at once and become one batch, its reads share one read
//! barrier; the next segment begins when all are answered. So a pipeline of decrements is one
//! batch, and a GET behind a SET sees it. Increments of one key in a segment are one command.
//! Decrements of one key are of one amount and one user there: whichever is decided first, as they
//! may be more than one entry takes, the first has its answer.
//!
//! Each write has a fresh request id, under which the node itself settles what a failing leader
//! leaves open, until the deadline. What is open then is told as unknown, and never as refused.

use super::Resp;
use super::command::{Asked, Read, Write};
use super::connection::Session;
use super::wire::{Reply, Version};
use crate::actor::{Answer, NotProposed};
use crate::trace;
use raft::ReadError;
use std::collections::BTreeMap;
use stock::{
    Attempt, Command, DEBT_MAX, Envelope, Machine, Outcome, Refusal, RequestId, Requester, Rules,
    Seq, SetIf, Sku, UserId,
};
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

/// In a RESP2 connection that listens to channels.
const ONLY_CHANNELS: &str = "ERR Can't execute this: only SUBSCRIBE / UNSUBSCRIBE / PING / QUIT are allowed in this context";
/// The outcome of a write that nobody knows.
const UNKNOWN: &str = "UNKNOWN the outcome is unknown: it may or may not have been done";

/// The most writes of a segment: one connection's share of the mailbox. As many as are in two
/// batches of the actor.
const SEGMENT_WRITES_MAX: usize = 512;

/// What commands of a segment do with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Does {
    Reads,
    Adds,
    /// So many units, negative.
    Takes(i64),
    /// Whatever matters to whoever comes before or behind.
    Sets,
}

/// A write of a segment, and the places of its answers.
struct Writing {
    at: usize,
    sku: Sku,
    write: Write,
    /// Further increments that it stands for, each with the sum of those up to it.
    further: Vec<(usize, i64)>,
}

/// The commands so far, with the answers that are known.
pub(super) struct Pipeline<'r> {
    resp: &'r Resp,
    deadline: Instant,
    answers: Vec<(Reply, Version)>,
    keys: BTreeMap<Sku, Does>,
    /// Whose writes the segment's are.
    user: Option<UserId>,
    /// Where in `writes` the increments of a key are.
    increments: BTreeMap<Sku, usize>,
    writes: Vec<Writing>,
    envelopes: Vec<Envelope>,
    reads: Vec<(usize, Read)>,
}

impl<'r> Pipeline<'r> {
    pub(super) fn new(resp: &'r Resp, requests: usize) -> Self {
        Self {
            resp,
            deadline: Instant::now() + resp.deadline,
            answers: Vec::with_capacity(requests),
            keys: BTreeMap::new(),
            user: None,
            increments: BTreeMap::new(),
            writes: Vec::new(),
            envelopes: Vec::new(),
            reads: Vec::new(),
        }
    }

    /// Adds the next command; waits for those before it if it has to come after them.
    pub(super) async fn add(&mut self, asked: Asked, session: &mut Session) {
        let version = session.version;
        let of_channels = matches!(
            asked,
            Asked::Subscribe(_) | Asked::Unsubscribe(_) | Asked::Ping(_) | Asked::Quit
        );
        if session.listens_in_two() && !of_channels {
            self.answers.push((Reply::error(ONLY_CHANNELS), version));
            return;
        }
        if let Some(reply) = session.apply(&asked) {
            // The answer to HELLO is of the version that it brings.
            self.answers.push((reply, session.version));
            return;
        }
        let at = self.answers.len();
        match asked {
            Asked::Read(read) => {
                let keys: Vec<Sku> = read.keys().cloned().collect();
                self.order(&keys, Does::Reads).await;
                self.reads.push((at, read));
                self.answers.push((Reply::Null, version));
            }
            Asked::Write(sku, write) => {
                let does = match write {
                    Write::Count(0..) => Does::Adds,
                    Write::Count(by @ ..0) => Does::Takes(by),
                    Write::Set { .. } | Write::Delete => Does::Sets,
                };
                self.answers.push((Reply::Null, version));
                self.order(std::slice::from_ref(&sku), does).await;
                if !self.joins(at, (&sku, write)) {
                    self.write(at, &session.user, (sku, write), does).await;
                }
            }
            Asked::Delete(mut skus) => {
                skus.sort();
                skus.dedup();
                self.answers.push((Reply::Int(0), version));
                self.order(&skus, Does::Sets).await;
                for sku in skus {
                    self.write(at, &session.user, (sku, Write::Delete), Does::Sets).await;
                }
            }
            _ => unreachable!("the session has answered it"),
        }
    }

    /// All answers, in order.
    pub(super) async fn finish(mut self) -> Vec<(Reply, Version)> {
        self.settle().await;
        self.answers
    }

    /// Waits for the segment if one of the keys cannot be used so in it.
    async fn order(&mut self, keys: &[Sku], does: Does) {
        let clashes =
            |key| self.keys.get(key).is_some_and(|before| *before != does || does == Does::Sets);
        if keys.iter().any(clashes) {
            self.settle().await;
        }
        for key in keys {
            self.keys.insert(key.clone(), does);
        }
    }

    /// Makes an increment part of the one before it of its key, if there is one in the segment: one
    /// command for all of them. What each leaves follows from what all leave.
    fn joins(&mut self, at: usize, (sku, write): (&Sku, Write)) -> bool {
        let Write::Count(by @ 0..) = write else { return false };
        let Some(&position) = self.increments.get(sku) else { return false };
        let Command::Count { by: all, .. } = &mut self.envelopes[position].command else {
            return false;
        };
        let sum = all.checked_add(by).filter(|sum| sum.unsigned_abs() <= DEBT_MAX);
        let Some(sum) = sum else { return false };
        *all = sum;
        self.writes[position].further.push((at, sum));
        true
    }

    /// Adds a write to the segment, or to the next one when this has as many as it may.
    async fn write(&mut self, at: usize, user: &UserId, (sku, write): (Sku, Write), does: Does) {
        let adds_again = does == Does::Adds && self.increments.contains_key(&sku);
        let by_another = self.user.as_ref() != Some(user);
        if self.writes.len() >= SEGMENT_WRITES_MAX || adds_again || by_another {
            self.settle().await;
            self.user = Some(user.clone());
        }
        // Also of a command whose other keys went with the segment before.
        self.keys.insert(sku.clone(), does);
        if does == Does::Adds {
            self.increments.insert(sku.clone(), self.writes.len());
        }
        let command = match write {
            Write::Set { available, only } => {
                Command::SetAvailable { sku: sku.clone(), available, only }
            }
            Write::Count(by) => Command::Count { sku: sku.clone(), by, debt: self.resp.debt },
            Write::Delete => Command::Withdraw { sku: sku.clone() },
        };
        let (requester, request_id) = (Requester::User(user.clone()), fresh_id());
        let attempt = Attempt::First;
        self.envelopes.push(Envelope { requester, request_id, attempt, command });
        self.writes.push(Writing { at, sku, write, further: Vec::new() });
    }

    /// Has the segment's commands answered.
    async fn settle(&mut self) {
        self.keys.clear();
        self.increments.clear();
        let (writes, reads) = (std::mem::take(&mut self.writes), std::mem::take(&mut self.reads));
        let envelopes = std::mem::take(&mut self.envelopes);
        let refused = self.resp.refused(!writes.is_empty());
        let (written, read) = if let Some(refused) = &refused {
            (vec![Told::open(refused.clone()); writes.len()], vec![refused.clone(); reads.len()])
        } else {
            tokio::join!(
                self.resp.write(&writes, envelopes, self.deadline),
                self.resp.read(&reads, self.deadline)
            )
        };
        for ((at, _), reply) in reads.into_iter().zip(read) {
            self.answers[at].0 = reply;
        }
        let written = in_order(&writes, &written);
        for (Writing { at, write, further, .. }, reply) in writes.into_iter().zip(written) {
            let reply = self.spread(write, &further, reply);
            let answer = &mut self.answers[at].0;
            *answer = match write {
                Write::Delete => joined(std::mem::replace(answer, Reply::Null), reply),
                Write::Set { .. } | Write::Count(_) => reply,
            };
        }
    }
}

/// An answer, and where in the history it was decided.
#[derive(Debug, Clone)]
struct Told {
    reply: Reply,
    /// The change that it is, or the state that refused it, which comes after the change; none when
    /// nothing is known to be done.
    at: Option<(Seq, bool)>,
}

impl Told {
    /// What was not decided, or nobody knows.
    fn open(reply: Reply) -> Self {
        Self { reply, at: None }
    }
}

/// The answers to a segment's writes. Those to decrements of one key, which are all alike, in the
/// order in which they were decided; what was not comes last.
fn in_order(writes: &[Writing], told: &[Told]) -> Vec<Reply> {
    let mut places: BTreeMap<&Sku, Vec<usize>> = BTreeMap::new();
    for (place, writing) in writes.iter().enumerate() {
        if matches!(writing.write, Write::Count(..0)) {
            places.entry(&writing.sku).or_default().push(place);
        }
    }
    let mut from: Vec<usize> = (0..told.len()).collect();
    for places in places.into_values().filter(|places| places.len() > 1) {
        let mut decided = places.clone();
        decided.sort_by_key(|place| (told[*place].at.is_none(), told[*place].at));
        for (place, decided) in places.into_iter().zip(decided) {
            from[place] = decided;
        }
    }
    from.into_iter().map(|place| told[place].reply.clone()).collect()
}

/// The answer to a deletion of several keys, of what is known of some and of one more.
fn joined(some: Reply, one: Reply) -> Reply {
    match (some, one) {
        (Reply::Int(some), Reply::Int(one)) => Reply::Int(some + one),
        (Reply::Int(0), error @ Reply::Error(_)) | (error @ Reply::Error(_), Reply::Int(0)) => {
            error
        }
        (some, one) if some == one => some,
        // Some are gone, and of others nothing was done, or nobody knows.
        _ => Reply::error(UNKNOWN),
    }
}

impl Pipeline<'_> {
    /// Answers the further increments of a write; returns the answer to its first.
    fn spread(&mut self, write: Write, further: &[(usize, i64)], reply: Reply) -> Reply {
        let (Write::Count(first), Some((_, all))) = (write, further.last()) else { return reply };
        let after = |sum: i64| match &reply {
            Reply::Int(count) => Reply::Int(count - (all - sum)),
            // All were refused, or none knows of any.
            other => other.clone(),
        };
        for (at, sum) in further {
            self.answers[*at].0 = after(*sum);
        }
        after(first)
    }
}

fn fresh_id() -> RequestId {
    let text = Uuid::now_v7().to_string();
    RequestId::new(text).unwrap_or_else(|why| unreachable!("a UUID is a request id: {why}"))
}

impl Resp {
    /// Why this node takes nothing now.
    fn refused(&self, writes: bool) -> Option<Reply> {
        if let Some(why) = self.replica.fenced() {
            return Some(Reply::error(format!(
                "TRYAGAIN nothing was done: this node is fenced: {why}"
            )));
        }
        // Nodes of older builds would stop at what a counter writes.
        (writes && self.replica.rules() < Rules::Three).then(|| {
            let why =
                "TRYAGAIN nothing was done: not all nodes have said yet that they know counters";
            Reply::error(why)
        })
    }

    async fn write(
        &self,
        writes: &[Writing],
        envelopes: Vec<Envelope>,
        deadline: Instant,
    ) -> Vec<Told> {
        if writes.is_empty() {
            return Vec::new();
        }
        let count = u32::try_from(writes.len()).unwrap_or(u32::MAX);
        let Ok(Ok(_places)) = timeout_at(deadline, self.writes.acquire_many(count)).await else {
            let full = not_proposed(NotProposed::MailboxFull);
            return vec![Told::open(full); writes.len()];
        };
        // They end when all are answered; a reply has no status.
        let _requests = trace::each(&envelopes, trace::decoded);
        let told = self.stock.ask_all(envelopes, None, deadline).await;
        let mut replies = Vec::with_capacity(writes.len());
        for (writing, told) in writes.iter().zip(told) {
            replies.push(match told.answer {
                Answer::Decided(stock::Reply { seq, outcome, .. }) => {
                    let at = match &outcome {
                        Outcome::BoughtBefore { order } => (*order, false),
                        outcome => (seq, matches!(outcome, Outcome::Refused(_))),
                    };
                    let reply = self.decided(writing, outcome, deadline).await;
                    Told { reply, at: Some(at) }
                }
                Answer::NotProposed(why) => Told::open(not_proposed(why)),
                // Counters are no clicks, so no limit applies.
                Answer::Limited(_) => Told::open(not_proposed(NotProposed::MailboxFull)),
                Answer::Unknown => Told::open(Reply::error(UNKNOWN)),
            });
        }
        replies
    }

    async fn decided(&self, writing: &Writing, outcome: Outcome, deadline: Instant) -> Reply {
        let is_set = matches!(writing.write, Write::Set { .. });
        match outcome {
            Outcome::Counted { .. } if is_set => Reply::OK,
            Outcome::Counted { count } => Reply::Int(count),
            Outcome::Bought { remaining } => units(remaining),
            Outcome::BoughtBefore { order } => self.left_by(order, deadline).await,
            Outcome::Withdrawn => Reply::Int(1),
            Outcome::Refused(refusal) => refusal_of(writing, &refusal),
            other => {
                tracing::error!("a counter was answered {other:?}");
                Reply::error(UNKNOWN)
            }
        }
    }

    /// The count that an order left, as its event says. A later try of this node has found that an
    /// earlier one won, and this node may not have applied it yet.
    async fn left_by(&self, order: Seq, deadline: Instant) -> Reply {
        if !self.replica.wait_for_seq(order, deadline).await {
            return Reply::error(UNKNOWN);
        }
        let replica = self.replica.clone();
        // An order of a moment ago is in memory, but a snapshot may have come between.
        let read = tokio::task::spawn_blocking(move || replica.event(order)).await;
        match read.map(|event| event.map(|event| event.and_then(|event| event.change.counted()))) {
            Ok(Ok(Some(count))) => units(count),
            other => {
                tracing::error!("order {order} cannot be read back: {other:?}");
                Reply::error(UNKNOWN)
            }
        }
    }

    async fn read(&self, reads: &[(usize, Read)], deadline: Instant) -> Vec<Reply> {
        if reads.is_empty() {
            return Vec::new();
        }
        if let Err(error) = self.replica.read_barrier(deadline).await {
            let why = match error {
                ReadError::NoLeader => "there is no leader",
                ReadError::Timeout => "no majority confirmed the read in time",
            };
            return vec![Reply::error(format!("TRYAGAIN nothing was read: {why}")); reads.len()];
        }
        self.replica.read(|machine| reads.iter().map(|(_, read)| look(machine, read)).collect())
    }
}

fn look(machine: &Machine, read: &Read) -> Reply {
    let count = |key: &Option<Sku>| key.as_ref().and_then(|key| machine.count(key));
    let shown = |key| count(key).map_or(Reply::Null, |count| Reply::Bulk(count.to_string()));
    match read {
        Read::Get(key) => shown(key),
        Read::GetMany(keys) => Reply::Array(keys.iter().map(shown).collect()),
        Read::Exists(keys) => {
            let found = keys.iter().filter(|key| count(key).is_some()).count();
            Reply::Int(i64::try_from(found).unwrap_or(i64::MAX))
        }
        Read::Type(key) => Reply::Simple(count(key).map_or("none", |_| "string")),
    }
}

fn units(units: u64) -> Reply {
    Reply::Int(i64::try_from(units).unwrap_or(i64::MAX))
}

/// What was surely not done.
fn not_proposed(why: NotProposed) -> Reply {
    let why = match why {
        NotProposed::MailboxFull => "the node is overloaded",
        NotProposed::NoLeader => "there was no leader in time",
        NotProposed::DiskFull => "the leader's disk is full",
        NotProposed::ShuttingDown => "the node shuts down",
    };
    Reply::error(format!("TRYAGAIN nothing was done: {why}"))
}

/// What the machine refused: nothing was done, and it is decided.
fn refusal_of(writing: &Writing, refusal: &Refusal) -> Reply {
    let sku = &writing.sku;
    match (writing.write, refusal) {
        (Write::Set { only: SetIf::Missing, .. }, Refusal::ProductDiffers)
        | (Write::Set { only: SetIf::Present, .. }, Refusal::UnknownProduct) => Reply::Null,
        (Write::Delete, Refusal::UnknownProduct) => Reply::Int(0),
        (Write::Count(_), Refusal::UnknownProduct | Refusal::SoldOut) => {
            Reply::error(format!("SOLDOUT {sku} has none left"))
        }
        (Write::Count(_), Refusal::Insufficient { remaining }) => {
            Reply::error(format!("SOLDOUT {sku} has {remaining} left, fewer than asked for"))
        }
        (_, Refusal::RestockOutOfRange { .. }) => {
            Reply::error("ERR increment or decrement would overflow")
        }
        (_, Refusal::NotOpen { .. }) => Reply::error(format!("NOTOPEN {sku} is not sold yet")),
        (_, Refusal::SaleOver { .. }) => Reply::error(format!("SALEOVER {sku} is no longer sold")),
        (_, Refusal::LimitReached { limit, .. }) => Reply::error(format!(
            "LIMIT {sku} is sold {limit} times to a user, and this one has them"
        )),
        (_, Refusal::TooManyProducts) => Reply::error("ERR there are as many products as can be"),
        (_, other) => {
            tracing::error!("a counter was refused by {other:?}");
            Reply::error("ERR refused")
        }
    }
}

#[cfg(test)]
mod tests;
