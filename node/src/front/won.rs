//! Orders that a request has just won, or had won before.
//!
//! Called by whatever makes orders: buys and confirms. That an earlier order is this user's and
//! this request's is checked against what is stored, not against the fingerprint that found it.

use super::answer::{json_at, located, mark_replayed};
use super::key::Answered;
use super::write::{Decision, Write, misplaced};
use super::{FrontState, history};
use crate::problem::Problem;
use axum::http::StatusCode;
use axum::response::Response;
use std::sync::Arc;
use stock::api::{LineView, OrderAccepted};
use stock::{Command, Event, Line, OrderContent, Outcome, Refusal, Seq, UserId};
use tokio::time::Instant;

/// A user's request, as it was sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Requested<'a> {
    pub(super) user_id: &'a str,
    pub(super) request_id: &'a str,
}

/// The order that an earlier attempt of this request won; `same` tells whether it is for what is
/// asked for now. The leader has applied it, this node may not have yet.
///
/// # Errors
/// `key-reused` when it is not; `outcome-unknown` when this node does not have it by the deadline,
/// for then only the same key again can show it.
pub(super) async fn before(
    state: &Arc<FrontState>,
    order: Seq,
    requested: Requested<'_>,
    same: impl FnOnce(&OrderContent<'_>) -> bool,
    deadline: Instant,
) -> Result<Event, Problem> {
    if !state.replica.wait_for_seq(order, deadline).await {
        return Err(Problem::outcome_unknown());
    }
    let event = history::order(state, order).await?;
    let Some((event, content)) =
        event.as_ref().and_then(|event| Some((event, event.change.order()?)))
    else {
        let why = format!("change {order} should be an order and is none");
        return Err(Problem::internal("show an order again", &why));
    };
    match compare(&content, requested, same) {
        Same::Request => Ok(event.clone()),
        Same::Key => Err(Problem::of_refusal(&Refusal::KeyReused, order)),
        Same::Fingerprint => {
            let why = format!("order {order} is of another request");
            Err(Problem::internal("show an order again", &why))
        }
    }
}

/// What a stored order has in common with the request that found it.
#[derive(Debug, PartialEq, Eq)]
enum Same {
    /// Everything: it is this request's order.
    Request,
    /// The key, under which something else was bought.
    Key,
    /// Not even the key.
    Fingerprint,
}

fn compare(
    content: &OrderContent<'_>,
    requested: Requested<'_>,
    same: impl FnOnce(&OrderContent<'_>) -> bool,
) -> Same {
    let Requested { user_id, request_id } = requested;
    if content.user.as_str() != user_id || content.request_id.as_str() != request_id {
        Same::Fingerprint
    } else if same(content) {
        Same::Request
    } else {
        Same::Key
    }
}

/// An order of one or several products that the user has.
pub(super) struct Won {
    order: OrderAccepted,
    /// Whether an earlier attempt won it.
    pub(super) replayed: bool,
}

impl Won {
    /// The 201 that it is.
    ///
    /// # Errors
    /// `internal`, as [`json_at`] and [`located`].
    pub(super) fn answer(self) -> Result<Response, Problem> {
        let order = self.order.order_id;
        let response = json_at(StatusCode::CREATED, order, &self.order)?;
        let response = located(response, format!("/v1/orders/{order}"))?;
        Ok(if self.replayed { mark_replayed(response) } else { response })
    }
}

/// Asks for an order in a user's name, and shows it, be it won now or before. What the answer
/// needs of the key comes back with it.
pub(super) async fn ask<'h>(
    state: &Arc<FrontState>,
    user: &UserId,
    write: Write<'h>,
    deadline: Instant,
) -> (Result<Won, Problem>, Answered<'h>) {
    let asked = write.command.clone();
    let (decided, key) = write.send(state, deadline).await;
    let won = match decided {
        Ok(decision) => {
            let requested = Requested { user_id: user.as_str(), request_id: key.text() };
            show(state, decision, &asked, requested, deadline).await
        }
        Err(problem) => Err(problem),
    };
    let won = won.map(|Shown { order, lines, replayed }| {
        let hold_id = match asked {
            Command::Confirm { hold } => Some(hold),
            _ => None,
        };
        let items = lines.iter().map(LineView::from).collect();
        let (node, leader) = (state.node, state.replica.leader());
        let user_id = user.clone();
        let order =
            OrderAccepted { order_id: order, user_id, items, hold_id, seq: order, node, leader };
        Won { order, replayed }
    });
    (won, key)
}

struct Shown {
    order: Seq,
    lines: Vec<Line>,
    replayed: bool,
}

async fn show(
    state: &Arc<FrontState>,
    decision: Decision,
    asked: &Command,
    requested: Requested<'_>,
    deadline: Instant,
) -> Result<Shown, Problem> {
    let Decision { outcome, seq, replayed } = decision;
    match outcome {
        Outcome::Confirmed { lines } | Outcome::BasketBought { lines } => {
            Ok(Shown { order: seq, lines, replayed })
        }
        Outcome::BoughtBefore { order } => {
            let same = |content: &OrderContent<'_>| is_for(content, asked);
            let event = before(state, order, requested, same, deadline).await?;
            let lines = event.change.order().map(|content| content.lines).unwrap_or_default();
            Ok(Shown { order, lines, replayed: true })
        }
        _ => Err(misplaced("answer with an order")),
    }
}

/// Whether an order is what a command asks for.
fn is_for(content: &OrderContent<'_>, asked: &Command) -> bool {
    match asked {
        Command::Confirm { hold } => content.hold == Some(*hold),
        Command::BuyBasket { items } => {
            content.hold.is_none() && content.items() == items.as_slice()
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stock::{Item, Items, Quantity, RequestId};

    fn content<'a>(
        (user, request_id): (&'a UserId, &'a RequestId),
        hold: Option<u64>,
    ) -> OrderContent<'a> {
        let sku = "p".parse().unwrap();
        let lines = vec![Line { sku, quantity: Quantity::ONE, available: 3 }];
        OrderContent { user, request_id, hold: hold.map(Seq), lines }
    }

    #[test]
    fn a_replay_is_compared_with_what_is_stored() {
        let (user, key) = ("u".parse().unwrap(), "k".parse().unwrap());
        let content = content((&user, &key), None);
        let with = |user_id, request_id, same| {
            compare(&content, Requested { user_id, request_id }, |_| same)
        };
        assert_eq!(with("u", "k", true), Same::Request);
        assert_eq!(with("u", "k", false), Same::Key);
        assert_eq!(with("v", "k", true), Same::Fingerprint);
        assert_eq!(with("u", "l", true), Same::Fingerprint);
    }

    #[test]
    fn an_order_is_for_its_own_command() {
        let (user, key) = ("u".parse().unwrap(), "k".parse().unwrap());
        let confirm = |hold| Command::Confirm { hold: Seq(hold) };
        let basket = |skus: &[&str]| {
            let item = |sku: &&str| Item { sku: sku.parse().unwrap(), quantity: Quantity::ONE };
            Command::BuyBasket { items: Items::new(skus.iter().map(item).collect()).unwrap() }
        };
        for (hold, asked, same) in [
            (Some(7), confirm(7), true),
            (Some(7), confirm(8), false),
            (Some(7), basket(&["p"]), false),
            (None, confirm(7), false),
            (None, basket(&["p"]), true),
            (None, basket(&["q"]), false),
            (None, basket(&["p", "q"]), false),
        ] {
            assert_eq!(is_for(&content((&user, &key), hold), &asked), same, "{hold:?} {asked:?}");
        }
    }
}
