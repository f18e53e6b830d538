//! What an endpoint says of itself: its parameters, bodies, answers and problems.
//!
//! Owns the words in which that is said, [`Docs`], and the check that an endpoint answers nothing
//! else. Each endpoint has one beside it and is routed together with it (`route.rs`), so none can
//! go without. Never looks at a request. `openapi` makes the document of them.

mod parameters;
mod problems;

pub(super) use parameters::{
    AFTER_ORDER, AFTER_PRODUCT, CURSOR_NAME, IF_MATCH, IF_NONE_MATCH, KEY, LAST_SEEN, LIMIT,
    ORDER_ID, PRODUCT_ID, READ, WRITE, required, text,
};
pub(super) use problems::{BODY, CLICK, EVERYWHERE, OF_THE_STOCK, READ_FAILS, SALE, WRITE_FAILS};

use crate::problem::Kind;
use axum::http::StatusCode;
use axum::response::Response;
use utoipa::ToSchema;
use utoipa::openapi::{Ref, RefOr, Schema};

/// An endpoint, as the document shows it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Docs {
    /// What programs generated from the document call it.
    pub(super) id: &'static str,
    pub(super) tag: Tag,
    /// What it does, in a few words.
    pub(super) summary: &'static str,
    /// Whatever else is to know.
    pub(super) notes: &'static str,
    pub(super) parameters: &'static [&'static [Parameter]],
    pub(super) body: Option<Body>,
    pub(super) answers: &'static [Answer],
    /// The problems that it has besides those that every endpoint has.
    pub(super) problems: &'static [&'static [Kind]],
}

impl Docs {
    /// Whether it says that this answer can be.
    pub(super) fn know(&self, response: &Response) -> bool {
        match response.extensions().get::<Kind>() {
            Some(kind) => {
                let groups = [EVERYWHERE, OF_THE_STOCK];
                self.problems.iter().chain(&groups).any(|group| group.contains(kind))
            }
            None => self.answers.iter().any(|answer| answer.status == response.status()),
        }
    }

    /// Whether it is a click, so that every answer may tell what is left of the rate limits.
    pub(super) fn clicks(&self) -> bool {
        let limited = Kind::RateLimited;
        self.problems.iter().any(|group| group.contains(&limited))
            || self.answers.iter().any(|answer| answer.status == limited.status())
    }

    /// Whether it takes the headers of a write, so that every answer may tell a key.
    pub(super) fn writes(&self) -> bool {
        self.parameters.iter().copied().flatten().any(|parameter| parameter.name == KEY.name)
    }
}

/// The groups that endpoints are shown in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tag {
    Products,
    Buys,
    Holds,
    Orders,
    Live,
    Cursors,
    DropIn,
    Pages,
    Operations,
}

impl Tag {
    pub(super) const ALL: &'static [Self] = &[
        Self::Products,
        Self::Buys,
        Self::Holds,
        Self::Orders,
        Self::Live,
        Self::Cursors,
        Self::DropIn,
        Self::Pages,
        Self::Operations,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Products => "Products",
            Self::Buys => "Buys",
            Self::Holds => "Holds",
            Self::Orders => "Orders",
            Self::Live => "Live",
            Self::Cursors => "Cursors",
            Self::DropIn => "Drop-in",
            Self::Pages => "Pages",
            Self::Operations => "Operations",
        }
    }

    pub(super) const fn meaning(self) -> &'static str {
        match self {
            Self::Products => "What is on sale, and on which terms.",
            Self::Buys => "The hot path: units of a product, or a basket, at once.",
            Self::Holds => "Units set aside while a buyer pays.",
            Self::Orders => "What was sold, to whom, and what became of a request.",
            Self::Live => "Every change as it happens, and the state to start from.",
            Self::Cursors => "How far those have come who copy the changes elsewhere.",
            Self::DropIn => "Routes that answer as the scripts of smaller shops expect.",
            Self::Pages => "What people look at, and what only that needs.",
            Self::Operations => "For probes, dashboards and people who run it.",
        }
    }
}

/// Where a parameter stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Path,
    Query,
    Header,
}

/// Whether something must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    Required,
    Optional,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) place: Place,
    pub(super) need: Need,
    pub(super) means: &'static str,
    pub(super) shape: Shape,
}

/// What is sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Body {
    pub(super) need: Need,
    /// By media type.
    pub(super) shapes: &'static [(&'static str, Shape)],
    /// Bodies in JSON that are answered with the first of the answers, by name.
    pub(super) examples: &'static [(&'static str, &'static str)],
}

impl Body {
    /// A body that must be there, in JSON.
    pub(super) const fn json(
        shapes: &'static [(&'static str, Shape)],
        examples: &'static [(&'static str, &'static str)],
    ) -> Self {
        Self { need: Need::Required, shapes, examples }
    }
}

/// The media type of nearly every body.
pub(super) const JSON: &str = "application/json";
/// That of a body with a JSON value a line.
pub(super) const NDJSON: &str = "application/x-ndjson";
/// That of a few words.
pub(super) const TEXT: &str = "text/plain";

/// An answer that is no problem.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) means: &'static str,
    /// By media type.
    pub(super) shapes: &'static [(&'static str, Shape)],
    pub(super) headers: &'static [Header],
    pub(super) links: &'static [Link],
}

impl Answer {
    /// An answer with no other headers than every answer has.
    pub(super) const fn new(
        status: StatusCode,
        means: &'static str,
        shapes: &'static [(&'static str, Shape)],
    ) -> Self {
        Self { status, means, shapes, headers: &[], links: &[] }
    }

    pub(super) const fn with(self, headers: &'static [Header]) -> Self {
        Self { headers, ..self }
    }

    pub(super) const fn leads_to(self, links: &'static [Link]) -> Self {
        Self { links, ..self }
    }
}

/// A header that some answers have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Header {
    Location,
    ETag,
    RetryAfter,
}

/// A further call, whose `id` an answer or a request holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Link {
    /// The [`Docs::id`] of the call.
    pub(super) to: &'static str,
    /// Where its `id` is found, as a runtime expression of OpenAPI.
    pub(super) id: &'static str,
}

/// Schemas by name.
pub(super) type Schemas = Vec<(String, RefOr<Schema>)>;

/// A schema, and those that it refers to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) schema: fn() -> RefOr<Schema>,
    pub(super) collect: fn(&mut Schemas),
}

/// The shape of a type that has a name in the document.
pub(super) const fn of<T: ToSchema>() -> Shape {
    Shape { schema: reference::<T>, collect: collect::<T> }
}

/// A shape of its own, with the schemas of the types that it refers to.
pub(super) const fn shape(schema: fn() -> RefOr<Schema>, collect: fn(&mut Schemas)) -> Shape {
    Shape { schema, collect }
}

/// A shape that refers to nothing.
pub(super) const fn plain(schema: fn() -> RefOr<Schema>) -> Shape {
    Shape { schema, collect: |_| {} }
}

/// A reference to the schema of a type.
pub(super) fn reference<T: ToSchema>() -> RefOr<Schema> {
    Ref::from_schema_name(T::name()).into()
}

/// Adds the schema of a type and those that it refers to.
pub(super) fn collect<T: ToSchema>(into: &mut Schemas) {
    into.push((T::name().into_owned(), T::schema()));
    T::schemas(into);
}
