//! The applied history as clients see it: events, and orders with their place and receipt.
//!
//! Events are read from memory or from segment files, off the async threads; they never change,
//! so what one answer says of several is of one state when their numbers and marks are taken under
//! one lock. Called by the routes of orders and holds.

use super::FrontState;
use crate::problem::Problem;
use raft::{Feed, FeedLimits};
use std::sync::Arc;
use stock::api::{LineView, OrderView};
use stock::{Chain, Event, OrderContent, Seq};

/// What a state says of an order besides its event.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    pub(super) order: Seq,
    /// The chain of orders shortly before it.
    pub(super) before: Chain,
    pub(super) cancelled: bool,
}

impl Mark {
    /// Of a change that the machine has made, order or not.
    pub(super) fn of(machine: &stock::Machine, order: Seq) -> Self {
        let (before, cancelled) = (machine.chain_before(order), machine.is_cancelled(order));
        Self { order, before, cancelled }
    }
}

/// An applied change.
pub(super) async fn change(state: &Arc<FrontState>, id: Seq) -> Result<Option<Event>, Problem> {
    let replica = state.replica.clone();
    match tokio::task::spawn_blocking(move || replica.event(id)).await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(error)) => Err(Problem::internal("read the history", &error)),
        Err(error) => Err(Problem::internal("read the history", &error)),
    }
}

/// The change that an applied order is; nothing when it is no order.
pub(super) async fn order(state: &Arc<FrontState>, id: Seq) -> Result<Option<Event>, Problem> {
    let event = change(state, id).await?;
    Ok(event.filter(|event| event.change.order().is_some()))
}

/// The changes after one, at least one of them, at most up to another.
///
/// # Panics
/// When the other is not after the one.
pub(super) async fn changes(
    state: &FrontState,
    after: Seq,
    up_to: Seq,
) -> Result<Vec<Event>, Problem> {
    assert!(after < up_to, "there are no changes after {after} up to {up_to}");
    let max = usize::try_from(up_to.0 - after.0).unwrap_or(usize::MAX);
    match state.replica.events(after, max, FeedLimits::default()).await {
        Ok(Feed::Events(events)) if !events.is_empty() => Ok(events),
        Ok(other) => {
            let why = format!("the changes after {after} are {other:?}");
            Err(Problem::internal("read the history", &why))
        }
        Err(error) => Err(Problem::internal("read the history", &error)),
    }
}

/// An applied order; nothing when the change is none.
pub(super) async fn view(state: &FrontState, mark: Mark) -> Result<Option<OrderView>, Problem> {
    let Mark { order, before: mut chain, cancelled } = mark;
    while chain.seq < order {
        for event in changes(state, chain.seq, order).await? {
            let is_order = chain.follow(&event);
            if event.seq == order {
                return Ok(is_order.then(|| shown(&event, chain, cancelled)).flatten());
            }
        }
    }
    Ok(None)
}

/// An order as clients see it, after the chain has come to it; nothing when it is none.
pub(super) fn shown(event: &Event, chain: Chain, cancelled: bool) -> Option<OrderView> {
    let OrderContent { user, request_id, hold, lines } = event.change.order()?;
    Some(OrderView {
        order_id: event.seq,
        user_id: user.clone(),
        request_id: request_id.clone(),
        items: lines.iter().map(LineView::from).collect(),
        hold_id: hold,
        cancelled,
        place: chain.orders,
        receipt: chain.receipt,
        at_ms: event.at_ms,
        seq: event.seq,
    })
}
