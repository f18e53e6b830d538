//! What the OpenAPI document says of the drop-in routes.

use super::super::docs::{
    Answer, BODY, Body, CLICK, Docs, Header, JSON, TEXT, Tag, WRITE, WRITE_FAILS, of, plain,
    required,
};
use super::{Click, PostPurchase, Purchase, Refused};
use crate::problem::Kind;
use axum::http::StatusCode;
use stock::{Sku, UserId};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Schema};

const CLICKED: Answer =
    Answer::new(StatusCode::OK, "What became of the click.", &[(JSON, of::<Click<'_>>())]);

pub(in super::super) const BELI: Docs = Docs {
    id: "beli",
    tag: Tag::DropIn,
    summary: "One unit of the default product",
    notes: "The product that the node was started with. A refusal is a 200 with `fail`.",
    parameters: &[WRITE],
    body: None,
    answers: &[CLICKED],
    problems: &[WRITE_FAILS, CLICK, &[Kind::InvalidValue, Kind::UnknownProduct]],
};

pub(in super::super) const RESET: Docs = Docs {
    id: "reset",
    summary: "As many units on sale as at first",
    notes: "Off unless the node was started with `--drop-in-reset`. What is sold stays sold.",
    problems: &[
        WRITE_FAILS,
        &[Kind::NotFound, Kind::UnknownProduct, Kind::RestockOutOfRange, Kind::ReadTimeout],
    ],
    ..BELI
};

pub(in super::super) const API_BUY: Docs = Docs {
    id: "apiBuy",
    summary: "One unit of a product",
    notes: "",
    body: Some(Body::json(
        &[(JSON, of::<PostPurchase>())],
        &[
            ("texts", r#"{"user_id": "ann", "product_id": "sneaker"}"#),
            ("a number", r#"{"user_id": 17, "product_id": "sneaker"}"#),
        ],
    )),
    answers: &[
        Answer::new(StatusCode::ACCEPTED, "Bought.", &[(JSON, of::<Purchase>())]),
        Answer::new(StatusCode::BAD_REQUEST, "Refused.", &[(JSON, of::<Refused<'_>>())]),
    ],
    problems: &[WRITE_FAILS, BODY, CLICK, &[Kind::UnknownProduct]],
    ..BELI
};

pub(in super::super) const FLASH_SALE: Docs = Docs {
    id: "flashSaleBuy",
    summary: "One unit of a product",
    notes: "",
    parameters: &[
        &[
            required("userId", "The buyer.", of::<UserId>()),
            required("productId", "The product.", of::<Sku>()),
        ],
        WRITE,
    ],
    answers: &[
        Answer::new(StatusCode::ACCEPTED, "Bought.", &[(TEXT, plain(words))]),
        Answer::new(StatusCode::GONE, "Refused.", &[(TEXT, plain(words))]),
        Answer::new(StatusCode::TOO_MANY_REQUESTS, "Too many clicks.", &[(TEXT, plain(words))])
            .with(&[Header::RetryAfter]),
    ],
    problems: &[WRITE_FAILS, &[Kind::InvalidValue, Kind::UnknownProduct]],
    ..BELI
};

fn words() -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(Type::String).into()
}
