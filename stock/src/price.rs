//! What a product costs: a figure for people and shops, with which the machine never reckons.

use crate::InvalidId;
use serde::{Deserialize, Serialize, Serializer};
use std::fmt;

/// What one unit costs. A figure for people and shops: the machine never adds prices up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Price {
    /// In minor units of the currency, such as cents; at most [`Price::MINOR_UNITS_MAX`].
    pub minor_units: u64,
    /// The currency.
    pub currency: Currency,
}

impl Price {
    /// The largest price. Exact in a JSON number.
    pub const MINOR_UNITS_MAX: u64 = 1_000_000_000_000_000;
}

/// A currency by its three-letter code of ISO 4217. Whether the code is assigned is not checked.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Currency([u8; 3]);

impl Currency {
    /// Checks the form of the code.
    ///
    /// # Errors
    /// [`InvalidId`] when it is not three capital letters.
    pub fn new(code: &str) -> Result<Self, InvalidId> {
        let rule = "use the three capital letters of ISO 4217, such as EUR";
        match <[u8; 3]>::try_from(code.as_bytes()) {
            Ok(letters) if letters.iter().all(u8::is_ascii_uppercase) => Ok(Self(letters)),
            _ => Err(InvalidId { kind: "currency", problem: "is not a currency code", rule }),
        }
    }

    /// The code.
    pub fn as_str(&self) -> &str {
        // Three ASCII letters, by construction.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl TryFrom<String> for Currency {
    type Error = InvalidId;
    fn try_from(code: String) -> Result<Self, InvalidId> {
        Self::new(&code)
    }
}

impl std::str::FromStr for Currency {
    type Err = InvalidId;
    fn from_str(code: &str) -> Result<Self, InvalidId> {
        Self::new(code)
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn currencies_are_three_capital_letters() {
        assert_eq!(Currency::new("EUR").unwrap().as_str(), "EUR");
        for code in ["", "EU", "EURO", "eur", "E1R", "ÄB"] {
            assert!(Currency::new(code).is_err(), "{code}");
        }
    }
}
