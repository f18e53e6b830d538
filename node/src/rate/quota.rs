//! A quota as it is written: `3/min`.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

/// The most clicks of a quota: more are no limit.
const CLICKS_MAX: u32 = 1_000_000;

/// So many clicks at once, and evenly over a window so many more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Quota {
    clicks: NonZeroU32,
    window: Window,
}

/// The units of time that a quota may be written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Window {
    Second,
    Minute,
    Hour,
}

impl Window {
    const ALL: [(Self, &str, u32); 3] =
        [(Self::Second, "s", 1), (Self::Minute, "min", 60), (Self::Hour, "hour", 3600)];

    fn row(self) -> (Self, &'static str, u32) {
        Self::ALL[self as usize]
    }
}

/// A text that is no quota.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{found:?} is no limit; use a whole number from 1 to {CLICKS_MAX} per s, min or hour, such as \
     3/min, or off"
)]
pub(crate) struct BadQuota {
    found: String,
}

impl Quota {
    /// Clicks that may come at once.
    pub(crate) fn clicks_max(self) -> u32 {
        self.clicks.get()
    }

    /// In how many seconds so many become free again.
    pub(crate) fn window_s(self) -> u32 {
        self.window.row().2
    }

    /// Reads what a setting says; `off` is none.
    ///
    /// # Errors
    /// [`BadQuota`].
    pub(crate) fn setting(text: &str) -> Result<Option<Self>, BadQuota> {
        if text == "off" { Ok(None) } else { text.parse().map(Some) }
    }
}

impl FromStr for Quota {
    type Err = BadQuota;

    fn from_str(text: &str) -> Result<Self, BadQuota> {
        let parsed = text.split_once('/').and_then(|(clicks, unit)| {
            // A sign would parse too.
            let digits = clicks.bytes().all(|byte| byte.is_ascii_digit());
            let clicks = clicks.parse().ok().filter(|n: &NonZeroU32| n.get() <= CLICKS_MAX)?;
            let (window, ..) = Window::ALL.into_iter().find(|(_, name, _)| *name == unit)?;
            digits.then_some(Self { clicks, window })
        });
        parsed.ok_or_else(|| BadQuota { found: text.to_owned() })
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.clicks, self.window.row().1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotas_are_read_as_they_are_written() {
        for (text, clicks, window_s) in
            [("3/min", 3, 60), ("1/s", 1, 1), ("1000000/hour", 1_000_000, 3600)]
        {
            let quota: Quota = text.parse().unwrap();
            assert_eq!((quota.clicks_max(), quota.window_s()), (clicks, window_s));
            assert_eq!(quota.to_string(), text);
            assert_eq!(Quota::setting(text), Ok(Some(quota)));
        }
        assert_eq!(Quota::setting("off"), Ok(None));
    }

    #[test]
    fn what_is_no_quota_is_refused_with_an_example() {
        for text in [
            "",
            "/",
            "3",
            "3/",
            "/min",
            "0/min",
            "-1/min",
            "+3/min",
            "3/m",
            "3/MIN",
            "3 / min",
            " 3/min",
            "3/min ",
            "3.5/s",
            "1000001/s",
            "99999999999/s",
            "3/min/min",
            "OFF",
            "3/day",
        ] {
            let refusal = Quota::setting(text).expect_err(text).to_string();
            assert!(refusal.contains("such as 3/min") && refusal.contains(&format!("{text:?}")));
        }
    }
}
