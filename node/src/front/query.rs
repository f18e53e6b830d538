//! Query parameters, and what every read takes: `?consistency=` and `?min_seq=`.

use super::FrontState;
use crate::problem::{Kind, Problem};
use axum::extract::Query;
use axum::http::Uri;
use std::ops::RangeInclusive;
use stock::Seq;

/// The parameters that every read takes.
const READ: [&str; 2] = ["consistency", "min_seq"];

/// A request's query, decoded, each name known and there once.
#[derive(Debug, Default)]
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Decodes the query of a read that takes `names` besides what every read takes.
    ///
    /// # Errors
    /// `invalid-query` naming the first parameter that is unknown or repeated.
    pub(super) fn of_read(uri: &Uri, names: &[&str]) -> Result<Self, Problem> {
        Self::of(uri, |name| READ.contains(&name) || names.contains(&name))
    }

    /// Decodes the query of a write that takes `names`.
    ///
    /// # Errors
    /// As [`Parameters::of_read`].
    pub(super) fn of_write(uri: &Uri, names: &[&str]) -> Result<Self, Problem> {
        Self::of(uri, |name| names.contains(&name))
    }

    fn of(uri: &Uri, known: impl Fn(&str) -> bool) -> Result<Self, Problem> {
        let parameters = Self::decode(uri)?;
        for (position, (name, _)) in parameters.0.iter().enumerate() {
            if !known(name) {
                return Err(unknown(name));
            }
            if parameters.0[..position].iter().any(|(earlier, _)| earlier == name) {
                return Err(invalid(name, "it is there more than once"));
            }
        }
        Ok(parameters)
    }

    fn decode(uri: &Uri) -> Result<Self, Problem> {
        if uri.query().is_none() {
            return Ok(Self::default());
        }
        match Query::<Vec<(String, String)>>::try_from_uri(uri) {
            Ok(Query(pairs)) => Ok(Self(pairs)),
            Err(rejection) => Err(Problem::new(Kind::InvalidQuery, rejection.body_text())),
        }
    }

    /// The text of a parameter.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, text)| text.as_str())
    }

    /// How many things a page may have, by `limit`.
    ///
    /// # Errors
    /// `invalid-query` when it is no number; `invalid-value` when it is out of range.
    pub(super) fn limit(&self, default: u64, range: RangeInclusive<u64>) -> Result<usize, Problem> {
        let limit = self.number("limit")?.unwrap_or(default);
        usize::try_from(limit).ok().filter(|_| range.contains(&limit)).ok_or_else(|| {
            let rule = format!("use {} to {}", range.start(), range.end());
            Problem::new(Kind::InvalidValue, format!("`limit`: {rule}."))
        })
    }

    /// The number of a parameter.
    ///
    /// # Errors
    /// `invalid-query` when it is no whole number; `invalid-value` for a negative or huge one.
    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, Problem> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        let rule = "use a whole number from 0";
        match digits(text) {
            Some(number) => Ok(Some(number)),
            None if is_whole(text) => {
                Err(Problem::new(Kind::InvalidValue, format!("`{name}`: {rule}.")))
            }
            None => Err(invalid(name, rule)),
        }
    }
}

/// A whole number from 0 in digits alone: Rust would take "+1", too.
pub(super) fn digits(text: &str) -> Option<u64> {
    let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_digits)
}

/// Whether it is a whole number, though perhaps none that can be.
fn is_whole(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// Refuses any query on a write: a parameter that is not understood must not seem to work.
pub(super) fn none(uri: &Uri) -> Result<(), Problem> {
    Parameters::of_write(uri, &[]).map(|_| ())
}

/// How current the answer of a read must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Consistency {
    /// It shows everything that was acknowledged before the read was asked.
    Linearizable,
    /// It shows this node's applied state, and needs no quorum.
    Stale,
}

fn consistency(parameters: &Parameters) -> Result<Consistency, Problem> {
    match parameters.text("consistency") {
        None | Some("linearizable") => Ok(Consistency::Linearizable),
        Some("stale") => Ok(Consistency::Stale),
        Some(_) => Err(invalid("consistency", "use `linearizable` (the default) or `stale`")),
    }
}

/// Checks what every read takes, for one that waits for nothing.
///
/// # Errors
/// `invalid-query`.
pub(super) fn check(parameters: &Parameters) -> Result<(), Problem> {
    consistency(parameters)?;
    parameters.number("min_seq").map(|_| ())
}

/// Waits until the applied state is as current as the query asks for.
///
/// # Errors
/// `invalid-query`; `no-leader` or `read-timeout` when no majority confirmed it in time;
/// `lagging` when this node did not reach `min_seq` in time.
pub(super) async fn wait_until_current(
    state: &FrontState,
    parameters: &Parameters,
) -> Result<(), Problem> {
    let consistency = consistency(parameters)?;
    let min_seq = parameters.number("min_seq")?;
    let deadline = state.deadline();
    if consistency == Consistency::Linearizable {
        state.replica.read_barrier(deadline).await.map_err(Problem::of_read)?;
    }
    match min_seq {
        Some(min_seq) if !state.replica.wait_for_seq(Seq(min_seq), deadline).await => {
            Err(Problem::lagging())
        }
        _ => Ok(()),
    }
}

fn unknown(name: &str) -> Problem {
    invalid(name, "this route does not take it")
}

/// A parameter that is not understood.
pub(super) fn invalid(name: &str, why: &str) -> Problem {
    Problem::new(Kind::InvalidQuery, format!("`{name}`: {why}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<Parameters, Problem> {
        Parameters::of_read(&format!("/v1/orders?{query}").parse().unwrap(), &["after", "user_id"])
    }

    #[test]
    fn known_parameters_are_decoded() {
        let parameters = read("after=12&user_id=a%2Bb&consistency=stale").unwrap();
        assert_eq!(parameters.number("after").unwrap(), Some(12));
        assert_eq!(parameters.number("min_seq").unwrap(), None);
        assert_eq!(parameters.text("user_id"), Some("a+b"));
        assert_eq!(consistency(&parameters).unwrap(), Consistency::Stale);
        let bare = Parameters::of_read(&"/v1/orders".parse().unwrap(), &[]).unwrap();
        assert_eq!(consistency(&bare).unwrap(), Consistency::Linearizable);
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (query, name) in [("afer=1", "afer"), ("after=1&after=2", "after"), ("=1", "")] {
            let problem = read(query).unwrap_err();
            assert_eq!(problem.kind(), Kind::InvalidQuery);
            assert!(problem.detail().starts_with(&format!("`{name}`")), "{}", problem.detail());
        }
        for (number, kind) in [
            ("", Kind::InvalidQuery),
            ("-", Kind::InvalidQuery),
            ("%2B1", Kind::InvalidQuery),
            ("1.5", Kind::InvalidQuery),
            ("x", Kind::InvalidQuery),
            ("-1", Kind::InvalidValue),
            ("18446744073709551616", Kind::InvalidValue),
        ] {
            let parameters = read(&format!("after={number}")).unwrap();
            let problem = parameters.number("after").unwrap_err();
            assert_eq!(problem.kind(), kind, "{number:?}");
        }
        assert!(consistency(&read("consistency=eventual").unwrap()).is_err());
        let release = "/v1/holds/1?user_id=u".parse().unwrap();
        assert!(Parameters::of_write(&release, &["user_id"]).is_ok());
        assert!(Parameters::of_write(&release, &[]).is_err());
        assert!(none(&"/v1/buys?x=1".parse().unwrap()).is_err());
        assert!(none(&"/v1/buys".parse().unwrap()).is_ok());
        assert!(none(&"/v1/buys?".parse().unwrap()).is_ok());
    }
}
