//! What the OpenAPI document says of a buy.

use super::super::docs::{
    Answer, BODY, Body, CLICK, Docs, Header, JSON, Link, SALE, Schemas, Shape, Tag, WRITE,
    WRITE_FAILS, collect, reference, shape,
};
use axum::http::StatusCode;
use stock::api::{BuyAccepted, OrderAccepted, PostBasket, PostBuy};
use utoipa::openapi::{OneOfBuilder, RefOr, Schema};

const ASKED: Shape = shape(asked, |schemas: &mut Schemas| {
    collect::<PostBuy>(schemas);
    collect::<PostBasket>(schemas);
});

const ANSWERED: Shape = shape(answered, |schemas: &mut Schemas| {
    collect::<BuyAccepted>(schemas);
    collect::<OrderAccepted>(schemas);
});

fn asked() -> RefOr<Schema> {
    let one_of = OneOfBuilder::new().item(reference::<PostBuy>());
    one_of.item(reference::<PostBasket>()).into()
}

fn answered() -> RefOr<Schema> {
    let one_of = OneOfBuilder::new().item(reference::<BuyAccepted>());
    one_of.item(reference::<OrderAccepted>()).into()
}

pub(in super::super) const POST: Docs = Docs {
    id: "buy",
    tag: Tag::Buys,
    summary: "Buy units of a product, or a basket",
    notes: "All or none. A 201 is on the disks of a majority.",
    parameters: &[WRITE],
    body: Some(Body::json(
        &[(JSON, ASKED)],
        &[
            ("one", r#"{"product_id": "sneaker", "user_id": "ann"}"#),
            ("two", r#"{"product_id": "sneaker", "user_id": "bob", "quantity": 2}"#),
            (
                "basket",
                r#"{"user_id": "cy", "items": [{"product_id": "sneaker", "quantity": 2},
                    {"product_id": "tee"}]}"#,
            ),
        ],
    )),
    answers: &[Answer::new(
        StatusCode::CREATED,
        "Bought, now or by an earlier attempt under this key.",
        &[(JSON, ANSWERED)],
    )
    .with(&[Header::Location])
    .leads_to(&[
        Link { to: "getOrder", id: "$response.body#/order_id" },
        Link { to: "cancelOrder", id: "$response.body#/order_id" },
    ])],
    problems: &[WRITE_FAILS, BODY, SALE, CLICK],
};
