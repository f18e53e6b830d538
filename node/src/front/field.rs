//! The fields of a body's shape: plain texts and numbers whose errors name the field, and the
//! checks that make valid values of them.

use crate::problem::{Kind, Problem};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::ops::RangeInclusive;
use stock::api::Timestamp;
use stock::{Currency, Edit, HoldTtl, Price, Quantity, Sku, UserId};

/// Readers of a shape's fields, for `deserialize_with`: each hands the field's name to the reader
/// of its kind, so that an error can tell it.
macro_rules! readers {
    ($($name:ident as $kind:ident -> $value:ty;)*) => {
        $(pub(in crate::front) fn $name<'de, D>(from: D) -> Result<$value, D::Error>
        where
            D: serde::Deserializer<'de>,
        {
            $crate::front::field::$kind(from, stringify!($name))
        })*
    };
}
pub(super) use readers;

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

/// Deserialises a text that may be absent (serde's default), but not null.
pub(super) fn text_given<'de, D: Deserializer<'de>>(
    deserializer: D,
    field: &'static str,
) -> Result<Option<Cow<'de, str>>, D::Error> {
    text(deserializer, field).map(Some)
}

/// Deserialises a number that may be absent (serde's default), but not null.
pub(super) fn number_given<'de, D: Deserializer<'de>>(
    deserializer: D,
    field: &'static str,
) -> Result<Option<Number>, D::Error> {
    number(deserializer, field).map(Some)
}

/// Deserialises a number that may be null, which is the same as absent.
pub(super) fn number_or_null<'de, D: Deserializer<'de>>(
    deserializer: D,
    field: &'static str,
) -> Result<Option<Number>, D::Error> {
    deserializer.deserialize_option(OrNull(Numeric { field }))
}

/// Deserialises a text that may be null, which is the same as absent.
pub(super) fn text_or_null<'de, D: Deserializer<'de>>(
    deserializer: D,
    field: &'static str,
) -> Result<Option<Cow<'de, str>>, D::Error> {
    deserializer.deserialize_option(OrNull(Text { field }))
}

/// Deserialises a number of a merge patch: null takes the field away, absence (serde's default)
/// keeps it.
pub(super) fn number_edit<'de, D: Deserializer<'de>>(
    deserializer: D,
    field: &'static str,
) -> Result<Edit<Number>, D::Error> {
    Ok(number_or_null(deserializer, field)?.map_or(Edit::Clear, Edit::Set))
}

/// Deserialises a text of a merge patch, as [`number_edit`] does a number.
pub(super) fn text_edit<'de, D: Deserializer<'de>>(
    deserializer: D,
    field: &'static str,
) -> Result<Edit<Cow<'de, str>>, D::Error> {
    Ok(text_or_null(deserializer, field)?.map_or(Edit::Clear, Edit::Set))
}

/// Checks what an edit sets.
///
/// # Errors
/// Those of the check.
pub(super) fn checked<T, U>(
    edit: Edit<T>,
    check: impl FnOnce(T) -> Result<U, Problem>,
) -> Result<Edit<U>, Problem> {
    Ok(match edit {
        Edit::Keep => Edit::Keep,
        Edit::Clear => Edit::Clear,
        Edit::Set(value) => Edit::Set(check(value)?),
    })
}

/// A number of units from 1 to [`Quantity::MAX`].
///
/// # Errors
/// `invalid-value` naming the field.
pub(super) fn units(number: Number, field: &'static str) -> Result<Quantity, Problem> {
    let units = number.within(field, &(1..=i128::from(Quantity::MAX)))?;
    let units = u64::try_from(units).unwrap_or(0);
    Quantity::new(units).map_err(|why| Problem::invalid_value(field, &why))
}

/// An instant, as milliseconds since the Unix epoch.
///
/// # Errors
/// `invalid-value` naming the field.
pub(super) fn instant_ms(text: &str, field: &'static str) -> Result<u64, Problem> {
    Timestamp::parse(text).map(Timestamp::ms).map_err(|why| Problem::invalid_value(field, &why))
}

/// How long a hold lasts.
///
/// # Errors
/// `invalid-value` naming the field.
pub(super) fn hold_ttl(number: Number, field: &'static str) -> Result<HoldTtl, Problem> {
    let range = i128::from(HoldTtl::MIN_MS)..=i128::from(HoldTtl::MAX_MS);
    let ms = u64::try_from(number.within(field, &range)?).unwrap_or(0);
    HoldTtl::from_ms(ms).map_err(|why| Problem::invalid_value(field, &why))
}

/// A price and its currency.
///
/// # Errors
/// `invalid-value` naming `price` or `currency`.
pub(super) fn price(number: Number, currency: &str) -> Result<Price, Problem> {
    let range = 0..=i128::from(Price::MINOR_UNITS_MAX);
    let minor_units = u64::try_from(number.within("price", &range)?).unwrap_or(0);
    let currency =
        Currency::new(currency).map_err(|why| Problem::invalid_value("currency", &why))?;
    Ok(Price { minor_units, currency })
}

/// What a person reads: bounded, and without control characters, for names end up on terminals
/// and in logs.
///
/// # Errors
/// `invalid-value` naming the field.
pub(super) fn readable(
    text: Cow<'_, str>,
    bytes_max: usize,
    field: &'static str,
) -> Result<String, Problem> {
    if text.len() > bytes_max || text.chars().any(stock::is_control) {
        let rule = format!("use at most {bytes_max} bytes without control characters");
        return Err(Problem::new(Kind::InvalidValue, format!("`{field}`: {rule}.")));
    }
    Ok(text.into_owned())
}

/// A product's id.
///
/// # Errors
/// `invalid-value` naming the field.
pub(super) fn sku(text: &str, field: &'static str) -> Result<Sku, Problem> {
    in_a_path(text, field)?;
    Sku::new(text).map_err(|why| Problem::invalid_value(field, &why))
}

/// Refuses what means another place as a part of a URL's path, so that no client could name it.
///
/// # Errors
/// `invalid-value` naming the field.
pub(super) fn in_a_path(text: &str, field: &'static str) -> Result<(), Problem> {
    if [".", ".."].contains(&text) {
        let rule = format!("`{field}`: `{text}` alone cannot stand in a URL.");
        return Err(Problem::new(Kind::InvalidValue, rule));
    }
    Ok(())
}

/// How the ids of users begin who are nobody in particular. No request may name one.
pub(super) const ANONYMOUS: &str = "anonymous:";

/// A user's id, of whoever asks for something.
///
/// # Errors
/// `invalid-value` naming the field.
pub(super) fn user(text: &str, field: &'static str) -> Result<UserId, Problem> {
    if text.starts_with(ANONYMOUS) {
        let rule = format!("`{field}`: ids that begin with `{ANONYMOUS}` are of clicks of nobody.");
        return Err(Problem::new(Kind::InvalidValue, rule));
    }
    UserId::new(text).map_err(|why| Problem::invalid_value(field, &why))
}

/// A shape that is a JSON object: a derived one would also take an array as its fields in order.
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Map<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Map<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map))
            }
        }
        deserializer.deserialize_map(Map(PhantomData)).map(Self)
    }
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

/// A value that may be null.
struct OrNull<V>(V);

/// The readers of single values, so that [`OrNull`] can ask for the one it wraps.
trait Value<'de>: Visitor<'de> {
    fn read<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error>;
}

impl<'de> Value<'de> for Numeric {
    fn read<D: Deserializer<'de>>(self, deserializer: D) -> Result<Number, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Value<'de> for Text {
    fn read<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cow<'de, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de, V: Value<'de>> Visitor<'de> for OrNull<V> {
    type Value = Option<V::Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)?;
        f.write_str(" or null")
    }

    fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        self.0.read(deserializer).map(Some)
    }
}
