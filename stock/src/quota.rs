//! What each user has, bought or held, of each product that limits it.
//!
//! Products without a limit leave nothing here, so memory grows with the winners of limited sales
//! only. Rebuilt from the events on restore. Called by the machine.

use crate::hash::{Element, StateSum, quota_fingerprint};
use crate::paged::PagedMap;
use crate::{Quantity, Seq, Sku, UserId};

/// A user's account with one product, as it stood when a buy was decided.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Quota {
    key: u128,
    /// Units bought or held so far.
    pub(crate) bought: u64,
    /// The product's limit for one user.
    pub(crate) limit: Quantity,
}

/// Units bought, by user and product. Invariant, asserted at each change: none rises
/// above its limit.
#[derive(Debug, Clone, Default)]
pub(crate) struct QuotaTable {
    bought: PagedMap<u64>,
}

impl QuotaTable {
    /// The user's account with the product under the limit that was set at `since`; 0 when it was
    /// there from the start. A limit that is set again opens new accounts.
    pub(crate) fn of(&self, (sku, since): (&Sku, Seq), user: &UserId, limit: Quantity) -> Quota {
        let key = quota_fingerprint(sku, since, user);
        Quota { key, bought: self.bought.get(key).copied().unwrap_or(0), limit }
    }

    /// Counts an accepted buy or hold.
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

    /// Whether so much was counted.
    pub(crate) fn has(&self, (sku, since): (&Sku, Seq), user: &UserId, quantity: Quantity) -> bool {
        let key = quota_fingerprint(sku, since, user);
        self.bought.get(key).is_some_and(|bought| *bought >= quantity.get().into())
    }

    /// Gives back what was counted before.
    ///
    /// # Panics
    /// When less was counted.
    pub(crate) fn lower(
        &mut self,
        (sku, since): (&Sku, Seq),
        user: &UserId,
        quantity: Quantity,
        sum: &mut StateSum,
    ) {
        let key = quota_fingerprint(sku, since, user);
        let before = self.bought.remove(key).unwrap_or(0);
        let Some(after) = before.checked_sub(quantity.get().into()) else {
            panic!("{user} gives back {quantity} of {sku}, but has {before}");
        };
        sum.remove(Element::quota(key, before));
        if after > 0 {
            self.bought.insert(key, after);
            sum.add(Element::quota(key, after));
        }
    }

    /// Takes the accounts of an empty table. Their hashes are the caller's.
    pub(crate) fn set(&mut self, bought: PagedMap<u64>) {
        assert!(self.bought.is_empty(), "accounts replace accounts");
        self.bought = bought;
    }

    /// Adds the hash of every account.
    pub(crate) fn hash_into(&self, sum: &mut StateSum) {
        for (key, bought) in self.bought.iter() {
            sum.add(Element::quota(key, bought));
        }
    }
}
