//! `POST /v1/buys`: the hot path.
//!
//! The body is parsed where it lies, the answer is written from the same bytes, and the only
//! copies are the ids inside the command. A buy that was accepted before is answered with that
//! order, once this node has applied it.

use super::answer::{json_at, located, mark_replayed};
use super::field::{self, Number, units};
use super::key::Key;
use super::write::misplaced;
use super::{FrontState, body, orders, query};
use crate::actor::Answer;
use crate::metrics::BuyOutcome;
use crate::problem::Problem;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Deserializer, Serialize};
use std::borrow::Cow;
use std::sync::Arc;
use stock::{
    Command, Envelope, NodeId, Order, Outcome, Quantity, Refusal, Reply, Requester, Seq, Sku,
    UserId,
};
use tokio::time::Instant;

/// [`stock::api::PostBuy`] before its values are checked.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Shape<'b> {
    #[serde(borrow, deserialize_with = "product_id")]
    product_id: Cow<'b, str>,
    #[serde(borrow, deserialize_with = "user_id")]
    user_id: Cow<'b, str>,
    #[serde(default = "one", deserialize_with = "quantity")]
    quantity: Number,
}

fn product_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Cow<'de, str>, D::Error> {
    field::text(deserializer, "product_id")
}

fn user_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Cow<'de, str>, D::Error> {
    field::text(deserializer, "user_id")
}

fn quantity<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Number, D::Error> {
    field::number(deserializer, "quantity")
}

fn one() -> Number {
    Number::Whole(1)
}

impl Shape<'_> {
    fn check(&self) -> Result<(Sku, UserId, Quantity), Problem> {
        let sku = field::sku(&self.product_id, "product_id")?;
        let user = field::user(&self.user_id, "user_id")?;
        Ok((sku, user, units(self.quantity, "quantity")?))
    }
}

/// [`stock::api::BuyAccepted`], written from what the request holds.
#[derive(Serialize)]
pub(super) struct Accepted<'b> {
    order_id: Seq,
    product_id: &'b str,
    user_id: &'b str,
    quantity: Quantity,
    pub(super) remaining: u64,
    seq: Seq,
    node: NodeId,
    #[serde(skip_serializing_if = "Option::is_none")]
    leader: Option<NodeId>,
}

impl<'b> Accepted<'b> {
    fn new(state: &FrontState, asked: &Asked<'b>, order: Seq, remaining: u64) -> Self {
        Self {
            order_id: order,
            product_id: asked.product_id,
            user_id: asked.user_id,
            quantity: asked.quantity,
            remaining,
            seq: order,
            node: state.node,
            leader: state.replica.leader(),
        }
    }
}

/// What was asked, as far as the answer repeats it.
pub(super) struct Asked<'b> {
    pub(super) product_id: &'b str,
    pub(super) user_id: &'b str,
    pub(super) quantity: Quantity,
    pub(super) request_id: &'b str,
}

/// An order that the buyer has.
pub(super) struct Won<'b> {
    pub(super) order: Accepted<'b>,
    /// Whether an earlier attempt won it.
    pub(super) replayed: bool,
}

impl Won<'_> {
    fn answer(&self) -> Result<Response, Problem> {
        let order = self.order.order_id;
        let response = json_at(StatusCode::CREATED, order, &self.order)?;
        let response = located(response, format!("/v1/orders/{order}"))?;
        Ok(if self.replayed { mark_replayed(response) } else { response })
    }
}

/// Asks for units, and says what was decided.
pub(super) async fn post(state: Arc<FrontState>, request: Request) -> Result<Response, Problem> {
    let (parts, content) = request.into_parts();
    query::none(&parts.uri)?;
    let key = Key::read(&parts.headers)?;
    let bytes = body::read(&parts.headers, content, state.deadline()).await?;
    let shape: Shape<'_> = body::parse(&bytes)?;
    let (sku, user, quantity) = shape.check()?;

    let (request_id, attempt, key) = key.split();
    let envelope = Envelope {
        requester: Requester::User(user),
        request_id,
        attempt,
        command: Command::Buy { sku, quantity },
    };
    let deadline = state.deadline();
    let answer = state.stock.ask(envelope, deadline).await;
    let asked = Asked {
        product_id: &shape.product_id,
        user_id: &shape.user_id,
        quantity,
        request_id: key.text(),
    };
    let (outcome, decided) = decide(&state, &asked, answer, deadline).await;
    state.metrics.observe_buy(outcome);
    let mut response =
        decided.and_then(|won| won.answer()).unwrap_or_else(IntoResponse::into_response);
    // Whatever the outcome is: after an unknown one, only that key settles it.
    key.put(&mut response);
    Ok(response)
}

/// What the actor's answer to a buy is, for the metrics and for the buyer.
pub(super) async fn decide<'b>(
    state: &Arc<FrontState>,
    asked: &Asked<'b>,
    answer: Answer,
    deadline: Instant,
) -> (BuyOutcome, Result<Won<'b>, Problem>) {
    let reply = match answer {
        Answer::Decided(reply) => reply,
        Answer::NotProposed(why) => {
            return (BuyOutcome::NotProposed, Err(Problem::of_not_proposed(why)));
        }
        Answer::Unknown => return (BuyOutcome::Unknown, Err(Problem::outcome_unknown())),
    };
    let Reply { seq, replayed, outcome } = reply;
    match outcome {
        Outcome::Bought { remaining } => {
            let order = Accepted::new(state, asked, seq, remaining);
            let outcome = if replayed { BuyOutcome::Replayed } else { BuyOutcome::Accepted };
            (outcome, Ok(Won { order, replayed }))
        }
        Outcome::BoughtBefore { order } => bought_before(state, asked, order, deadline).await,
        Outcome::Refused(refusal) => {
            let problem = Problem::of_refusal(&refusal, seq);
            let problem = if replayed { problem.replayed() } else { problem };
            (outcome_of(&refusal), Err(problem))
        }
        _ => (BuyOutcome::Unknown, Err(misplaced("answer a buy"))),
    }
}

fn outcome_of(refusal: &Refusal) -> BuyOutcome {
    match refusal {
        Refusal::OfItem { refusal, .. } => outcome_of(refusal),
        Refusal::SoldOut => BuyOutcome::SoldOut,
        Refusal::Insufficient { .. } => BuyOutcome::Insufficient,
        Refusal::LimitReached { .. } => BuyOutcome::Limit,
        Refusal::UnknownProduct => BuyOutcome::UnknownProduct,
        Refusal::NotOpen { .. } => BuyOutcome::NotOpen,
        Refusal::SaleOver { .. } => BuyOutcome::SaleOver,
        Refusal::KeyReused => BuyOutcome::KeyReused,
        // No buy is refused for these.
        Refusal::ProductDiffers
        | Refusal::RestockOutOfRange { .. }
        | Refusal::TooManyProducts
        | Refusal::VersionDiffers { .. }
        | Refusal::EmptyWindow { .. }
        | Refusal::UnknownHold
        | Refusal::HoldSettled { .. }
        | Refusal::HoldExpired { .. }
        | Refusal::TooManyUserHolds
        | Refusal::TooManyHolds
        | Refusal::UnknownOrder
        | Refusal::AlreadyCancelled => BuyOutcome::Unknown,
    }
}

/// The order that an earlier attempt won.
///
/// The leader has applied it, this node may not have yet. That the order is this user's and this
/// request's is checked against what is stored, not against the fingerprint that found it.
async fn bought_before<'b>(
    state: &Arc<FrontState>,
    asked: &Asked<'b>,
    order: Seq,
    deadline: Instant,
) -> (BuyOutcome, Result<Won<'b>, Problem>) {
    if !state.replica.wait_for_seq(order, deadline).await {
        // It is an order, but this node cannot show it: the same key again will.
        return (BuyOutcome::Unknown, Err(Problem::outcome_unknown()));
    }
    let stored = match orders::order(state, order).await {
        Ok(Some((_, stored))) => stored,
        Ok(None) => {
            let why = format!("change {order} should be an order and is none");
            return (BuyOutcome::Unknown, Err(Problem::internal("show an order again", &why)));
        }
        Err(problem) => return (BuyOutcome::Unknown, Err(problem)),
    };
    match compare(asked, &stored) {
        Same::Request => {
            let order = Accepted::new(state, asked, order, stored.remaining);
            (BuyOutcome::Replayed, Ok(Won { order, replayed: true }))
        }
        Same::Key => (BuyOutcome::KeyReused, Err(Problem::of_refusal(&Refusal::KeyReused, order))),
        Same::Fingerprint => {
            let why = format!("order {order} is of another request");
            (BuyOutcome::Unknown, Err(Problem::internal("show an order again", &why)))
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

fn compare(asked: &Asked<'_>, stored: &Order) -> Same {
    let key =
        stored.user.as_str() == asked.user_id && stored.request_id.as_str() == asked.request_id;
    let units = stored.sku.as_str() == asked.product_id && stored.quantity == asked.quantity;
    match (key, units) {
        (true, true) => Same::Request,
        (true, false) => Same::Key,
        (false, _) => Same::Fingerprint,
    }
}

#[cfg(test)]
mod tests;
