//! `GET /docs`: Swagger UI of the OpenAPI document.
//!
//! Its files are part of the binary; the page asks nobody but the node that served it, which its
//! `Content-Security-Policy` has the browser enforce.

use super::docs::{Answer, Docs, Need, Parameter, Place, Tag, plain};
use super::{FrontState, path_parameter};
use crate::problem::{Kind, Problem};
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use std::borrow::Cow;
use std::sync::{Arc, LazyLock};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa_swagger_ui::{Config, SwaggerFile};

/// Where the page finds the document, as seen from `/docs/`, also behind a proxy's prefix.
const DOCUMENT: &str = "../openapi.json";

/// The page runs its own scripts and asks its own node. It writes styles into its elements, and
/// holds its icons as data.
const POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; \
                      img-src 'self' data:; frame-ancestors 'none'";

static CONFIG: LazyLock<Arc<Config<'static>>> = LazyLock::new(|| {
    let config = Config::from(DOCUMENT).use_base_layout().deep_linking(true);
    // The default would send the document's address to swagger.io.
    Arc::new(config.validator_url("none").display_operation_id(true))
});

pub(super) const ENTER: Docs = Docs {
    id: "docs",
    tag: Tag::Operations,
    summary: "Swagger UI",
    notes: "The page is at `/docs/`.",
    parameters: &[],
    body: None,
    answers: &[Answer::new(StatusCode::PERMANENT_REDIRECT, "It is at `/docs/`.", &[])],
    problems: &[],
};

pub(super) const PAGE: Docs = Docs {
    id: "docsPage",
    summary: "Swagger UI: its page",
    notes: "",
    answers: &[Answer::new(StatusCode::OK, "The page.", &[("text/html", plain(file_text))])],
    ..ENTER
};

pub(super) const FILE: Docs = Docs {
    id: "docsFile",
    summary: "Swagger UI: a file of its page",
    notes: "Files are sent compressed, with `Content-Encoding: gzip`.",
    parameters: &[&[Parameter {
        name: "file",
        place: Place::Path,
        need: Need::Required,
        means: "The name of the file.",
        shape: plain(file_name),
    }]],
    answers: &[Answer::new(
        StatusCode::OK,
        "The file.",
        &[
            ("text/javascript", plain(file_text)),
            ("text/css", plain(file_text)),
            ("text/html", plain(file_text)),
            ("image/png", plain(file_text)),
        ],
    )],
    problems: &[&[Kind::NotFound, Kind::InvalidValue]],
    ..ENTER
};

fn file_text() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
    ObjectBuilder::new().schema_type(Type::String).into()
}

fn file_name() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
    ObjectBuilder::new().schema_type(Type::String).examples(["swagger-ui.css"]).into()
}

/// `GET /docs`, from where the page's relative links would lead elsewhere.
pub(super) async fn enter(_: Arc<FrontState>, _: Request) -> Result<Response, Problem> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    response.headers_mut().insert(header::LOCATION, HeaderValue::from_static("docs/"));
    Ok(response)
}

/// `GET /docs/`.
pub(super) async fn page(_: Arc<FrontState>, _: Request) -> Result<Response, Problem> {
    serve("")
}

/// `GET /docs/{file}`.
pub(super) async fn file(_: Arc<FrontState>, request: Request) -> Result<Response, Problem> {
    let (mut parts, _) = request.into_parts();
    serve(&path_parameter(&mut parts).await?)
}

fn serve(name: &str) -> Result<Response, Problem> {
    let found = utoipa_swagger_ui::serve(name, Arc::clone(&CONFIG))
        .map_err(|error| Problem::internal("serve Swagger UI", &error))?;
    let Some(SwaggerFile { bytes, content_type, gzpipped, .. }) = found else {
        return Err(Problem::new(Kind::NotFound, format!("Swagger UI has no file `{name}`.")));
    };
    let body = match bytes {
        Cow::Borrowed(bytes) => Body::from(bytes),
        Cow::Owned(bytes) => Body::from(bytes),
    };
    let content_type = HeaderValue::try_from(content_type)
        .map_err(|error| Problem::internal("serve Swagger UI", &error))?;
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, content_type);
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    if gzpipped {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Ok(response)
}
