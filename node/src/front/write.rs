//! One command to the stock actor, and what every write has in common: the key, the three
//! outcomes, refusals, and the mark of a replay.
//!
//! Called by the writing endpoints, each of which turns the outcomes of its own command into an
//! answer. Buys of one product do the same by hand, for they are written without copies.

use super::answer::mark_replayed;
use super::key::{Answered, Key};
use super::{FrontState, done};
use crate::actor::{Answer, Sent};
use crate::problem::Problem;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;
use stock::{Command, Envelope, Outcome, Reply, Requester, Seq};
use tokio::time::Instant;

/// Who asks for what, under which key.
pub(super) struct Write<'h> {
    pub(super) requester: Requester,
    pub(super) key: Key<'h>,
    pub(super) command: Command,
}

/// What was decided, other than a refusal.
#[derive(Debug)]
pub(super) struct Decision {
    pub(super) outcome: Outcome,
    /// The change, or the state that answered.
    pub(super) seq: Seq,
    /// Whether it is the outcome of an earlier attempt.
    pub(super) replayed: bool,
}

impl Decision {
    /// What `respond` makes of it, marked if it is a replay.
    ///
    /// # Errors
    /// Those of `respond`.
    pub(super) fn respond(
        self,
        respond: impl FnOnce(Outcome, Seq) -> Result<Response, Problem>,
    ) -> Result<Response, Problem> {
        let response = respond(self.outcome, self.seq)?;
        Ok(if self.replayed { mark_replayed(response) } else { response })
    }
}

impl<'h> Write<'h> {
    /// Asks, and answers with what `respond` makes of the outcome. Refusals, the unknown outcome
    /// and what was not proposed are problems already, and the key that was made here is told in
    /// every case.
    pub(super) async fn ask(
        self,
        state: &Arc<FrontState>,
        deadline: Instant,
        respond: impl FnOnce(Outcome, Seq) -> Result<Response, Problem>,
    ) -> Response {
        let asked = self.asked();
        let (mut decided, key) = self.send(state, deadline).await;
        if let Ok(Decision { outcome: Outcome::DoneBefore { change }, .. }) = decided {
            decided = done::before(state, change, &asked, deadline).await;
        }
        told(key, decided.and_then(|decision| decision.respond(respond)))
    }

    fn asked(&self) -> Envelope {
        let (requester, request_id) = (self.requester.clone(), self.key.request_id.clone());
        let (attempt, command) = (self.key.attempt, self.command.clone());
        Envelope { requester, request_id, attempt, command }
    }

    /// Asks; what the answer needs of the key comes back with what was decided.
    pub(super) async fn send(
        self,
        state: &FrontState,
        deadline: Instant,
    ) -> (Result<Decision, Problem>, Answered<'h>) {
        let Self { requester, key, command } = self;
        let address = key.address;
        let (request_id, attempt, mut key) = key.split();
        let envelope = Envelope { requester, request_id, attempt, command };
        key.follow(&envelope);
        let answered = state.stock.ask(Sent { envelope, address }, deadline).await;
        key.counted(answered.allowance);
        (decided(state, answered.answer), key)
    }
}

/// An answer with the key that was made here, and what is left of the rate limits. Whatever the
/// outcome is: after an unknown one, only that key settles it.
pub(super) fn told(key: Answered<'_>, answer: Result<Response, Problem>) -> Response {
    let mut response = answer.unwrap_or_else(IntoResponse::into_response);
    key.put(&mut response);
    response
}

/// What an actor's answer comes to.
///
/// # Errors
/// The problem that it is to the client.
pub(super) fn decided(state: &FrontState, answer: Answer) -> Result<Decision, Problem> {
    judged(answer).map_err(|problem| problem.by_clock(|| state.replica.status().clock_off_ms))
}

/// As [`decided`], for a node whose clock is right.
pub(super) fn judged(answer: Answer) -> Result<Decision, Problem> {
    let Reply { seq, replayed, outcome } = match answer {
        Answer::Decided(reply) => reply,
        Answer::Limited(limited) => return Err(Problem::of_limit(limited)),
        Answer::NotProposed(why) => return Err(Problem::of_not_proposed(why)),
        Answer::Unknown => return Err(Problem::outcome_unknown()),
    };
    if let Outcome::Refused(refusal) = outcome {
        let problem = Problem::of_refusal(&refusal, seq);
        return Err(if replayed { problem.replayed() } else { problem });
    }
    Ok(Decision { outcome, seq, replayed })
}

/// An outcome that is that of another command: a fault of this node.
pub(super) fn misplaced(doing: &'static str) -> Problem {
    Problem::internal(doing, &"the reply is that of another command")
}
