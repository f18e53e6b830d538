//! One command to the stock actor, and what every write has in common: the key, the three
//! outcomes, refusals, and the mark of a replay.
//!
//! Called by the writing endpoints, each of which turns the outcomes of its own command into an
//! answer. Buys do the same by hand, because they count, and look up orders of earlier attempts.

use super::FrontState;
use super::answer::mark_replayed;
use super::key::Key;
use crate::actor::Answer;
use crate::problem::Problem;
use axum::response::{IntoResponse, Response};
use stock::{Command, Envelope, Outcome, Reply, Requester, Seq};

/// Who asks for what, under which key.
pub(super) struct Write<'h> {
    pub(super) requester: Requester,
    pub(super) key: Key<'h>,
    pub(super) command: Command,
}

impl Write<'_> {
    /// Asks, and answers with what `respond` makes of the outcome. Refusals, the unknown outcome
    /// and what was not proposed are problems already, and the key that was made here is told in
    /// every case.
    pub(super) async fn ask(
        self,
        state: &FrontState,
        respond: impl FnOnce(Outcome, Seq) -> Result<Response, Problem>,
    ) -> Response {
        let (request_id, attempt, key) = self.key.split();
        let Self { requester, command, .. } = self;
        let envelope = Envelope { requester, request_id, attempt, command };
        let answer = state.stock.ask(envelope, state.deadline()).await;
        let mut response = decided(answer, respond).unwrap_or_else(IntoResponse::into_response);
        key.put(&mut response);
        response
    }
}

/// What an actor's answer is to the client.
///
/// # Errors
/// The problem that it is.
pub(super) fn decided(
    answer: Answer,
    respond: impl FnOnce(Outcome, Seq) -> Result<Response, Problem>,
) -> Result<Response, Problem> {
    let Reply { seq, replayed, outcome } = match answer {
        Answer::Decided(reply) => reply,
        Answer::NotProposed(why) => return Err(Problem::of_not_proposed(why)),
        Answer::Unknown => return Err(Problem::outcome_unknown()),
    };
    if let Outcome::Refused(refusal) = outcome {
        let problem = Problem::of_refusal(&refusal, seq);
        return Err(if replayed { problem.replayed() } else { problem });
    }
    let response = respond(outcome, seq)?;
    Ok(if replayed { mark_replayed(response) } else { response })
}

/// An outcome that is that of another command: a fault of this node.
pub(super) fn misplaced(doing: &'static str) -> Problem {
    Problem::internal(doing, &"the reply is that of another command")
}
