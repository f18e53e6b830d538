//! `GET /v1/cursors`, and `GET`, `PUT` and `DELETE /v1/cursors/{name}`: how far those have come who
//! copy the changes elsewhere.
//!
//! A move is a compare-and-set that the cluster decides, so of two who move one cursor from the
//! same place one is refused, and so is one who copies to another target. It is no change of the
//! sale: it has no `seq` and is in no feed.

use super::answer::json_at;
use super::docs::{
    Answer, BODY, Body, CURSOR_NAME, Docs, JSON, READ, READ_FAILS, Tag, WRITE, WRITE_FAILS, of,
    plain, required,
};
use super::field::Number;
use super::key::Key;
use super::query::{self, Parameters};
use super::write::{Write, misplaced};
use super::{FrontState, body, field, path_parameter};
use crate::problem::{Kind, Problem};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use serde::Deserialize;
use std::borrow::Cow;
use std::sync::Arc;
use stock::api::{CursorList, CursorRemoved, CursorView, PutCursor};
use stock::{
    Command, CursorMove, CursorMoveFor, CursorName, CursorRemoval, CursorTarget, Outcome,
    Requester, Rules,
};
use utoipa::openapi::schema::{ObjectBuilder, Type};

/// The furthest position: exact in a JSON number.
const POSITION_MAX: u64 = (1 << 53) - 1;

pub(super) const LIST: Docs = Docs {
    id: "listCursors",
    tag: Tag::Cursors,
    summary: "All cursors",
    notes: "By name; at most 256.",
    parameters: &[READ],
    body: None,
    answers: &[Answer::new(StatusCode::OK, "All of them.", &[(JSON, of::<CursorList>())])],
    problems: &[READ_FAILS],
};

pub(super) const SHOW: Docs = Docs {
    id: "getCursor",
    summary: "One cursor",
    notes: "",
    parameters: &[&[CURSOR_NAME], READ],
    answers: &[AS_IT_IS],
    problems: &[READ_FAILS, &[Kind::InvalidValue, Kind::UnknownCursor]],
    ..LIST
};

pub(super) const PUT: Docs = Docs {
    id: "putCursor",
    summary: "Move a cursor, if it stands where you believe",
    notes: "Replicated and durable when it is answered. Not in the change feed, and without a \
            `seq` of its own. The request that moved a cursor last is known as long as it stays \
            there.",
    parameters: &[&[CURSOR_NAME], WRITE],
    body: Some(Body::json(
        &[(JSON, of::<PutCursor>())],
        &[
            ("new", r#"{"expected": null, "position": 0}"#),
            (
                "for one target",
                r#"{"expected": null, "position": 0, "target": "nats://broker:4222/orders"}"#,
            ),
        ],
    )),
    answers: &[AS_IT_IS],
    problems: &[
        WRITE_FAILS,
        BODY,
        &[Kind::CursorMoved, Kind::CursorOfAnother, Kind::TooManyCursors],
    ],
    ..LIST
};

pub(super) const REMOVE: Docs = Docs {
    id: "removeCursor",
    summary: "Remove a cursor, if it stands where you believe",
    notes: "Its name is free then, also for another target. It has no body.",
    parameters: &[
        &[
            CURSOR_NAME,
            required(
                "expected",
                "Where the cursor must stand.",
                plain(|| {
                    let number = ObjectBuilder::new().schema_type(Type::Integer).examples([0]);
                    number.minimum(Some(0)).into()
                }),
            ),
        ],
        WRITE,
    ],
    body: None,
    answers: &[Answer::new(StatusCode::OK, "It is gone.", &[(JSON, of::<CursorRemoved>())])],
    problems: &[WRITE_FAILS, BODY, &[Kind::UnknownCursor, Kind::CursorMoved]],
    ..LIST
};

const AS_IT_IS: Answer =
    Answer::new(StatusCode::OK, "The cursor as it is now.", &[(JSON, of::<CursorView>())]);

/// `GET /v1/cursors`.
pub(super) async fn list(state: Arc<FrontState>, request: Request) -> Result<Response, Problem> {
    let parameters = Parameters::of_read(request.uri(), &[])?;
    query::wait_until_current(&state, &parameters).await?;
    let (seq, cursors) = state.replica.read(|machine| {
        let seq = machine.seq();
        let view = |(name, position): (&CursorName, u64)| {
            let (name, target) = (name.clone(), machine.cursor_target(name).cloned());
            CursorView { name, position, target, seq }
        };
        (seq, machine.cursors().map(view).collect())
    });
    json_at(StatusCode::OK, seq, &CursorList { cursors, seq })
}

/// `GET /v1/cursors/{name}`.
pub(super) async fn show(state: Arc<FrontState>, request: Request) -> Result<Response, Problem> {
    let (mut parts, _) = request.into_parts();
    let name = path_name(&mut parts).await?;
    let parameters = Parameters::of_read(&parts.uri, &[])?;
    query::wait_until_current(&state, &parameters).await?;
    let (seq, position, target) = state.replica.read(|machine| {
        (machine.seq(), machine.cursor(&name), machine.cursor_target(&name).cloned())
    });
    match position {
        Some(position) => json_at(StatusCode::OK, seq, &CursorView { name, position, target, seq }),
        None => Err(Problem::plain(Kind::UnknownCursor).at(seq)),
    }
}

/// `PUT /v1/cursors/{name}`.
pub(super) async fn put(state: Arc<FrontState>, request: Request) -> Result<Response, Problem> {
    let deadline = state.deadline();
    let (mut parts, content) = request.into_parts();
    let name = path_name(&mut parts).await?;
    query::none(&parts.uri)?;
    let bytes = body::read(&parts.headers, content, deadline).await?;
    let (expected, position, target) = body::parse::<CursorShape<'_>>(&bytes)?.check()?;
    all_know(&state, if target.is_some() { Rules::Four } else { Rules::Three })?;
    let key = Key::read(&parts.headers)?;
    let moved = CursorMove { name: name.clone(), expected, position };
    let command = match target.clone() {
        None => Command::MoveCursor(moved),
        Some(target) => Command::MoveCursorFor(Box::new(CursorMoveFor { moved, target })),
    };
    let write = Write { requester: Requester::Operator, key, command };
    let respond = |outcome, seq| match outcome {
        Outcome::CursorMoved { position } => {
            json_at(StatusCode::OK, seq, &CursorView { name, position, target, seq })
        }
        _ => Err(misplaced("move a cursor")),
    };
    Ok(write.ask(&state, deadline, respond).await)
}

/// `DELETE /v1/cursors/{name}`.
pub(super) async fn remove(state: Arc<FrontState>, request: Request) -> Result<Response, Problem> {
    let deadline = state.deadline();
    let (mut parts, content) = request.into_parts();
    let name = path_name(&mut parts).await?;
    let parameters = Parameters::of_write(&parts.uri, &["expected"])?;
    let Some(expected) = parameters.number("expected")? else {
        return Err(query::invalid("expected", "say where the cursor must stand"));
    };
    let bytes = body::read(&parts.headers, content, deadline).await?;
    if !bytes.trim_ascii().is_empty() {
        let rule = "a removal has no body: send `?expected=` in the query.";
        return Err(Problem::new(Kind::InvalidField, rule));
    }
    all_know(&state, Rules::Four)?;
    let key = Key::read(&parts.headers)?;
    let command = Command::RemoveCursor(CursorRemoval { name: name.clone(), expected });
    let write = Write { requester: Requester::Operator, key, command };
    let respond = |outcome, seq| match outcome {
        Outcome::CursorRemoved { position } => {
            json_at(StatusCode::OK, seq, &CursorRemoved { name, position, seq })
        }
        _ => Err(misplaced("remove a cursor")),
    };
    Ok(write.ask(&state, deadline, respond).await)
}

/// # Errors
/// `not-ready` while a node may be of a build that stops at what these rules brought.
fn all_know(state: &FrontState, rules: Rules) -> Result<(), Problem> {
    if state.replica.rules() >= rules {
        return Ok(());
    }
    let why = "Not all nodes have said yet that they know this of cursors; a node of an older \
               build does not.";
    Err(Problem::new(Kind::NotReady, why))
}

async fn path_name(parts: &mut Parts) -> Result<CursorName, Problem> {
    let name = path_parameter(parts).await?;
    field::in_a_path(&name, "name")?;
    CursorName::new(name).map_err(|why| Problem::invalid_value("name", &why))
}

/// [`PutCursor`] before its values are checked.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CursorShape<'b> {
    #[serde(deserialize_with = "shape::expected")]
    expected: Option<Number>,
    #[serde(deserialize_with = "shape::position")]
    position: Number,
    #[serde(borrow, default, deserialize_with = "shape::target")]
    target: Option<Cow<'b, str>>,
}

mod shape {
    use super::super::field::readers;
    use super::{Cow, Number};

    readers! {
        expected as number_or_null -> Option<Number>;
        position as number -> Number;
        target as text_given -> Option<Cow<'de, str>>;
    }
}

impl CursorShape<'_> {
    /// # Errors
    /// `invalid-value` naming the field.
    fn check(self) -> Result<(Option<u64>, u64, Option<CursorTarget>), Problem> {
        let range = 0..=i128::from(POSITION_MAX);
        let number = |number: Number, field| {
            number.within(field, &range).map(|number| u64::try_from(number).unwrap_or(u64::MAX))
        };
        let expected = self.expected.map(|expected| number(expected, "expected")).transpose()?;
        let target = self.target.map(CursorTarget::new).transpose();
        let target = target.map_err(|why| Problem::invalid_value("target", &why))?;
        Ok((expected, number(self.position, "position")?, target))
    }
}
