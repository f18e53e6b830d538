//! `POST /v1/buys/batch`: many buys in one call, each with its own key and its own outcome.
//!
//! A JSON array is answered with an array, NDJSON with NDJSON: one result an item, in the same
//! order. Items are independent: one that is malformed or refused does not touch the others, and
//! the call itself is a 200. What is no array, or too much, is a problem of the whole call.

mod docs;

pub(super) use docs::POST;

use super::buys::{Accepted, Asked, Won, decide};
use super::field::{self, Number, units};
use super::{FrontState, body, query};
use crate::actor::{Answer, Told};
use crate::problem::{Kind, Problem, ProblemBody};
use crate::trace;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use stock::{Attempt, Command, Envelope, Quantity, RequestId, Requester, Sku, UserId};
use tokio::time::Instant;
use tracing::Span;
use utoipa::ToSchema;

/// The most buys of one call.
const ITEMS_MAX: usize = 10_000;
/// The most bytes of one call: room for so many buys with the longest ids.
const BYTES_MAX: usize = 6 * 1024 * 1024;
/// Calls that are worked on at once; a further one is told to come back. So their answers take a
/// bounded room.
pub(super) const CALLS_MAX: usize = 4;
/// Bytes of the bodies of all calls, read or being read. A client has no place among
/// [`CALLS_MAX`] until its body is here, and no more of this than it has sent.
pub(super) const BODIES_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Asks for all of them, and says what became of each.
pub(super) async fn post(state: Arc<FrontState>, request: Request) -> Result<Response, Problem> {
    let deadline = state.deadline();
    let (parts, content) = request.into_parts();
    query::none(&parts.uri)?;
    let form = Form::of(&parts.headers)?;
    body::not_encoded(&parts.headers)?;
    if state.batches.available_permits() == 0 {
        // Told before the body is sent; who is worked on is decided below.
        return Err(Problem::overloaded());
    }
    let address = state.proxies.client(&parts);
    let room = &state.batch_bytes;
    let (bytes, _held) = body::take_within(room, content, BYTES_MAX, deadline).await?;
    let Ok(_permit) = state.batches.try_acquire() else {
        return Err(Problem::overloaded());
    };
    let texts = form.split(&bytes)?;
    let items: Vec<Sent<'_>> =
        texts.into_iter().map(|text| Sent { text, item: item(text) }).collect();
    let commands = items.iter().filter_map(|sent| Some(sent.item.as_ref().ok()?.envelope()));
    let commands: Vec<Envelope> = commands.collect();
    let spans = trace::each(&commands, trace::decoded);
    let answers = state.stock.ask_all(commands, address, deadline).await;
    write(&state, form, (items, spans), answers, deadline).await
}

/// How the items stand in the body, and their results in the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Array,
    Lines,
}

impl Form {
    fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let Some(content_type) = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes)
        else {
            return Ok(Self::Array);
        };
        if body::is_type(content_type, b"application/json") {
            return Ok(Self::Array);
        }
        let lines: [&[u8]; 3] =
            [b"application/x-ndjson", b"application/ndjson", b"application/jsonl"];
        if lines.iter().any(|name| body::is_type(content_type, name)) {
            return Ok(Self::Lines);
        }
        let detail = "Send a JSON array as `application/json`, or a JSON object a line as \
                      `application/x-ndjson`.";
        Err(Problem::new(Kind::UnsupportedMediaType, detail))
    }

    const fn content_type(self) -> HeaderValue {
        match self {
            Self::Array => HeaderValue::from_static("application/json"),
            Self::Lines => HeaderValue::from_static("application/x-ndjson"),
        }
    }

    /// The text of each item.
    fn split(self, bytes: &Bytes) -> Result<Vec<&[u8]>, Problem> {
        match self {
            Self::Array => match serde_json::from_slice(bytes) {
                Ok(Items(Some(items))) => Ok(items),
                Ok(Items(None)) => Err(too_many()),
                Err(error) if error.is_data() => {
                    Err(Problem::new(Kind::InvalidField, "The body is not a JSON array."))
                }
                Err(error) => Err(Problem::new(Kind::InvalidJson, error.to_string())),
            },
            Self::Lines => {
                let lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
                let items: Vec<&[u8]> =
                    lines.filter(|line| !line.is_empty()).take(ITEMS_MAX + 1).collect();
                if items.len() > ITEMS_MAX { Err(too_many()) } else { Ok(items) }
            }
        }
    }
}

fn too_many() -> Problem {
    Problem::new(Kind::TooLarge, format!("A call may have at most {ITEMS_MAX} buys."))
}

/// The texts of an array's items; none when there are more than [`ITEMS_MAX`].
struct Items<'b>(Option<Vec<&'b [u8]>>);

impl<'de> Deserialize<'de> for Items<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Array;
        impl<'de> Visitor<'de> for Array {
            type Value = Items<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of buys")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Items<'de>, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = array.next_element::<&RawValue>()? {
                    if items.len() == ITEMS_MAX {
                        // The rest is not looked at.
                        while array.next_element::<IgnoredAny>()?.is_some() {}
                        return Ok(Items(None));
                    }
                    items.push(item.get().as_bytes());
                }
                Ok(Items(Some(items)))
            }
        }
        deserializer.deserialize_seq(Array)
    }
}

/// One buy before its values are checked.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Shape<'b> {
    #[serde(borrow, deserialize_with = "readers::request_id")]
    request_id: Cow<'b, str>,
    #[serde(borrow, deserialize_with = "readers::product_id")]
    product_id: Cow<'b, str>,
    #[serde(borrow, deserialize_with = "readers::user_id")]
    user_id: Cow<'b, str>,
    #[serde(default = "one", deserialize_with = "readers::quantity")]
    quantity: Number,
    #[serde(default = "one", deserialize_with = "readers::attempt")]
    attempt: Number,
}

mod readers {
    use super::{Cow, Number, field::readers};

    type Text<'b> = Cow<'b, str>;

    readers! {
        request_id as text -> Text<'de>;
        product_id as text -> Text<'de>;
        user_id as text -> Text<'de>;
        quantity as number -> Number;
        attempt as number -> Number;
    }
}

fn one() -> Number {
    Number::Whole(1)
}

impl<'b> Shape<'b> {
    fn check(self) -> Result<Item<'b>, Problem> {
        let request = RequestId::new(&*self.request_id)
            .map_err(|why| Problem::invalid_value("request_id", &why))?;
        let sku = field::sku(&self.product_id, "product_id")?;
        let user = field::user(&self.user_id, "user_id")?;
        let quantity = units(self.quantity, "quantity")?;
        let attempt = match self.attempt.within("attempt", &(1..=i128::from(u32::MAX)))? {
            1 => Attempt::First,
            _ => Attempt::Later,
        };
        Ok(Item { shape: self, request, sku, user, quantity, attempt })
    }
}

/// An item as it stands in the body, and what it comes to.
struct Sent<'b> {
    text: &'b [u8],
    item: Result<Item<'b>, Problem>,
}

fn item(text: &[u8]) -> Result<Item<'_>, Problem> {
    body::parse::<Shape<'_>>(text)?.check()
}

/// The request id of an item that is refused, if it has one that can be.
fn name_of(text: &[u8]) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Named<'b> {
        #[serde(borrow)]
        request_id: Cow<'b, str>,
    }
    let Named { request_id } = serde_json::from_slice(text).ok()?;
    RequestId::new(&*request_id).is_ok().then_some(request_id)
}

/// One buy that can be asked for.
struct Item<'b> {
    shape: Shape<'b>,
    request: RequestId,
    sku: Sku,
    user: UserId,
    quantity: Quantity,
    attempt: Attempt,
}

impl Item<'_> {
    fn envelope(&self) -> Envelope {
        Envelope {
            requester: Requester::User(self.user.clone()),
            request_id: self.request.clone(),
            attempt: self.attempt,
            command: Command::Buy { sku: self.sku.clone(), quantity: self.quantity },
        }
    }

    fn asked(&self) -> Asked<'_> {
        Asked {
            product_id: &self.shape.product_id,
            user_id: &self.shape.user_id,
            quantity: self.quantity,
            request_id: &self.shape.request_id,
        }
    }
}

/// What became of one item: an order or a problem, with the status that it has alone.
#[derive(Serialize, ToSchema)]
struct ItemResult<'a> {
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    /// Whether it is the outcome of an earlier attempt.
    replayed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<stock::api::BuyAccepted>)]
    order: Option<&'a Accepted<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<stock::api::Problem>)]
    problem: Option<ProblemBody<'a>>,
}

async fn write(
    state: &Arc<FrontState>,
    form: Form,
    (items, spans): (Vec<Sent<'_>>, Vec<Span>),
    answers: Vec<Told>,
    deadline: Instant,
) -> Result<Response, Problem> {
    let (mut answers, mut spans) = (answers.into_iter(), spans.into_iter());
    let mut text = Vec::with_capacity(64 + items.len() * 256);
    for (position, Sent { text: sent, item }) in items.iter().enumerate() {
        if form == Form::Array {
            text.push(if position == 0 { b'[' } else { b',' });
        }
        let written = match item {
            Err(problem) => put(&mut text, name_of(sent).as_deref(), Err(problem)),
            Ok(item) => {
                let answer = answers.next().map_or(Answer::Unknown, |told| told.answer);
                let decided = decide(state, &item.asked(), answer, deadline).await;
                if let Some(span) = spans.next() {
                    trace::answered(&span, status(decided.as_ref()));
                }
                put(&mut text, Some(&item.shape.request_id), decided.as_ref())
            }
        };
        written.map_err(|error| Problem::internal("serialise a result", &error))?;
        if form == Form::Lines {
            text.push(b'\n');
        }
    }
    if form == Form::Array {
        text.extend_from_slice(if items.is_empty() { b"[]" } else { b"]" });
    }
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(header::CONTENT_TYPE, form.content_type());
    Ok(response)
}

/// The status that an item has alone.
fn status(decided: Result<&Won<'_>, &Problem>) -> StatusCode {
    decided.map_or_else(Problem::status, |_| StatusCode::CREATED)
}

fn put(
    text: &mut Vec<u8>,
    request_id: Option<&str>,
    decided: Result<&Won<'_>, &Problem>,
) -> serde_json::Result<()> {
    let status = status(decided).as_u16();
    let result = match decided {
        Ok(won) => ItemResult {
            status,
            request_id,
            replayed: won.replayed,
            order: Some(&won.order),
            problem: None,
        },
        Err(problem) => ItemResult {
            status,
            request_id,
            replayed: problem.is_replayed(),
            order: None,
            problem: Some(problem.body()),
        },
    };
    serde_json::to_writer(text, &result)
}

#[cfg(test)]
mod tests;
