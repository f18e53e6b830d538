//! The bodies of the product routes, before and after their values are checked.
//!
//! Called by `products`. Never asks the machine: whether a window is empty after an update is its
//! word.

use super::super::field::{self, Number, units};
use crate::problem::{Kind, Problem};
use serde::Deserialize;
use std::borrow::Cow;
use stock::{Edit, HoldTtl, Price, ProductUpdate, Seq, Sku, Terms};

/// [`stock::api::PutProduct`] before its values are checked.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProductShape<'b> {
    #[serde(borrow, deserialize_with = "put::name")]
    name: Cow<'b, str>,
    #[serde(deserialize_with = "put::stock")]
    stock: Number,
    #[serde(default, deserialize_with = "put::price")]
    price: Option<Number>,
    #[serde(borrow, default, deserialize_with = "put::currency")]
    currency: Option<Cow<'b, str>>,
    #[serde(default, deserialize_with = "put::per_user_limit")]
    per_user_limit: Option<Number>,
    #[serde(borrow, default, deserialize_with = "put::starts_at")]
    starts_at: Option<Cow<'b, str>>,
    #[serde(borrow, default, deserialize_with = "put::ends_at")]
    ends_at: Option<Cow<'b, str>>,
    #[serde(default, deserialize_with = "put::hold_ttl_ms")]
    hold_ttl_ms: Option<Number>,
}

mod put {
    use super::{Cow, Number, field::readers};

    type Text<'b> = Cow<'b, str>;

    readers! {
        name as text -> Text<'de>;
        stock as number -> Number;
        price as number_or_null -> Option<Number>;
        currency as text_or_null -> Option<Text<'de>>;
        per_user_limit as number_or_null -> Option<Number>;
        starts_at as text_or_null -> Option<Text<'de>>;
        ends_at as text_or_null -> Option<Text<'de>>;
        hold_ttl_ms as number_or_null -> Option<Number>;
    }
}

impl ProductShape<'_> {
    /// # Errors
    /// `invalid-value` naming the field.
    pub(super) fn check(self, sku: Sku) -> Result<Terms, Problem> {
        let stock = self.stock.within("stock", &(0..=i128::from(Terms::STOCK_MAX)))?;
        let limit = self.per_user_limit.map(|limit| units(limit, "per_user_limit")).transpose()?;
        let instant = |text: Option<Cow<'_, str>>, name| {
            text.map(|text| field::instant_ms(&text, name)).transpose()
        };
        let ttl = self.hold_ttl_ms.map(|ttl| field::hold_ttl(ttl, "hold_ttl_ms")).transpose()?;
        let price = match (self.price, self.currency) {
            (Some(price), Some(currency)) => Some(field::price(price, &currency)?),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => return Err(half_a_price()),
        };
        Ok(Terms {
            sku,
            name: field::readable(self.name, Terms::NAME_BYTES_MAX, "name")?,
            stock: stock.unsigned_abs() as u64,
            per_user_limit: limit,
            price,
            starts_at_ms: instant(self.starts_at, "starts_at")?,
            ends_at_ms: instant(self.ends_at, "ends_at")?,
            hold_ttl: ttl.unwrap_or(HoldTtl::DEFAULT),
        })
    }
}

fn half_a_price() -> Problem {
    let rule = "`price` and `currency` come together: send both or neither.";
    Problem::new(Kind::InvalidValue, rule)
}

/// [`stock::api::PatchProduct`] before its values are checked.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PatchShape<'b> {
    #[serde(borrow, default, deserialize_with = "patch::name")]
    name: Edit<Cow<'b, str>>,
    #[serde(default, deserialize_with = "patch::price")]
    price: Edit<Number>,
    #[serde(borrow, default, deserialize_with = "patch::currency")]
    currency: Edit<Cow<'b, str>>,
    #[serde(default, deserialize_with = "patch::per_user_limit")]
    per_user_limit: Edit<Number>,
    #[serde(borrow, default, deserialize_with = "patch::starts_at")]
    starts_at: Edit<Cow<'b, str>>,
    #[serde(borrow, default, deserialize_with = "patch::ends_at")]
    ends_at: Edit<Cow<'b, str>>,
    #[serde(default, deserialize_with = "patch::hold_ttl_ms")]
    hold_ttl_ms: Edit<Number>,
}

mod patch {
    use super::{Cow, Edit, Number, field::readers};

    type Text<'b> = Cow<'b, str>;

    readers! {
        name as text_edit -> Edit<Text<'de>>;
        price as number_edit -> Edit<Number>;
        currency as text_edit -> Edit<Text<'de>>;
        per_user_limit as number_edit -> Edit<Number>;
        starts_at as text_edit -> Edit<Text<'de>>;
        ends_at as text_edit -> Edit<Text<'de>>;
        hold_ttl_ms as number_edit -> Edit<Number>;
    }
}

impl PatchShape<'_> {
    /// # Errors
    /// `invalid-value` naming the field.
    pub(super) fn check(self, sku: Sku, if_match: Option<Seq>) -> Result<ProductUpdate, Problem> {
        let instant = |edit: Edit<Cow<'_, str>>, name| {
            field::checked(edit, |text| field::instant_ms(&text, name))
        };
        let name = match self.name {
            Edit::Keep => None,
            Edit::Clear => return Err(stays("name")),
            Edit::Set(name) => Some(field::readable(name, Terms::NAME_BYTES_MAX, "name")?),
        };
        let hold_ttl = match self.hold_ttl_ms {
            Edit::Keep => None,
            Edit::Clear => Some(HoldTtl::DEFAULT),
            Edit::Set(ttl) => Some(field::hold_ttl(ttl, "hold_ttl_ms")?),
        };
        Ok(ProductUpdate {
            sku,
            if_match,
            name,
            per_user_limit: field::checked(self.per_user_limit, |limit| {
                units(limit, "per_user_limit")
            })?,
            price: price_edit(self.price, self.currency)?,
            starts_at_ms: instant(self.starts_at, "starts_at")?,
            ends_at_ms: instant(self.ends_at, "ends_at")?,
            hold_ttl,
        })
    }
}

/// A price goes and comes with its currency.
fn price_edit(price: Edit<Number>, currency: Edit<Cow<'_, str>>) -> Result<Edit<Price>, Problem> {
    match (price, currency) {
        (Edit::Keep, Edit::Keep) => Ok(Edit::Keep),
        (Edit::Clear, Edit::Keep | Edit::Clear) => Ok(Edit::Clear),
        (Edit::Set(price), Edit::Set(currency)) => field::price(price, &currency).map(Edit::Set),
        _ => Err(half_a_price()),
    }
}

fn stays(field: &'static str) -> Problem {
    Problem::new(Kind::InvalidValue, format!("`{field}`: it can be changed, but not taken away."))
}

/// [`stock::api::PostRestock`] before its value is checked.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RestockShape {
    #[serde(deserialize_with = "restock::quantity")]
    quantity: Number,
}

mod restock {
    use super::{Number, field::readers};

    readers! {
        quantity as number -> Number;
    }
}

impl RestockShape {
    /// # Errors
    /// `invalid-value` naming the field.
    pub(super) fn check(&self) -> Result<i64, Problem> {
        let most = i128::from(Terms::STOCK_MAX);
        match self.quantity.within("quantity", &(-most..=most))? {
            0 => {
                let rule = "a restock of 0 changes nothing; use a number above or below";
                Err(Problem::new(Kind::InvalidValue, format!("`quantity`: {rule}.")))
            }
            quantity => Ok(quantity as i64),
        }
    }
}
