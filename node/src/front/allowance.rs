//! `RateLimit-Policy` and `RateLimit`: the limits, and what is left of them.
//!
//! As draft-ietf-httpapi-ratelimit-headers-10 writes them: each limit is an item of a structured
//! list, with `q` clicks in a window of `w` seconds, `r` of them left, and `t` seconds until there
//! is more. An answer that was not counted carries neither, as with no limit on.

use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use raft::{Allowance, Room};
use std::fmt::Write;
use stock::Attempt;

static POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
static LEFT: HeaderName = HeaderName::from_static("ratelimit");

const MS_PER_S: u64 = 1000;

/// Puts both headers.
pub(super) fn put<B>(allowance: &Allowance, response: &mut Response<B>) {
    let (policy, left) = texts(allowance);
    for (name, text) in [(&POLICY, policy), (&LEFT, left)] {
        // Numbers and names of ours are header values; without a limit there is none.
        if let Some(value) = HeaderValue::try_from(text).ok().filter(|value| !value.is_empty()) {
            response.headers_mut().insert(name, value);
        }
    }
}

fn texts(allowance: &Allowance) -> (String, String) {
    // Later attempts are counted apart, so what is left of theirs has names of its own.
    let (user, address) = match allowance.attempt {
        Attempt::First => ("user", "address"),
        Attempt::Later => ("user-later", "address-later"),
    };
    let (mut policy, mut left) = (String::new(), String::new());
    for (name, room) in [(user, allowance.user), (address, allowance.address)] {
        let Some(Room { clicks_max, window_s, left: clicks_left, more_in_ms }) = room else {
            continue;
        };
        if !policy.is_empty() {
            policy.push_str(", ");
            left.push_str(", ");
        }
        let more_in_s = more_in_ms.div_ceil(MS_PER_S);
        // A String takes everything.
        let _ = write!(policy, "\"{name}\";q={clicks_max};w={window_s}");
        let _ = write!(left, "\"{name}\";r={clicks_left};t={more_in_s}");
    }
    (policy, left)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(allowance: &Allowance) -> [Option<String>; 2] {
        let mut response = Response::new(());
        put(allowance, &mut response);
        [&POLICY, &LEFT]
            .map(|name| response.headers().get(name).map(|v| v.to_str().unwrap().to_owned()))
    }

    #[test]
    fn what_is_left_as_the_draft_writes_it() {
        let user = Some(Room { clicks_max: 3, window_s: 60, left: 2, more_in_ms: 19_001 });
        let address = Some(Room { clicks_max: 1_000_000, window_s: 3600, left: 0, more_in_ms: 1 });
        let text = |text: &str| Some(text.to_owned());
        let both = Allowance { attempt: Attempt::First, user, address };
        assert_eq!(
            headers(&both),
            [
                text(r#""user";q=3;w=60, "address";q=1000000;w=3600"#),
                text(r#""user";r=2;t=20, "address";r=0;t=1"#),
            ]
        );
        let later = Allowance { attempt: Attempt::Later, user, address: None };
        assert_eq!(
            headers(&later),
            [text(r#""user-later";q=3;w=60"#), text(r#""user-later";r=2;t=20"#)]
        );
        let neither = Allowance { attempt: Attempt::First, user: None, address: None };
        assert_eq!(headers(&neither), [None, None]);
    }
}
