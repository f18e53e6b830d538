//! `POST /v1/orders/{id}/cancel`: the order's units return to stock, the order stays, marked.
//!
//! The machine keeps of an order only that there is one, so its event is read first, and named in
//! the command; the machine refuses what does not fit.

use super::answer::json_at;
use super::docs::{Answer, BODY, Body, Docs, JSON, Need, ORDER_ID, Tag, WRITE, WRITE_FAILS, of};
use super::key::Key;
use super::write::{Write, misplaced};
use super::{FrontState, body, history, owner, path_seq, query};
use crate::problem::{Kind, Problem};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;
use std::sync::Arc;
use stock::api::{LineView, OrderCancelled, PostCancel};
use stock::{Cancel, Command, Items, Outcome, Requester, Seq};
use tokio::time::Instant;

pub(super) const POST: Docs = Docs {
    id: "cancelOrder",
    tag: Tag::Orders,
    summary: "Take an order back",
    notes: "Its units return to stock, once; the order stays, marked. With a body in the user's \
            name, without one in the operator's.",
    parameters: &[&[ORDER_ID], WRITE],
    body: Some(Body {
        need: Need::Optional,
        shapes: &[(JSON, of::<PostCancel>())],
        examples: &[("ann", r#"{"user_id": "ann"}"#)],
    }),
    answers: &[Answer::new(StatusCode::OK, "Taken back.", &[(JSON, of::<OrderCancelled>())])],
    problems: &[
        WRITE_FAILS,
        BODY,
        &[Kind::UnknownOrder, Kind::AlreadyCancelled, Kind::ReadTimeout],
    ],
};

/// Asks in the name of the user in the body; without a body, in the operator's.
pub(super) async fn post(state: Arc<FrontState>, request: Request) -> Result<Response, Problem> {
    let deadline = state.deadline();
    let (mut parts, content) = request.into_parts();
    let order = path_seq(&mut parts).await?;
    query::none(&parts.uri)?;
    let key = Key::read(&parts.headers)?;
    let bytes = body::read(&parts.headers, content, deadline).await?;
    let requester = if bytes.trim_ascii().is_empty() {
        Requester::Operator
    } else {
        Requester::User(owner::read(&bytes)?)
    };
    let command = Command::Cancel(Box::new(found(&state, order, deadline).await?));
    let respond = |outcome, seq| match outcome {
        Outcome::Cancelled { lines } => {
            let items = lines.iter().map(LineView::from).collect();
            json_at(StatusCode::OK, seq, &OrderCancelled { order_id: order, items, seq })
        }
        _ => Err(misplaced("answer a cancel")),
    };
    Ok(Write { requester, key, command }.ask(&state, deadline, respond).await)
}

/// The order in the words of the command.
///
/// # Errors
/// `unknown-order` in the state that a majority has now; those of a read that cannot be confirmed.
async fn found(state: &Arc<FrontState>, order: Seq, deadline: Instant) -> Result<Cancel, Problem> {
    if order > state.replica.read(stock::Machine::seq) {
        // Another node may have applied it already.
        state.replica.read_barrier(deadline).await.map_err(Problem::of_read)?;
    }
    let seq = state.replica.read(stock::Machine::seq);
    let event = if order <= seq { history::order(state, order).await? } else { None };
    let Some(content) = event.as_ref().and_then(|event| event.change.order()) else {
        return Err(Problem::plain(Kind::UnknownOrder).at(seq));
    };
    let items = Items::new(content.items())
        .map_err(|why| Problem::internal("read an order's items", &why))?;
    let (user, request_id) = (content.user.clone(), content.request_id.clone());
    Ok(Cancel { order, user, request_id, items, hold: content.hold })
}
