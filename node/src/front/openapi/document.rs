//! The document: all routes, the schemas that they refer to, and what answers have in common.

use super::super::Route;
use super::super::docs::{Schemas, Tag, collect};
use super::operation::{self, operation};
use crate::problem::Kind;
use serde_json::json;
use std::collections::BTreeMap;
use stock::api::{EventView, ExportLine};
use utoipa::openapi::example::ExampleBuilder;
use utoipa::openapi::schema::{ComponentsBuilder, Object, SchemaType, Type};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{
    Components, InfoBuilder, LicenseBuilder, OneOf, OpenApi, OpenApiBuilder, PathsBuilder, RefOr,
    Schema, ServerBuilder,
};

/// What is said before the first route.
const ABOUT: &str = "Keeps the stock of a flash sale true. Ask any node.\n\n\
    Every answer of a route carries `Flashnode-Node`, `Flashnode-Leader` and `Flashnode-Seq`. \
    Errors are problems of RFC 9457, and each `type` is a page of this node.\n\n\
    Three outcomes of a write stay apart. A 4xx was decided, or never asked. A 503 was surely not \
    proposed: send it again. A 504 or a 500 is unknown: send it again under the same \
    `Idempotency-Key` with `Flashnode-Attempt: 2`.\n\n\
    What is no HTTP gets a bare 400 or 431 and the end of the connection.";

/// The document of all routes.
pub(super) fn document() -> OpenApi {
    let mut schemas = Schemas::new();
    // Streams are texts to OpenAPI; what stands in them is told by name.
    collect::<EventView>(&mut schemas);
    collect::<ExportLine>(&mut schemas);
    collect::<stock::api::Problem>(&mut schemas);
    let mut paths = PathsBuilder::new();
    for route in Route::ALL {
        for (method, docs) in route.docs() {
            docs.shapes().for_each(|shape| (shape.collect)(&mut schemas));
            paths = paths.path(route.path(), operation(*route, method, docs));
        }
    }
    let tag =
        |tag: &Tag| TagBuilder::new().name(tag.name()).description(Some(tag.meaning())).build();
    let license = LicenseBuilder::new().name(env!("CARGO_PKG_LICENSE"));
    let info = InfoBuilder::new()
        .title("flashnode")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(ABOUT))
        .license(Some(license.build()));
    OpenApiBuilder::new()
        .info(info)
        .servers(Some([ServerBuilder::new().url("/").build()]))
        .paths(paths)
        .components(Some(components(schemas)))
        .tags(Some(Tag::ALL.iter().map(tag)))
        .build()
}

fn components(schemas: Schemas) -> Components {
    let mut by_name = BTreeMap::new();
    for (name, mut schema) in schemas {
        without_defaults(&mut schema);
        if !is_request(&name) {
            without_null(&mut schema);
        }
        by_name.insert(name, schema);
    }
    let components = ComponentsBuilder::new().schemas_from_iter(by_name);
    let components = operation::HEADERS.iter().fold(components, |components, header| {
        components.header(header.name, operation::header(header))
    });
    let components = Kind::ALL.iter().fold(components, |components, kind| {
        let value = json!({
            "type": kind.path(),
            "title": kind.title(),
            "status": kind.status().as_u16(),
            "detail": kind.meaning(),
        });
        let example = ExampleBuilder::new().summary(kind.title()).value(Some(value));
        components.example(kind.name(), example.build())
    });
    components.build()
}

/// The default of a Rust field is not that of JSON: in a patch, what is absent stays.
fn without_defaults(schema: &mut RefOr<Schema>) {
    if let RefOr::T(Schema::Object(Object { properties, .. })) = schema {
        for property in properties.values_mut() {
            match property {
                RefOr::T(Schema::Object(object)) => object.default = None,
                RefOr::T(Schema::OneOf(one_of)) => one_of.default = None,
                _ => {}
            }
        }
    }
}

/// What is sent tells absent fields and null apart, and its types say where null may stand.
fn is_request(name: &str) -> bool {
    ["Put", "Patch", "Post"].iter().any(|verb| name.starts_with(verb))
}

/// What is answered leaves absent fields out, which a derived schema does not know: fields that
/// need not be there are never null.
fn without_null(schema: &mut RefOr<Schema>) {
    match schema {
        RefOr::T(Schema::Object(object)) => {
            let Object { required, properties, .. } = object;
            for (name, property) in properties {
                without_null(property);
                if !required.contains(name) {
                    forbid_null(property);
                }
            }
        }
        RefOr::T(Schema::OneOf(OneOf { items, .. })) => items.iter_mut().for_each(without_null),
        RefOr::T(Schema::AllOf(all)) => all.items.iter_mut().for_each(without_null),
        _ => {}
    }
}

fn forbid_null(schema: &mut RefOr<Schema>) {
    let only = match schema {
        RefOr::T(Schema::OneOf(OneOf { items, .. })) => {
            items.retain(|item| !is_null(item));
            if items.len() == 1 { items.pop() } else { None }
        }
        RefOr::T(
            Schema::Object(Object { schema_type, .. })
            | Schema::Array(utoipa::openapi::schema::Array { schema_type, .. }),
        ) => {
            if let SchemaType::Array(types) = schema_type {
                types.retain(|kind| *kind != Type::Null);
                if let [only] = &types[..] {
                    *schema_type = SchemaType::Type(only.clone());
                }
            }
            None
        }
        _ => None,
    };
    if let Some(only) = only {
        *schema = only;
    }
}

fn is_null(schema: &RefOr<Schema>) -> bool {
    let null = SchemaType::Type(Type::Null);
    matches!(schema, RefOr::T(Schema::Object(object)) if object.schema_type == null)
}
