//! What the OpenAPI document says of the product routes.

use super::super::docs::{
    AFTER_PRODUCT, Answer, BODY, Body, Docs, Header, IF_MATCH, IF_NONE_MATCH, JSON, LIMIT, Link,
    PRODUCT_ID, READ, READ_FAILS, Tag, WRITE, WRITE_FAILS, of,
};
use crate::problem::Kind;
use axum::http::StatusCode;
use stock::api::{PatchProduct, PostRestock, ProductList, ProductView, PutProduct};

const LINKS: &[Link] = &[
    Link { to: "getProduct", id: "$request.path.id" },
    Link { to: "patchProduct", id: "$request.path.id" },
    Link { to: "restock", id: "$request.path.id" },
];

const AS_IT_IS: Answer =
    Answer::new(StatusCode::OK, "The product as it is now.", &[(JSON, of::<ProductView>())])
        .with(&[Header::ETag]);

pub(in super::super) const LIST: Docs = Docs {
    id: "listProducts",
    tag: Tag::Products,
    summary: "All products, page by page",
    notes: "By id. The last page has no `next_after`.",
    parameters: &[&[AFTER_PRODUCT, LIMIT], READ],
    body: None,
    answers: &[Answer::new(StatusCode::OK, "A page.", &[(JSON, of::<ProductList>())])],
    problems: &[READ_FAILS, &[Kind::InvalidValue]],
};

pub(in super::super) const SHOW: Docs = Docs {
    id: "getProduct",
    summary: "One product",
    notes: "The `ETag` is the number of the product's own last change.",
    parameters: &[&[PRODUCT_ID, IF_NONE_MATCH], READ],
    answers: &[
        AS_IT_IS,
        Answer::new(StatusCode::NOT_MODIFIED, "It is as `If-None-Match` has it.", &[])
            .with(&[Header::ETag]),
    ],
    problems: &[READ_FAILS, &[Kind::InvalidValue, Kind::UnknownProduct]],
    ..LIST
};

pub(in super::super) const PUT: Docs = Docs {
    id: "putProduct",
    summary: "Put a product on sale",
    notes: "The same again changes nothing; another product under this id is refused.",
    parameters: &[&[PRODUCT_ID], WRITE],
    body: Some(Body::json(
        &[(JSON, of::<PutProduct>())],
        &[
            ("sneaker", r#"{"name": "Sneaker", "stock": 10000}"#),
            (
                "drop",
                r#"{"name": "Drop", "stock": 500, "price": 12900, "currency": "EUR",
                    "per_user_limit": 2, "starts_at": "2027-01-01T18:00:00Z",
                    "ends_at": "2027-01-01T20:00:00+01:00", "hold_ttl_ms": 120000}"#,
            ),
        ],
    )),
    answers: &[
        Answer::new(StatusCode::CREATED, "It is on sale.", &[(JSON, of::<ProductView>())])
            .with(&[Header::Location, Header::ETag])
            .leads_to(LINKS),
        AS_IT_IS,
    ],
    problems: &[
        WRITE_FAILS,
        BODY,
        &[Kind::ProductDiffers, Kind::TooManyProducts, Kind::EmptyWindow],
    ],
    ..LIST
};

pub(in super::super) const PATCH: Docs = Docs {
    id: "patchProduct",
    summary: "Change a product's terms",
    notes: "A merge patch (RFC 7396): a field that is absent stays, `null` takes it away. The \
            stock is changed by a restock.",
    parameters: &[&[PRODUCT_ID, IF_MATCH], WRITE],
    body: Some(Body::json(
        &[(JSON, of::<PatchProduct>()), ("application/merge-patch+json", of::<PatchProduct>())],
        &[
            ("open now", r#"{"starts_at": null}"#),
            ("rename", r#"{"name": "Sneaker, second run", "per_user_limit": 3}"#),
            ("price", r#"{"price": 9900, "currency": "EUR", "hold_ttl_ms": 60000}"#),
        ],
    )),
    answers: &[AS_IT_IS],
    problems: &[
        WRITE_FAILS,
        BODY,
        &[Kind::UnknownProduct, Kind::VersionDiffers, Kind::EmptyWindow],
    ],
    ..LIST
};

pub(in super::super) const RESTOCK: Docs = Docs {
    id: "restock",
    summary: "Add units, or take them back",
    notes: "A negative quantity takes back only what is available. 0 is refused.",
    parameters: &[&[PRODUCT_ID], WRITE],
    body: Some(Body::json(
        &[(JSON, of::<PostRestock>())],
        &[("add", r#"{"quantity": 100}"#), ("take back", r#"{"quantity": -1}"#)],
    )),
    answers: &[AS_IT_IS],
    problems: &[WRITE_FAILS, BODY, &[Kind::UnknownProduct, Kind::RestockOutOfRange]],
    ..LIST
};
