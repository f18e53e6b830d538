//! What a state says to one command: the pure leaves of the machine's decisions.
//!
//! Never changes anything and never looks at request ids. Called by apply and peek through
//! `Machine::decide`, and by restore, which holds each event against the state before it.

use super::MAX_PRODUCTS;
use super::catalog::Catalog;
use super::slot::Slot;
use crate::quota::{Quota, QuotaTable};
use crate::{
    HoldState, Item, Items, Outcome, Product, ProductUpdate, Quantity, Refusal, Seq, Settlement,
    Terms, UserId,
};

/// Whether a product can be created beside `products` others; else what is answered instead.
pub(super) fn create(
    existing: Option<&Product>,
    products: usize,
    terms: &Terms,
) -> Result<(), Outcome> {
    match existing {
        Some(product) if product.terms == *terms => {
            Err(Outcome::ProductUnchanged(Box::new(product.clone())))
        }
        Some(_) => Err(Outcome::Refused(Refusal::ProductDiffers)),
        None if products >= MAX_PRODUCTS => Err(Outcome::Refused(Refusal::TooManyProducts)),
        // The front checks this; the machine must hold even if a peer's front did not.
        None if terms.stock > Terms::STOCK_MAX => {
            Err(Outcome::Refused(Refusal::RestockOutOfRange { available: 0 }))
        }
        None => terms.check_window().map_err(Outcome::Refused),
    }
}

/// The terms of a product after an update; else what is answered instead.
pub(super) fn update(product: Option<&Product>, update: &ProductUpdate) -> Result<Terms, Outcome> {
    let Some(product) = product else {
        return Err(Outcome::Refused(Refusal::UnknownProduct));
    };
    if update.if_match.is_some_and(|version| version != product.seq) {
        return Err(Outcome::Refused(Refusal::VersionDiffers { seq: product.seq }));
    }
    let terms = product.terms.updated(update);
    if terms == product.terms {
        return Err(Outcome::ProductUnchanged(Box::new(product.clone())));
    }
    terms.check_window().map_err(Outcome::Refused)?;
    Ok(terms)
}

/// Whether an update can have led to these terms.
pub(super) fn updated(product: Option<&Product>, terms: &Terms) -> Result<(), Refusal> {
    let product = product.ok_or(Refusal::UnknownProduct)?;
    if terms.stock != product.terms.stock || *terms == product.terms {
        return Err(Refusal::ProductDiffers);
    }
    terms.check_window()
}

/// Whether units can be added to a product or taken back.
pub(super) fn restock(product: Option<&Product>, quantity: i64) -> Result<(), Refusal> {
    let product = product.ok_or(Refusal::UnknownProduct)?;
    let units = quantity.unsigned_abs();
    let in_range = match quantity {
        0 => false,
        1.. => product.stocked.checked_add(units).is_some_and(|all| all <= Terms::STOCK_MAX),
        ..0 => units <= product.available,
    };
    if in_range { Ok(()) } else { Err(Refusal::RestockOutOfRange { available: product.available }) }
}

/// Whether a user can buy; with the account to charge when the product has a limit.
///
/// The order of the checks is part of the contract: whether it is on sale at all, whether anything
/// is left, whether this user may have it, whether enough is left. "Sold out" comes before the
/// limit, so that it costs losers no look at the accounts.
pub(super) fn buy(
    slot: Option<&Slot>,
    quotas: &QuotaTable,
    (user, quantity): (&UserId, Quantity),
    now_ms: u64,
) -> Result<Option<Quota>, Refusal> {
    let slot = slot.ok_or(Refusal::UnknownProduct)?;
    let product = &slot.product;
    product.terms.check_open(now_ms)?;
    let units = u64::from(quantity.get());
    if product.available == 0 {
        return Err(Refusal::SoldOut);
    }
    let quota = product
        .terms
        .per_user_limit
        .map(|limit| quotas.of((&product.terms.sku, slot.limit_since), user, limit));
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

/// Whether a user can have given back these items, which the change `taken` took. Apply knows: it
/// has the order's request. Restore, which does not yet, must not trust an event.
pub(super) fn cancelled(
    products: &Catalog,
    quotas: &QuotaTable,
    (user, items): (&UserId, &Items),
    taken: Seq,
) -> Result<(), Refusal> {
    let can = |Item { sku, quantity }: &Item| {
        products.get(sku).is_some_and(|slot| {
            slot.product.sold >= quantity.get().into()
                && (!slot.counts(taken) || quotas.has((sku, slot.limit_since), user, *quantity))
        })
    };
    if items.as_slice().iter().all(can) { Ok(()) } else { Err(Refusal::UnknownOrder) }
}

/// Whether a hold can end by a request: of its user, or (`None`) of an operator.
pub(super) fn settle(hold: Option<HoldState<'_>>, by: Option<&UserId>) -> Result<(), Refusal> {
    match hold {
        Some(HoldState::Open(hold)) if by.is_none_or(|user| *user == hold.user) => Ok(()),
        // That others hold something is not told.
        None | Some(HoldState::Open(_)) => Err(Refusal::UnknownHold),
        Some(HoldState::Settled(Settlement::Expired { seq })) => Err(Refusal::HoldExpired { seq }),
        Some(HoldState::Settled(
            settlement @ (Settlement::Confirmed { .. } | Settlement::Released { .. }),
        )) => Err(Refusal::HoldSettled { settlement }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_limited_in_number() {
        let terms = Terms::plain("tee".parse().unwrap(), "", 1);
        assert_eq!(create(None, MAX_PRODUCTS - 1, &terms), Ok(()));
        let refused = Err(Outcome::Refused(Refusal::TooManyProducts));
        assert_eq!(create(None, MAX_PRODUCTS, &terms), refused);
    }
}
