//! The terms of a product as flags: of `product create` and `product update`.

use super::Failure;
use clap::ValueEnum;
use clap::builder::PossibleValue;
use stock::api::{PatchProduct, PutProduct, Timestamp};
use stock::{Currency, Edit, HoldTtl, Quantity};

/// What can be said of a product besides its id and its stock.
#[derive(Debug, clap::Args)]
pub(crate) struct Terms {
    /// Its name, for people
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// What one unit costs, in minor units such as cents
    #[arg(long, requires = "currency")]
    price: Option<u64>,
    /// The currency of --price, such as EUR
    #[arg(long, requires = "price")]
    currency: Option<Currency>,
    /// The most units that one user may have, bought and held
    #[arg(long, visible_alias = "per-user-limit", value_parser = super::product::quantity)]
    limit: Option<Quantity>,
    /// When the sale opens, such as 2026-11-27T18:00:00Z
    #[arg(long, value_name = "TIME")]
    starts_at: Option<Timestamp>,
    /// When it is over
    #[arg(long, value_name = "TIME")]
    ends_at: Option<Timestamp>,
    /// How long a hold lasts that does not say, such as 90s or 10m
    #[arg(long, value_name = "TIME", value_parser = hold_ttl)]
    hold_ttl: Option<HoldTtl>,
    /// The same in milliseconds, as files and the API have it
    #[arg(long, value_name = "MS", value_parser = hold_ttl_ms, conflicts_with = "hold_ttl")]
    hold_ttl_ms: Option<HoldTtl>,
}

/// What an update can take away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Without {
    /// The price and its currency
    Price,
    /// The limit for each user
    #[value(alias = "per-user-limit")]
    Limit,
    /// The opening: the sale opens at once
    #[value(alias = "starts-at")]
    Start,
    /// The end: the sale goes on
    #[value(alias = "ends-at")]
    End,
    /// How long a hold lasts: ten minutes again
    #[value(alias = "hold-ttl-ms")]
    HoldTtl,
}

impl Terms {
    /// A new product on these terms.
    pub(crate) fn put(&self, name: String, stock: u64) -> PutProduct {
        PutProduct {
            name,
            stock,
            price: self.price,
            currency: self.currency,
            per_user_limit: self.limit,
            starts_at: self.starts_at,
            ends_at: self.ends_at,
            hold_ttl_ms: self.hold_ttl(),
        }
    }

    fn hold_ttl(&self) -> Option<HoldTtl> {
        self.hold_ttl.or(self.hold_ttl_ms)
    }

    /// An update to these terms.
    ///
    /// # Errors
    /// [`Failure::Usage`] when it would change nothing, or set what it takes away.
    pub(crate) fn patch(&self, without: &[Without]) -> Result<PatchProduct, Failure> {
        let patch = PatchProduct {
            name: self.name.clone(),
            price: edit(self.price, Without::Price, without)?,
            currency: edit(self.currency, Without::Price, without)?,
            per_user_limit: edit(self.limit, Without::Limit, without)?,
            starts_at: edit(self.starts_at, Without::Start, without)?,
            ends_at: edit(self.ends_at, Without::End, without)?,
            hold_ttl_ms: edit(self.hold_ttl(), Without::HoldTtl, without)?,
        };
        if patch == PatchProduct::default() {
            let why = "say what to change: --name, --price, --limit, --starts-at, …; see --help";
            return Err(Failure::Usage(why.into()));
        }
        Ok(patch)
    }
}

fn edit<T>(value: Option<T>, what: Without, without: &[Without]) -> Result<Edit<T>, Failure> {
    match (value, without.contains(&what)) {
        (Some(_), true) => {
            let what = what.to_possible_value();
            let what = what.as_ref().map_or("same", PossibleValue::get_name);
            Err(Failure::Usage(format!("it cannot set the {what} and take it away")))
        }
        (Some(value), false) => Ok(Edit::Set(value)),
        (None, true) => Ok(Edit::Clear),
        (None, false) => Ok(Edit::Keep),
    }
}

/// Reads how long a hold lasts, in milliseconds.
fn hold_ttl_ms(text: &str) -> Result<HoldTtl, String> {
    let ms = text.parse().map_err(|_| "it is a whole number of milliseconds".to_owned())?;
    HoldTtl::from_ms(ms).map_err(|why| why.to_string())
}

/// Reads how long a hold lasts: 1500ms, 90s, 10m or 1h.
pub(super) fn hold_ttl(text: &str) -> Result<HoldTtl, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit_ms = match &text[digits.len()..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err("write it with its unit, such as 90s, 10m or 1500ms".into()),
    };
    let number: u64 = digits.parse().map_err(|_| "it is a whole number with a unit".to_owned())?;
    HoldTtl::from_ms(number.saturating_mul(unit_ms)).map_err(|why| why.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hold_times_have_units() {
        for (text, ms) in [("1s", 1_000), ("1500ms", 1_500), ("10m", 600_000), ("24h", 86_400_000)]
        {
            assert_eq!(hold_ttl(text).unwrap().ms(), ms, "{text}");
        }
        assert_eq!(hold_ttl_ms("90000").unwrap().ms(), 90_000);
        assert!(hold_ttl_ms("90s").is_err() && hold_ttl_ms("999").is_err());
        for text in
            ["", "90", "s", "0s", "999ms", "25h", "1d", "-1s", "1.5s", "18446744073709551615h"]
        {
            assert!(hold_ttl(text).is_err(), "{text}");
        }
    }
}
