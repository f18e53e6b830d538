//! Instants as the HTTP contract writes them: RFC 3339 text, to the millisecond.
//!
//! Owns parsing and formatting, nothing else; the machine counts milliseconds. Called by `api`.

use crate::{AT_MS_MAX, InvalidId};
use serde::{Deserialize, Serialize, Serializer};
use std::fmt;

/// An instant from 1970 to 9999, in milliseconds since the Unix epoch; in JSON a text such as
/// `2026-11-21T18:00:00Z`, in any offset when read, in UTC when written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Timestamp(u64);

const MS_PER_DAY: i64 = 86_400_000;

impl Timestamp {
    /// An instant.
    ///
    /// # Errors
    /// [`InvalidId`] when it is after the year 9999.
    pub fn from_ms(ms: u64) -> Result<Self, InvalidId> {
        if ms <= AT_MS_MAX { Ok(Self(ms)) } else { Err(invalid("is after the year 9999")) }
    }

    /// An instant, or the last of the year 9999 if it is later.
    pub fn at_most(ms: u64) -> Self {
        Self(ms.min(AT_MS_MAX))
    }

    /// Milliseconds since the Unix epoch.
    pub fn ms(self) -> u64 {
        self.0
    }

    /// Reads RFC 3339, `date-time` of section 5.6. Digits beyond the millisecond are dropped; a
    /// leap second is the second before it.
    ///
    /// # Errors
    /// [`InvalidId`] when the text is none, or is not of 1970 to 9999 in UTC.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        let ms = parse(text).ok_or_else(|| invalid("is not a date and time"))?;
        u64::try_from(ms).map_err(|_| invalid("is before 1970")).and_then(Self::from_ms)
    }
}

fn invalid(problem: &'static str) -> InvalidId {
    let rule = "use RFC 3339 with a time zone, such as 2026-11-21T18:00:00Z";
    InvalidId { kind: "time", problem, rule }
}

fn parse(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let number = |from: usize, to: usize| -> Option<i64> {
        let digits = bytes.get(from..to)?;
        digits.iter().try_fold(0, |sum, digit| {
            digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0'))
        })
    };
    let is = |at: usize, one_of: &[u8]| bytes.get(at).is_some_and(|byte| one_of.contains(byte));
    let punctuated = is(4, b"-") && is(7, b"-") && is(10, b"Tt ") && is(13, b":") && is(16, b":");
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let in_range = (1..=12).contains(&month)
        && (1..=days_in(year, month)).contains(&day)
        && hour <= 23
        && minute <= 59
        && second <= 60;
    if !punctuated || !in_range {
        return None;
    }
    let (fraction_ms, zone_at) = fraction(bytes)?;
    let offset_minutes = match (bytes.get(zone_at)?, bytes.len() - zone_at) {
        (b'Z' | b'z', 1) => 0,
        (sign @ (b'+' | b'-'), 6) if is(zone_at + 3, b":") => {
            let (hours, minutes) =
                (number(zone_at + 1, zone_at + 3)?, number(zone_at + 4, zone_at + 6)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let offset = hours * 60 + minutes;
            if *sign == b'+' { offset } else { -offset }
        }
        _ => return None,
    };
    let minutes = hour * 60 + minute - offset_minutes;
    Some(
        days_from_epoch(year, month, day) * MS_PER_DAY
            + minutes * 60_000
            + second.min(59) * 1_000
            + fraction_ms,
    )
}

/// The milliseconds after the point, if there is one, and where the time zone begins.
fn fraction(bytes: &[u8]) -> Option<(i64, usize)> {
    const SECONDS_END: usize = 19;
    if bytes.get(SECONDS_END) != Some(&b'.') {
        return Some((0, SECONDS_END));
    }
    let digits = bytes[SECONDS_END + 1..].iter().take_while(|byte| byte.is_ascii_digit());
    let mut ms = 0;
    let mut scale = 100;
    let mut count = 0;
    for digit in digits {
        ms += i64::from(digit - b'0') * scale;
        scale /= 10;
        count += 1;
    }
    (count > 0).then_some((ms, SECONDS_END + 1 + count))
}

fn days_in(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01; "days from civil" of Howard Hinnant's *chrono-compatible low-level date
/// algorithms*: years begin in March, so that the leap day is the last of a year.
fn days_from_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The inverse: year, month and day.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = i64::try_from(self.0).unwrap_or(i64::MAX);
        let (year, month, day) = civil_from_days(ms / MS_PER_DAY);
        let (in_day, fraction) = (ms % MS_PER_DAY / 1_000, ms % 1_000);
        let (hour, minute, second) = (in_day / 3_600, in_day / 60 % 60, in_day % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        if fraction > 0 {
            write!(f, ".{fraction:03}")?;
        }
        f.write_str("Z")
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl TryFrom<String> for Timestamp {
    type Error = InvalidId;
    fn try_from(text: String) -> Result<Self, InvalidId> {
        Self::parse(&text)
    }
}

impl std::str::FromStr for Timestamp {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_instants() {
        // From `date -u -d … +%s`.
        for (text, ms) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T23:59:59.999Z", 951_868_799_999),
            ("2026-11-21T18:00:00Z", 1_795_284_000_000),
            ("2100-03-01T00:00:00Z", 4_107_542_400_000),
            ("9999-12-31T23:59:59.999Z", AT_MS_MAX),
        ] {
            assert_eq!(Timestamp::parse(text).unwrap().ms(), ms, "{text}");
            assert_eq!(Timestamp::from_ms(ms).unwrap().to_string(), text);
        }
    }

    #[test]
    fn every_offset_and_fraction_is_read() {
        let want = Timestamp::parse("2026-11-21T18:00:00.5Z").unwrap();
        for text in [
            "2026-11-21t18:00:00.500z",
            "2026-11-21 19:00:00.5+01:00",
            "2026-11-22T00:00:00.500999999+06:00",
            "2026-11-21T12:30:00.5-05:30",
        ] {
            assert_eq!(Timestamp::parse(text).unwrap(), want, "{text}");
        }
        let leap = Timestamp::parse("2016-12-31T23:59:60Z").unwrap();
        assert_eq!(leap, Timestamp::parse("2016-12-31T23:59:59Z").unwrap());
    }

    #[test]
    fn what_is_no_instant_is_refused() {
        for text in [
            "",
            "2026-11-21",
            "2026-11-21T18:00:00",
            "2026-11-21T18:00Z",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-11-21T24:00:00Z",
            "2026-11-21T18:60:00Z",
            "2026-11-21T18:00:00.Z",
            "2026-11-21T18:00:00+1:00",
            "2026-11-21T18:00:00+24:00",
            "2026-11-21T18:00:00Z ",
            "+026-11-21T18:00:00Z",
            "1969-12-31T23:59:59Z",
            "1970-01-01T00:00:00+00:01",
            "9999-12-31T23:59:59-00:01",
            "２026-11-21T18:00:00Z",
            "1795284000000",
        ] {
            assert!(Timestamp::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn every_day_of_eight_centuries_comes_back() {
        for days in 0..292_194 {
            let (year, month, day) = civil_from_days(days);
            assert_eq!(days_from_epoch(year, month, day), days);
            assert!((1..=days_in(year, month)).contains(&day), "{year}-{month}-{day}");
        }
    }
}
