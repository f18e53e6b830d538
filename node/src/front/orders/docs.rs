//! What the OpenAPI document says of the order routes.

use super::super::docs::{
    AFTER_ORDER, Answer, Docs, JSON, LIMIT, ORDER_ID, READ, READ_FAILS, Tag, of, text,
};
use crate::problem::Kind;
use axum::http::StatusCode;
use stock::api::{OrderList, OrderView};
use stock::{RequestId, UserId};

pub(in super::super) const LIST: Docs = Docs {
    id: "listOrders",
    tag: Tag::Orders,
    summary: "Orders: all, of a user, or of a request",
    notes: "`request_id` needs `user_id`, and takes neither `after` nor `limit`; an empty answer \
            to it means no order yet. Only `next_after` says whether a page is the last.",
    parameters: &[
        &[
            text("user_id", "Whose.", of::<UserId>()),
            text("request_id", "The request that won it.", of::<RequestId>()),
            AFTER_ORDER,
            LIMIT,
        ],
        READ,
    ],
    body: None,
    answers: &[Answer::new(StatusCode::OK, "A page, by id.", &[(JSON, of::<OrderList>())])],
    problems: &[READ_FAILS, &[Kind::InvalidValue]],
};

pub(in super::super) const SHOW: Docs = Docs {
    id: "getOrder",
    summary: "One order",
    notes: "A cancelled one too, marked.",
    parameters: &[&[ORDER_ID], READ],
    answers: &[Answer::new(StatusCode::OK, "The order.", &[(JSON, of::<OrderView>())])],
    problems: &[READ_FAILS, &[Kind::InvalidValue, Kind::UnknownOrder]],
    ..LIST
};
