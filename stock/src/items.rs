//! What a basket or a hold takes: units of one or several products, all or none.
//!
//! Owns their bounds and their one order. Never looks at a product. Called by the machine, and by
//! the front, which builds them from JSON.

use crate::{Quantity, Sku};
use serde::{Deserialize, Serialize};

/// Units of one product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// The product.
    pub sku: Sku,
    /// Units.
    pub quantity: Quantity,
}

/// Units of 1 to [`Items::MAX`] products, by product id, each once.
///
/// Kept in order so that the same basket, however it was written down, is the same request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Item>")]
pub struct Items(Box<[Item]>);

/// Why a list of items is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidItems {
    /// There is nothing in it.
    #[error("holds no item; use 1 to {}", Items::MAX)]
    Empty,
    /// There is too much in it.
    #[error("holds {count} items; use 1 to {}", Items::MAX)]
    TooMany {
        /// How many there are.
        count: usize,
    },
    /// A product is in it twice; a sum would hide what was meant.
    #[error("names the product {sku} twice; name it once, with the sum")]
    Twice {
        /// The product.
        sku: Sku,
    },
}

impl Items {
    /// The most products in one list.
    pub const MAX: usize = 20;

    /// Units of one product.
    pub fn one(sku: Sku, quantity: Quantity) -> Self {
        Self(Box::new([Item { sku, quantity }]))
    }

    /// Puts the items in order.
    ///
    /// # Errors
    /// [`InvalidItems`] when there are none or too many, or a product comes twice.
    pub fn new(mut items: Vec<Item>) -> Result<Self, InvalidItems> {
        match items.len() {
            0 => return Err(InvalidItems::Empty),
            count if count > Self::MAX => return Err(InvalidItems::TooMany { count }),
            _ => {}
        }
        items.sort_by(|left, right| left.sku.cmp(&right.sku));
        match items.windows(2).find(|pair| pair[0].sku == pair[1].sku) {
            Some(pair) => Err(InvalidItems::Twice { sku: pair[0].sku.clone() }),
            None => Ok(Self(items.into())),
        }
    }

    /// The items, by product id.
    pub fn as_slice(&self) -> &[Item] {
        &self.0
    }
}

impl TryFrom<Vec<Item>> for Items {
    type Error = InvalidItems;
    fn try_from(items: Vec<Item>) -> Result<Self, InvalidItems> {
        Self::new(items)
    }
}

/// Units of one product that a change moved, and what it left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The product.
    pub sku: Sku,
    /// Units moved.
    pub quantity: Quantity,
    /// Units available right after.
    pub available: u64,
}

/// The items of the lines of a recorded change.
///
/// # Errors
/// [`InvalidItems`] when no change can have had these lines.
pub(crate) fn items_of(lines: &[Line]) -> Result<Items, InvalidItems> {
    let item = |line: &Line| Item { sku: line.sku.clone(), quantity: line.quantity };
    Items::new(lines.iter().map(item).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(sku: &str) -> Item {
        Item { sku: sku.parse().unwrap(), quantity: Quantity::ONE }
    }

    #[test]
    fn lists_are_ordered_and_bounded() {
        let items = Items::new(vec![item("tee"), item("cap")]).unwrap();
        assert_eq!(items, Items::new(vec![item("cap"), item("tee")]).unwrap());
        assert_eq!(Items::new(Vec::new()), Err(InvalidItems::Empty));
        let many = |count: usize| (0..count).map(|at| item(&format!("p{at}"))).collect();
        assert!(Items::new(many(20)).is_ok());
        assert_eq!(Items::new(many(21)), Err(InvalidItems::TooMany { count: 21 }));
        let sku = "tee".parse().unwrap();
        let twice = vec![item("tee"), item("cap"), item("tee")];
        assert_eq!(Items::new(twice), Err(InvalidItems::Twice { sku }));
    }
}
