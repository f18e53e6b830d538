//! How long a hold lasts.

use crate::InvalidId;
use serde::{Deserialize, Serialize};

/// How long a hold lasts, in milliseconds of log time: one second to a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct HoldTtl(u32);

impl HoldTtl {
    /// The shortest: one second.
    pub const MIN_MS: u64 = 1_000;
    /// The longest: a day.
    pub const MAX_MS: u64 = 24 * 60 * 60 * 1_000;
    /// Ten minutes.
    pub const DEFAULT: Self = Self(10 * 60 * 1_000);

    /// Checks the range.
    ///
    /// # Errors
    /// [`InvalidId`] when it is shorter than [`HoldTtl::MIN_MS`] or longer than
    /// [`HoldTtl::MAX_MS`].
    pub fn from_ms(ms: u64) -> Result<Self, InvalidId> {
        let problem = match u32::try_from(ms) {
            Ok(ms) if (Self::MIN_MS..=Self::MAX_MS).contains(&u64::from(ms)) => {
                return Ok(Self(ms));
            }
            _ => "is out of range",
        };
        let rule = "use 1000 to 86400000 milliseconds";
        Err(InvalidId { kind: "hold time", problem, rule })
    }

    /// In milliseconds.
    pub fn ms(self) -> u64 {
        self.0.into()
    }
}

impl Default for HoldTtl {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl TryFrom<u64> for HoldTtl {
    type Error = InvalidId;
    fn try_from(ms: u64) -> Result<Self, InvalidId> {
        Self::from_ms(ms)
    }
}

impl From<HoldTtl> for u64 {
    fn from(ttl: HoldTtl) -> u64 {
        ttl.ms()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hold_times_are_a_second_to_a_day() {
        for (ms, good) in [(0, false), (999, false), (1_000, true), (86_400_000, true)] {
            assert_eq!(HoldTtl::from_ms(ms).is_ok(), good, "{ms}");
        }
        assert!(HoldTtl::from_ms(86_400_001).is_err());
        assert!(HoldTtl::from_ms(u64::MAX).is_err());
    }
}
