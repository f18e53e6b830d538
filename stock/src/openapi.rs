//! The schemas of the newtypes that stand in JSON, for whoever documents the bodies of `api`.
//!
//! Owns what a derive cannot know: the limits that `new` and `parse` check. Built with the feature
//! `openapi` only, and called by nothing here; a node's tests hold the schemas against what a node
//! takes and refuses.

use crate::{
    Currency, CursorName, CursorTarget, HoldTtl, NodeId, Quantity, Receipt, RequestId, Seq, Sku,
    UserId,
};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, Schema, SchemaFormat, SchemaType, Type};
use utoipa::{PartialSchema, ToSchema};

macro_rules! schemas {
    ($($name:ty => $schema:expr;)*) => {
        $(
            impl PartialSchema for $name {
                fn schema() -> RefOr<Schema> {
                    $schema.into()
                }
            }

            impl ToSchema for $name {}
        )*
    };
}

schemas! {
    Sku => id(Self::BYTES_MAX, "^[A-Za-z0-9._:-]+$", "sneaker")
        .description(Some("A product's id."));
    CursorName => id(Self::BYTES_MAX, "^[A-Za-z0-9._:-]+$", "orders-to-postgres")
        .description(Some("A cursor's name."));
    CursorTarget => id(Self::BYTES_MAX, VISIBLE, "nats://broker:4222/orders")
        .description(Some("What a cursor is for, in its owner's own words; compared as it is."));
    UserId => id(Self::BYTES_MAX, VISIBLE, "ann")
        .description(Some("A buyer's id, given by the shop in front."));
    RequestId => id(Self::BYTES_MAX, VISIBLE, "0198f2c4-7e1b-7000-8000-000000000001")
        .description(Some("The id of one request: its Idempotency-Key."));
    NodeId => number(0, None).examples([1])
        .description(Some("A node of the cluster."));
    Seq => number(0, Some(u64::MAX)).examples([731])
        .description(Some("The number of a change: the version of the state after it."));
    Quantity => number(1, Some(Self::MAX.into())).examples([1])
        .description(Some("A number of units."));
    HoldTtl => number(Self::MIN_MS, Some(Self::MAX_MS)).examples([60_000])
        .description(Some("How long a hold lasts, in milliseconds."));
    Currency => text(3, 3, "^[A-Z]{3}$", "EUR")
        .description(Some("A currency by its three letters of ISO 4217."));
    Receipt => text(32, 32, "^[0-9a-f]{32}$", "a09454eb4bd24b6c0f43f46001868b47")
        .description(Some("What commits to an order and to every order before it."));
    crate::api::Timestamp => string("2026-11-21T18:00:00Z")
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
        .description(Some("An instant of 1970 to 9999 in any offset; answers are in UTC."));
}

/// Visible ASCII without spaces.
const VISIBLE: &str = "^[!-~]+$";

fn string(example: &str) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(SchemaType::Type(Type::String)).examples([example])
}

fn text(min: usize, max: usize, pattern: &str, example: &str) -> ObjectBuilder {
    string(example).min_length(Some(min)).max_length(Some(max)).pattern(Some(pattern))
}

fn id(max: usize, pattern: &str, example: &str) -> ObjectBuilder {
    text(1, max, pattern, example)
}

fn number(min: u64, max: Option<u64>) -> ObjectBuilder {
    let limit = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    ObjectBuilder::new()
        .schema_type(SchemaType::Type(Type::Integer))
        .minimum(Some(limit(min)))
        .maximum(max.map(limit))
}
