//! `GET /v1/cluster`: the nodes as this one sees them.

use super::FrontState;
use super::answer::json_at;
use super::docs::{Answer, Docs, JSON, READ, Tag, of};
use super::query::{self, Parameters};
use crate::problem::{Kind, Problem};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;
use std::sync::Arc;
use stock::api::ClusterView;

pub(super) const SHOW: Docs = Docs {
    id: "getCluster",
    tag: Tag::Operations,
    summary: "The nodes as this one sees them",
    notes: "It needs no quorum, whatever `consistency` says.",
    parameters: &[READ],
    body: None,
    answers: &[Answer::new(StatusCode::OK, "Every node.", &[(JSON, of::<ClusterView>())])],
    problems: &[&[Kind::InvalidQuery, Kind::InvalidValue]],
};

/// Asks the peers, and answers without them what they do not answer in time. It takes the
/// parameters of every read, and needs no quorum whatever they say.
pub(super) async fn show(state: Arc<FrontState>, request: Request) -> Result<Response, Problem> {
    query::check(&Parameters::of_read(request.uri(), &[])?)?;
    let nodes = state.replica.cluster().await;
    let status = state.replica.status();
    let view = ClusterView {
        cluster_id: status.cluster_id.map(|id| id.to_string()),
        node: state.node,
        leader: status.leader,
        nodes,
    };
    json_at(StatusCode::OK, status.seq, &view)
}
