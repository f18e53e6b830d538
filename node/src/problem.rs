//! The one place that turns refusals and failures into HTTP: RFC 9457 problems.
//!
//! Owns every problem's type, title, status and words. Never decides anything: it maps what the
//! machine, the actor or the parser has already decided. Called by every file of `front`.
//!
//! The statuses keep the three outcomes apart. A 4xx was decided or never asked; a 503 was surely
//! not proposed, and is safe to send again; a 504 or a 500 of a write is unknown, and only another
//! attempt under the same key settles it.

use crate::actor::NotProposed;
use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use raft::ReadError;
use serde::Serialize;
use std::borrow::Cow;
use std::time::Duration;
use stock::{InvalidId, Refusal, Seq};

macro_rules! kinds {
    ($($variant:ident $status:literal $name:literal $title:literal $meaning:literal)*) => {
        /// The kinds of problem. Each has a page, `/problems/{name}`, on every node.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Kind {
            $(#[doc = $meaning] $variant,)*
        }

        impl Kind {
            /// Every kind.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The `type` of the problem: the path of its page.
            pub(crate) fn path(self) -> &'static str {
                match self { $(Self::$variant => concat!("/problems/", $name),)* }
            }

            /// The problem in a few words.
            pub(crate) fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }

            /// The HTTP status.
            pub(crate) fn status(self) -> StatusCode {
                let code: u16 = match self { $(Self::$variant => $status,)* };
                StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
            }

            /// What it means in general, and what to do.
            pub(crate) fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)* }
            }
        }
    };
}

kinds! {
    InvalidJson 400 "invalid-json" "The body is not JSON"
        "The body is not well-formed JSON. The detail says where it breaks off."
    InvalidField 400 "invalid-field" "A field is missing, unknown or of the wrong type"
        "The body is JSON, but not of the shape that this route takes. The detail names the field."
    InvalidQuery 400 "invalid-query" "The query is not understood"
        "A query parameter is unknown, repeated, missing, or not of its type. The detail names it."
    InvalidHeader 400 "invalid-header" "A header is not understood"
        "Idempotency-Key takes 1 to 128 visible ASCII characters, quoted or bare; \
         Flashnode-Attempt takes a whole number from 1, and above 1 only with a key."
    UnknownProduct 404 "unknown-product" "No such product"
        "No product has this id."
    UnknownOrder 404 "unknown-order" "No such order"
        "No order has this id in the state that answered."
    NotFound 404 "not-found" "No such route"
        "This node serves nothing at this path."
    MethodNotAllowed 405 "method-not-allowed" "The route does not take this method"
        "The Allow header says which methods it takes."
    RequestTimeout 408 "request-timeout" "The body did not arrive in time"
        "The request was dropped before anything was asked. Send it again."
    ProductDiffers 409 "product-differs" "The product exists on other terms"
        "A product with this id is on sale on other terms, and stays as it is."
    Insufficient 409 "insufficient" "Fewer units are left than asked for"
        "The buy takes all its units or none. `remaining` says how many were left."
    LimitReached 409 "limit-reached" "The purchase limit is reached"
        "The product has a limit for each user, and this buy would pass it."
    RestockOutOfRange 409 "restock-out-of-range" "The restock is out of range"
        "It would take back more units than are available, or pass the largest stock."
    TooManyProducts 409 "too-many-products" "The cluster holds as many products as it can"
        "No further product can be put on sale in this cluster."
    SoldOut 410 "sold-out" "Sold out"
        "Nothing was left at the state that `seq` names. A restock may change that."
    TooLarge 413 "too-large" "The body is too large"
        "A body may have at most 65536 bytes."
    UnsupportedMediaType 415 "unsupported-media-type" "The body must be application/json"
        "Send `Content-Type: application/json`, or no Content-Type."
    InvalidValue 422 "invalid-value" "A value is out of range"
        "The request is well formed, but a number or an id is not one that can be. \
         The detail names it and its range."
    KeyReused 422 "key-reused" "The Idempotency-Key was used for another request"
        "A key stands for one request. Use a new key for a new request."
    Internal 500 "internal" "The node failed"
        "The node could not answer because of a fault of its own; its log says more. A write may \
         or may not have happened: send it again under the same Idempotency-Key."
    NoLeader 503 "no-leader" "No leader in time"
        "The cluster had no leader within the deadline. Nothing was proposed: send it again."
    Overloaded 503 "overloaded" "The node is overloaded"
        "The node's mailbox is full. Nothing was proposed: send it again a little later."
    StorageFull 503 "storage-full" "The disk is full"
        "The leader has no room to write. Nothing was proposed; reads go on, and writes go on as \
         soon as there is room."
    ShuttingDown 503 "shutting-down" "The node is shutting down"
        "Nothing was proposed: send it again to another node."
    ReadTimeout 503 "read-timeout" "The read could not be confirmed in time"
        "No majority confirmed within the deadline that this state is current. Send it again, or \
         read with `?consistency=stale`."
    Lagging 503 "lagging" "This node has not got that far"
        "The node has not applied up to `min_seq` within the deadline. Send it again, or ask \
         another node."
    NotReady 503 "not-ready" "The node is not ready"
        "Ask another node. `/readyz?verbose` says why."
    OutcomeUnknown 504 "outcome-unknown" "The outcome is unknown"
        "The request was proposed and not answered in time, so it may or may not have happened. \
         Send it again under the same Idempotency-Key with `Flashnode-Attempt: 2` or more: that \
         settles it, and never does it twice."
}

/// How soon it is worth to ask again when there was no leader: about one election.
const RETRY_NO_LEADER: Duration = Duration::from_millis(500);
/// How soon it is worth to ask again when a queue was full.
const RETRY_OVERLOADED: Duration = Duration::from_millis(100);
/// How soon it is worth to ask again when a disk was full: somebody has to make room.
const RETRY_STORAGE_FULL: Duration = Duration::from_secs(5);

/// One answer that is an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    kind: Kind,
    detail: Cow<'static, str>,
    retry_after: Option<Duration>,
    remaining: Option<u64>,
    seq: Option<Seq>,
    replayed: bool,
}

/// The body, serialised without copies. [`stock::api::Problem`] is the same for who reads it.
#[derive(Serialize)]
struct ProblemBody<'a> {
    #[serde(rename = "type")]
    path: &'static str,
    title: &'static str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remaining: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<Seq>,
}

impl Problem {
    /// A problem with words of its own.
    pub(crate) fn new(kind: Kind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            retry_after: None,
            remaining: None,
            seq: None,
            replayed: false,
        }
    }

    /// A problem of which its kind says everything.
    pub(crate) fn plain(kind: Kind) -> Self {
        Self::new(kind, kind.meaning())
    }

    /// Which kind it is.
    #[cfg(test)]
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// What happened here.
    #[cfg(test)]
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    /// A fault of this node. The cause goes to the log, not to the client.
    pub(crate) fn internal(doing: &'static str, cause: &dyn std::fmt::Display) -> Self {
        tracing::error!("cannot {doing}: {cause}");
        Self::plain(Kind::Internal)
    }

    /// A well-formed field whose text cannot be that id, or whose number is out of range.
    pub(crate) fn invalid_value(field: &str, why: &InvalidId) -> Self {
        Self::new(Kind::InvalidValue, format!("`{field}`: {why}"))
    }

    /// The problem that a refusal is.
    pub(crate) fn of_refusal(refusal: &Refusal, seq: Seq) -> Self {
        let problem = match refusal {
            Refusal::UnknownProduct => Self::plain(Kind::UnknownProduct),
            Refusal::ProductDiffers => Self::plain(Kind::ProductDiffers),
            Refusal::SoldOut => Self::plain(Kind::SoldOut).remaining(0),
            Refusal::Insufficient { remaining } => Self::new(
                Kind::Insufficient,
                format!("The buy takes all its units or none, and only {remaining} were left."),
            )
            .remaining(*remaining),
            Refusal::LimitReached { limit, bought } => Self::new(
                Kind::LimitReached,
                format!(
                    "A user may buy {limit}, this one has bought {bought}, and this buy would pass the limit."
                ),
            ),
            Refusal::RestockOutOfRange { available } => Self::new(
                Kind::RestockOutOfRange,
                format!("{} {available} are available.", Kind::RestockOutOfRange.meaning()),
            )
            .remaining(*available),
            Refusal::KeyReused => Self::plain(Kind::KeyReused),
            Refusal::TooManyProducts => Self::plain(Kind::TooManyProducts),
        };
        problem.at(seq)
    }

    /// The problem of a command that was surely not proposed.
    pub(crate) fn of_not_proposed(why: NotProposed) -> Self {
        let (kind, retry_after) = match why {
            NotProposed::MailboxFull => (Kind::Overloaded, RETRY_OVERLOADED),
            NotProposed::NoLeader => (Kind::NoLeader, RETRY_NO_LEADER),
            NotProposed::DiskFull => (Kind::StorageFull, RETRY_STORAGE_FULL),
            NotProposed::ShuttingDown => (Kind::ShuttingDown, RETRY_OVERLOADED),
        };
        Self::plain(kind).retry_after(retry_after)
    }

    /// The problem of a command that may have been proposed.
    pub(crate) fn outcome_unknown() -> Self {
        Self::plain(Kind::OutcomeUnknown).retry_after(RETRY_OVERLOADED)
    }

    /// The problem of a linearizable read that could not be confirmed.
    pub(crate) fn of_read(why: ReadError) -> Self {
        let kind = match why {
            ReadError::NoLeader => Kind::NoLeader,
            ReadError::Timeout => Kind::ReadTimeout,
        };
        Self::plain(kind).retry_after(RETRY_NO_LEADER)
    }

    /// The problem of a node that did not reach a state in time.
    pub(crate) fn lagging() -> Self {
        Self::plain(Kind::Lagging).retry_after(RETRY_NO_LEADER)
    }

    /// Names the state that decided it.
    pub(crate) fn at(mut self, seq: Seq) -> Self {
        self.seq = Some(seq);
        self
    }

    /// Marks it as the stored outcome of an earlier attempt.
    pub(crate) fn replayed(mut self) -> Self {
        self.replayed = true;
        self
    }

    /// Says when to try again.
    pub(crate) fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    fn remaining(mut self, units: u64) -> Self {
        self.remaining = Some(units);
        self
    }

    fn body(&self) -> ProblemBody<'_> {
        ProblemBody {
            path: self.kind.path(),
            title: self.kind.title(),
            status: self.kind.status().as_u16(),
            detail: &self.detail,
            retry_after_ms: self
                .retry_after
                .map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
            remaining: self.remaining,
            seq: self.seq,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut text = Vec::with_capacity(384);
        // Strings and numbers always serialise, and a Vec always takes them.
        let written = serde_json::to_writer(&mut text, &self.body());
        debug_assert!(written.is_ok(), "{written:?}");
        let mut response = Response::new(Body::from(text));
        *response.status_mut() = self.kind.status();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        // 404, 405 and 410 may be cached unless told otherwise, and all of them may change.
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(wait) = self.retry_after {
            let seconds_min_1 = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds_min_1));
        }
        if let Some(seq) = self.seq {
            headers.insert(stock::api::HEADER_SEQ, HeaderValue::from(seq.0));
        }
        if self.replayed {
            headers.insert(stock::api::HEADER_REPLAYED, HeaderValue::from_static("true"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::to_bytes;
    use stock::Quantity;

    fn headers_and_body(problem: Problem) -> (StatusCode, axum::http::HeaderMap, Vec<u8>) {
        let (parts, body) = problem.into_response().into_parts();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let bytes = runtime.block_on(to_bytes(body, 4096)).unwrap();
        (parts.status, parts.headers, bytes.to_vec())
    }

    #[test]
    fn every_refusal_has_its_status_and_type() {
        let limit = Quantity::new(2).unwrap();
        let table = [
            (Refusal::UnknownProduct, 404, "unknown-product", None),
            (Refusal::ProductDiffers, 409, "product-differs", None),
            (Refusal::SoldOut, 410, "sold-out", Some(0)),
            (Refusal::Insufficient { remaining: 3 }, 409, "insufficient", Some(3)),
            (Refusal::LimitReached { limit, bought: 2 }, 409, "limit-reached", None),
            (Refusal::RestockOutOfRange { available: 4 }, 409, "restock-out-of-range", Some(4)),
            (Refusal::KeyReused, 422, "key-reused", None),
            (Refusal::TooManyProducts, 409, "too-many-products", None),
        ];
        for (refusal, status, name, remaining) in table {
            let (got, headers, body) = headers_and_body(Problem::of_refusal(&refusal, Seq(7)));
            let body: stock::api::Problem = serde_json::from_slice(&body).unwrap();
            assert_eq!(got, status, "{refusal:?}");
            assert_eq!(headers["content-type"], "application/problem+json");
            assert_eq!(headers["cache-control"], "no-store");
            assert_eq!(headers["flashnode-seq"], "7");
            assert!(!headers.contains_key("retry-after"));
            assert_eq!(body.kind, format!("/problems/{name}"));
            assert_eq!((body.status, body.seq), (status, Some(Seq(7))));
            assert_eq!(body.remaining, remaining, "{refusal:?}");
        }
    }

    #[test]
    fn the_three_outcomes_stay_apart() {
        let table = [
            (Problem::of_not_proposed(NotProposed::MailboxFull), 503, "overloaded", "1"),
            (Problem::of_not_proposed(NotProposed::NoLeader), 503, "no-leader", "1"),
            (Problem::of_not_proposed(NotProposed::DiskFull), 503, "storage-full", "5"),
            (Problem::of_not_proposed(NotProposed::ShuttingDown), 503, "shutting-down", "1"),
            (Problem::outcome_unknown(), 504, "outcome-unknown", "1"),
            (Problem::of_read(ReadError::NoLeader), 503, "no-leader", "1"),
            (Problem::of_read(ReadError::Timeout), 503, "read-timeout", "1"),
            (Problem::lagging(), 503, "lagging", "1"),
        ];
        for (problem, status, name, retry_after) in table {
            let (got, headers, body) = headers_and_body(problem);
            let body: stock::api::Problem = serde_json::from_slice(&body).unwrap();
            assert_eq!((got.as_u16(), body.kind), (status, format!("/problems/{name}")));
            assert_eq!(headers["retry-after"], retry_after);
            assert!(body.retry_after_ms.is_some());
        }
    }

    #[test]
    fn a_stored_refusal_says_so() {
        let problem = Problem::of_refusal(&Refusal::SoldOut, Seq(9)).replayed();
        assert_eq!(headers_and_body(problem).1["idempotent-replayed"], "true");
    }

    #[test]
    fn names_are_unique_and_statuses_are_errors() {
        let mut paths: Vec<_> = Kind::ALL.iter().map(|kind| kind.path()).collect();
        paths.sort_unstable();
        paths.dedup();
        assert_eq!(paths.len(), Kind::ALL.len());
        for kind in Kind::ALL {
            let status = kind.status();
            assert!(status.is_client_error() || status.is_server_error(), "{kind:?}");
            assert!(kind.meaning().ends_with('.'), "{kind:?}");
        }
        // 500 is what an invalid literal would fall back to.
        let failed = Kind::ALL.iter().filter(|kind| kind.status() == 500).count();
        assert_eq!(failed, 1);
    }
}
