//! The pages that every node serves: the shop at `/`, the control room at `/control`.
//!
//! Owns what they need besides the contract that everybody uses: their files, which are part of
//! the binary (`assets.rs`); the nodes' addresses, which are all that they may speak to
//! (`origins.rs`); when the leader changed (`elections.rs`); and a storm for demonstrations
//! (`storm.rs`). Never sells anything: a page buys as any other client does.

mod assets;
mod elections;
mod origins;
pub(super) mod room;
pub(super) mod storm;

use super::docs::{Answer, Docs, Header, IF_NONE_MATCH, Need, Parameter, Place, Tag, plain};
use super::{FrontState, path_parameter};
use crate::problem::{Kind, Problem};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;
use elections::Elections;
pub(super) use origins::{Origins, let_read, preflight};
use raft::Replica;
use std::sync::Arc;
use stock::NodeId;
use storm::Storms;
use tokio::sync::watch;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Schema};

/// What the pages of a node share.
pub(crate) struct Pages {
    pub(super) origins: Origins,
    elections: Elections,
    /// None unless the node was started for demonstrations.
    storms: Option<Storms>,
}

/// Whether the control room may storm the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Demo {
    /// It may.
    On,
    /// It is refused.
    Off,
}

impl Pages {
    /// Follows the replica until `closing` turns true. `http` is this node's own address, as
    /// clients reach it, and `configured` all nodes.
    pub(crate) fn new(
        replica: &Replica,
        (http, configured): (&str, impl Iterator<Item = NodeId>),
        demo: Demo,
        closing: &watch::Receiver<bool>,
    ) -> Self {
        Self {
            origins: Origins::follow(replica.clone(), http, configured, closing.clone()),
            elections: Elections::follow(replica.clone(), closing.clone()),
            storms: (demo == Demo::On).then(Storms::default),
        }
    }
}

const PAGE: Docs = Docs {
    id: "shop",
    tag: Tag::Pages,
    summary: "The shop, for people",
    notes: "It speaks to the nodes and to nobody else, which its `Content-Security-Policy` has the \
            browser enforce.",
    parameters: &[&[IF_NONE_MATCH]],
    body: None,
    answers: &[
        Answer::new(StatusCode::OK, "The page.", &[("text/html", plain(text))])
            .with(&[Header::ETag]),
        Answer::new(StatusCode::NOT_MODIFIED, "The client has it.", &[]),
    ],
    problems: &[],
};

pub(super) const SHOP: Docs = PAGE;

pub(super) const CONTROL: Docs =
    Docs { id: "controlRoom", summary: "The control room, for people", ..PAGE };

pub(super) const ASSET: Docs = Docs {
    id: "pageFile",
    summary: "A file of the pages",
    notes: "",
    parameters: &[
        &[Parameter {
            name: "file",
            place: Place::Path,
            need: Need::Required,
            means: "The name of the file.",
            shape: plain(file_name),
        }],
        &[IF_NONE_MATCH],
    ],
    answers: &[
        Answer::new(
            StatusCode::OK,
            "The file.",
            &[
                ("text/javascript", plain(text)),
                ("text/css", plain(text)),
                ("image/svg+xml", plain(text)),
            ],
        )
        .with(&[Header::ETag]),
        Answer::new(StatusCode::NOT_MODIFIED, "The client has it.", &[]),
    ],
    problems: &[&[Kind::NotFound, Kind::InvalidValue]],
    ..PAGE
};

fn text() -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(Type::String).into()
}

fn file_name() -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(Type::String).examples(["page.css"]).into()
}

/// `GET /`.
pub(super) async fn shop(state: Arc<FrontState>, request: Request) -> Result<Response, Problem> {
    page(&state, request, "shop.html").await
}

/// `GET /control`.
pub(super) async fn control(state: Arc<FrontState>, request: Request) -> Result<Response, Problem> {
    page(&state, request, "control.html").await
}

/// `GET /assets/{file}`.
pub(super) async fn asset(_: Arc<FrontState>, request: Request) -> Result<Response, Problem> {
    let (mut parts, _) = request.into_parts();
    let name = path_parameter(&mut parts).await?;
    match assets::find(&name).filter(|asset| !asset.is_page()) {
        Some(asset) => asset.answer(&parts.headers, None),
        None => Err(Problem::new(Kind::NotFound, format!("The pages have no file `{name}`."))),
    }
}

async fn page(
    state: &FrontState,
    request: Request,
    name: &'static str,
) -> Result<Response, Problem> {
    let Some(asset) = assets::find(name) else {
        return Err(Problem::internal("serve a page", &name));
    };
    let (parts, _) = request.into_parts();
    let policy = state.pages.origins.policy(&state.replica).await?;
    asset.answer(&parts.headers, Some(policy))
}
