//! What the OpenAPI document says of a call with many buys.

use super::super::docs::{
    Answer, Body, Docs, JSON, NDJSON, Schemas, Shape, Tag, collect, plain, reference, shape,
};
use super::{ITEMS_MAX, ItemResult};
use crate::problem::Kind;
use axum::http::StatusCode;
use stock::{Quantity, RequestId, Sku, UserId};
use utoipa::ToSchema;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Schema};

/// One buy of a batch.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "its fields stand in the document alone")]
struct BatchBuy {
    /// Its Idempotency-Key.
    request_id: RequestId,
    /// The product.
    product_id: Sku,
    /// The buyer.
    user_id: UserId,
    /// Units; 1 when absent.
    #[schema(nullable = false)]
    quantity: Option<Quantity>,
    /// Which attempt it is, as in Flashnode-Attempt; 1 when absent.
    #[schema(nullable = false, minimum = 1)]
    attempt: Option<u32>,
}

const ASKED: Shape = shape(
    || ArrayBuilder::new().items(reference::<BatchBuy>()).max_items(Some(ITEMS_MAX)).into(),
    |schemas: &mut Schemas| collect::<BatchBuy>(schemas),
);

const ANSWERED: Shape = shape(
    || ArrayBuilder::new().items(reference::<ItemResult<'_>>()).into(),
    |schemas: &mut Schemas| collect::<ItemResult<'_>>(schemas),
);

fn lines() -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(Type::String).into()
}

pub(in super::super) const POST: Docs = Docs {
    id: "buyMany",
    tag: Tag::Buys,
    summary: "Many buys in one call",
    notes: "Up to 10000 buys as an array, or as NDJSON with a buy a line; the answer has the same \
            form, with one result for each in the same order. They are independent: one that is \
            malformed or refused has its own status and does not touch the others.",
    parameters: &[],
    body: Some(Body::json(
        &[(JSON, ASKED), (NDJSON, plain(lines))],
        &[(
            "two",
            r#"[{"request_id": "batch-1", "product_id": "sneaker", "user_id": "ann"},
                {"request_id": "batch-2", "product_id": "sneaker", "user_id": "bob",
                 "quantity": 2, "attempt": 1}]"#,
        )],
    )),
    answers: &[Answer::new(
        StatusCode::OK,
        "One result for each buy.",
        &[(JSON, ANSWERED), (NDJSON, plain(lines))],
    )],
    problems: &[&[
        Kind::InvalidQuery,
        Kind::InvalidJson,
        Kind::InvalidField,
        Kind::TooLarge,
        Kind::UnsupportedMediaType,
        Kind::RequestTimeout,
        Kind::Overloaded,
    ]],
};
