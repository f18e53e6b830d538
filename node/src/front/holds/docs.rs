//! What the OpenAPI document says of the hold routes.

use super::super::docs::{
    Answer, BODY, Body, CLICK, Docs, Header, JSON, Link, ORDER_ID, READ, READ_FAILS, SALE, Schemas,
    Shape, Tag, WRITE, WRITE_FAILS, collect, of, required, shape, text,
};
use crate::problem::Kind;
use axum::http::StatusCode;
use stock::UserId;
use stock::api::{
    HoldAccepted, HoldList, HoldReleased, HoldView, ItemView, OrderAccepted, PostConfirm, PostHold,
};
use utoipa::PartialSchema;
use utoipa::openapi::schema::Object;
use utoipa::openapi::{OneOfBuilder, RefOr, Schema};

/// Either form of [`PostHold`]: one product, or `items`.
const ASKED: Shape = shape(
    || {
        let one = form(&["items"], "product_id");
        let several = form(&["product_id", "quantity"], "items");
        OneOfBuilder::new().item(one).item(several).into()
    },
    |schemas: &mut Schemas| {
        collect::<ItemView>(schemas);
        collect::<stock::HoldTtl>(schemas);
        collect::<stock::Sku>(schemas);
        collect::<stock::Quantity>(schemas);
        collect::<UserId>(schemas);
    },
);

/// The schema of a hold without some of its fields, and with one that must be there.
fn form(without: &[&str], needed: &str) -> Schema {
    match PostHold::schema() {
        RefOr::T(Schema::Object(hold)) => {
            let Object { mut properties, mut required, .. } = hold.clone();
            properties.retain(|name, _| !without.contains(&name.as_str()));
            required.push(needed.into());
            let mut hold = hold;
            (hold.properties, hold.required) = (properties, required);
            Schema::Object(hold)
        }
        other => other.into(),
    }
}

const END: &[Kind] = &[Kind::UnknownHold, Kind::HoldSettled, Kind::HoldExpired];

pub(in super::super) const POST: Docs = Docs {
    id: "hold",
    tag: Tag::Holds,
    summary: "Set units aside for a user",
    notes: "For `ttl_ms`, else for the shortest `hold_ttl_ms` of the products. Then they are on \
            sale again.",
    parameters: &[WRITE],
    body: Some(Body::json(
        &[(JSON, ASKED)],
        &[
            ("one", r#"{"product_id": "sneaker", "user_id": "ann", "ttl_ms": 60000}"#),
            (
                "several",
                r#"{"user_id": "bob", "items": [{"product_id": "sneaker", "quantity": 2},
                    {"product_id": "tee"}]}"#,
            ),
        ],
    )),
    answers: &[Answer::new(
        StatusCode::CREATED,
        "Held until `expires_at`, in log time.",
        &[(JSON, of::<HoldAccepted>())],
    )
    .with(&[Header::Location])
    .leads_to(&[
        Link { to: "getHold", id: "$response.body#/hold_id" },
        Link { to: "confirmHold", id: "$response.body#/hold_id" },
        Link { to: "releaseHold", id: "$response.body#/hold_id" },
    ])],
    problems: &[WRITE_FAILS, BODY, SALE, CLICK, &[Kind::TooManyUserHolds, Kind::TooManyHolds]],
};

pub(in super::super) const LIST: Docs = Docs {
    id: "listHolds",
    summary: "The open holds of a user",
    notes: "",
    parameters: &[&[required("user_id", "Whose.", of::<UserId>())], READ],
    body: None,
    answers: &[Answer::new(StatusCode::OK, "All of them.", &[(JSON, of::<HoldList>())])],
    problems: &[READ_FAILS, &[Kind::InvalidValue]],
    ..POST
};

pub(in super::super) const SHOW: Docs = Docs {
    id: "getHold",
    summary: "One hold, open or ended",
    parameters: &[&[ORDER_ID], READ],
    answers: &[Answer::new(StatusCode::OK, "The hold.", &[(JSON, of::<HoldView>())])],
    problems: &[READ_FAILS, &[Kind::InvalidValue, Kind::UnknownHold]],
    ..LIST
};

pub(in super::super) const CONFIRM: Docs = Docs {
    id: "confirmHold",
    summary: "Make an order of a hold",
    notes: "A confirm that races the deadline has one winner.",
    parameters: &[&[ORDER_ID], WRITE],
    body: Some(Body::json(&[(JSON, of::<PostConfirm>())], &[("ann", r#"{"user_id": "ann"}"#)])),
    answers: &[Answer::new(
        StatusCode::CREATED,
        "Sold, now or by an earlier attempt under this key.",
        &[(JSON, of::<OrderAccepted>())],
    )
    .with(&[Header::Location])],
    problems: &[WRITE_FAILS, BODY, END],
    ..POST
};

pub(in super::super) const RELEASE: Docs = Docs {
    id: "releaseHold",
    summary: "Give a hold up",
    notes: "By the user that the query names, else by the operator. It has no body.",
    parameters: &[&[ORDER_ID, text("user_id", "Whose hold it is.", of::<UserId>())], WRITE],
    body: None,
    answers: &[Answer::new(
        StatusCode::OK,
        "Its units are on sale again.",
        &[(JSON, of::<HoldReleased>())],
    )],
    problems: &[WRITE_FAILS, BODY, END],
    ..POST
};
