//! Holds, releases and cancels that a request had become before.
//!
//! Of such a request the machine knows the change; what it was answered is in the change's event,
//! and so is all that it asked for. It is compared in full: what found it was a fingerprint. Called
//! by whatever makes these changes.

use super::write::Decision;
use super::{FrontState, history};
use crate::problem::Problem;
use std::sync::Arc;
use stock::{Change, Envelope, Outcome, Refusal, Seq};
use tokio::time::Instant;

/// What an earlier attempt of this request was answered. The leader has applied the change, this
/// node may not have yet.
///
/// # Errors
/// `key-reused` when the earlier attempt asked for something else; `outcome-unknown` when this node
/// does not have the change by the deadline, for then only the same key again can show it.
pub(super) async fn before(
    state: &Arc<FrontState>,
    change: Seq,
    asked: &Envelope,
    deadline: Instant,
) -> Result<Decision, Problem> {
    if !state.replica.wait_for_seq(change, deadline).await {
        return Err(Problem::outcome_unknown());
    }
    let event = history::change(state, change).await?;
    match event.map_or(Found::Other, |event| compare(&event.change, asked)) {
        Found::Request(outcome) => Ok(Decision { outcome, seq: change, replayed: true }),
        Found::Key => Err(Problem::of_refusal(&Refusal::KeyReused, change)),
        Found::Other => {
            let why = format!("change {change} is of another request");
            Err(Problem::internal("answer a request again", &why))
        }
    }
}

/// What a change has in common with the request that found it.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    /// Everything; what it was answered.
    Request(Outcome),
    /// The key, under which something else was asked for.
    Key,
    /// Not even the key.
    Other,
}

fn compare(change: &Change, asked: &Envelope) -> Found {
    let (Some(earlier), Some(outcome)) = (change.asked(), change.done()) else {
        return Found::Other;
    };
    if (&earlier.requester, &earlier.request_id) != (&asked.requester, &asked.request_id) {
        Found::Other
    } else if earlier.command == asked.command {
        Found::Request(outcome)
    } else {
        Found::Key
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stock::{Attempt, By, Command, Line, Quantity, RequestId, Requester, UserId};

    #[test]
    fn an_answer_is_given_again_to_its_own_request() {
        let lines = vec![Line { sku: "p".parse().unwrap(), quantity: Quantity::ONE, available: 3 }];
        let (user, request_id): (UserId, RequestId) = ("u".parse().unwrap(), "k".parse().unwrap());
        let hold = Seq(7);
        let change = |by| {
            let (user, request_id, lines) = (user.clone(), request_id.clone(), lines.clone());
            Change::ReleasedFor { hold, user, by, request_id, lines }
        };
        let asked = |requester, request_id: &str, hold| Envelope {
            requester,
            request_id: request_id.parse().unwrap(),
            attempt: Attempt::Later,
            command: Command::Release { hold: Seq(hold) },
        };
        let of = |user: &str| Requester::User(user.parse().unwrap());
        let same = || Found::Request(Outcome::Released { lines: lines.clone() });
        for (by, asked, found) in [
            (By::Owner, asked(of("u"), "k", 7), same()),
            (By::Operator, asked(Requester::Operator, "k", 7), same()),
            (By::Owner, asked(of("u"), "k", 8), Found::Key),
            (By::Owner, asked(of("u"), "l", 7), Found::Other),
            (By::Owner, asked(of("v"), "k", 7), Found::Other),
            (By::Operator, asked(of("u"), "k", 7), Found::Other),
        ] {
            assert_eq!(compare(&change(by), &asked), found, "{by:?} {asked:?}");
        }
        // What does not say how it was asked for cannot be answered again.
        let silent = Change::Released { hold, user: user.clone(), lines: lines.clone() };
        assert_eq!(compare(&silent, &asked(of("u"), "k", 7)), Found::Other);
    }
}
