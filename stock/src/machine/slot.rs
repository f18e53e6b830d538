//! A product in the machine: its public state, what only the machine keeps of it, and its hash.
//!
//! Called by the machine and its decisions.

use crate::hash::Element;
use crate::{Product, Seq};

/// A product and its hash as it stands in the sum; none before it was first added.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    pub(super) product: Product,
    /// The update that set a limit where there was none; 0 when it is the creation's. What was
    /// bought or held up to then does not count.
    pub(super) limit_since: Seq,
    /// The change since which nothing has been available; none while something is.
    pub(super) sold_out_since: Option<Seq>,
    pub(super) hashed: Option<Element>,
    pub(super) stale: bool,
}

impl Slot {
    /// A product that was just created, its hash yet to be taken.
    pub(super) fn new(product: Product) -> Self {
        let sold_out_since = (product.available == 0).then_some(product.seq);
        Self { product, limit_since: Seq(0), sold_out_since, hashed: None, stale: true }
    }

    /// Whether what the change `taken` took counts against its user's limit.
    pub(super) fn counts(&self, taken: Seq) -> bool {
        self.product.terms.per_user_limit.is_some() && taken > self.limit_since
    }

    /// The hash of all of it.
    pub(super) fn element(&self) -> Element {
        // The first build had neither: in its histories a sold-out product did not change any
        // more. There the hash must be that of the product alone.
        match (self.limit_since, self.sold_out_since) {
            (limit, Some(sold_out)) if sold_out != self.product.seq => {
                Element::product_sold_out_earlier(&self.product, limit, sold_out)
            }
            (Seq(0), _) => Element::product(&self.product),
            (limit, _) => Element::product_limited_later(&self.product, limit),
        }
    }
}
