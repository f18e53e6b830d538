//! The names of things: newtypes that cannot be swapped for one another, each with its limits.
//!
//! Ids are validated once, where they enter (`new`, or serde); inside they are trusted.
//!
//! Every buy has three of them, and passes through decoders and copies on each node. So short
//! ones, up to 23 bytes, are where they stand, and copies of longer ones share the text.

use serde::de::{Deserializer, Visitor};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

/// Why a text cannot be an id; says what would be accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} {problem}; {rule}")]
pub struct InvalidId {
    pub(crate) kind: &'static str,
    pub(crate) problem: &'static str,
    pub(crate) rule: &'static str,
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $max:literal, $allowed:expr, $rule:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(SmolStr);

        impl $name {
            /// The longest accepted text, in bytes.
            pub const BYTES_MAX: usize = $max;

            /// Checks the text against the rule of this id.
            ///
            /// # Errors
            /// [`InvalidId`] when it is empty, too long, or holds a character that is not allowed.
            pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidId> {
                let text = text.as_ref();
                let allowed: fn(u8) -> bool = $allowed;
                let problem = if text.is_empty() {
                    "is empty"
                } else if text.len() > Self::BYTES_MAX {
                    "is too long"
                } else if !text.bytes().all(allowed) {
                    "holds a character that is not allowed"
                } else {
                    return Ok(Self(SmolStr::new(text)));
                };
                Err(InvalidId { kind: $kind, problem, rule: $rule })
            }

            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        /// As the text; serde's `into` would copy it each time, and the machine hashes encodings.
        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(Checked(PhantomData))
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0.into()
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }
    };
}

/// Reads an id from a text that is not copied before it is checked.
struct Checked<T>(PhantomData<T>);

impl<T: FromStr<Err = InvalidId>> Visitor<'_> for Checked<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

text_id!(
    /// A product's id, as it stands in URLs.
    Sku,
    "product id",
    64,
    |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b':'),
    "use 1 to 64 of A-Z a-z 0-9 . _ - :"
);
text_id!(
    /// A buyer's id, given by the shop in front.
    UserId,
    "user id",
    128,
    |byte| byte.is_ascii_graphic(),
    "use 1 to 128 visible ASCII characters without spaces"
);
text_id!(
    /// The id of one request: the client's `Idempotency-Key`, or a UUIDv7 made by the first node.
    RequestId,
    "request id",
    128,
    |byte| byte.is_ascii_graphic(),
    "use 1 to 128 visible ASCII characters without spaces"
);

text_id!(
    /// The name of a cursor, as it stands in URLs.
    CursorName,
    "cursor name",
    64,
    |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b':'),
    "use 1 to 64 of A-Z a-z 0-9 . _ - :"
);

text_id!(
    /// What a cursor is for, in its owner's own words: an address, a queue, a table.
    CursorTarget,
    "cursor target",
    256,
    |byte| byte.is_ascii_graphic(),
    "use 1 to 256 visible ASCII characters without spaces"
);

/// A node of the cluster, as `--id` gives it: 1, 2, 3, …
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct NodeId(pub u64);

impl From<u64> for NodeId {
    fn from(id: u64) -> Self {
        Self(id)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of a change: the machine's version after it. The first change is 1, and 0 is the
/// empty machine. Order ids and event ids are `Seq`s.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Seq(pub u64);

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How many units one command moves: 1 to [`Quantity::MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct Quantity(u32);

impl Quantity {
    /// One unit.
    pub const ONE: Self = Self(1);
    /// The most units that one command may ask for.
    pub const MAX: u32 = 1_000_000;

    /// Checks the range.
    ///
    /// # Errors
    /// [`InvalidId`] when the number is 0 or above [`Quantity::MAX`].
    pub fn new(units: u64) -> Result<Self, InvalidId> {
        let problem = match u32::try_from(units) {
            Ok(0) => "is zero",
            Ok(units) if units <= Self::MAX => return Ok(Self(units)),
            _ => "is too large",
        };
        Err(InvalidId { kind: "quantity", problem, rule: "use 1 to 1000000" })
    }

    /// The number of units.
    pub fn get(self) -> u32 {
        self.0
    }
}

impl TryFrom<u64> for Quantity {
    type Error = InvalidId;
    fn try_from(units: u64) -> Result<Self, InvalidId> {
        Self::new(units)
    }
}

impl From<Quantity> for u64 {
    fn from(quantity: Quantity) -> u64 {
        quantity.0.into()
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
