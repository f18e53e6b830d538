//! What a buy or a hold wants: units of one product, or `items` of several, all or none.
//!
//! Called by `buys` and `holds`, whose shapes have the three fields. Never asks the machine.

use super::field::{self, Number, Object, units};
use crate::problem::{Kind, Problem};
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;
use std::fmt;
use stock::{Item, Items, Quantity, Sku};

/// What is wanted, with valid values.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Units of one product, asked for by name.
    One { sku: Sku, quantity: Quantity },
    /// A list of items, be it of one.
    Several(Items),
}

impl Wanted {
    /// As a list, whichever way it was asked for.
    pub(super) fn into_items(self) -> Items {
        match self {
            Self::One { sku, quantity } => Items::one(sku, quantity),
            Self::Several(items) => items,
        }
    }
}

/// One of `items` before its values are checked.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ItemShape<'b> {
    #[serde(borrow, deserialize_with = "readers::product_id")]
    product_id: Cow<'b, str>,
    #[serde(default = "one", deserialize_with = "readers::quantity")]
    quantity: Number,
}

fn one() -> Number {
    Number::Whole(1)
}

mod readers {
    use super::{Cow, Number, field::readers};

    type Text<'b> = Cow<'b, str>;

    readers! {
        product_id as text -> Text<'de>;
        quantity as number -> Number;
    }
}

/// Readers of the three fields, each of which may be absent, but not null.
pub(super) mod fields {
    use super::{Cow, Number, field::readers};

    type GivenText<'b> = Option<Cow<'b, str>>;

    readers! {
        product_id as text_given -> GivenText<'de>;
        quantity as number_given -> Option<Number>;
    }
}

/// Checks the three fields.
///
/// # Errors
/// `invalid-field` when both forms are used, or none; `invalid-value` naming the field.
pub(super) fn check(
    product_id: Option<&str>,
    quantity: Option<Number>,
    items: Option<&[ItemShape<'_>]>,
) -> Result<Wanted, Problem> {
    match (product_id, items) {
        (Some(product_id), None) => {
            let sku = field::sku(product_id, "product_id")?;
            Ok(Wanted::One { sku, quantity: units(quantity.unwrap_or_else(one), "quantity")? })
        }
        (None, Some(items)) if quantity.is_none() => several(items).map(Wanted::Several),
        (Some(_), Some(_)) => Err(beside("product_id")),
        (None, Some(_)) => Err(beside("quantity")),
        (None, None) => Err(Problem::new(
            Kind::InvalidField,
            "missing field `product_id`: name one product, or several in `items`.",
        )),
    }
}

fn beside(name: &str) -> Problem {
    let detail = format!("`{name}` does not go with `items`: send one product, or a list.");
    Problem::new(Kind::InvalidField, detail)
}

fn several(items: &[ItemShape<'_>]) -> Result<Items, Problem> {
    let item = |shape: &ItemShape<'_>| {
        let sku = field::sku(&shape.product_id, "product_id")?;
        Ok(Item { sku, quantity: units(shape.quantity, "quantity")? })
    };
    let items = items.iter().map(item).collect::<Result<Vec<Item>, Problem>>()?;
    Items::new(items).map_err(|why| Problem::new(Kind::InvalidValue, format!("`items`: it {why}.")))
}

/// Deserialises `items`.
pub(super) fn items<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<ItemShape<'de>>>, D::Error> {
    struct List;
    impl<'de> Visitor<'de> for List {
        type Value = Vec<ItemShape<'de>>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("`items` to be an array of objects")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
            let mut items = Vec::new();
            while let Some(Object(item)) = array.next_element()? {
                items.push(item);
                // Enough to say that there are too many; the body's bytes bound it too.
                if items.len() > ITEMS_READ_MAX {
                    return Err(A::Error::custom(format_args!(
                        "`items` holds more than {ITEMS_READ_MAX} items"
                    )));
                }
            }
            Ok(items)
        }
    }
    deserializer.deserialize_seq(List).map(Some)
}

/// The most items that are read before the list is refused unread.
const ITEMS_READ_MAX: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::front::body;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Shape<'b> {
        #[serde(borrow, default, deserialize_with = "fields::product_id")]
        product_id: Option<Cow<'b, str>>,
        #[serde(default, deserialize_with = "fields::quantity")]
        quantity: Option<Number>,
        #[serde(borrow, default, deserialize_with = "items")]
        items: Option<Vec<ItemShape<'b>>>,
    }

    fn wanted(text: &str) -> Result<Wanted, Problem> {
        let shape: Shape<'_> = body::parse(text.as_bytes())?;
        check(shape.product_id.as_deref(), shape.quantity, shape.items.as_deref())
    }

    #[test]
    fn both_forms_are_taken() {
        let (sku, quantity) = (Sku::new("p").unwrap(), Quantity::new(3).unwrap());
        let one = Wanted::One { sku: sku.clone(), quantity };
        assert_eq!(wanted(r#"{"product_id":"p","quantity":3}"#).unwrap(), one);
        let list = wanted(r#"{"items":[{"product_id":"p","quantity":3}]}"#).unwrap();
        assert_eq!(list, Wanted::Several(Items::one(sku.clone(), quantity)));
        assert_eq!(one.into_items(), list.into_items());
        let two = wanted(r#"{"items":[{"product_id":"q"},{"product_id":"p"}]}"#).unwrap();
        assert_eq!(two.into_items().as_slice()[0].sku, sku);
    }

    #[test]
    fn what_is_neither_is_named() {
        for (text, kind, named) in [
            ("{}", Kind::InvalidField, "missing field `product_id`"),
            (r#"{"quantity":1}"#, Kind::InvalidField, "missing field `product_id`"),
            (r#"{"product_id":"p","items":[]}"#, Kind::InvalidField, "`product_id`"),
            (r#"{"quantity":1,"items":[]}"#, Kind::InvalidField, "`quantity`"),
            (r#"{"items":null}"#, Kind::InvalidField, "`items` to be an array"),
            (r#"{"items":{}}"#, Kind::InvalidField, "`items` to be an array"),
            (r#"{"items":7}"#, Kind::InvalidField, "`items` to be an array"),
            (r#"{"items":[7]}"#, Kind::InvalidField, "an object"),
            (r#"{"items":[["p",1]]}"#, Kind::InvalidField, "an object"),
            (r#"{"items":[{}]}"#, Kind::InvalidField, "missing field `product_id`"),
            (r#"{"items":[{"product_id":1}]}"#, Kind::InvalidField, "`product_id` to be a string"),
            (r#"{"items":[{"product_id":"p","x":1}]}"#, Kind::InvalidField, "`x`"),
            (r#"{"items":[]}"#, Kind::InvalidValue, "`items`"),
            (r#"{"items":[{"product_id":""}]}"#, Kind::InvalidValue, "`product_id`"),
            (r#"{"items":[{"product_id":"p","quantity":0}]}"#, Kind::InvalidValue, "`quantity`"),
            (r#"{"items":[{"product_id":"p"},{"product_id":"p"}]}"#, Kind::InvalidValue, "twice"),
        ] {
            let problem = wanted(text).unwrap_err();
            assert_eq!(problem.kind(), kind, "{text}: {}", problem.detail());
            assert!(problem.detail().contains(named), "{text}: {}", problem.detail());
        }
        let many = |count: usize| {
            let items: Vec<String> =
                (0..count).map(|at| format!(r#"{{"product_id":"p{at}"}}"#)).collect();
            wanted(&format!(r#"{{"items":[{}]}}"#, items.join(",")))
        };
        assert!(many(Items::MAX).is_ok());
        assert_eq!(many(Items::MAX + 1).unwrap_err().kind(), Kind::InvalidValue);
        assert_eq!(many(ITEMS_READ_MAX + 1).unwrap_err().kind(), Kind::InvalidField);
    }
}
