//! `POST /v1/buys`: the hot path.
//!
//! The body is parsed where it lies, the answer is written from the same bytes, and the only
//! copies are the ids inside the command. A buy that was accepted before is answered with that
//! order, once this node has applied it. A basket, which is rarer, goes the way of other orders.

mod docs;

pub(super) use docs::POST;

use super::answer::{json_at, located, mark_replayed};
use super::field::{self, Number};
use super::key::Key;
use super::wanted::{self, ItemShape, Wanted};
use super::won::{self, Requested};
use super::write::{Decision, Write, decided, misplaced, told};
use super::{FrontState, body, query};
use crate::actor::{Answer, Sent};
use crate::metrics::BuyOutcome;
use crate::problem::{Kind, Problem};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::sync::Arc;
use stock::{
    Change, Command, Envelope, Items, NodeId, OrderContent, Outcome, Quantity, Requester, Seq, Sku,
    UserId,
};
use tokio::time::Instant;

/// [`stock::api::PostBuy`] or [`stock::api::PostBasket`] before its values are checked.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Shape<'b> {
    #[serde(borrow, default, deserialize_with = "wanted::fields::product_id")]
    product_id: Option<Cow<'b, str>>,
    #[serde(borrow, deserialize_with = "readers::user_id")]
    user_id: Cow<'b, str>,
    #[serde(default, deserialize_with = "wanted::fields::quantity")]
    quantity: Option<Number>,
    #[serde(borrow, default, deserialize_with = "wanted::items")]
    items: Option<Vec<ItemShape<'b>>>,
}

mod readers {
    use super::{Cow, field::readers};

    type Text<'b> = Cow<'b, str>;

    readers! {
        user_id as text -> Text<'de>;
    }
}

impl Shape<'_> {
    fn check(&self) -> Result<(Wanted, UserId), Problem> {
        let wanted =
            wanted::check(self.product_id.as_deref(), self.quantity, self.items.as_deref())?;
        Ok((wanted, field::user(&self.user_id, "user_id")?))
    }
}

/// [`stock::api::BuyAccepted`], written from what the request holds.
#[derive(Serialize)]
pub(super) struct Accepted<'b> {
    pub(super) order_id: Seq,
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
    let deadline = state.deadline();
    let (parts, content) = request.into_parts();
    query::none(&parts.uri)?;
    let key = Key::read(&parts.headers)?.from(state.proxies.client(&parts));
    let bytes = body::read(&parts.headers, content, deadline).await?;
    let shape: Shape<'_> = body::parse(&bytes)?;
    let (wanted, user) = shape.check()?;
    match wanted {
        Wanted::One { sku, quantity } => {
            let texts = (shape.product_id.as_deref().unwrap_or_default(), &*shape.user_id);
            Ok(one(&state, key, (sku, user, quantity), texts, deadline).await)
        }
        Wanted::Several(items) => Ok(basket(&state, key, (user, items), deadline).await),
    }
}

async fn one(
    state: &Arc<FrontState>,
    key: Key<'_>,
    (sku, user, quantity): (Sku, UserId, Quantity),
    (product_id, user_id): (&str, &str),
    deadline: Instant,
) -> Response {
    let address = key.address;
    let (request_id, attempt, mut key) = key.split();
    let envelope = Envelope {
        requester: Requester::User(user),
        request_id,
        attempt,
        command: Command::Buy { sku, quantity },
    };
    key.follow(&envelope);
    let answered = state.stock.ask(Sent { envelope, address }, deadline).await;
    key.counted(answered.allowance);
    let asked = Asked { product_id, user_id, quantity, request_id: key.text() };
    let won = decide(state, &asked, answered.answer, deadline).await;
    let answer = won.and_then(|won| won.answer());
    told(key, answer)
}

/// Several products, all or none, as one order.
async fn basket(
    state: &Arc<FrontState>,
    key: Key<'_>,
    (user, items): (UserId, Items),
    deadline: Instant,
) -> Response {
    let requester = Requester::User(user.clone());
    let write = Write { requester, key, command: Command::BuyBasket { items } };
    let (won, key) = won::ask(state, &user, write, deadline).await;
    state.metrics.observe_buy(outcome(won.as_ref().map(|won| won.replayed)));
    told(key, won.and_then(won::Won::answer))
}

/// What the actor's answer to a buy is for the buyer; counted here.
pub(super) async fn decide<'b>(
    state: &Arc<FrontState>,
    asked: &Asked<'b>,
    answer: Answer,
    deadline: Instant,
) -> Result<Won<'b>, Problem> {
    let won = match decided(state, answer) {
        Ok(Decision { outcome, seq, replayed }) => match outcome {
            Outcome::Bought { remaining } => {
                let order = Accepted::new(state, asked, seq, remaining);
                Ok(Won { order, replayed })
            }
            Outcome::BoughtBefore { order } => bought_before(state, asked, order, deadline).await,
            _ => Err(misplaced("answer a buy")),
        },
        Err(problem) => Err(problem),
    };
    state.metrics.observe_buy(outcome(won.as_ref().map(|won| won.replayed)));
    won
}

/// How the metrics count it; of a yes, whether an earlier attempt had won.
fn outcome(won: Result<bool, &Problem>) -> BuyOutcome {
    let problem = match won {
        Ok(true) => return BuyOutcome::Replayed,
        Ok(false) => return BuyOutcome::Accepted,
        Err(problem) => problem,
    };
    match problem.kind() {
        Kind::SoldOut => BuyOutcome::SoldOut,
        Kind::Insufficient => BuyOutcome::Insufficient,
        Kind::LimitReached => BuyOutcome::Limit,
        Kind::RateLimited => BuyOutcome::RateLimited,
        Kind::UnknownProduct => BuyOutcome::UnknownProduct,
        Kind::NotOpen => BuyOutcome::NotOpen,
        Kind::SaleOver => BuyOutcome::SaleOver,
        Kind::KeyReused => BuyOutcome::KeyReused,
        Kind::NoLeader | Kind::Overloaded | Kind::StorageFull | Kind::ShuttingDown => {
            BuyOutcome::NotProposed
        }
        _ => BuyOutcome::Unknown,
    }
}

/// The order that an earlier attempt won.
async fn bought_before<'b>(
    state: &Arc<FrontState>,
    asked: &Asked<'b>,
    order: Seq,
    deadline: Instant,
) -> Result<Won<'b>, Problem> {
    let requested = Requested { user_id: asked.user_id, request_id: asked.request_id };
    let same = |content: &OrderContent<'_>| is_for(content, asked);
    let event = won::before(state, order, requested, same, deadline).await?;
    let remaining = match &event.change {
        // As any buyer is told, also one who counts under the same user id.
        Change::Ordered(order) | Change::Counted { order, .. } => order.remaining,
        _ => return Err(misplaced("show a buy again")),
    };
    Ok(Won { order: Accepted::new(state, asked, order, remaining), replayed: true })
}

/// Whether an order is for what was asked.
fn is_for(content: &OrderContent<'_>, asked: &Asked<'_>) -> bool {
    match &content.lines[..] {
        [line] => {
            content.hold.is_none()
                && line.sku.as_str() == asked.product_id
                && line.quantity == asked.quantity
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests;
