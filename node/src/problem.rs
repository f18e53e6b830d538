//! The one place that turns refusals and failures into HTTP: RFC 9457 problems.
//!
//! Owns what each refusal and failure says; `kind.rs` holds the types, titles and statuses. Never
//! decides anything: it maps what the machine, the actor or the parser has already decided. Called
//! by every file of `front`.
//!
//! The statuses keep the three outcomes apart. A 4xx was decided or never asked; a 503 was surely
//! not proposed, and is safe to send again; a 504 or a 500 of a write is unknown, and only another
//! attempt under the same key settles it.

mod kind;

pub(crate) use kind::Kind;

use crate::actor::NotProposed;
use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use raft::{Limit, Limited, ReadError};
use serde::Serialize;
use std::borrow::Cow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use stock::api::Timestamp;
use stock::{InvalidId, Refusal, Seq, Settlement};

/// How soon it is worth to ask again when there was no leader: about one election.
const RETRY_NO_LEADER: Duration = Duration::from_millis(500);
/// How soon it is worth to ask again when a queue was full.
const RETRY_OVERLOADED: Duration = Duration::from_millis(100);
/// How soon it is worth to ask again when a disk was full: somebody has to make room.
const RETRY_STORAGE_FULL: Duration = Duration::from_secs(5);

/// An instant of log time as people read it.
fn instant(at_ms: u64) -> String {
    Timestamp::from_ms(at_ms).map_or_else(|_| format!("{at_ms} ms"), |instant| instant.to_string())
}

/// How long it is until an instant of log time by a clock that is so far off the others', which is
/// near enough for a hint to a client; at least a second, for the sale was not open when it was
/// asked.
fn until(at_ms: u64, off_ms: i64) -> Duration {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let wall_ms = u64::try_from(wall.as_millis()).unwrap_or(u64::MAX);
    let left_ms = at_ms.saturating_sub(wall_ms.saturating_add_signed(off_ms.saturating_neg()));
    Duration::from_millis(left_ms).max(Duration::from_secs(1))
}

/// How a hold ended.
fn ended(settlement: &Settlement) -> String {
    match settlement {
        Settlement::Confirmed { order } => format!("The hold has become the order {order}."),
        Settlement::Released { seq } => format!("The hold was given up at {seq}."),
        Settlement::Expired { seq } => format!("The hold expired at {seq}."),
    }
}

/// One answer that is an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    kind: Kind,
    detail: Cow<'static, str>,
    retry_after: Option<Duration>,
    remaining: Option<u64>,
    seq: Option<Seq>,
    position: Option<u64>,
    /// Until when to wait, where that is an instant of log time.
    until_ms: Option<u64>,
    replayed: bool,
}

/// The body, serialised without copies. [`stock::api::Problem`] is the same for who reads it.
#[derive(Serialize)]
pub(crate) struct ProblemBody<'a> {
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
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<u64>,
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
            position: None,
            until_ms: None,
            replayed: false,
        }
    }

    /// A problem of which its kind says everything.
    pub(crate) fn plain(kind: Kind) -> Self {
        Self::new(kind, kind.meaning())
    }

    /// Its HTTP status.
    pub(crate) fn status(&self) -> StatusCode {
        self.kind.status()
    }

    /// Whether it is the stored outcome of an earlier attempt.
    pub(crate) fn is_replayed(&self) -> bool {
        self.replayed
    }

    /// A node that has too much to do.
    pub(crate) fn overloaded() -> Self {
        Self::of_not_proposed(NotProposed::MailboxFull)
    }

    /// Which kind it is.
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// Units that were left, where it is about them.
    pub(crate) fn units_left(&self) -> Option<u64> {
        self.remaining
    }

    /// What happened here.
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
                    "A user may have {limit}, this one has {bought}, bought and held, and this \
                     would pass the limit."
                ),
            ),
            Refusal::RestockOutOfRange { available } => Self::new(
                Kind::RestockOutOfRange,
                format!("{} {available} are available.", Kind::RestockOutOfRange.meaning()),
            )
            .remaining(*available),
            Refusal::KeyReused => Self::plain(Kind::KeyReused),
            Refusal::TooManyProducts => Self::plain(Kind::TooManyProducts),
            Refusal::NotOpen { starts_at_ms } => {
                Self::new(Kind::NotOpen, format!("The sale opens at {}.", instant(*starts_at_ms)))
                    .retry_after(until(*starts_at_ms, 0))
                    .until(*starts_at_ms)
            }
            Refusal::SaleOver { ends_at_ms } => {
                Self::new(Kind::SaleOver, format!("The sale ended at {}.", instant(*ends_at_ms)))
            }
            Refusal::VersionDiffers { seq } => Self::new(
                Kind::VersionDiffers,
                format!("The product's version is \"{seq}\" now. Look at it again."),
            ),
            Refusal::EmptyWindow { starts_at_ms, ends_at_ms } => Self::new(
                Kind::EmptyWindow,
                format!(
                    "The sale would open at {} and end at {}.",
                    instant(*starts_at_ms),
                    instant(*ends_at_ms),
                ),
            ),
            Refusal::UnknownHold => Self::plain(Kind::UnknownHold),
            Refusal::HoldSettled { settlement } => Self::new(Kind::HoldSettled, ended(settlement)),
            Refusal::HoldExpired { .. } => Self::plain(Kind::HoldExpired),
            Refusal::TooManyUserHolds => Self::plain(Kind::TooManyUserHolds),
            Refusal::TooManyHolds => Self::plain(Kind::TooManyHolds),
            Refusal::OfItem { sku, refusal } => {
                let problem = Self::of_refusal(refusal, seq);
                Self { detail: format!("`{sku}`: {}", problem.detail).into(), ..problem }
            }
            Refusal::UnknownOrder => Self::plain(Kind::UnknownOrder),
            Refusal::AlreadyCancelled => Self::plain(Kind::AlreadyCancelled),
            Refusal::CursorMoved { position } => Self::cursor_moved(*position),
            Refusal::TooManyCursors => Self::plain(Kind::TooManyCursors),
            Refusal::CursorOfAnother => Self::plain(Kind::CursorOfAnother),
            Refusal::UnknownCursor => Self::plain(Kind::UnknownCursor),
        };
        problem.at(seq)
    }

    fn cursor_moved(position: Option<u64>) -> Self {
        let detail = match position {
            Some(position) => format!("The cursor stands at {position}."),
            None => "There is no cursor of this name.".to_owned(),
        };
        Self { position, ..Self::new(Kind::CursorMoved, detail) }
    }

    /// The problem of a click beyond a rate limit.
    pub(crate) fn of_limit(limited: Limited) -> Self {
        let whose = match limited.by {
            Limit::User => "of this user",
            Limit::Address => "from this address",
        };
        let detail = format!("As many clicks {whose} were taken as may come at once.");
        Self::new(Kind::RateLimited, detail).retry_after(limited.wait())
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

    fn until(mut self, at_ms: u64) -> Self {
        self.until_ms = Some(at_ms);
        self
    }

    /// Tells how long to wait by a clock that is right, on a node whose own is so far off.
    pub(crate) fn by_clock(self, off_ms: impl FnOnce() -> Option<i64>) -> Self {
        let Some((at_ms, off_ms)) = self.until_ms.and_then(|at_ms| Some((at_ms, off_ms()?))) else {
            return self;
        };
        self.retry_after(until(at_ms, off_ms))
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

    /// The same as a part of an answer.
    pub(crate) fn to_api(&self) -> stock::api::Problem {
        let ProblemBody { path, title, status, detail, retry_after_ms, remaining, seq, position } =
            self.body();
        let (kind, title, detail) = (path.to_owned(), title.to_owned(), detail.to_owned());
        stock::api::Problem {
            kind,
            title,
            status,
            detail,
            retry_after_ms,
            remaining,
            seq,
            position,
        }
    }

    /// What the client reads.
    pub(crate) fn body(&self) -> ProblemBody<'_> {
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
            position: self.position,
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
        // For the front's check that the endpoint's documentation knows it.
        #[cfg(debug_assertions)]
        response.extensions_mut().insert(self.kind);
        response
    }
}

#[cfg(test)]
mod tests;
