//! The terms that a product is sold on, and how the operator changes them.
//!
//! Owns their limits and their encoding, which is a disk format (see [`Terms`]). Never decides
//! anything. Called by the machine, and by the front, which builds them from JSON.

use crate::{HoldTtl, InvalidId, Price, Quantity, Refusal, Seq, Sku};
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// The latest instant that terms may name: the end of the year 9999, in milliseconds since the
/// Unix epoch.
pub const AT_MS_MAX: u64 = 253_402_300_799_999;

/// What a product is sold as, and on which conditions.
///
/// # Encoding
/// The first build knew four fields, and wrote them one after the other. Terms that say no more
/// than that are still written so: its logs, segments and snapshots are read as they are, and its
/// state hashes come out the same. Other terms begin with an empty text, where the first layout
/// has the product's id, which is never empty; a format number and all fields follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// The product's id.
    pub sku: Sku,
    /// Its name, for people; at most [`Terms::NAME_BYTES_MAX`].
    pub name: String,
    /// Units on sale at first; at most [`Terms::STOCK_MAX`]. Restocks do not change it.
    pub stock: u64,
    /// The most units that one user may have of it, bought and held together.
    pub per_user_limit: Option<Quantity>,
    /// What one unit costs. The machine never looks at it.
    pub price: Option<Price>,
    /// Log time from which it is sold, in milliseconds since the Unix epoch; none: at once.
    pub starts_at_ms: Option<u64>,
    /// Log time from which it is no longer sold; none: never.
    pub ends_at_ms: Option<u64>,
    /// How long a hold lasts that does not say.
    pub hold_ttl: HoldTtl,
}

impl Terms {
    /// The longest product name, in bytes of UTF-8.
    pub const NAME_BYTES_MAX: usize = 256;
    /// The most units a product may ever have been stocked with. Exact in a JSON number.
    pub const STOCK_MAX: u64 = 1_000_000_000_000;

    /// A product that anyone may buy at any time.
    pub fn plain(sku: Sku, name: impl Into<String>, stock: u64) -> Self {
        Self {
            sku,
            name: name.into(),
            stock,
            per_user_limit: None,
            price: None,
            starts_at_ms: None,
            ends_at_ms: None,
            hold_ttl: HoldTtl::DEFAULT,
        }
    }

    /// Checks a name, which ends up on terminals and in logs.
    ///
    /// # Errors
    /// [`InvalidId`] when it is longer than [`Terms::NAME_BYTES_MAX`], or holds what
    /// [`is_control`].
    pub fn check_name(name: &str) -> Result<(), InvalidId> {
        let problem = if name.len() > Self::NAME_BYTES_MAX {
            "is too long"
        } else if name.chars().any(is_control) {
            "holds control characters"
        } else {
            return Ok(());
        };
        let rule = "use at most 256 bytes without control characters";
        Err(InvalidId { kind: "name", problem, rule })
    }

    /// These terms after an update.
    #[must_use]
    pub fn updated(&self, update: &ProductUpdate) -> Self {
        Self {
            sku: self.sku.clone(),
            name: update.name.as_ref().unwrap_or(&self.name).clone(),
            stock: self.stock,
            per_user_limit: update.per_user_limit.applied_to(self.per_user_limit),
            price: update.price.applied_to(self.price),
            starts_at_ms: update.starts_at_ms.applied_to(self.starts_at_ms),
            ends_at_ms: update.ends_at_ms.applied_to(self.ends_at_ms),
            hold_ttl: update.hold_ttl.unwrap_or(self.hold_ttl),
        }
    }

    /// Whether the product is sold at this log time: from `starts_at_ms` to before `ends_at_ms`.
    ///
    /// # Errors
    /// [`Refusal::NotOpen`] before, [`Refusal::SaleOver`] after.
    pub fn check_open(&self, now_ms: u64) -> Result<(), Refusal> {
        match (self.starts_at_ms, self.ends_at_ms) {
            (Some(starts_at_ms), _) if now_ms < starts_at_ms => {
                Err(Refusal::NotOpen { starts_at_ms })
            }
            (_, Some(ends_at_ms)) if now_ms >= ends_at_ms => Err(Refusal::SaleOver { ends_at_ms }),
            _ => Ok(()),
        }
    }

    /// Whether the sale would be over before it begins.
    ///
    /// # Errors
    /// [`Refusal::EmptyWindow`] when it would.
    pub fn check_window(&self) -> Result<(), Refusal> {
        match (self.starts_at_ms, self.ends_at_ms) {
            (Some(starts_at_ms), Some(ends_at_ms)) if starts_at_ms >= ends_at_ms => {
                Err(Refusal::EmptyWindow { starts_at_ms, ends_at_ms })
            }
            _ => Ok(()),
        }
    }

    /// Whether the first layout can say all of it.
    fn fits_first_layout(&self) -> bool {
        let Self { sku: _, name: _, stock: _, per_user_limit: _, .. } = self;
        self.price.is_none()
            && self.starts_at_ms.is_none()
            && self.ends_at_ms.is_none()
            && self.hold_ttl == HoldTtl::DEFAULT
    }
}

/// Whether a character is none that is read, but one that steers what shows it: a control
/// character, or one that turns the text around it, so that a name looks like another (the
/// bidirectional controls of Unicode, annex 9).
pub fn is_control(char: char) -> bool {
    let turns = matches!(
        char,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    turns || char.is_control()
}

/// Stands where the first layout has the product's id.
const NO_SKU: &str = "";
/// The second layout, the only other so far.
const FORMAT: u8 = 2;

/// All fields of the second layout, in its order.
type Fields<S, N> = (S, N, u64, Option<Quantity>, Option<Price>, Option<u64>, Option<u64>, HoldTtl);

impl Serialize for Terms {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.fits_first_layout() {
            return (&self.sku, &self.name, self.stock, self.per_user_limit).serialize(serializer);
        }
        let fields: Fields<&Sku, &str> = (
            &self.sku,
            &self.name,
            self.stock,
            self.per_user_limit,
            self.price,
            self.starts_at_ms,
            self.ends_at_ms,
            self.hold_ttl,
        );
        (NO_SKU, FORMAT, fields).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Terms {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // At most: the second layout has three parts.
        const PARTS_MAX: usize = 4;
        deserializer.deserialize_tuple(PARTS_MAX, TermsVisitor)
    }
}

struct TermsVisitor;

impl<'de> Visitor<'de> for TermsVisitor {
    type Value = Terms;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the terms of a product")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Terms, A::Error> {
        let sku: String = part(&mut parts)?;
        if sku != NO_SKU {
            let sku = Sku::new(sku).map_err(de::Error::custom)?;
            let (name, stock): (String, u64) = (part(&mut parts)?, part(&mut parts)?);
            let per_user_limit = part(&mut parts)?;
            return Ok(Terms { per_user_limit, ..Terms::plain(sku, name, stock) });
        }
        let format: u8 = part(&mut parts)?;
        if format != FORMAT {
            return Err(de::Error::custom(format_args!(
                "the terms of a product have format {format}; this build reads up to {FORMAT}"
            )));
        }
        let fields: Fields<Sku, String> = part(&mut parts)?;
        let (sku, name, stock, per_user_limit, price, starts_at_ms, ends_at_ms, hold_ttl) = fields;
        Ok(Terms { sku, name, stock, per_user_limit, price, starts_at_ms, ends_at_ms, hold_ttl })
    }
}

fn part<'de, A: SeqAccess<'de>, T: Deserialize<'de>>(parts: &mut A) -> Result<T, A::Error> {
    parts.next_element()?.ok_or_else(|| de::Error::custom("the terms of a product break off"))
}

/// A change of a product's terms; what it does not name stays.
///
/// The rules for a running sale: every field may change at any time, and counts from the next
/// command on.
/// - *Window*: buys and new holds follow it at once; an open hold may be confirmed after the end.
/// - *Limit*: what a user has stays, also above a lower limit, and counts. A limit set on a
///   product without one counts what is bought and held from then on, as it counts anew when it
///   is taken away and set again.
/// - *Hold time*: open holds keep their deadline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProductUpdate {
    /// The product.
    pub sku: Sku,
    /// Refused unless this is the product's last change.
    pub if_match: Option<Seq>,
    /// Another name.
    pub name: Option<String>,
    /// Another limit, or none.
    pub per_user_limit: Edit<Quantity>,
    /// Another price, or none.
    pub price: Edit<Price>,
    /// Another start, or at once.
    pub starts_at_ms: Edit<u64>,
    /// Another end, or never.
    pub ends_at_ms: Edit<u64>,
    /// Another time for holds to come.
    pub hold_ttl: Option<HoldTtl>,
}

impl ProductUpdate {
    /// An update that changes nothing yet.
    pub fn of(sku: Sku) -> Self {
        Self {
            sku,
            if_match: None,
            name: None,
            per_user_limit: Edit::Keep,
            price: Edit::Keep,
            starts_at_ms: Edit::Keep,
            ends_at_ms: Edit::Keep,
            hold_ttl: None,
        }
    }
}

/// What becomes of a field that may be absent. In JSON: left out, `null`, or a value (RFC 7396).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Edit<T> {
    /// It stays.
    #[default]
    Keep,
    /// It is taken away.
    Clear,
    /// It is set.
    Set(T),
}

impl<T: Copy> Edit<T> {
    /// The field after the edit.
    pub fn applied_to(self, before: Option<T>) -> Option<T> {
        match self {
            Self::Keep => before,
            Self::Clear => None,
            Self::Set(value) => Some(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_steer_nothing() {
        for name in ["", "Tee, \"red\"", "T-Shirt für Zoë", "قميص", "x".repeat(256).as_str()]
        {
            assert_eq!(Terms::check_name(name), Ok(()), "{name}");
        }
        for name in
            ["a\nb", "\u{1b}[31m", "\u{85}", "a\u{202e}b", "\u{200f}", "ä".repeat(129).as_str()]
        {
            assert!(Terms::check_name(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn a_window_holds_its_start_and_not_its_end() {
        let sku = Sku::new("tee").unwrap();
        let (starts_at_ms, ends_at_ms) = (10, 20);
        let terms = Terms {
            starts_at_ms: Some(starts_at_ms),
            ends_at_ms: Some(ends_at_ms),
            ..Terms::plain(sku, "", 1)
        };
        assert_eq!(terms.check_open(9), Err(Refusal::NotOpen { starts_at_ms }));
        assert_eq!(terms.check_open(10), Ok(()));
        assert_eq!(terms.check_open(19), Ok(()));
        assert_eq!(terms.check_open(20), Err(Refusal::SaleOver { ends_at_ms }));
    }
}
