//! What one attempt came to, read from how far its call got.
//!
//! Owns: the mapping from status and body to decided, surely not proposed, or unknown; the safe
//! side of it is *unknown*, which costs one more log entry, where a wrong "not proposed" could
//! sell twice. Never does: IO. Called by `settle` and `api`.

use crate::call::{Answered, Exchange};
use serde::de::DeserializeOwned;
use std::fmt;
use std::time::Duration;
use stock::api::{BuyAccepted, Problem};

/// What one attempt at a buy came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuyAnswer {
    /// Yes: the order is durable on a majority.
    Accepted {
        /// The order.
        order: BuyAccepted,
        /// True when an earlier attempt had won it.
        replayed: bool,
    },
    /// No.
    Refused {
        /// The node's own words.
        problem: Problem,
        /// Why, for a program.
        kind: RefusedKind,
    },
    /// It surely did not enter the log: try again with the same attempt number.
    NotProposed {
        /// How long the node asked to wait.
        retry_after: Option<Duration>,
        /// What happened, for people.
        why: String,
    },
    /// It may be in the log, or on its way into it: try again with the next attempt number.
    Unknown {
        /// What happened, for people.
        why: String,
    },
}

/// Why an attempt was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RefusedKind {
    /// Nothing is left.
    SoldOut,
    /// The sale is over.
    SaleOver,
    /// Fewer units are left than were asked for.
    Insufficient,
    /// The buyer has bought the most that the product allows.
    LimitReached,
    /// The sale is not open yet.
    NotOpen,
    /// No such product, order or hold.
    NotFound,
    /// The hold's deadline has passed.
    HoldExpired,
    /// The hold has become an order or was given up.
    HoldSettled,
    /// The request id was used before with another body.
    KeyReused,
    /// It conflicts with what is there, such as a product on other terms.
    Conflict,
    /// The request itself is malformed.
    Invalid,
    /// Another refusal.
    Other,
}

impl RefusedKind {
    /// Reads the kind off a problem's `type`, then off its status.
    pub fn of(problem: &Problem) -> Self {
        match problem.kind.rsplit('/').next().unwrap_or_default() {
            "sold-out" => Self::SoldOut,
            "sale-over" | "sale-ended" | "ended" => Self::SaleOver,
            "insufficient" | "insufficient-stock" => Self::Insufficient,
            "limit-reached" | "purchase-limit" => Self::LimitReached,
            "not-open" => Self::NotOpen,
            "hold-expired" => Self::HoldExpired,
            "hold-settled" => Self::HoldSettled,
            "key-reused" | "idempotency-key-reused" => Self::KeyReused,
            _ => match problem.status {
                404 => Self::NotFound,
                409 => Self::Conflict,
                400 | 405 | 413 | 415 | 422 => Self::Invalid,
                _ => Self::Other,
            },
        }
    }

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::SoldOut => "sold_out",
            Self::SaleOver => "sale_over",
            Self::Insufficient => "insufficient",
            Self::LimitReached => "limit_reached",
            Self::NotOpen => "not_open",
            Self::NotFound => "not_found",
            Self::HoldExpired => "hold_expired",
            Self::HoldSettled => "hold_settled",
            Self::KeyReused => "key_reused",
            Self::Conflict => "conflict",
            Self::Invalid => "invalid",
            Self::Other => "other",
        }
    }
}

impl fmt::Display for RefusedKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What one attempt at any command came to; `T` is the body of its yes.
#[derive(Debug, Clone)]
pub enum Answer<T> {
    /// Yes.
    Done {
        /// What was answered.
        body: T,
        /// True when an earlier attempt had been accepted.
        replayed: bool,
    },
    /// No.
    Refused {
        /// The node's own words.
        problem: Problem,
    },
    /// It surely did not enter the log: try again with the same attempt number.
    NotProposed {
        /// How long the node asked to wait.
        retry_after: Option<Duration>,
        /// What happened, for people.
        why: String,
    },
    /// It may be in the log, or on its way into it: try again with the next attempt number.
    Unknown {
        /// What happened, for people.
        why: String,
    },
}

impl<T> Answer<T> {
    /// Whether it is a yes.
    pub fn is_done(&self) -> bool {
        matches!(self, Self::Done { .. })
    }
}

impl From<Answer<BuyAccepted>> for BuyAnswer {
    fn from(answer: Answer<BuyAccepted>) -> Self {
        match answer {
            Answer::Done { body, replayed } => Self::Accepted { order: body, replayed },
            Answer::Refused { problem } => {
                let kind = RefusedKind::of(&problem);
                Self::Refused { problem, kind }
            }
            Answer::NotProposed { retry_after, why } => Self::NotProposed { retry_after, why },
            Answer::Unknown { why } => Self::Unknown { why },
        }
    }
}

/// Reads an exchange.
pub(crate) fn read<T: DeserializeOwned>(exchange: Exchange) -> Answer<T> {
    match exchange {
        Exchange::NotSent { why } => Answer::NotProposed { retry_after: None, why },
        Exchange::Lost { why } | Exchange::Silent { why } => Answer::Unknown { why },
        Exchange::Answered(answered) => read_answered(&answered),
    }
}

fn read_answered<T: DeserializeOwned>(answered: &Answered) -> Answer<T> {
    let status = answered.status;
    if (200..300).contains(&status) {
        return match serde_json::from_slice(&answered.body) {
            Ok(body) => Answer::Done { body, replayed: answered.replayed },
            Err(error) => Answer::Unknown { why: foreign(status, &error) },
        };
    }
    let problem: Problem = match serde_json::from_slice(&answered.body) {
        Ok(problem) => problem,
        // Without a node's own words a status says nothing of the log: a proxy in between may
        // answer 503 or 404 for a request that it did pass on.
        Err(error) => {
            return Answer::Unknown { why: foreign(status, &error) };
        }
    };
    of_problem(status, problem, answered.retry_after)
}

/// What a node's own words come to.
pub(crate) fn of_problem<T>(
    status: u16,
    problem: Problem,
    retry_after: Option<Duration>,
) -> Answer<T> {
    let retry_after = problem.retry_after_ms.map(Duration::from_millis).or(retry_after);
    let why = || format!("{status} {}: {}", problem.title, problem.detail);
    match status {
        // 408: the node never had the whole request.
        408 | 429 | 503 => Answer::NotProposed { retry_after, why: why() },
        400..=499 => Answer::Refused { problem },
        _ => Answer::Unknown { why: why() },
    }
}

fn foreign(status: u16, error: &serde_json::Error) -> String {
    format!("a {status} answer that is not a flashnode's ({error}); is this its public address?")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDER: &str = r#"{"order_id":7,"product_id":"p","user_id":"u","quantity":1,
        "remaining":3,"seq":7,"node":2,"leader":1}"#;

    fn problem(kind: &str, status: u16) -> String {
        format!(
            r#"{{"type":"/problems/{kind}","title":"t","status":{status},"detail":"d",
                "retry_after_ms":20}}"#
        )
    }

    fn buy(status: u16, body: impl Into<Vec<u8>>) -> BuyAnswer {
        let answered = Answered { status, body: body.into(), ..Answered::default() };
        read::<BuyAccepted>(Exchange::Answered(answered)).into()
    }

    #[test]
    fn a_yes_is_an_order() {
        let BuyAnswer::Accepted { order, replayed } = buy(201, ORDER) else { panic!() };
        assert_eq!((order.order_id.0, order.remaining, replayed), (7, 3, false));
    }

    #[test]
    fn refusals_are_told_apart_by_type() {
        for (kind, status, expected) in [
            ("sold-out", 410, RefusedKind::SoldOut),
            ("sale-over", 410, RefusedKind::SaleOver),
            ("insufficient", 409, RefusedKind::Insufficient),
            ("limit-reached", 409, RefusedKind::LimitReached),
            ("not-open", 409, RefusedKind::NotOpen),
            ("unknown-product", 404, RefusedKind::NotFound),
            ("key-reused", 422, RefusedKind::KeyReused),
            ("product-differs", 409, RefusedKind::Conflict),
            ("malformed", 400, RefusedKind::Invalid),
        ] {
            let BuyAnswer::Refused { kind, .. } = buy(status, problem(kind, status)) else {
                panic!("{kind}")
            };
            assert_eq!(kind, expected);
        }
    }

    #[test]
    fn only_a_nodes_own_word_makes_it_surely_not_proposed() {
        for status in [503, 429, 408] {
            let BuyAnswer::NotProposed { retry_after, .. } = buy(status, problem("busy", status))
            else {
                panic!("{status}")
            };
            assert_eq!(retry_after, Some(Duration::from_millis(20)));
        }
        assert!(matches!(buy(503, "<html>bad gateway</html>"), BuyAnswer::Unknown { .. }));
    }

    #[test]
    fn everything_else_is_unknown() {
        for (status, body) in [
            (504, problem("outcome-unknown", 504)),
            (500, problem("internal", 500)),
            (502, "nope".to_owned()),
            (201, "{\"order_id\":".to_owned()),
            (201, String::new()),
            (410, "gone".to_owned()),
            (302, String::new()),
        ] {
            assert!(
                matches!(buy(status, body.clone()), BuyAnswer::Unknown { .. }),
                "{status} {body}"
            );
        }
        let lost = Exchange::Lost { why: "reset".into() };
        assert!(matches!(read::<BuyAccepted>(lost), Answer::Unknown { .. }));
        let not_sent = Exchange::NotSent { why: "refused".into() };
        assert!(matches!(read::<BuyAccepted>(not_sent), Answer::NotProposed { .. }));
    }
}
