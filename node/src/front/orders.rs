//! `GET /v1/orders/{id}`, and `GET /v1/orders` by request id or page by page.
//!
//! Orders are events of the applied history, read from memory or from a segment file; so they are
//! fetched off the async threads. An empty answer for a request id means *no order yet*.

use super::answer::json_at;
use super::query::{self, Parameters};
use super::{FrontState, path_seq};
use crate::problem::{Kind, Problem};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;
use raft::Replica;
use std::ops::RangeInclusive;
use std::sync::Arc;
use stock::api::{LineView, OrderList, OrderView};
use stock::{Event, OrderContent, RequestId, Seq, UserId};

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
    let seq = state.replica.read(stock::Machine::seq);
    let found = if id <= seq { order(&state, id).await? } else { None };
    match found.as_ref().and_then(view) {
        Some(view) => json_at(StatusCode::OK, seq, &view),
        None => Err(Problem::plain(Kind::UnknownOrder).at(seq)),
    }
}

/// What a list asks for.
#[derive(Debug, PartialEq, Eq)]
enum Listing {
    /// The order of one request, if there is one.
    OfRequest { user: UserId, request_id: RequestId },
    /// All orders, by id.
    Page { after: Seq, limit: u64 },
}

/// `GET /v1/orders`.
pub(super) async fn list(state: Arc<FrontState>, request: Request) -> Result<Response, Problem> {
    let names = ["user_id", "request_id", "after", "limit"];
    let parameters = Parameters::of_read(request.uri(), &names)?;
    let listing = listing(&parameters)?;
    query::wait_until_current(&state, &parameters).await?;
    let list = match listing {
        Listing::OfRequest { user, request_id } => of_request(&state, &user, &request_id).await?,
        Listing::Page { after, limit } => {
            let seq = state.replica.read(stock::Machine::seq);
            blocking(&state, move |replica| page(replica, after, limit, seq)).await?
        }
    };
    json_at(StatusCode::OK, list.seq, &list)
}

fn listing(parameters: &Parameters) -> Result<Listing, Problem> {
    let after = parameters.number("after")?;
    let limit = parameters.number("limit")?;
    match (parameters.text("user_id"), parameters.text("request_id")) {
        (Some(user), Some(request_id)) => {
            if after.is_some() || limit.is_some() {
                let why = "a request has at most one order, so there are no pages";
                return Err(query::invalid("after`, `limit", why));
            }
            let user = UserId::new(user).map_err(|why| Problem::invalid_value("user_id", &why))?;
            let request_id = RequestId::new(request_id)
                .map_err(|why| Problem::invalid_value("request_id", &why))?;
            Ok(Listing::OfRequest { user, request_id })
        }
        (Some(_), None) => Err(query::invalid("request_id", "`user_id` needs it beside")),
        (None, Some(_)) => Err(query::invalid("user_id", "`request_id` needs it beside")),
        (None, None) => {
            let limit = limit.unwrap_or(PAGE_DEFAULT);
            if !PAGE.contains(&limit) {
                let rule = format!("use {} to {}", PAGE.start(), PAGE.end());
                return Err(Problem::new(Kind::InvalidValue, format!("`limit`: {rule}.")));
            }
            Ok(Listing::Page { after: Seq(after.unwrap_or(0)), limit })
        }
    }
}

async fn of_request(
    state: &Arc<FrontState>,
    user: &UserId,
    request_id: &RequestId,
) -> Result<OrderList, Problem> {
    let (seq, id) =
        state.replica.read(|machine| (machine.seq(), machine.order_of(user, request_id)));
    let mut orders = Vec::new();
    if let Some(id) = id {
        // The table finds orders by fingerprint; the stored ids say whose it is.
        let found = order(state, id).await?.as_ref().and_then(view);
        let theirs = |view: &OrderView| view.user_id == *user && view.request_id == *request_id;
        orders.extend(found.filter(theirs));
    }
    Ok(OrderList { orders, next_after: None, seq })
}

/// One page of the orders among the changes `after + 1 ..= seq`. A page may hold fewer than
/// `limit` orders and still not be the last: only `next_after` says.
fn page(replica: &Replica, after: Seq, limit: u64, seq: Seq) -> std::io::Result<OrderList> {
    let mut orders = Vec::new();
    let mut last = after.0;
    let scan_end = seq.0.min(after.0.saturating_add(PAGE_EVENTS_MAX));
    while last < scan_end && (orders.len() as u64) < limit {
        last += 1;
        orders.extend(replica.event(Seq(last))?.as_ref().and_then(view));
    }
    Ok(OrderList { orders, next_after: (last < seq.0).then_some(Seq(last)), seq })
}

/// The change that an applied order is; nothing when it is no order.
pub(super) async fn order(state: &Arc<FrontState>, id: Seq) -> Result<Option<Event>, Problem> {
    let event = change(state, id).await?;
    Ok(event.filter(|event| event.change.order().is_some()))
}

/// An applied change.
pub(super) async fn change(state: &Arc<FrontState>, id: Seq) -> Result<Option<Event>, Problem> {
    blocking(state, move |replica| replica.event(id)).await
}

/// Reads the history on a thread that may wait for the disk.
async fn blocking<R: Send + 'static>(
    state: &Arc<FrontState>,
    look: impl FnOnce(&Replica) -> std::io::Result<R> + Send + 'static,
) -> Result<R, Problem> {
    let replica = state.replica.clone();
    match tokio::task::spawn_blocking(move || look(&replica)).await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(error)) => Err(Problem::internal("read the history", &error)),
        Err(error) => Err(Problem::internal("read the history", &error)),
    }
}

/// An order as clients see it; nothing when the change is none.
fn view(event: &Event) -> Option<OrderView> {
    let OrderContent { user, request_id, hold, lines } = event.change.order()?;
    Some(OrderView {
        order_id: event.seq,
        user_id: user.clone(),
        request_id: request_id.clone(),
        items: lines.iter().map(LineView::from).collect(),
        hold_id: hold,
        at_ms: event.at_ms,
        seq: event.seq,
    })
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
        assert_eq!(listed("").unwrap(), Listing::Page { after: Seq(0), limit: 100 });
        let page = listed("after=18446744073709551615&limit=1000").unwrap();
        assert_eq!(page, Listing::Page { after: Seq(u64::MAX), limit: 1000 });
        let user = UserId::new("u").unwrap();
        let request_id = RequestId::new("k").unwrap();
        let of_request = Listing::OfRequest { user, request_id };
        assert_eq!(listed("user_id=u&request_id=k").unwrap(), of_request);
    }

    #[test]
    fn lists_that_are_not() {
        for (query, kind) in [
            ("user_id=u", Kind::InvalidQuery),
            ("request_id=k", Kind::InvalidQuery),
            ("user_id=u&request_id=k&limit=1", Kind::InvalidQuery),
            ("limit=x", Kind::InvalidQuery),
            ("after=-1", Kind::InvalidQuery),
            ("limit=0", Kind::InvalidValue),
            ("limit=1001", Kind::InvalidValue),
            ("user_id=&request_id=k", Kind::InvalidValue),
            ("user_id=u&request_id=a%20b", Kind::InvalidValue),
        ] {
            assert_eq!(listed(query).unwrap_err().kind(), kind, "{query}");
        }
    }
}
