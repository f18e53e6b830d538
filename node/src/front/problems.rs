//! `GET /problems/{name}`: the page behind each problem's `type`.

use super::answer::json;
use super::docs::{Answer, Docs, JSON, Need, Parameter, Place, Tag, of, plain};
use super::{FrontState, path_parameter};
use crate::problem::{Kind, Problem};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;
use utoipa::openapi::schema::{ObjectBuilder, Type};

pub(super) const SHOW: Docs = Docs {
    id: "getProblem",
    tag: Tag::Operations,
    summary: "What a type of problem means",
    notes: "The `type` of every problem is such a page.",
    parameters: &[&[Parameter {
        name: "name",
        place: Place::Path,
        need: Need::Required,
        means: "The name of the problem.",
        shape: plain(|| {
            ObjectBuilder::new().schema_type(Type::String).examples(["sold-out"]).into()
        }),
    }]],
    body: None,
    answers: &[Answer::new(StatusCode::OK, "The page.", &[(JSON, of::<Page>())])],
    problems: &[&[Kind::NotFound, Kind::InvalidValue]],
};

/// What a type of problem means, whoever got it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ProblemPage)]
struct Page {
    #[serde(rename = "type")]
    path: &'static str,
    title: &'static str,
    status: u16,
    meaning: &'static str,
}

/// Explains one type of problem.
pub(super) async fn show(_: Arc<FrontState>, request: Request) -> Result<Response, Problem> {
    let (mut parts, _) = request.into_parts();
    let name = path_parameter(&mut parts).await?;
    let known = Kind::ALL.iter().find(|kind| kind.path().strip_prefix("/problems/") == Some(&name));
    let Some(kind) = known else {
        return Err(Problem::new(Kind::NotFound, format!("No problem is called `{name}`.")));
    };
    let page = Page {
        path: kind.path(),
        title: kind.title(),
        status: kind.status().as_u16(),
        meaning: kind.meaning(),
    };
    json(StatusCode::OK, &page)
}
