//! `POST` and `DELETE /v1/demo/storm`: buyers from within, for demonstrations.
//!
//! Off unless the node was started with `--demo`. Even then it asks only nodes of its own cluster
//! that listen on loopback, one storm at a time, with bounded buyers, concurrency and time; it
//! takes no address from anybody. `run.rs` is the storm itself.

mod run;

use super::super::answer::json;
use super::super::docs::{Answer, BODY, Body, Docs, JSON, Need, Tag, of};
use super::super::field::{self, Number};
use super::super::{FrontState, body, query};
use super::elections::now_ms;
use crate::problem::{Kind, Problem};
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::Response;
use run::Storm;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use stock::Sku;
use utoipa::ToSchema;

/// The most buyers of one storm.
const BUYERS_MAX: u32 = 20_000;
/// The most of them that are under way at a time.
const AT_A_TIME_MAX: u32 = 128;
const AT_A_TIME_DEFAULT: u32 = 64;

/// What is asked for.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PostStorm {
    /// What they all want one of.
    product_id: Sku,
    /// How many buyers come.
    #[schema(minimum = 1, maximum = 20_000)]
    buyers: u32,
    /// How many of them are under way at a time; 64 if it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 1, maximum = 128)]
    at_a_time: Option<u32>,
}

/// [`PostStorm`] before its values are checked.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Shape<'b> {
    #[serde(borrow, deserialize_with = "readers::product_id")]
    product_id: Cow<'b, str>,
    #[serde(deserialize_with = "readers::buyers")]
    buyers: Number,
    #[serde(default, deserialize_with = "readers::at_a_time")]
    at_a_time: Option<Number>,
}

mod readers {
    use super::{Cow, Number, field::readers};

    type Text<'b> = Cow<'b, str>;

    readers! {
        product_id as text -> Text<'de>;
        buyers as number -> Number;
        at_a_time as number_given -> Option<Number>;
    }
}

/// How a storm goes.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct StormView {
    /// What they want.
    product_id: Sku,
    /// How many come.
    buyers: u64,
    /// Whether some are still under way.
    running: bool,
    /// Buyers that have an order.
    accepted: u64,
    /// Buyers that were told no.
    refused: u64,
    /// Buyers that gave up without an answer.
    failed: u64,
    /// Attempts beyond the first.
    retried: u64,
    /// For how long, in milliseconds.
    took_ms: u64,
}

/// The storm that runs, or ran last.
#[derive(Default)]
pub(super) struct Storms(Mutex<Option<Arc<Storm>>>);

impl Storms {
    fn last(&self) -> Option<Arc<Storm>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn view(&self) -> Option<StormView> {
        self.last().map(|storm| storm.view())
    }

    /// Takes the place of the last storm, if that is over.
    fn replace(&self, storm: &Arc<Storm>) -> Result<(), Problem> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if last.as_ref().is_some_and(|last| last.is_running()) {
            return Err(Problem::plain(Kind::StormRunning));
        }
        *last = Some(Arc::clone(storm));
        Ok(())
    }
}

pub(in super::super) const POST: Docs = Docs {
    id: "startStorm",
    tag: Tag::Pages,
    summary: "Let buyers loose on this cluster, for a demonstration",
    notes: "Only on a node that was started with `--demo`, and only at nodes whose advertised \
            address is a loopback one. The buyers' user ids begin with `storm-`. `GET /v1/control` \
            says how it goes.",
    parameters: &[],
    body: Some(Body {
        need: Need::Required,
        shapes: &[(JSON, of::<PostStorm>())],
        examples: &[("sneaker", r#"{"product_id": "sneaker", "buyers": 200, "at_a_time": 8}"#)],
    }),
    answers: &[Answer::new(StatusCode::OK, "They come.", &[(JSON, of::<StormView>())])],
    problems: &[
        BODY,
        &[
            Kind::ForeignOrigin,
            Kind::InvalidQuery,
            Kind::DemoOff,
            Kind::StormRunning,
            Kind::UnknownProduct,
        ],
    ],
};

pub(in super::super) const STOP: Docs = Docs {
    id: "stopStorm",
    summary: "Send the buyers home",
    notes: "Whoever is under way is still settled.",
    body: None,
    answers: &[Answer::new(
        StatusCode::OK,
        "No more come; null if none ever came.",
        &[(JSON, of::<Option<StormView>>())],
    )],
    problems: &[&[Kind::ForeignOrigin, Kind::InvalidQuery, Kind::DemoOff]],
    ..POST
};

/// `POST /v1/demo/storm`.
pub(in super::super) async fn post(
    state: Arc<FrontState>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, content) = request.into_parts();
    query::none(&parts.uri)?;
    // A page of somebody else can send a body of no type without asking first.
    if !parts.headers.contains_key(header::CONTENT_TYPE) {
        return Err(Problem::plain(Kind::UnsupportedMediaType));
    }
    let bytes = body::read(&parts.headers, content, state.deadline()).await?;
    let asked: Shape<'_> = body::parse(&bytes)?;
    let sku = field::sku(&asked.product_id, "product_id")?;
    let buyers = asked.buyers.within("buyers", &(1..=i128::from(BUYERS_MAX)))?;
    let at_a_time = match asked.at_a_time {
        Some(number) => number.within("at_a_time", &(1..=i128::from(AT_A_TIME_MAX)))?,
        None => AT_A_TIME_DEFAULT.into(),
    };
    let storms = storms(&state)?;
    if state.replica.read(|machine| machine.product(&sku).is_none()) {
        return Err(Problem::plain(Kind::UnknownProduct));
    }
    let known = state.pages.origins.known();
    let targets: Vec<String> =
        known.into_iter().map(|(_, http)| http).filter(|http| is_loopback(http)).collect();
    if targets.is_empty() {
        let why = "No node of this cluster is advertised at a loopback address, and no other is \
                   stormed.";
        return Err(Problem::new(Kind::DemoOff, why));
    }
    let storm = Arc::new(Storm::new(sku, buyers.unsigned_abs() as u64, targets, now_ms()));
    storms.replace(&storm)?;
    run::start(&storm, at_a_time.unsigned_abs() as u64);
    json(StatusCode::OK, &storm.view())
}

/// `DELETE /v1/demo/storm`.
pub(in super::super) async fn stop(
    state: Arc<FrontState>,
    request: Request,
) -> Result<Response, Problem> {
    query::none(request.uri())?;
    let last = storms(&state)?.last();
    if let Some(storm) = &last {
        storm.stop();
    }
    json(StatusCode::OK, &last.map(|storm| storm.view()))
}

fn storms(state: &FrontState) -> Result<&Storms, Problem> {
    state.pages.storms.as_ref().ok_or_else(|| Problem::plain(Kind::DemoOff))
}

/// Whether an advertised address surely leads to this machine.
fn is_loopback(address: &str) -> bool {
    if let Ok(address) = address.parse::<SocketAddr>() {
        return match address.ip() {
            IpAddr::V4(v4) => v4.is_loopback(),
            IpAddr::V6(v6) => v6.is_loopback(),
        };
    }
    // Browsers and resolvers both keep this name on the machine (RFC 6761, section 6.3).
    address.rsplit_once(':').is_some_and(|(host, _)| host == "localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_stormed() {
        for here in ["127.0.0.1:8101", "127.9.9.9:1", "[::1]:8101", "localhost:8101"] {
            assert!(is_loopback(here), "{here}");
        }
        for elsewhere in [
            "10.0.0.1:8101",
            "[::ffff:10.0.0.1]:80",
            "0.0.0.0:80",
            "localhost.evil.example:80",
            "127.0.0.1.evil.example:80",
            "shop.example:80",
            "localhost",
            "",
        ] {
            assert!(!is_loopback(elsewhere), "{elsewhere}");
        }
    }
}
