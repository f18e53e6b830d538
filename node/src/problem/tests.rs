//! Which refusal is which status and type, and that the three outcomes stay apart.

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
    let released = stock::Settlement::Released { seq: Seq(3) };
    let insufficient = Box::new(Refusal::Insufficient { remaining: 3 });
    let of_item = Refusal::OfItem { sku: "tee".parse().unwrap(), refusal: insufficient };
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
        (Refusal::NotOpen { starts_at_ms: 9 }, 409, "not-open", None),
        (Refusal::SaleOver { ends_at_ms: 9 }, 410, "sale-over", None),
        (Refusal::VersionDiffers { seq: Seq(3) }, 412, "version-differs", None),
        (Refusal::EmptyWindow { starts_at_ms: 9, ends_at_ms: 9 }, 422, "empty-window", None),
        (Refusal::UnknownHold, 404, "unknown-hold", None),
        (Refusal::HoldSettled { settlement: released }, 409, "hold-settled", None),
        (Refusal::HoldExpired { seq: Seq(3) }, 410, "hold-expired", None),
        (Refusal::TooManyUserHolds, 409, "too-many-user-holds", None),
        (Refusal::TooManyHolds, 409, "too-many-holds", None),
        (of_item, 409, "insufficient", Some(3)),
        (Refusal::UnknownOrder, 404, "unknown-order", None),
        (Refusal::AlreadyCancelled, 409, "already-cancelled", None),
    ];
    for (refusal, status, name, remaining) in table {
        let (got, headers, body) = headers_and_body(Problem::of_refusal(&refusal, Seq(7)));
        let body: stock::api::Problem = serde_json::from_slice(&body).unwrap();
        assert_eq!(got, status, "{refusal:?}");
        assert_eq!(headers["content-type"], "application/problem+json");
        assert_eq!(headers["cache-control"], "no-store");
        assert_eq!(headers["flashnode-seq"], "7");
        let waits = matches!(refusal, Refusal::NotOpen { .. });
        assert_eq!(headers.contains_key("retry-after"), waits);
        assert_eq!(body.kind, format!("/problems/{name}"));
        assert_eq!((body.status, body.seq), (status, Some(Seq(7))));
        assert_eq!(body.remaining, remaining, "{refusal:?}");
    }
}

/// A buyer of a node that is an hour behind would come an hour late.
#[test]
fn waits_are_told_by_a_clock_that_is_right() {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
    let wait = |opens_ms: u64, off_ms| {
        let problem = Problem::of_refusal(&Refusal::NotOpen { starts_at_ms: opens_ms }, Seq(7));
        let (_, headers, _) = headers_and_body(problem.by_clock(|| off_ms));
        headers["retry-after"].to_str().unwrap().parse::<u64>().unwrap()
    };
    for off_ms in [0, -3_600_000, 3_600_000] {
        let right = wall.saturating_add_signed(-off_ms);
        let told = wait(right + 60_000, Some(off_ms));
        assert!((50..=60).contains(&told), "{told} s with a clock that is {off_ms} ms off");
    }
    assert!((50..=60).contains(&wait(wall + 60_000, None)));
    assert_eq!(wait(wall - 60_000, Some(0)), 1);
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
