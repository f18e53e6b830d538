//! What a state says to one command: the pure leaves of the machine's decisions.
//!
//! Never changes anything and never looks at request ids. Called by apply and peek through
//! `Machine::decide`, and by restore, which holds each event against the state before it.

use super::MAX_PRODUCTS;
use crate::quota::{Quota, QuotaTable};
use crate::{CreateProduct, Outcome, Product, Quantity, Refusal, UserId};

/// Whether a product can be created beside `products` others; else what is answered instead.
pub(super) fn create(
    existing: Option<&Product>,
    products: usize,
    terms: &CreateProduct,
) -> Result<(), Outcome> {
    match existing {
        Some(product) if product.terms == *terms => Err(Outcome::ProductUnchanged(product.clone())),
        Some(_) => Err(Outcome::Refused(Refusal::ProductDiffers)),
        None if products >= MAX_PRODUCTS => Err(Outcome::Refused(Refusal::TooManyProducts)),
        // The front checks this; the machine must hold even if a peer's front did not.
        None if terms.stock > CreateProduct::STOCK_MAX => {
            Err(Outcome::Refused(Refusal::RestockOutOfRange { available: 0 }))
        }
        None => Ok(()),
    }
}

/// Whether units can be added to a product or taken back.
pub(super) fn restock(product: Option<&Product>, quantity: i64) -> Result<(), Refusal> {
    let product = product.ok_or(Refusal::UnknownProduct)?;
    let units = quantity.unsigned_abs();
    let in_range = match quantity {
        0 => false,
        1.. => {
            product.stocked.checked_add(units).is_some_and(|all| all <= CreateProduct::STOCK_MAX)
        }
        ..0 => units <= product.available,
    };
    if in_range { Ok(()) } else { Err(Refusal::RestockOutOfRange { available: product.available }) }
}

/// Whether a user can buy; with the account to charge when the product has a limit.
///
/// The order of the checks is part of the contract. "Sold out" comes before the limit, so that
/// it costs losers no look at the accounts.
pub(super) fn buy(
    product: Option<&Product>,
    quotas: &QuotaTable,
    user: &UserId,
    quantity: Quantity,
) -> Result<Option<Quota>, Refusal> {
    let product = product.ok_or(Refusal::UnknownProduct)?;
    let units = u64::from(quantity.get());
    if product.available == 0 {
        return Err(Refusal::SoldOut);
    }
    let quota =
        product.terms.per_user_limit.map(|limit| quotas.of(&product.terms.sku, user, limit));
    if let Some(Quota { bought, limit, .. }) = quota
        && bought + units > u64::from(limit.get())
    {
        return Err(Refusal::LimitReached { limit, bought });
    }
    if units > product.available {
        return Err(Refusal::Insufficient { remaining: product.available });
    }
    Ok(quota)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_limited_in_number() {
        let terms = CreateProduct {
            sku: "tee".parse().unwrap(),
            name: String::new(),
            stock: 1,
            per_user_limit: None,
        };
        assert_eq!(create(None, MAX_PRODUCTS - 1, &terms), Ok(()));
        let refused = Err(Outcome::Refused(Refusal::TooManyProducts));
        assert_eq!(create(None, MAX_PRODUCTS, &terms), refused);
    }
}
