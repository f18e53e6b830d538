//! Drop-in routes: what scripts and dashboards of smaller shops call, answered as they expect it.
//!
//! `POST /beli` and `POST /reset` of one default product, `POST /api/buy`, and
//! `POST /api/flash-sale/buy`. Each click is one unit, decided as any buy is. What those systems
//! have no answer for (no leader in time, an unknown outcome) is told as everywhere here: a
//! problem with a status above 500, never a false "fail". An `Idempotency-Key` makes a click safe
//! to send again.

mod docs;
mod id;

pub(super) use docs::{API_BUY, BELI, FLASH_SALE, RESET};

use super::answer::json;
use super::key::{Answered, Key};
use super::query::{self, Parameters};
use super::write::{Write, misplaced, told};
use super::{FrontState, body, buys, field};
use crate::actor::Sent;
use crate::problem::{Kind, Problem};
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use id::{Id, IdShape};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use stock::{
    Attempt, Command, Envelope, Outcome, Quantity, RequestId, Requester, Rules, Seq, SetIf, Sku,
    UserId,
};
use tokio::time::Instant;
use utoipa::ToSchema;

/// What the drop-in routes are set to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct DropIn {
    /// What `/beli` sells and `/reset` restocks.
    pub(crate) product: Option<Sku>,
    /// Whether there is a `/reset`.
    pub(crate) reset: bool,
}

/// The answer of `POST /beli` and `POST /reset`.
#[derive(Serialize, ToSchema)]
struct Click<'a> {
    status: &'static str,
    msg: &'a str,
    container: String,
    sisa: u64,
}

/// The answer of `POST /api/buy`.
#[derive(Serialize, ToSchema)]
struct Purchase {
    message: &'static str,
    remaining_stock: u64,
    status: &'static str,
}

/// The refusal of `POST /api/buy`.
#[derive(Serialize, ToSchema)]
struct Refused<'a> {
    error: &'a str,
}

/// The body of `POST /api/buy`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PostPurchase {
    #[serde(deserialize_with = "id::user_id")]
    #[schema(value_type = IdShape)]
    user_id: Id,
    #[serde(deserialize_with = "id::product_id")]
    #[schema(value_type = IdShape)]
    product_id: Id,
}

/// `POST /beli`: one unit of the default product, for whoever clicks.
pub(super) async fn beli(state: Arc<FrontState>, request: Request) -> Result<Response, Problem> {
    let deadline = state.deadline();
    let (parts, _) = request.into_parts();
    query::none(&parts.uri)?;
    let sku = default_product(&state)?;
    let key = Key::read(&parts.headers)?.from(state.proxies.client(&parts));
    let limited = |product: &stock::Product| product.terms.per_user_limit.is_some();
    if state.replica.read(|machine| machine.product(&sku).is_some_and(limited)) {
        return click(&state, "fail", "this product has a limit per user, and nobody is named", 0);
    }
    // Nobody is named, so a click is a user of its own, and the same one when it is sent again.
    let user = anonymous(&key.request_id)?;
    let (won, key) = buy(&state, key, (user, sku), deadline).await;
    let answer = match &won {
        Ok(won) => click(&state, "success", "bought", won.remaining),
        Err(problem) if is_refusal(problem) => {
            let left = problem.units_left().unwrap_or(0);
            click(&state, "fail", problem.kind().title(), left)
        }
        Err(problem) => Err(problem.clone()),
    };
    Ok(told(key, answer))
}

/// `POST /reset`: the default product has as many units on sale as at first. What is sold or held
/// stays so; the units are new ones.
pub(super) async fn reset(state: Arc<FrontState>, request: Request) -> Result<Response, Problem> {
    let deadline = state.deadline();
    if !state.drop_in.reset {
        let why = "This node was started without `--drop-in-reset`.";
        return Err(Problem::new(Kind::NotFound, why));
    }
    query::none(request.uri())?;
    let sku = default_product(&state)?;
    let key = Key::read(request.headers())?;
    if state.replica.rules() < Rules::Three {
        let why = "Not all nodes have said yet that they know how to set what is available; a node \
                   of an older build does not.";
        return Err(Problem::new(Kind::NotReady, why));
    }
    state.replica.read_barrier(deadline).await.map_err(Problem::of_read)?;
    let stock = state.replica.read(|machine| machine.product(&sku).map(|found| found.terms.stock));
    let available = stock.ok_or_else(|| Problem::plain(Kind::UnknownProduct))?;
    // Set, and not added to what was just read: of two resets at once both would add.
    let command = Command::SetAvailable { sku, available, only: SetIf::Present };
    let write = Write { requester: Requester::Operator, key, command };
    let respond = |outcome, _| match outcome {
        Outcome::Counted { count } => {
            click(&state, "success", "reset", u64::try_from(count).unwrap_or_default())
        }
        _ => Err(misplaced("answer a reset")),
    };
    Ok(write.ask(&state, deadline, respond).await)
}

/// `POST /api/buy`.
pub(super) async fn api_buy(state: Arc<FrontState>, request: Request) -> Result<Response, Problem> {
    let deadline = state.deadline();
    let (parts, content) = request.into_parts();
    query::none(&parts.uri)?;
    let key = Key::read(&parts.headers)?.from(state.proxies.client(&parts));
    let bytes = body::read(&parts.headers, content, deadline).await?;
    let PostPurchase { user_id, product_id } = body::parse(&bytes)?;
    let user = field::user(&user_id.into_text("user_id")?, "user_id")?;
    let sku = field::sku(&product_id.into_text("product_id")?, "product_id")?;
    let (won, key) = buy(&state, key, (user, sku), deadline).await;
    let answer = match &won {
        Ok(won) => {
            let (message, status) = ("Purchase successful", "success");
            let remaining_stock = won.remaining;
            json(StatusCode::ACCEPTED, &Purchase { message, remaining_stock, status })
        }
        Err(problem) if problem.kind() == Kind::SoldOut => {
            json(StatusCode::BAD_REQUEST, &Refused { error: "Sold out!" })
        }
        Err(problem) if is_refusal(problem) => {
            json(StatusCode::BAD_REQUEST, &Refused { error: problem.kind().title() })
        }
        Err(problem) => Err(problem.clone()),
    };
    Ok(told(key, answer))
}

/// `POST /api/flash-sale/buy?userId=&productId=`.
pub(super) async fn flash_sale(
    state: Arc<FrontState>,
    request: Request,
) -> Result<Response, Problem> {
    let deadline = state.deadline();
    let (parts, _) = request.into_parts();
    let parameters = Parameters::of_write(&parts.uri, &["userId", "productId"])?;
    let needed =
        |name| parameters.text(name).ok_or_else(|| query::invalid(name, "this route needs it"));
    let user = field::user(needed("userId")?, "userId")?;
    let sku = field::sku(needed("productId")?, "productId")?;
    let key = Key::read(&parts.headers)?.from(state.proxies.client(&parts));
    let (won, key) = buy(&state, key, (user, sku), deadline).await;
    let answer = match &won {
        Ok(won) => Ok(text(StatusCode::ACCEPTED, format!("Order accepted: {}", won.order))),
        Err(problem) if is_refusal(problem) => {
            Ok(text(StatusCode::GONE, problem.kind().title().to_owned()))
        }
        Err(problem) if problem.kind() == Kind::RateLimited => Ok(in_text(problem.clone())),
        Err(problem) => Err(problem.clone()),
    };
    Ok(told(key, answer))
}

/// An order of one unit.
struct Won {
    order: Seq,
    remaining: u64,
}

/// Asks for one unit.
async fn buy<'h>(
    state: &Arc<FrontState>,
    key: Key<'h>,
    (user, sku): (UserId, Sku),
    deadline: Instant,
) -> (Result<Won, Problem>, Answered<'h>) {
    let address = key.address;
    let (request_id, attempt, mut key): (RequestId, Attempt, _) = key.split();
    let (user_id, product_id) = (user.to_string(), sku.to_string());
    let quantity = Quantity::ONE;
    let requester = Requester::User(user);
    let command = Command::Buy { sku, quantity };
    let envelope = Envelope { requester, request_id, attempt, command };
    key.follow(&envelope);
    let answered = state.stock.ask(Sent { envelope, address }, deadline).await;
    key.counted(answered.allowance);
    let (product_id, user_id) = (product_id.as_str(), user_id.as_str());
    let asked = buys::Asked { product_id, user_id, quantity, request_id: key.text() };
    let won = buys::decide(state, &asked, answered.answer, deadline).await;
    let won = won.map(|won| Won { order: won.order.order_id, remaining: won.order.remaining });
    (won, key)
}

/// Whether the cluster has decided against the click: it bought nothing.
fn is_refusal(problem: &Problem) -> bool {
    matches!(problem.status(), StatusCode::CONFLICT | StatusCode::GONE)
}

fn default_product(state: &FrontState) -> Result<Sku, Problem> {
    let none = || {
        let why = "Which product this route sells was not said: start the node with \
                   `--drop-in-product ID`.";
        Problem::new(Kind::UnknownProduct, why)
    };
    state.drop_in.product.clone().ok_or_else(none)
}

/// A user of whom nothing is known but a request: nobody whom a shop names, see [`field::user`].
fn anonymous(request_id: &RequestId) -> Result<UserId, Problem> {
    // What is cut off of a long one makes no difference: its requests stay apart by their ids.
    let room = UserId::BYTES_MAX - field::ANONYMOUS.len();
    let known = request_id.as_str();
    let user = UserId::new(format!("{}{}", field::ANONYMOUS, &known[..known.len().min(room)]));
    user.map_err(|why| Problem::invalid_value("Idempotency-Key", &why))
}

fn click(
    state: &FrontState,
    status: &'static str,
    msg: &str,
    sisa: u64,
) -> Result<Response, Problem> {
    let container = format!("node-{}", state.node);
    json(StatusCode::OK, &Click { status, msg, container, sisa })
}

fn text(status: StatusCode, words: String) -> Response {
    let mut response = Response::new(Body::from(words));
    *response.status_mut() = status;
    plain(response)
}

/// A problem's title in place of its body; its headers stay.
fn in_text(problem: Problem) -> Response {
    let title = problem.kind().title();
    let mut response = plain(problem.into_response().map(|_| Body::from(title)));
    // It is no problem any more.
    response.extensions_mut().remove::<Kind>();
    response
}

fn plain(mut response: Response) -> Response {
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}
