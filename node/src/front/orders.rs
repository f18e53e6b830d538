//! `GET /v1/orders/{id}`, and `GET /v1/orders`: of a request, of a user, or all, page by page.
//!
//! An empty answer for a request id means *no order yet*. Everything of one answer is of one state:
//! what is cancelled at its `seq` is marked, and no order up to where the page ends is missing.

mod docs;

pub(super) use docs::{LIST, SHOW};

use super::answer::json_at;
use super::history::{self, Mark};
use super::query::{self, Parameters};
use super::{FrontState, path_seq};
use crate::problem::{Kind, Problem};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;
use std::ops::RangeInclusive;
use std::sync::Arc;
use stock::api::{OrderList, OrderView};
use stock::{MARK_EVENTS, Machine, RequestId, Seq, UserId};

/// Orders on a page, when the request does not say.
const PAGE_DEFAULT: u64 = 100;
/// The most orders on a page.
const PAGE: RangeInclusive<u64> = 1..=1000;
/// The most events that one page looks at: the history may hold long runs that are no orders.
const PAGE_EVENTS_MAX: u64 = 20_000;

/// `GET /v1/orders/{id}`.
pub(super) async fn show(state: Arc<FrontState>, request: Request) -> Result<Response, Problem> {
    let (mut parts, _) = request.into_parts();
    let id = path_seq(&mut parts).await?;
    let parameters = Parameters::of_read(&parts.uri, &[])?;
    query::wait_until_current(&state, &parameters).await?;
    let (seq, mark) = state.replica.read(|machine| (machine.seq(), Mark::of(machine, id)));
    let found = if id <= seq { history::view(&state, mark).await? } else { None };
    match found {
        Some(view) => json_at(StatusCode::OK, seq, &view),
        None => Err(Problem::plain(Kind::UnknownOrder).at(seq)),
    }
}

/// What a list asks for.
#[derive(Debug, PartialEq, Eq)]
enum Listing {
    /// The order of one request, if there is one.
    OfRequest { user: UserId, request_id: RequestId },
    /// A user's orders, by id.
    OfUser { user: UserId, page: Page },
    /// All orders, by id.
    All(Page),
}

/// A part of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Page {
    after: Seq,
    limit: usize,
}

/// `GET /v1/orders`.
pub(super) async fn list(state: Arc<FrontState>, request: Request) -> Result<Response, Problem> {
    let names = ["user_id", "request_id", "after", "limit"];
    let parameters = Parameters::of_read(request.uri(), &names)?;
    let listing = listing(&parameters)?;
    query::wait_until_current(&state, &parameters).await?;
    let list = match listing {
        Listing::OfRequest { user, request_id } => of_request(&state, &user, &request_id).await?,
        Listing::OfUser { user, page } => of_user(&state, &user, page).await?,
        Listing::All(page) => all(&state, page).await?,
    };
    json_at(StatusCode::OK, list.seq, &list)
}

fn listing(parameters: &Parameters) -> Result<Listing, Problem> {
    let user =
        |user: &str| UserId::new(user).map_err(|why| Problem::invalid_value("user_id", &why));
    match (parameters.text("user_id"), parameters.text("request_id")) {
        (Some(of), Some(request_id)) => {
            if parameters.text("after").or(parameters.text("limit")).is_some() {
                let why = "a request has at most one order, so there are no pages";
                return Err(query::invalid("after`, `limit", why));
            }
            let request_id = RequestId::new(request_id)
                .map_err(|why| Problem::invalid_value("request_id", &why))?;
            Ok(Listing::OfRequest { user: user(of)?, request_id })
        }
        (Some(of), None) => Ok(Listing::OfUser { user: user(of)?, page: page(parameters)? }),
        (None, Some(_)) => Err(query::invalid("user_id", "`request_id` needs it beside")),
        (None, None) => page(parameters).map(Listing::All),
    }
}

fn page(parameters: &Parameters) -> Result<Page, Problem> {
    let after = Seq(parameters.number("after")?.unwrap_or(0));
    Ok(Page { after, limit: parameters.limit(PAGE_DEFAULT, PAGE)? })
}

async fn of_request(
    state: &FrontState,
    user: &UserId,
    request_id: &RequestId,
) -> Result<OrderList, Problem> {
    let (seq, mark) = state.replica.read(|machine| {
        let order = machine.order_of(user, request_id);
        (machine.seq(), order.map(|order| Mark::of(machine, order)))
    });
    let found = match mark {
        Some(mark) => history::view(state, mark).await?,
        None => None,
    };
    // The table finds orders by fingerprint; the stored ids say whose it is.
    let theirs = |view: &OrderView| view.user_id == *user && view.request_id == *request_id;
    let orders = found.into_iter().filter(theirs).collect();
    Ok(OrderList { orders, next_after: None, seq })
}

async fn of_user(state: &FrontState, user: &UserId, page: Page) -> Result<OrderList, Problem> {
    let Page { after, limit } = page;
    let (seq, marks) = state.replica.read(|machine| {
        let ids = machine.orders_of(user, after).take(limit + 1);
        (machine.seq(), ids.map(|id| Mark::of(machine, id)).collect::<Vec<Mark>>())
    });
    let next_after = (marks.len() > limit).then(|| marks[limit - 1].order);
    let mut orders = Vec::with_capacity(marks.len().min(limit));
    for mark in marks.into_iter().take(limit) {
        // By a fingerprint of the user, as above.
        orders.extend(history::view(state, mark).await?.filter(|view| view.user_id == *user));
    }
    Ok(OrderList { orders, next_after, seq })
}

/// A page may hold fewer than `limit` orders and still not be the last: only `next_after` says.
async fn all(state: &FrontState, page: Page) -> Result<OrderList, Problem> {
    let Page { after, limit } = page;
    let (newest, mut chain) = state.replica.read(|machine| {
        let next = Seq(after.0.saturating_add(1));
        (machine.seq(), machine.chain_before(next))
    });
    let end = Seq(newest.0.min(after.0.saturating_add(PAGE_EVENTS_MAX)));
    let mut orders = Vec::new();
    while chain.seq < end && orders.len() < limit {
        // From the mark before to the page's first order, and a page from there.
        let up_to = chain.seq.0.saturating_add(MARK_EVENTS + limit as u64);
        for event in history::changes(state, chain.seq, end.min(Seq(up_to))).await? {
            chain.follow(&event);
            if event.seq > after {
                orders.extend(history::shown(&event, chain, false));
            }
            if orders.len() == limit {
                break;
            }
        }
    }
    let last = chain.seq.max(after);
    // The marks are those of the state that the page is said to be of, so it is looked at last.
    let mark = |machine: &Machine| {
        for order in &mut orders {
            order.cancelled = machine.is_cancelled(order.order_id);
        }
        machine.seq()
    };
    let seq = state.replica.read(mark);
    Ok(OrderList { orders, next_after: (last < seq).then_some(last), seq })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(query: &str) -> Result<Listing, Problem> {
        let uri = format!("/v1/orders?{query}").parse().unwrap();
        let names = ["user_id", "request_id", "after", "limit"];
        listing(&Parameters::of_read(&uri, &names).unwrap())
    }

    #[test]
    fn lists_that_are_understood() {
        let page = |after, limit| Page { after: Seq(after), limit };
        assert_eq!(listed("").unwrap(), Listing::All(page(0, 100)));
        let last = listed("after=18446744073709551615&limit=1000").unwrap();
        assert_eq!(last, Listing::All(page(u64::MAX, 1000)));
        let user = UserId::new("u").unwrap();
        let of_user = Listing::OfUser { user: user.clone(), page: page(7, 1) };
        assert_eq!(listed("user_id=u&after=7&limit=1").unwrap(), of_user);
        let request_id = RequestId::new("k").unwrap();
        let of_request = Listing::OfRequest { user, request_id };
        assert_eq!(listed("user_id=u&request_id=k").unwrap(), of_request);
    }

    #[test]
    fn lists_that_are_not() {
        for (query, kind) in [
            ("request_id=k", Kind::InvalidQuery),
            ("user_id=u&request_id=k&limit=1", Kind::InvalidQuery),
            ("limit=x", Kind::InvalidQuery),
            ("after=-1", Kind::InvalidValue),
            ("limit=0", Kind::InvalidValue),
            ("limit=1001", Kind::InvalidValue),
            ("user_id=u&limit=0", Kind::InvalidValue),
            ("user_id=&request_id=k", Kind::InvalidValue),
            ("user_id=u&request_id=a%20b", Kind::InvalidValue),
        ] {
            assert_eq!(listed(query).unwrap_err().kind(), kind, "{query}");
        }
    }
}
