//! Which request this is: `Idempotency-Key`, `Flashnode-Attempt`, and whom it counts for.
//!
//! A key stands for one request over all its attempts. A client that sends none gets one made
//! here, in the answer's `Idempotency-Key`, so that it can settle an unknown outcome.

use super::allowance;
use crate::problem::{Kind, Problem};
use crate::trace;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response};
use raft::Allowance;
use std::borrow::Cow;
use std::net::IpAddr;
use stock::{Attempt, Envelope, RequestId, api};
use tracing::Span;
use uuid::Uuid;

static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static(api::HEADER_IDEMPOTENCY_KEY);
static ATTEMPT: HeaderName = HeaderName::from_static(api::HEADER_ATTEMPT);

/// The identity of one attempt.
#[derive(Debug)]
pub(super) struct Key<'h> {
    text: Cow<'h, str>,
    made_here: Option<HeaderValue>,
    /// The id to put into the command; taken once.
    pub(super) request_id: RequestId,
    /// Whether an earlier attempt may have been proposed.
    pub(super) attempt: Attempt,
    /// The client's address, where a rate limit may count it.
    pub(super) address: Option<IpAddr>,
}

impl<'h> Key<'h> {
    /// Reads the headers, and makes a UUIDv7 when they hold no key.
    ///
    /// # Errors
    /// `invalid-header` when a header is malformed or repeated, or a later attempt has no key.
    pub(super) fn read(headers: &'h HeaderMap) -> Result<Self, Problem> {
        let attempt = read_attempt(headers)?;
        match only(headers, &IDEMPOTENCY_KEY)? {
            Some(value) => {
                let text = unquote(value)?;
                let request_id = RequestId::new(&*text)
                    .map_err(|why| invalid(&IDEMPOTENCY_KEY, &format!("the {why}")))?;
                Ok(Self { text, made_here: None, request_id, attempt, address: None })
            }
            None if attempt == Attempt::Later => Err(invalid(
                &ATTEMPT,
                "a later attempt needs the Idempotency-Key of the first, which the first answer \
                 carries when the node made it",
            )),
            None => Self::make(),
        }
    }

    fn make() -> Result<Self, Problem> {
        let text = Uuid::now_v7().hyphenated().to_string();
        let request_id =
            RequestId::new(&*text).map_err(|why| Problem::internal("make a request id", &why))?;
        let header = HeaderValue::try_from(&text)
            .map_err(|why| Problem::internal("make a request id", &why))?;
        let text = Cow::Owned(text);
        let (made_here, attempt) = (Some(header), Attempt::First);
        Ok(Self { text, made_here, request_id, attempt, address: None })
    }

    /// A click from this address.
    pub(super) fn from(self, address: Option<IpAddr>) -> Self {
        Self { address, ..self }
    }

    /// Splits off what goes into the command; the rest serves the answer.
    pub(super) fn split(self) -> (RequestId, Attempt, Answered<'h>) {
        let Self { text, made_here, request_id, attempt, .. } = self;
        let span = Span::none();
        (request_id, attempt, Answered { text, made_here, allowance: None, span })
    }
}

/// What the answer needs of a key, and of the rate limits.
#[derive(Debug)]
pub(super) struct Answered<'h> {
    text: Cow<'h, str>,
    made_here: Option<HeaderValue>,
    allowance: Option<Box<Allowance>>,
    span: Span,
}

impl Answered<'_> {
    /// The request id's text.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Notes what is left of the rate limits.
    pub(super) fn counted(&mut self, allowance: Option<Box<Allowance>>) {
        self.allowance = allowance;
    }

    /// Has the request followed on its way: see [`trace`].
    pub(super) fn follow(&mut self, envelope: &Envelope) {
        self.span = trace::decoded(envelope);
    }

    /// Tells the client the key that was made for it, and what is left of the rate limits.
    pub(super) fn put<B>(self, response: &mut Response<B>) {
        trace::answered(&self.span, response.status());
        if let Some(left) = &self.allowance {
            allowance::put(left, response);
        }
        if let Some(made_here) = self.made_here {
            response.headers_mut().insert(&IDEMPOTENCY_KEY, made_here);
        }
    }
}

/// The one value of a header; a repeated one would leave open which counts.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h [u8]>, Problem> {
    let mut values = headers.get_all(name).iter();
    let value = values.next();
    if values.next().is_some() {
        return Err(invalid(name, "it is there more than once"));
    }
    Ok(value.map(HeaderValue::as_bytes))
}

/// Takes a bare key as it is, and a quoted one as RFC 9651 writes a string.
fn unquote(value: &[u8]) -> Result<Cow<'_, str>, Problem> {
    let text = std::str::from_utf8(value)
        .map_err(|_| invalid(&IDEMPOTENCY_KEY, "use visible ASCII characters"))?;
    let Some(rest) = text.strip_prefix('"') else {
        return Ok(Cow::Borrowed(text));
    };
    let unended = || invalid(&IDEMPOTENCY_KEY, "it begins with a quote and does not end with one");
    let inner = rest.strip_suffix('"').ok_or_else(unended)?;
    if !inner.contains(['"', '\\']) {
        return Ok(Cow::Borrowed(inner));
    }
    let mut plain = String::with_capacity(inner.len());
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => {
                return Err(invalid(&IDEMPOTENCY_KEY, "something follows the closing quote"));
            }
            '\\' => match characters.next() {
                Some(escaped @ ('"' | '\\')) => plain.push(escaped),
                Some(_) => return Err(invalid(&IDEMPOTENCY_KEY, "use \\ only before \" or \\")),
                None => return Err(unended()),
            },
            _ => plain.push(character),
        }
    }
    Ok(Cow::Owned(plain))
}

fn read_attempt(headers: &HeaderMap) -> Result<Attempt, Problem> {
    let Some(value) = only(headers, &ATTEMPT)? else {
        return Ok(Attempt::First);
    };
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let number = std::str::from_utf8(value).ok().filter(|_| digits).and_then(|t| t.parse().ok());
    match number {
        Some(1_u32) => Ok(Attempt::First),
        Some(2..) => Ok(Attempt::Later),
        Some(0) | None => Err(invalid(&ATTEMPT, "use the attempt's number: 1, 2, 3, …")),
    }
}

fn invalid(name: &HeaderName, why: &str) -> Problem {
    Problem::new(Kind::InvalidHeader, format!("`{name}`: {why}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &[u8])]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_bytes(value).unwrap());
        }
        headers
    }

    #[test]
    fn keys_quoted_and_bare() {
        let longest = "k".repeat(128);
        let quoted = format!("\"{longest}\"");
        let table: &[(&str, &str)] = &[
            ("abc", "abc"),
            ("\"abc\"", "abc"),
            ("a", "a"),
            ("0198f2c4-7e1b-7000-8000-000000000001", "0198f2c4-7e1b-7000-8000-000000000001"),
            ("a\"b", "a\"b"),
            ("a\\b", "a\\b"),
            ("\"a\\\"b\"", "a\"b"),
            ("\"a\\\\b\"", "a\\b"),
            ("it's~{fine}/!", "it's~{fine}/!"),
            (&longest, &longest),
            (&quoted, &longest),
        ];
        for (sent, want) in table {
            let headers = headers(&[("idempotency-key", sent.as_bytes())]);
            let key = Key::read(&headers).unwrap();
            assert_eq!(key.request_id.as_str(), *want, "{sent}");
            assert_eq!(key.attempt, Attempt::First);
            let (_, _, answered) = key.split();
            assert_eq!(answered.text(), *want);
            let mut response = Response::new(());
            answered.put(&mut response);
            assert!(response.headers().is_empty(), "{sent} was not made here");
        }
    }

    #[test]
    fn keys_that_are_none() {
        let too_long = "k".repeat(129);
        let table: &[&[u8]] = &[
            b"",
            b"\"",
            b"\"\"",
            b"\"abc",
            b"\"abc\"x",
            b"\"abc\";q=1",
            b"\"a\"b\"",
            b"\"a\\b\"",
            b"\"a\\\"",
            b"a b",
            b"\"a b\"",
            b"a\tb",
            "ä".as_bytes(),
            b"\xff",
            too_long.as_bytes(),
        ];
        for sent in table {
            let headers = headers(&[("idempotency-key", sent)]);
            let problem = Key::read(&headers).unwrap_err();
            assert_eq!(problem.kind(), Kind::InvalidHeader, "{sent:?}");
            assert!(problem.detail().contains("idempotency-key"), "{}", problem.detail());
        }
        let twice = headers(&[("idempotency-key", b"a"), ("idempotency-key", b"b")]);
        assert_eq!(Key::read(&twice).unwrap_err().kind(), Kind::InvalidHeader);
    }

    #[test]
    fn a_missing_key_is_made_and_told() {
        let none = HeaderMap::new();
        let (request_id, attempt, answered) = Key::read(&none).unwrap().split();
        assert_eq!(Uuid::parse_str(request_id.as_str()).unwrap().get_version_num(), 7);
        assert_eq!((attempt, answered.text()), (Attempt::First, request_id.as_str()));
        let mut response = Response::new(());
        answered.put(&mut response);
        assert_eq!(response.headers()["idempotency-key"], request_id.as_str());
    }

    #[test]
    fn attempts() {
        for (sent, want) in [
            ("1", Some(Attempt::First)),
            ("2", Some(Attempt::Later)),
            ("03", Some(Attempt::Later)),
            ("4294967295", Some(Attempt::Later)),
            ("4294967296", None),
            ("0", None),
            ("", None),
            ("-1", None),
            ("+2", None),
            ("2.0", None),
            ("two", None),
            ("2, 3", None),
        ] {
            let headers =
                headers(&[("idempotency-key", b"k"), ("flashnode-attempt", sent.as_bytes())]);
            assert_eq!(Key::read(&headers).ok().map(|key| key.attempt), want, "{sent:?}");
        }
        let keyless = headers(&[("flashnode-attempt", b"2")]);
        assert_eq!(Key::read(&keyless).unwrap_err().kind(), Kind::InvalidHeader);
        let keyless_first = headers(&[("flashnode-attempt", b"1")]);
        assert!(Key::read(&keyless_first).is_ok());
    }
}
