//! The chain of receipts over orders, recomputed: from nodes' copies, or from one that somebody
//! kept.
//!
//! Owns: the walk, page by page and all nodes in step, so that it takes no more room for ten
//! million orders than for ten. Never does: believe a receipt; each is computed from the order and
//! the one before. Called by `flashctl order verify`.
//!
//! Receipts have no key, so whoever alters an order can compute all that follow anew: a chain that
//! fits shows that nothing was damaged, and only two copies beside each other show what was sold.
//! Nor do they cover whether an order was cancelled, which is compared for itself.

mod kept;

pub use kept::{Beside, Compared, CopyError, KeptCopy, VerifyError};

use crate::orders::ORDERS_PAGE_MAX;
use crate::{Client, ClientError};
use reqwest::Method;
use std::fmt;
use stock::api::{OrderList, OrderView};
use stock::{Receipt, Seq};

/// What a verification came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verified {
    /// Every order fits, in every copy.
    Sound {
        /// How many there are.
        orders: u64,
        /// The receipt of the last.
        receipt: Receipt,
    },
    /// One does not; those before it do.
    Misfit(Misfit),
}

/// The first order that does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// In whose copy: the position of a node; none of a kept copy.
    pub node: Option<usize>,
    /// The order's id.
    pub order: Seq,
    /// Which order it should be, counted from 1.
    pub place: u64,
    /// What is wrong.
    pub why: Why,
}

/// Why an order does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// It has another receipt than it and those before it lead to.
    Receipt {
        /// As it is in the copy.
        told: Receipt,
        /// As it must be.
        computed: Receipt,
    },
    /// It is said to be another in number.
    Place {
        /// As it is in the copy.
        told: u64,
    },
    /// It does not come after the one before.
    Order,
    /// Another node has another order there, or says something else of it.
    Copies {
        /// The position of that node.
        other: usize,
    },
    /// Another node has it, this one does not.
    Missing {
        /// The position of that node.
        other: usize,
    },
    /// Another node has it cancelled in a state that is no newer than this one's, where it is not.
    Cancels {
        /// The position of that node.
        other: usize,
    },
    /// The cluster has another order in that place.
    Another {
        /// The id of that order.
        order: Seq,
        /// Its receipt.
        receipt: Receipt,
    },
    /// The cluster has fewer orders.
    Beyond,
    /// The cluster has it; the copy says that it is of a later state, and has it not.
    Left {
        /// The state that the copy says it is of.
        at: Seq,
    },
    /// The copy has it cancelled, and the cluster has not.
    Mark,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Receipt { told, computed } => write!(
                f,
                "its receipt is {told}, but it and the orders before it lead to {computed}"
            ),
            Self::Place { told } => write!(f, "it is said to be order {told}"),
            Self::Order => f.write_str("it does not come after the one before it"),
            Self::Copies { .. } => f.write_str("the copies of two nodes differ in it"),
            Self::Missing { .. } => f.write_str("one node has it, another does not"),
            Self::Cancels { .. } => {
                f.write_str("the second has it cancelled, and the first, of a state no older, not")
            }
            Self::Another { order, receipt } => {
                write!(f, "the cluster has order {order} there, with receipt {receipt}")
            }
            Self::Beyond => f.write_str("the cluster has fewer orders"),
            Self::Left { at } => {
                write!(f, "the cluster has it, and the copy, which is of seq {at}, does not")
            }
            Self::Mark => f.write_str("it is cancelled in the copy, and not in the cluster"),
        }
    }
}

/// Takes orders one after the other, from the first on.
#[derive(Debug, Clone, Copy, Default)]
pub struct Walk {
    orders: u64,
    last: Seq,
    receipt: Receipt,
}

impl Walk {
    /// Checks the next order.
    ///
    /// # Errors
    /// [`Misfit`] when it cannot be the next.
    pub fn step(&mut self, order: &OrderView) -> Result<(), Misfit> {
        let place = self.orders + 1;
        let misfit = |why| Misfit { node: None, order: order.order_id, place, why };
        if order.order_id <= self.last || order.seq != order.order_id {
            return Err(misfit(Why::Order));
        }
        let (told, computed) = (order.receipt, order.receipt_after(self.receipt));
        if told != computed {
            return Err(misfit(Why::Receipt { told, computed }));
        }
        if order.place != place {
            return Err(misfit(Why::Place { told: order.place }));
        }
        *self = Self { orders: place, last: order.order_id, receipt: computed };
        Ok(())
    }

    /// What it came to.
    pub fn end(self) -> Verified {
        Verified::Sound { orders: self.orders, receipt: self.receipt }
    }
}

impl Client {
    /// Checks the copies of these nodes, each for itself and against the others, up to the newest
    /// order that the cluster has acknowledged by now.
    ///
    /// # Errors
    /// [`ClientError::Unavailable`] when one of them does not answer.
    pub async fn verify(&self, nodes: &[usize]) -> Result<Verified, ClientError> {
        // Linearizable, and then the least that each node must have applied.
        let newest: OrderList = self.ask(Method::GET, "v1/orders?limit=1", None).await?;
        let mut copies: Vec<(usize, Walk)> =
            nodes.iter().map(|node| (*node, Walk::default())).collect();
        let mut after = Seq(0);
        loop {
            let mut pages = Vec::with_capacity(copies.len());
            for (node, _) in &copies {
                pages.push(self.page(*node, after, newest.seq).await?);
            }
            if let Some(misfit) = compare(&mut copies, &pages) {
                return Ok(Verified::Misfit(misfit));
            }
            // Where the shortest page ends; the rest comes again.
            match pages.iter().map(|page| page.next_after).min().flatten() {
                Some(next) if next < newest.seq => after = next,
                _ => break,
            }
        }
        let walk = copies.first().map_or_else(Walk::default, |(_, walk)| *walk);
        Ok(walk.end())
    }

    /// The orders after one, at most up to `newest`, as this node holds them.
    async fn page(&self, node: usize, after: Seq, newest: Seq) -> Result<OrderList, ClientError> {
        let limit = ORDERS_PAGE_MAX;
        let path =
            format!("v1/orders?after={after}&limit={limit}&consistency=stale&min_seq={newest}");
        let mut page: OrderList = self.ask_one(node, Method::GET, &path, None).await?;
        page.orders.retain(|order| order.order_id <= newest);
        // An order beyond it ends the page there.
        page.next_after = page.next_after.filter(|next| *next < newest);
        Ok(page)
    }
}

/// Takes the next page of each copy.
fn compare(copies: &mut [(usize, Walk)], pages: &[OrderList]) -> Option<Misfit> {
    let longest = pages.iter().map(|page| page.orders.len()).max().unwrap_or(0);
    for at in 0..longest {
        let holds = |((node, _), page): (&(usize, Walk), &OrderList)| {
            Some((*node, page.orders.get(at)?.clone()))
        };
        let Some((other, known)) = copies.iter().zip(pages).find_map(holds) else {
            break;
        };
        for ((node, walk), page) in copies.iter_mut().zip(pages) {
            let misfit = |why| {
                let (node, order, place) = (Some(*node), known.order_id, walk.orders + 1);
                Some(Misfit { node, order, place, why })
            };
            match page.orders.get(at) {
                None => return misfit(Why::Missing { other }),
                Some(order) if !same(&known, order) => return misfit(Why::Copies { other }),
                Some(order) => {
                    if let Err(found) = walk.step(order) {
                        return Some(Misfit { node: Some(*node), ..found });
                    }
                }
            }
        }
        if let Some((node, other)) = contradict(copies, pages, at) {
            let (why, place) = (Why::Cancels { other }, known.place);
            return Some(Misfit { node: Some(node), order: known.order_id, place, why });
        }
    }
    None
}

/// Two nodes of which the first does not have an order cancelled that the second has, in a state
/// no newer. An order once cancelled stays so; the marks of a page are those of its `seq`.
fn contradict(copies: &[(usize, Walk)], pages: &[OrderList], at: usize) -> Option<(usize, usize)> {
    let of = |cancelled: bool| {
        let marked = move |page: &OrderList| page.orders[at].cancelled == cancelled;
        let each = copies.iter().zip(pages).filter(move |(_, page)| marked(page));
        each.map(|((node, _), page)| (page.seq, *node))
    };
    let (newest, node) = of(false).max()?;
    let (oldest, other) = of(true).min()?;
    (newest >= oldest).then_some((node, other))
}

/// Whether two copies of an order are of the same, cancelled or not.
fn same(left: &OrderView, right: &OrderView) -> bool {
    let right = OrderView { cancelled: left.cancelled, ..right.clone() };
    *left == right
}

#[cfg(test)]
mod tests {
    use super::*;
    use stock::api::LineView;

    /// So many orders, each of two units, with the receipts that they must have.
    pub(super) fn chain(count: u64) -> Vec<OrderView> {
        let mut before = Receipt::START;
        let order = |place: u64| {
            let mut order = OrderView {
                order_id: Seq(place * 2),
                user_id: format!("user-{place}").parse().unwrap(),
                request_id: format!("key-{place}").parse().unwrap(),
                items: vec![LineView {
                    product_id: "tee".parse().unwrap(),
                    quantity: stock::Quantity::new(2).unwrap(),
                    remaining: 100 - place,
                }],
                hold_id: None,
                cancelled: false,
                place,
                receipt: Receipt::START,
                at_ms: 1_000 + place,
                seq: Seq(place * 2),
            };
            order.receipt = order.receipt_after(before);
            before = order.receipt;
            order
        };
        (1..=count).map(order).collect()
    }

    #[test]
    fn copies_are_compared_order_by_order() {
        let orders = chain(4);
        let page = |orders: &[OrderView]| OrderList {
            orders: orders.to_vec(),
            next_after: None,
            seq: Seq(8),
        };
        let both = |first: &[OrderView], second: &[OrderView]| {
            let mut copies = [(0, Walk::default()), (2, Walk::default())];
            compare(&mut copies, &[page(first), page(second)])
        };
        let compared = |second: &[OrderView]| both(&orders, second);
        assert_eq!(compared(&orders), None);
        let mut altered = orders.clone();
        altered[2].items[0].remaining += 1;
        let misfit = compared(&altered).unwrap();
        assert_eq!((misfit.node, misfit.order, misfit.place), (Some(2), Seq(6), 3));
        assert_eq!(misfit.why, Why::Copies { other: 0 });
        let misfit = compared(&orders[..3]).unwrap();
        assert_eq!((misfit.place, misfit.why), (4, Why::Missing { other: 0 }));
        let misfit = both(&orders[..3], &orders).unwrap();
        assert_eq!((misfit.node, misfit.why), (Some(0), Why::Missing { other: 2 }), "either way");
    }

    #[test]
    fn marks_of_cancels_are_compared_where_one_state_must_have_the_others() {
        let orders = chain(3);
        let mut cancelled = orders.clone();
        cancelled[1].cancelled = true;
        let page = |orders: &[OrderView], seq| OrderList {
            orders: orders.to_vec(),
            next_after: None,
            seq: Seq(seq),
        };
        let compared = |pages: &[OrderList]| {
            let mut copies: Vec<(usize, Walk)> =
                (0..pages.len()).map(|node| (node, Walk::default())).collect();
            compare(&mut copies, pages)
        };
        let later = [page(&orders, 7), page(&cancelled, 8)];
        assert_eq!(compared(&later), None, "cancelled between the two states");
        let misfit = |node, other| {
            let why = Why::Cancels { other };
            Some(Misfit { node: Some(node), order: Seq(4), place: 2, why })
        };
        let one_state = [page(&cancelled, 8), page(&orders, 8)];
        assert_eq!(compared(&one_state), misfit(1, 0));
        let undone = [page(&orders, 9), page(&cancelled, 8)];
        assert_eq!(compared(&undone), misfit(0, 1));
        // The first fits beside either of the others, which do not fit beside each other.
        let three = [page(&orders, 7), page(&cancelled, 8), page(&orders, 9)];
        assert_eq!(compared(&three), misfit(2, 1));
    }
}
