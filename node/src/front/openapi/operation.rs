//! One endpoint as an operation of the document.

use super::super::Route;
use super::super::docs::{
    Answer, Body, Docs, EVERYWHERE, Header, Link, Need, OF_THE_STOCK, Parameter, Place, Shape,
};
use crate::problem::Kind;
use axum::http::StatusCode;
use std::collections::BTreeMap;
use stock::api;
use utoipa::openapi::example::ExampleBuilder;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::link::LinkBuilder;
use utoipa::openapi::path::{OperationBuilder, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{
    AllOfBuilder, Content, ContentBuilder, HttpMethod, PathItem, Ref, RefOr, Required, Response,
    ResponseBuilder, Schema,
};

/// A header of answers.
pub(super) struct AnswerHeader {
    pub(super) name: &'static str,
    means: &'static str,
    kind: Type,
}

const fn named(name: &'static str, means: &'static str, kind: Type) -> AnswerHeader {
    AnswerHeader { name, means, kind }
}

const RETRY_AFTER: &str = "retry-after";
const RATE_LIMIT: &str = "ratelimit";
const RATE_LIMIT_POLICY: &str = "ratelimit-policy";
const LOCATION: &str = "location";
const ETAG: &str = "etag";

/// The headers that answers may have.
pub(super) const HEADERS: &[AnswerHeader] = &[
    named(api::HEADER_NODE, "The id of the node that answered.", Type::Integer),
    named(
        api::HEADER_LEADER,
        "The id of the leader as that node knows it, or `none`.",
        Type::String,
    ),
    named(api::HEADER_SEQ, "The `seq` of the state that the answer speaks of.", Type::Integer),
    named(
        api::HEADER_IDEMPOTENCY_KEY,
        "The key that the node made, because the request had none.",
        Type::String,
    ),
    named(api::HEADER_REPLAYED, "`true`: this is the outcome of an earlier attempt.", Type::String),
    named(RETRY_AFTER, "When to ask again, in seconds.", Type::Integer),
    named(
        RATE_LIMIT_POLICY,
        "With a rate limit on: its quotas, as items `q` and `w`.",
        Type::String,
    ),
    named(RATE_LIMIT, "With a rate limit on: what is left, as items `r` and `t`.", Type::String),
    named(LOCATION, "Where the thing that was made is found.", Type::String),
    named(ETAG, "The version of the product, for If-Match and If-None-Match.", Type::String),
];

/// The operation, at its method.
pub(super) fn operation(route: Route, method: &str, docs: &Docs) -> PathItem {
    let mut operation = OperationBuilder::new()
        .operation_id(Some(docs.id))
        .tag(docs.tag.name())
        .summary(Some(docs.summary))
        .request_body(docs.body.map(request_body));
    if !docs.notes.is_empty() {
        operation = operation.description(Some(docs.notes));
    }
    for shown in docs.parameters.iter().copied().flatten() {
        operation = operation.parameter(parameter(shown));
    }
    for (status, response) in responses(route, docs) {
        operation = operation.response(status.as_str(), response);
    }
    PathItem::new(method_of(method), operation)
}

fn method_of(name: &str) -> HttpMethod {
    match name {
        "get" => HttpMethod::Get,
        "put" => HttpMethod::Put,
        "post" => HttpMethod::Post,
        "patch" => HttpMethod::Patch,
        "delete" => HttpMethod::Delete,
        other => unreachable!("no route takes the method {other}"),
    }
}

fn required(need: Need) -> Required {
    match need {
        Need::Required => Required::True,
        Need::Optional => Required::False,
    }
}

fn parameter(parameter: &Parameter) -> ParameterBuilder {
    let place = match parameter.place {
        Place::Path => ParameterIn::Path,
        Place::Query => ParameterIn::Query,
        Place::Header => ParameterIn::Header,
    };
    ParameterBuilder::new()
        .name(parameter.name)
        .parameter_in(place)
        .required(required(parameter.need))
        .description(Some(parameter.means))
        .schema(Some((parameter.shape.schema)()))
}

fn request_body(body: Body) -> utoipa::openapi::request_body::RequestBody {
    let examples = body.examples.iter().map(|(name, text)| {
        let value = serde_json::from_str(text);
        debug_assert!(value.is_ok(), "the example {name} is no JSON: {value:?}");
        (*name, ExampleBuilder::new().value(value.ok()).build())
    });
    let examples: Vec<_> = examples.collect();
    let builder = RequestBodyBuilder::new().required(Some(required(body.need)));
    let builder = body.shapes.iter().fold(builder, |builder, (media_type, shape)| {
        let mut content = ContentBuilder::new().schema(Some((shape.schema)()));
        if is_json(media_type) {
            content = content.examples_from_iter(examples.clone());
        }
        builder.content(*media_type, content.build())
    });
    builder.build()
}

/// Whether examples can stand as they are under this type; elsewhere they would be texts.
fn is_json(media_type: &str) -> bool {
    media_type == "application/json" || media_type.ends_with("+json")
}

/// By status: an answer, the problems, or both, where a drop-in route has errors of its own.
fn responses(route: Route, docs: &Docs) -> BTreeMap<StatusCode, Response> {
    let mut responses = BTreeMap::new();
    for answer in docs.answers {
        responses.insert(answer.status, response(answer));
    }
    let mut kinds: BTreeMap<StatusCode, Vec<Kind>> = BTreeMap::new();
    let of_the_stock: &[Kind] = if route.is_operational() { &[] } else { OF_THE_STOCK };
    for kind in docs.problems.iter().copied().chain([EVERYWHERE, of_the_stock]).flatten() {
        let same = kinds.entry(kind.status()).or_default();
        if !same.contains(kind) {
            same.push(*kind);
        }
    }
    for (status, kinds) in kinds {
        let response = responses.entry(status).or_default();
        let titles: Vec<&str> = kinds.iter().map(|kind| kind.title()).collect();
        let separator = if response.description.is_empty() { "" } else { " " };
        response.description = format!("{}{separator}{}.", response.description, titles.join(". "));
        response.content.insert("application/problem+json".into(), problem(status, &kinds).into());
        if kinds.iter().copied().any(may_pass) {
            refer(response, RETRY_AFTER);
        }
    }
    for response in responses.values_mut() {
        for name in [api::HEADER_NODE, api::HEADER_LEADER, api::HEADER_SEQ] {
            refer(response, name);
        }
        if docs.writes() {
            refer(response, api::HEADER_IDEMPOTENCY_KEY);
            refer(response, api::HEADER_REPLAYED);
        }
        if docs.clicks() {
            refer(response, RATE_LIMIT_POLICY);
            refer(response, RATE_LIMIT);
        }
    }
    responses
}

/// Whether it may say when to ask again.
fn may_pass(kind: Kind) -> bool {
    kind == Kind::NotOpen || matches!(kind.status().as_u16(), 429 | 503 | 504)
}

fn response(answer: &Answer) -> Response {
    let builder = ResponseBuilder::new().description(answer.means);
    let builder = answer.shapes.iter().fold(builder, |builder, (media_type, shape)| {
        builder.content(*media_type, Content::new(Some((shape.schema)())))
    });
    let builder = answer.links.iter().fold(builder, |builder, Link { to, id }| {
        let link = LinkBuilder::new().operation_id(*to).parameter("id", *id);
        builder.link(*to, link.build())
    });
    let mut response = builder.build();
    for header in answer.headers {
        let name = match header {
            Header::Location => LOCATION,
            Header::ETag => ETAG,
            Header::RetryAfter => RETRY_AFTER,
        };
        refer(&mut response, name);
    }
    response
}

fn refer(response: &mut Response, header: &str) {
    let there = Ref::new(format!("#/components/headers/{header}"));
    response.headers.insert(header.into(), RefOr::Ref(there));
}

/// The definition that [`refer`] refers to.
pub(super) fn header(header: &AnswerHeader) -> utoipa::openapi::Header {
    let schema = ObjectBuilder::new().schema_type(header.kind.clone());
    HeaderBuilder::new().schema(Some(schema)).description(Some(header.means)).build()
}

/// A problem of one of these kinds, and of no other.
fn problem(status: StatusCode, kinds: &[Kind]) -> Content {
    let paths = ObjectBuilder::new().enum_values(Some(kinds.iter().map(|kind| kind.path())));
    let status =
        ObjectBuilder::new().schema_type(Type::Integer).enum_values(Some([status.as_u16()]));
    let narrowed = ObjectBuilder::new()
        .property("type", paths.schema_type(Type::String))
        .property("status", status);
    let schema = AllOfBuilder::new().item(Ref::from_schema_name("Problem")).item(narrowed);
    let example = |kind: &Kind| {
        let there = Ref::new(format!("#/components/examples/{}", kind.name()));
        (kind.name(), RefOr::Ref(there))
    };
    let builder = ContentBuilder::new().schema(Some(Schema::AllOf(schema.build())));
    builder.examples_from_iter(kinds.iter().map(example)).build()
}

impl Docs {
    /// Every shape that it names.
    pub(super) fn shapes(&self) -> impl Iterator<Item = &Shape> {
        let of_body = self.body.iter().flat_map(|body| body.shapes);
        let of_answers = self.answers.iter().flat_map(|answer| answer.shapes);
        let of_parameters = self.parameters.iter().copied().flatten();
        let bodies = of_body.chain(of_answers).map(|(_, shape)| shape);
        bodies.chain(of_parameters.map(|parameter| &parameter.shape))
    }
}
