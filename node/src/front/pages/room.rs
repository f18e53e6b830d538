//! `GET /v1/control`: what the pages show and no other endpoint tells.

use super::super::FrontState;
use super::super::answer::json_at;
use super::super::docs::{Answer, Docs, JSON, READ, READ_FAILS, Tag, of};
use super::super::query::{self, Parameters};
use super::elections::now_ms;
use super::storm::StormView;
use crate::problem::Problem;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use std::sync::Arc;
use stock::api::{ItemView, Timestamp};
use stock::{NodeId, Seq};
use utoipa::ToSchema;

/// Open holds that are shown.
const HOLDS_SHOWN: usize = 12;

pub(in super::super) const SHOW: Docs = Docs {
    id: "getControl",
    tag: Tag::Pages,
    summary: "What the pages show besides",
    notes: "The nodes' addresses also while they are down, the changes of leader that this node \
            saw, its clock, the oldest open holds, and the storm that it runs.",
    parameters: &[READ],
    body: None,
    answers: &[Answer::new(StatusCode::OK, "As this node has it.", &[(JSON, of::<ControlView>())])],
    problems: &[READ_FAILS],
};

/// The answer.
#[derive(Debug, Serialize, ToSchema)]
struct ControlView {
    /// The node that answers.
    node: NodeId,
    /// Its wall clock, in milliseconds since 1970: sales open and end by such a clock.
    now_ms: u64,
    /// Whether it was started with `--demo`, so that it takes a storm.
    demo: bool,
    /// The nodes whose addresses it knows.
    nodes: Vec<AddressView>,
    /// How many nodes the cluster has; where it is more, of some no address is known yet.
    configured: usize,
    /// The newest changes of leader that it saw, the oldest first.
    elections: Vec<ElectionView>,
    /// Units set aside.
    holds: HoldsView,
    /// The storm that it runs, or ran last.
    #[serde(skip_serializing_if = "Option::is_none")]
    storm: Option<StormView>,
    /// The state that the holds are of.
    seq: Seq,
}

/// Where a node is reached.
#[derive(Debug, Serialize, ToSchema)]
struct AddressView {
    /// Its id.
    id: NodeId,
    /// Its advertised address, `host:port`.
    http: String,
}

/// A change of leader.
#[derive(Debug, Serialize, ToSchema)]
struct ElectionView {
    /// When, in milliseconds since 1970.
    at_ms: u64,
    /// The term.
    term: u64,
    /// The leader; null while there was none.
    #[schema(required = true)]
    leader: Option<NodeId>,
}

/// The open holds.
#[derive(Debug, Serialize, ToSchema)]
struct HoldsView {
    /// How many there are.
    open: u64,
    /// The oldest of them.
    oldest: Vec<OpenHoldView>,
}

/// An open hold.
#[derive(Debug, Serialize, ToSchema)]
struct OpenHoldView {
    /// Its number.
    hold_id: Seq,
    /// What is set aside.
    items: Vec<ItemView>,
    /// When it ends by itself.
    expires_at: Timestamp,
}

/// `GET /v1/control`.
pub(in super::super) async fn show(
    state: Arc<FrontState>,
    request: Request,
) -> Result<Response, Problem> {
    let parameters = Parameters::of_read(request.uri(), &[])?;
    query::wait_until_current(&state, &parameters).await?;
    let (seq, holds) = state.replica.read(|machine| {
        let open = machine.open_holds();
        let count = open.len() as u64;
        let view = |(hold_id, hold): (Seq, &stock::Hold)| OpenHoldView {
            hold_id,
            items: hold.items.as_slice().iter().map(ItemView::from).collect(),
            expires_at: Timestamp::at_most(hold.expires_at_ms),
        };
        let oldest = open.take(HOLDS_SHOWN).map(view).collect();
        (machine.seq(), HoldsView { open: count, oldest })
    });
    let pages = &state.pages;
    let address = |(id, http)| AddressView { id, http };
    let seen = pages.elections.seen().into_iter();
    let election = |change: super::elections::Change| ElectionView {
        at_ms: change.at_ms,
        term: change.term,
        leader: change.leader,
    };
    let view = ControlView {
        node: state.node,
        now_ms: now_ms(),
        demo: pages.storms.is_some(),
        nodes: pages.origins.known().into_iter().map(address).collect(),
        configured: pages.origins.configured(),
        elections: seen.map(election).collect(),
        holds,
        storm: pages.storms.as_ref().and_then(super::storm::Storms::view),
        seq,
    };
    json_at(StatusCode::OK, seq, &view)
}
