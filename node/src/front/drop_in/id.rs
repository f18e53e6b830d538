//! The ids of `POST /api/buy`: some shops number their users and products.

use super::super::field::Number;
use crate::problem::Problem;
use serde::Deserializer;
use serde::de::{Error, Visitor};
use std::fmt;
use utoipa::ToSchema;

/// An id as it was sent.
#[derive(Debug)]
pub(super) enum Id {
    Text(String),
    Number(Number),
}

// What an id is to the document.
/// A text, or a number that stands for its digits.
#[derive(ToSchema)]
#[serde(untagged)]
#[schema(as = TextOrNumber)]
#[allow(dead_code, reason = "it stands in the document for what is read")]
pub(super) enum IdShape {
    Text(String),
    Number(u64),
}

impl Id {
    /// # Errors
    /// `invalid-value` naming the field, when it is a number that is not whole, or out of range.
    pub(super) fn into_text(self, field: &'static str) -> Result<String, Problem> {
        match self {
            Self::Text(text) => Ok(text),
            Self::Number(number) => {
                number.within(field, &(0..=i64::MAX.into())).map(|number| number.to_string())
            }
        }
    }
}

/// Deserialises the user.
pub(super) fn user_id<'de, D: Deserializer<'de>>(from: D) -> Result<Id, D::Error> {
    from.deserialize_any(Reader { field: "user_id" })
}

/// Deserialises the product.
pub(super) fn product_id<'de, D: Deserializer<'de>>(from: D) -> Result<Id, D::Error> {
    from.deserialize_any(Reader { field: "product_id" })
}

struct Reader {
    field: &'static str,
}

impl Visitor<'_> for Reader {
    type Value = Id;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` to be a string or a number", self.field)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Id, E> {
        Ok(Id::Text(text.to_owned()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Id, E> {
        Ok(Id::Number(Number::Whole(number.into())))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Id, E> {
        Ok(Id::Number(Number::Whole(number.into())))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Id, E> {
        Ok(Id::Number(Number::Other(number)))
    }
}
