//! What each user has bought of each product that limits it.
//!
//! Products without a limit leave nothing here, so memory grows with the winners of limited sales
//! only. Rebuilt from the events on restore. Called by the machine.

use crate::hash::{Element, StateSum, quota_fingerprint};
use crate::{Quantity, Sku, UserId};
use std::collections::BTreeMap;

/// A user's account with one product, as it stood when a buy was decided.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Quota {
    key: u128,
    /// Units bought so far.
    pub(crate) bought: u64,
    /// The product's limit for one user.
    pub(crate) limit: Quantity,
}

/// Units bought, by user and product. Invariant, asserted at each change: none is above its limit.
#[derive(Debug, Default)]
pub(crate) struct QuotaTable {
    bought: BTreeMap<u128, u64>,
}

impl QuotaTable {
    /// The user's account with the product.
    pub(crate) fn of(&self, sku: &Sku, user: &UserId, limit: Quantity) -> Quota {
        let key = quota_fingerprint(sku, user);
        Quota { key, bought: self.bought.get(&key).copied().unwrap_or(0), limit }
    }

    /// Counts an accepted buy.
    ///
    /// # Panics
    /// When the buy passes the limit, or another came between its decision and now.
    pub(crate) fn raise(&mut self, quota: Quota, quantity: Quantity, sum: &mut StateSum) {
        let Quota { key, bought, limit } = quota;
        let after = bought + u64::from(quantity.get());
        assert!(
            after <= u64::from(limit.get()),
            "a user would have {after} units of a product limited to {limit}"
        );
        let before = self.bought.insert(key, after);
        assert!(
            before.unwrap_or(0) == bought,
            "decided on {bought} units bought, but the account says {before:?}"
        );
        if before.is_some() {
            sum.remove(Element::quota(key, bought));
        }
        sum.add(Element::quota(key, after));
    }

    /// Adds the hash of every account.
    pub(crate) fn hash_into(&self, sum: &mut StateSum) {
        for (key, bought) in &self.bought {
            sum.add(Element::quota(*key, *bought));
        }
    }
}
