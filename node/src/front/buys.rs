//! `POST /v1/buys`: the hot path.
//!
//! The body is parsed where it lies, the answer is written from the same bytes, and the only
//! copies are the ids inside the command. A buy that was accepted before is answered with that
//! order, once this node has applied it.

use super::field::{self, Number};
use super::key::{Answered, Key};
use super::{FrontState, REPLAYED, body, json_at, orders, query};
use crate::actor::Answer;
use crate::metrics::BuyOutcome;
use crate::problem::Problem;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
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
        let sku = Sku::new(&*self.product_id)
            .map_err(|why| Problem::invalid_value("product_id", &why))?;
        let user =
            UserId::new(&*self.user_id).map_err(|why| Problem::invalid_value("user_id", &why))?;
        Ok((sku, user, units(self.quantity, "quantity")?))
    }
}

/// A number of units from 1 to [`Quantity::MAX`].
pub(super) fn units(number: Number, field: &'static str) -> Result<Quantity, Problem> {
    let units = number.within(field, &(1..=i128::from(Quantity::MAX)))?;
    let units = u64::try_from(units).unwrap_or(0);
    Quantity::new(units).map_err(|why| Problem::invalid_value(field, &why))
}

/// [`stock::api::BuyAccepted`], written from what the request holds.
#[derive(Serialize)]
struct Accepted<'b> {
    order_id: Seq,
    product_id: &'b str,
    user_id: &'b str,
    quantity: Quantity,
    remaining: u64,
    seq: Seq,
    node: NodeId,
    #[serde(skip_serializing_if = "Option::is_none")]
    leader: Option<NodeId>,
}

/// What was asked, as far as the answer repeats it.
struct Asked<'b> {
    shape: &'b Shape<'b>,
    quantity: Quantity,
    request_id: &'b str,
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
    let asked = Asked { shape: &shape, quantity, request_id: key.text() };
    let answer = answer_to(&state, &asked, answer, deadline).await;
    Ok(respond(&state, answer, key))
}

/// Counts the outcome, and tells the key that was made here whatever the outcome is: after an
/// unknown one, only that key settles it.
fn respond(
    state: &FrontState,
    (outcome, answer): (BuyOutcome, Result<Response, Problem>),
    key: Answered<'_>,
) -> Response {
    state.metrics.observe_buy(outcome);
    let mut response = answer.unwrap_or_else(IntoResponse::into_response);
    key.put(&mut response);
    response
}

async fn answer_to(
    state: &Arc<FrontState>,
    asked: &Asked<'_>,
    answer: Answer,
    deadline: Instant,
) -> (BuyOutcome, Result<Response, Problem>) {
    let reply = match answer {
        Answer::Decided(reply) => reply,
        Answer::NotProposed(why) => {
            return (BuyOutcome::NotProposed, Err(Problem::of_not_proposed(why)));
        }
        Answer::Unknown => return (BuyOutcome::Unknown, Err(Problem::outcome_unknown())),
    };
    let Reply { seq, replayed, outcome } = reply;
    match outcome {
        Outcome::Bought { remaining } if !replayed => {
            (BuyOutcome::Accepted, accepted(state, asked, seq, remaining))
        }
        Outcome::Bought { remaining } => {
            (BuyOutcome::Replayed, accepted(state, asked, seq, remaining).map(mark_replayed))
        }
        Outcome::BoughtBefore { order } => bought_before(state, asked, order, deadline).await,
        Outcome::Refused(refusal) => {
            let problem = Problem::of_refusal(&refusal, seq);
            let problem = if replayed { problem.replayed() } else { problem };
            (outcome_of(&refusal), Err(problem))
        }
        Outcome::ProductCreated(_) | Outcome::ProductUnchanged(_) | Outcome::Restocked(_) => {
            let problem =
                Problem::internal("answer a buy", &"the reply is that of another command");
            (BuyOutcome::Unknown, Err(problem))
        }
    }
}

fn outcome_of(refusal: &Refusal) -> BuyOutcome {
    match refusal {
        Refusal::SoldOut => BuyOutcome::SoldOut,
        Refusal::Insufficient { .. } => BuyOutcome::Insufficient,
        Refusal::LimitReached { .. } => BuyOutcome::Limit,
        Refusal::UnknownProduct => BuyOutcome::UnknownProduct,
        Refusal::KeyReused => BuyOutcome::KeyReused,
        Refusal::ProductDiffers | Refusal::RestockOutOfRange { .. } | Refusal::TooManyProducts => {
            BuyOutcome::Unknown
        }
    }
}

/// The order that an earlier attempt won.
///
/// The leader has applied it, this node may not have yet. That the order is this user's and this
/// request's is checked against what is stored, not against the fingerprint that found it.
async fn bought_before(
    state: &Arc<FrontState>,
    asked: &Asked<'_>,
    order: Seq,
    deadline: Instant,
) -> (BuyOutcome, Result<Response, Problem>) {
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
            let answer = accepted(state, asked, order, stored.remaining).map(mark_replayed);
            (BuyOutcome::Replayed, answer)
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
    let key = stored.user.as_str() == asked.shape.user_id
        && stored.request_id.as_str() == asked.request_id;
    let units = stored.sku.as_str() == asked.shape.product_id && stored.quantity == asked.quantity;
    match (key, units) {
        (true, true) => Same::Request,
        (true, false) => Same::Key,
        (false, _) => Same::Fingerprint,
    }
}

fn accepted(
    state: &FrontState,
    asked: &Asked<'_>,
    order: Seq,
    remaining: u64,
) -> Result<Response, Problem> {
    let accepted = Accepted {
        order_id: order,
        product_id: &asked.shape.product_id,
        user_id: &asked.shape.user_id,
        quantity: asked.quantity,
        remaining,
        seq: order,
        node: state.node,
        leader: state.replica.leader(),
    };
    let mut response = json_at(StatusCode::CREATED, order, &accepted)?;
    let location = HeaderValue::try_from(format!("/v1/orders/{order}"))
        .map_err(|why| Problem::internal("name an order", &why))?;
    response.headers_mut().insert(header::LOCATION, location);
    Ok(response)
}

/// Says that this is the outcome of an earlier attempt.
pub(super) fn mark_replayed(mut response: Response) -> Response {
    response.headers_mut().insert(&REPLAYED, HeaderValue::from_static("true"));
    response
}

#[cfg(test)]
mod tests;
