//! The way of clicks under a rate limit: to the leader's actor, which counts them.
//!
//! A follower passes clicks on as they came, one frame for as many as wait, and tries again
//! through a failover until their deadline, as `deliver.rs` does with commands. The leader takes
//! a frame apart: each click is counted, and refused, read or proposed for itself. Its try there
//! is its only one, for the node that it came from tries again.
//!
//! Buys and holds are clicks, whoever asks for them and how; confirms are not: they finish what a
//! click began.

use super::deliver::wait_to_retry;
use super::reply_to::Gathering;
use super::{ANSWER_GRACE, Answer, Ask, Ending, NotProposed, Told, Tries};
use crate::rate::Clicker;
use crate::trace;
use raft::{Click, ClickAnswer, ClickFrame, ClickOutcome, ClicksAnswer, Replica};
use std::future::Future;
use std::time::Duration;
use stock::{Attempt, Command, NodeId, Requester};
use tokio::time::Instant;

/// How long a frame may take; its sender keeps the buyers' own deadlines.
const FRAME_DEADLINE: Duration = Duration::from_secs(5);

/// Who clicks, if it is a click.
pub(super) fn clicker(ask: &Ask) -> Option<Clicker<'_>> {
    let Requester::User(user) = &ask.envelope.requester else {
        return None;
    };
    match &ask.envelope.command {
        Command::Buy { .. } | Command::BuyBasket { .. } | Command::Hold { .. } => {
            Some(Clicker { user, address: ask.address, attempt: ask.envelope.attempt })
        }
        Command::CreateProduct(_)
        | Command::UpdateProduct(_)
        | Command::Restock { .. }
        | Command::Confirm { .. }
        | Command::Release { .. }
        | Command::Cancel(_)
        | Command::MoveCursor(_)
        | Command::MoveCursorFor(_)
        | Command::RemoveCursor(_)
        | Command::SetAvailable { .. }
        | Command::Withdraw { .. }
        // Whoever counts is a shop's program, and not a buyer.
        | Command::Count { .. } => None,
    }
}

/// Takes a frame apart into asks; the future answers its sender when each of them is answered.
pub(super) fn split(
    frame: ClickFrame,
    asks: &mut Vec<Ask>,
) -> impl Future<Output = ()> + Send + 'static {
    let ClickFrame { clicks, reply } = frame;
    let came = Instant::now();
    let deadline = came + FRAME_DEADLINE;
    let (gathering, places) = Gathering::new(clicks.len());
    asks.extend(clicks.into_iter().zip(places).map(|(click, reply_to)| {
        let Click { envelope, address, counted } = click;
        let (tries, waits) = (Tries::Once, trace::waits(&envelope));
        Ask { envelope, address, counted, came, deadline, reply_to, tries, waits }
    }));
    async move {
        let told = gathering.wait(deadline + ANSWER_GRACE).await;
        let _gone = reply.send(told.into_iter().map(on_the_wire).collect());
    }
}

/// The answer to a frame of which nothing was counted or proposed.
pub(super) fn refuse(frame: ClickFrame) {
    let not_proposed = ClickAnswer { outcome: ClickOutcome::NotProposed, allowance: None };
    let _gone = frame.reply.send(vec![not_proposed; frame.clicks.len()]);
}

fn on_the_wire(told: Told) -> ClickAnswer {
    let outcome = match told.answer {
        Answer::Decided(reply) => ClickOutcome::Decided(reply),
        Answer::Limited(limited) => ClickOutcome::Limited(limited),
        Answer::NotProposed(_) => ClickOutcome::NotProposed,
        Answer::Unknown => ClickOutcome::Unknown,
    };
    ClickAnswer { outcome, allowance: told.allowance.map(|allowance| *allowance) }
}

/// Brings clicks to the leader's count, until each is answered; gives back those that are for
/// this node to sort: it leads by now, or whoever leads does not count; at the end, all.
///
/// Those of a frame that is under way at the end are dropped, which leaves them unknown.
pub(super) async fn pass(replica: Replica, mut asks: Vec<Ask>, mut ending: Ending) -> Vec<Ask> {
    loop {
        let leader = replica.leader();
        if leader == Some(replica.id()) || !replica.counts(leader) {
            return asks;
        }
        if let Some(leader) = leader {
            asks = tokio::select! {
                biased;
                unanswered = try_once(&replica, leader, asks) => unanswered,
                () = ending.is_over() => return Vec::new(),
            };
        }
        asks = give_up_expired(asks);
        let Some(deadline) = asks.iter().map(|ask| ask.deadline).max() else {
            return Vec::new();
        };
        tokio::select! {
            () = wait_to_retry(&replica, leader, deadline) => {}
            () = ending.has_come() => return asks,
        }
    }
}

/// Sends them once; returns those that are not answered.
async fn try_once(replica: &Replica, leader: NodeId, asks: Vec<Ask>) -> Vec<Ask> {
    let deadline = asks.iter().map(|ask| ask.deadline).max().unwrap_or_else(Instant::now);
    let as_click = |ask: &Ask| Click {
        envelope: ask.envelope.clone(),
        address: ask.address,
        counted: ask.counted,
    };
    let clicks: Vec<Click> = asks.iter().map(as_click).collect();
    let frame = clicks.len();
    let commands = asks.iter().map(|ask| &ask.envelope);
    let spans = trace::each(commands, |command| trace::forward(command, leader, frame));
    match replica.pass_clicks(leader, &clicks, deadline).await {
        ClicksAnswer::Taken(answers) => {
            for (span, answer) in spans.iter().zip(&answers) {
                if let ClickOutcome::Decided(reply) = &answer.outcome {
                    trace::decided(span, reply);
                }
            }
            let told = asks.into_iter().zip(answers);
            told.filter_map(|(ask, answer)| unanswered(ask, answer)).collect()
        }
        ClicksAnswer::NotTaken => asks,
        ClicksAnswer::Unknown => asks.into_iter().map(uncertain).collect(),
    }
}

fn unanswered(mut ask: Ask, answer: ClickAnswer) -> Option<Ask> {
    if let Some(allowance) = answer.allowance {
        ask.counted = true;
        ask.reply_to.counted(Box::new(allowance));
    }
    match answer.outcome {
        ClickOutcome::Decided(reply) => ask.answer(Answer::Decided(reply)),
        ClickOutcome::Limited(limited) => ask.answer(Answer::Limited(limited)),
        ClickOutcome::NotProposed => return Some(ask),
        ClickOutcome::Unknown => return Some(uncertain(ask)),
    }
    None
}

/// From now on each try is a later attempt, and only a decision is an answer.
fn uncertain(mut ask: Ask) -> Ask {
    ask.envelope.attempt = Attempt::Later;
    ask.reply_to.tried();
    ask
}

fn give_up_expired(asks: Vec<Ask>) -> Vec<Ask> {
    let now = Instant::now();
    let (expired, open): (Vec<Ask>, Vec<Ask>) =
        asks.into_iter().partition(|ask| ask.deadline <= now);
    for late in expired {
        late.decline(NotProposed::NoLeader);
    }
    open
}
