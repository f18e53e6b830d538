//! A product's version in HTTP: `ETag`, `If-Match`, `If-None-Match` (RFC 9110, sections 8.8.3 and
//! 13.1).
//!
//! Called by `products`. The version is the number of the product's own last change, a buy too:
//! whoever updates a product during its sale and does not mind buys in between sends no `If-Match`.

use crate::problem::{Kind, Problem};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use stock::Seq;

/// The entity tag of a version.
///
/// # Errors
/// `internal`; digits in quotes are always a header's value.
pub(super) fn tag(version: Seq) -> Result<HeaderValue, Problem> {
    HeaderValue::try_from(format!("\"{version}\""))
        .map_err(|why| Problem::internal("tag a product", &why))
}

/// The version that a write is meant for; none when any will do.
///
/// # Errors
/// `invalid-header` for what is not one tag or `*`; `version-differs` for a tag that none of our
/// products ever has.
pub(super) fn if_match(headers: &HeaderMap) -> Result<Option<Seq>, Problem> {
    let mut values = headers.get_all(header::IF_MATCH).iter();
    let (value, more) = (values.next(), values.next());
    let Some(value) = value else { return Ok(None) };
    let text = value.to_str().unwrap_or("").trim();
    if text == "*" && more.is_none() {
        return Ok(None);
    }
    if more.is_some() || text.contains(',') || !text.ends_with('"') {
        return Err(invalid(&header::IF_MATCH));
    }
    // A weak tag matches nothing here (section 13.1.1), nor does another server's.
    version(text).map(Some).ok_or_else(|| Problem::plain(Kind::VersionDiffers))
}

/// Refuses a condition on a write that knows none: it must not seem to hold.
///
/// # Errors
/// `invalid-header`.
pub(super) fn none(headers: &HeaderMap) -> Result<(), Problem> {
    let conditions = [header::IF_MATCH, header::IF_NONE_MATCH];
    match conditions.into_iter().find(|name| headers.contains_key(name)) {
        Some(name) => {
            let rule = format!("`{name}`: this route does not take it; PATCH takes `if-match`.");
            Err(Problem::new(Kind::InvalidHeader, rule))
        }
        None => Ok(()),
    }
}

/// Whether the client has this version already.
pub(super) fn is_known(headers: &HeaderMap, present: Seq) -> bool {
    let lists = headers.get_all(header::IF_NONE_MATCH).iter();
    let mut tags = lists.filter_map(|list| list.to_str().ok()).flat_map(|list| list.split(','));
    tags.any(|tag| {
        let tag = tag.trim();
        tag == "*" || version(tag.strip_prefix("W/").unwrap_or(tag)) == Some(present)
    })
}

fn version(tag: &str) -> Option<Seq> {
    let digits = tag.strip_prefix('"')?.strip_suffix('"')?;
    // "+1" and "01" parse as numbers, and are no tags of ours.
    let number: u64 = digits.parse().ok()?;
    (number.to_string() == digits).then_some(Seq(number))
}

fn invalid(name: &HeaderName) -> Problem {
    let rule = format!("`{name}`: send the product's ETag, such as \"731\", or *.");
    Problem::new(Kind::InvalidHeader, rule)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &HeaderName, values: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn what_if_match_asks_for() {
        for (values, version) in [
            (&[][..], None),
            (&["*"], None),
            (&["\"7\""], Some(Seq(7))),
            (&[" \"0\" "], Some(Seq(0))),
        ] {
            assert_eq!(if_match(&headers(&header::IF_MATCH, values)), Ok(version), "{values:?}");
        }
        for (values, kind) in [
            (&["7"][..], Kind::InvalidHeader),
            (&[""], Kind::InvalidHeader),
            (&["\"7\", \"8\""], Kind::InvalidHeader),
            (&["\"7\"", "\"8\""], Kind::InvalidHeader),
            (&["W/\"7\""], Kind::VersionDiffers),
            (&["\"x\""], Kind::VersionDiffers),
            (&["\"07\""], Kind::VersionDiffers),
        ] {
            let problem = if_match(&headers(&header::IF_MATCH, values)).unwrap_err();
            assert_eq!(problem.kind(), kind, "{values:?}");
        }
    }

    #[test]
    fn what_the_client_knows() {
        for (values, known) in [
            (&[][..], false),
            (&["*"], true),
            (&["\"7\""], true),
            (&["W/\"7\""], true),
            (&["\"6\", \"7\""], true),
            (&["\"6\"", "\"7\""], true),
            (&["\"70\""], false),
            (&["7"], false),
        ] {
            let headers = headers(&header::IF_NONE_MATCH, values);
            assert_eq!(is_known(&headers, Seq(7)), known, "{values:?}");
        }
    }
}
