//! The fields of a body's shape: plain texts and numbers whose errors name the field, and the
//! checks that make valid values of them.

use crate::problem::{Kind, Problem};
use serde::Deserializer;
use serde::de::{Error, Visitor};
use std::borrow::Cow;
use std::fmt;
use std::ops::RangeInclusive;

/// A JSON number, however large or odd: whether it is in range is not a matter of its type.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Number {
    /// A whole number written without point or exponent.
    Whole(i128),
    /// A fraction, or a whole number beyond 64 bits.
    Other(f64),
}

impl Number {
    /// The whole number in a range.
    ///
    /// # Errors
    /// `invalid-value` naming the field and the range.
    pub(super) fn within(
        self,
        field: &'static str,
        range: &RangeInclusive<i128>,
    ) -> Result<i128, Problem> {
        match self {
            Self::Whole(number) if range.contains(&number) => Ok(number),
            _ => Err(self.invalid(field, range)),
        }
    }

    fn invalid(self, field: &'static str, range: &RangeInclusive<i128>) -> Problem {
        let (min, max) = (range.start(), range.end());
        let rule = format!("use a whole number from {min} to {max}");
        Problem::new(Kind::InvalidValue, format!("`{field}`: {self} is not valid; {rule}."))
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(number) => number.fmt(f),
            // `{:?}` writes 1e300 rather than its 301 digits.
            Self::Other(number) => write!(f, "{number:?}"),
        }
    }
}

/// Deserialises a text, borrowed where it holds no escapes.
pub(super) fn text<'de, D: Deserializer<'de>>(
    deserializer: D,
    field: &'static str,
) -> Result<Cow<'de, str>, D::Error> {
    deserializer.deserialize_str(Text { field })
}

/// Deserialises a number.
pub(super) fn number<'de, D: Deserializer<'de>>(
    deserializer: D,
    field: &'static str,
) -> Result<Number, D::Error> {
    deserializer.deserialize_any(Numeric { field })
}

/// Deserialises a number that may be null, which is the same as absent.
pub(super) fn number_or_null<'de, D: Deserializer<'de>>(
    deserializer: D,
    field: &'static str,
) -> Result<Option<Number>, D::Error> {
    deserializer.deserialize_option(OrNull { field })
}

struct Text {
    field: &'static str,
}

impl<'de> Visitor<'de> for Text {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` to be a string", self.field)
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

struct Numeric {
    field: &'static str,
}

impl Visitor<'_> for Numeric {
    type Value = Number;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` to be a number", self.field)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Number, E> {
        Ok(Number::Whole(number.into()))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Number, E> {
        Ok(Number::Whole(number.into()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Number, E> {
        Ok(Number::Other(number))
    }
}

struct OrNull {
    field: &'static str,
}

impl<'de> Visitor<'de> for OrNull {
    type Value = Option<Number>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` to be a number or null", self.field)
    }

    fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        number(deserializer, self.field).map(Some)
    }
}
