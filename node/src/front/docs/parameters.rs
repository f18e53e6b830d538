//! The parameters that several endpoints have in common.

use super::{Need, Parameter, Place, Shape, of, plain};
use stock::{CursorName, RequestId, Seq, Sku};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};

const fn parameter(
    (place, name): (Place, &'static str),
    means: &'static str,
    shape: Shape,
) -> Parameter {
    let need = match place {
        Place::Path => Need::Required,
        Place::Query | Place::Header => Need::Optional,
    };
    Parameter { name, place, need, means, shape }
}

/// A parameter of the query that must be there.
pub(in super::super) const fn required(
    name: &'static str,
    means: &'static str,
    shape: Shape,
) -> Parameter {
    Parameter { need: Need::Required, ..parameter((Place::Query, name), means, shape) }
}

/// A parameter of the query that may be there.
pub(in super::super) const fn text(
    name: &'static str,
    means: &'static str,
    shape: Shape,
) -> Parameter {
    parameter((Place::Query, name), means, shape)
}

/// What every read takes.
pub(in super::super) const READ: &[Parameter] = &[
    parameter(
        (Place::Query, "consistency"),
        "`linearizable` shows everything that was acknowledged before the read was asked. `stale` \
         shows what this node has applied, at once, even without a quorum.",
        plain(consistency),
    ),
    parameter(
        (Place::Query, "min_seq"),
        "Wait until this node has applied that far: read your own writes anywhere.",
        of::<Seq>(),
    ),
];

/// The client's request id.
pub(in super::super) const KEY: Parameter = parameter(
    (Place::Header, stock::api::HEADER_IDEMPOTENCY_KEY),
    "Names one request over all its attempts: 1 to 128 visible ASCII characters, bare or quoted. \
     Without one the node makes one, and tells it in the answer.",
    plain(key),
);

/// Which attempt it is.
const ATTEMPT: Parameter = parameter(
    (Place::Header, stock::api::HEADER_ATTEMPT),
    "The number of this attempt under its key. From 2 on, which needs a key, the outcome is final \
     and stored.",
    plain(attempt),
);

/// What every write takes.
pub(in super::super) const WRITE: &[Parameter] = &[KEY, ATTEMPT];

pub(in super::super) const IF_MATCH: Parameter = parameter(
    (Place::Header, "if-match"),
    "The ETag of the product that the update is meant for, or `*`.",
    plain(|| string("^(\\*|\"(0|[1-9][0-9]{0,18})\")$", "*").into()),
);

pub(in super::super) const IF_NONE_MATCH: Parameter = parameter(
    (Place::Header, "if-none-match"),
    "ETags that the client has; a 304 says that one of them is current.",
    plain(|| ObjectBuilder::new().schema_type(Type::String).examples(["\"731\""]).into()),
);

pub(in super::super) const LAST_SEEN: Parameter = parameter(
    (Place::Header, "last-event-id"),
    "The last event seen; goes before `after`. Browsers send it by themselves.",
    of::<Seq>(),
);

pub(in super::super) const PRODUCT_ID: Parameter =
    parameter((Place::Path, "id"), "The product.", of::<Sku>());

pub(in super::super) const CURSOR_NAME: Parameter =
    parameter((Place::Path, "name"), "The cursor.", of::<CursorName>());

/// An order or a hold.
pub(in super::super) const ORDER_ID: Parameter =
    parameter((Place::Path, "id"), "Its number, which is that of the change.", of::<Seq>());

pub(in super::super) const AFTER_PRODUCT: Parameter =
    text("after", "Begin after this product: the `next_after` of a page.", of::<Sku>());

pub(in super::super) const AFTER_ORDER: Parameter =
    text("after", "Begin after this change: the `next_after` of a page.", of::<Seq>());

pub(in super::super) const LIMIT: Parameter =
    text("limit", "How many to show at most.", plain(limit));

fn string(pattern: &str, example: &str) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).pattern(Some(pattern)).examples([example])
}

fn consistency() -> RefOr<Schema> {
    let words = ["linearizable", "stale"];
    let object = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words));
    object.default(Some("linearizable".into())).into()
}

fn limit() -> RefOr<Schema> {
    let object = ObjectBuilder::new().schema_type(Type::Integer).default(Some(100.into()));
    object.minimum(Some(1)).maximum(Some(1000)).into()
}

fn attempt() -> RefOr<Schema> {
    let object = ObjectBuilder::new().schema_type(Type::Integer).examples([1]);
    object.minimum(Some(1)).maximum(Some(u32::MAX)).into()
}

fn key() -> RefOr<Schema> {
    let max = RequestId::BYTES_MAX;
    let bare = format!("[!#-~][!-~]{{0,{}}}", max - 1);
    let quoted = format!("\"([!#-\\[\\]-~]|\\\\[\"\\\\]){{1,{max}}}\"");
    string(&format!("^({bare}|{quoted})$"), "my-first").into()
}
