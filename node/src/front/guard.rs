//! What is refused before any route looks at it: heads that do not say for whom they are, and
//! writes that a page of somebody else's has a browser send. (A length beside chunks does not come
//! here: hyper goes by the chunks, and closes the connection behind them.)
//!
//! Called by [`super::Finished`] for every request.

use super::pages::Origins;
use crate::problem::{Kind, Problem};
use axum::http::{HeaderMap, HeaderName, Method, Request, Version, header};

static FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Refuses what must not reach a route.
///
/// # Errors
/// `invalid-header` for a head that does not say once for whom it is (RFC 9112, section 3.2);
/// `foreign-origin` for a write of another site's page.
pub(super) fn check<B>(origins: &Origins, request: &Request<B>) -> Result<(), Problem> {
    let headers = request.headers();
    let hosts = headers.get_all(header::HOST).iter().count();
    if hosts > 1 || (hosts == 0 && request.version() >= Version::HTTP_11) {
        return Err(Problem::new(Kind::InvalidHeader, "`host`: send it once."));
    }
    let reads = [Method::GET, Method::HEAD, Method::OPTIONS].contains(request.method());
    if !reads && is_of_another_site(headers) && origins.welcome(headers).is_none() {
        return Err(Problem::plain(Kind::ForeignOrigin));
    }
    Ok(())
}

/// Browsers say so at addresses that they trust, HTTPS and loopback (Fetch Metadata); programs do
/// not. A proxy may change `Host`, so `Origin` alone cannot tell.
fn is_of_another_site(headers: &HeaderMap) -> bool {
    headers.get(&FETCH_SITE).is_some_and(|site| site == "cross-site")
}
