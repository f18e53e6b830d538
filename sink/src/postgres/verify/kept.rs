//! Products and open holds, which are few enough to be kept whole.

use super::{Tell, differs};
use crate::changes::Changes;
use crate::postgres::{signed, unsigned};
use std::collections::{BTreeMap, BTreeSet};
use stock::api::{HoldView, LineView, ProductView, PutProduct};
use stock::{Quantity, Seq, Sku};
use tokio_postgres::{Error, Row, Transaction};

/// See the module.
#[derive(Default)]
pub(super) struct Kept {
    pub(super) products: BTreeMap<Sku, Product>,
    pub(super) holds: BTreeMap<Seq, OpenHold>,
}

impl Kept {
    /// Puts on top what happened since the state was taken.
    pub(super) fn later(&mut self, since: &Changes) {
        for (sku, new) in &since.terms {
            let product = self.products.entry(sku.clone()).or_default();
            product.terms(&new.terms);
            if new.created {
                let stock = signed(new.terms.stock);
                product.counts = [stock, stock, 0, 0];
            }
        }
        for (sku, moved) in &since.moved {
            let product = self.products.entry(sku.clone()).or_default();
            let more = [moved.stocked, moved.available(), moved.held, moved.sold];
            for (count, more) in product.counts.iter_mut().zip(more) {
                *count += more;
            }
        }
        for hold in &since.holds {
            let items = in_words(hold.items.iter().map(|line| (&line.product_id, line.quantity)));
            let (user, expires_ms) = (hold.user_id.to_string(), hold.expires_at.ms());
            self.holds.insert(hold.hold_id, OpenHold::of_cluster(user, items, expires_ms));
        }
        for hold in since.ended.keys() {
            self.holds.remove(hold);
        }
    }

    pub(super) async fn compare_products(
        &self,
        transaction: &Transaction<'_>,
        tell: Tell<'_>,
    ) -> Result<(), Error> {
        let rows = transaction
            .query(
                "SELECT product_id, name, price, currency, per_user_limit,
                    (extract(epoch FROM starts_at) * 1000)::bigint,
                    (extract(epoch FROM ends_at) * 1000)::bigint,
                    stocked, available, held, sold, hold_ttl_ms FROM products ORDER BY product_id",
                &[],
            )
            .await?;
        let mut missing: Vec<&Sku> = self.products.keys().collect();
        for row in rows {
            let id: String = row.get(0);
            let cluster = Sku::new(id.clone()).ok().and_then(|sku| self.products.get(&sku));
            missing.retain(|sku| sku.as_str() != id);
            let Some(cluster) = cluster else {
                tell(&format!("product {id} is in the database and not in the cluster"));
                continue;
            };
            for ((what, here), (_, there)) in cluster.told().iter().zip(Product::read(&row).told())
            {
                if *here != there {
                    differs(tell, &format_args!("product {id}"), (what, here, &there));
                }
            }
        }
        for id in missing {
            tell(&format!("product {id} is in the cluster and not in the database"));
        }
        Ok(())
    }

    /// Compares what the state tells of open holds, and returns what was found to differ: the
    /// changes tell some of it once more.
    pub(super) async fn compare_holds(
        &self,
        transaction: &Transaction<'_>,
        tell: Tell<'_>,
    ) -> Result<BTreeSet<(Seq, &'static str)>, Error> {
        let rows = transaction
            .query(
                "SELECT hold_id, holds.user_id, items::text,
                    (extract(epoch FROM expires_at) * 1000)::bigint, ended_by::text, request_id,
                    seq IS NOT NULL
                    FROM holds LEFT JOIN stock_events ON seq = hold_id AND change = 'held'
                    WHERE state = 'open' ORDER BY hold_id",
                &[],
            )
            .await?;
        let (mut there, mut differ) = (Vec::with_capacity(rows.len()), BTreeSet::new());
        for row in rows {
            let id = Seq(unsigned(row.get(0)));
            there.push(id);
            let Some(cluster) = self.holds.get(&id) else {
                tell(&format!("hold {id} is open in the database and not in the cluster"));
                continue;
            };
            let found = OpenHold::read(&row);
            for ((what, here), (_, there)) in cluster.told().iter().zip(found.told()) {
                if *here != there {
                    differs(tell, &format_args!("hold {id}"), (what, here, &there));
                    differ.insert((id, *what));
                }
            }
        }
        for id in self.holds.keys().filter(|id| there.binary_search(id).is_err()) {
            tell(&format!("hold {id} is open in the cluster and not in the database"));
        }
        Ok(differ)
    }
}

/// A product, as far as both sides know it.
#[derive(Debug, Default)]
pub(super) struct Product {
    name: String,
    price: Option<u64>,
    currency: Option<String>,
    per_user_limit: Option<u32>,
    starts_ms: Option<u64>,
    ends_ms: Option<u64>,
    hold_ttl_ms: Option<u64>,
    /// Stocked, available, held, sold.
    counts: [i64; 4],
}

impl Product {
    pub(super) fn of(view: &ProductView) -> Self {
        Self {
            name: view.name.clone(),
            price: view.price,
            currency: view.currency.as_ref().map(|code| code.as_str().to_owned()),
            per_user_limit: view.per_user_limit.map(stock::Quantity::get),
            starts_ms: view.starts_at.map(stock::api::Timestamp::ms),
            ends_ms: view.ends_at.map(stock::api::Timestamp::ms),
            hold_ttl_ms: Some(view.hold_ttl_ms.ms()),
            counts: [view.stocked, view.available, view.held, view.sold].map(signed),
        }
    }

    fn terms(&mut self, terms: &PutProduct) {
        self.name.clone_from(&terms.name);
        self.price = terms.price;
        self.currency = terms.currency.as_ref().map(|code| code.as_str().to_owned());
        self.per_user_limit = terms.per_user_limit.map(stock::Quantity::get);
        self.starts_ms = terms.starts_at.map(stock::api::Timestamp::ms);
        self.ends_ms = terms.ends_at.map(stock::api::Timestamp::ms);
        self.hold_ttl_ms = terms.hold_ttl_ms.map(stock::HoldTtl::ms);
    }

    fn read(row: &Row) -> Self {
        let number = |at: usize| row.get::<_, Option<i64>>(at).map(unsigned);
        Self {
            name: row.get(1),
            price: number(2),
            currency: row.get(3),
            per_user_limit: number(4).map(|limit| u32::try_from(limit).unwrap_or(u32::MAX)),
            starts_ms: number(5),
            ends_ms: number(6),
            hold_ttl_ms: number(11),
            counts: [7, 8, 9, 10].map(|at| row.get(at)),
        }
    }

    fn told(&self) -> [(&'static str, String); 11] {
        let [stocked, available, held, sold] = self.counts.map(|count| count.to_string());
        [
            ("name", self.name.clone()),
            ("price", or_none(self.price.as_ref())),
            ("currency", or_none(self.currency.as_ref())),
            ("per_user_limit", or_none(self.per_user_limit.as_ref())),
            ("starts_at", or_none(self.starts_ms.as_ref())),
            ("ends_at", or_none(self.ends_ms.as_ref())),
            ("hold_ttl_ms", or_none(self.hold_ttl_ms.as_ref())),
            ("stocked", stocked),
            ("available", available),
            ("held", held),
            ("sold", sold),
        ]
    }
}

/// An open hold, as far as both sides know it.
#[derive(Debug)]
pub(super) struct OpenHold {
    user: String,
    items: String,
    expires_ms: u64,
    /// Of one whose making no change tells: no state tells it either.
    request: Option<String>,
    /// Of an open one there is none.
    ended_by: Option<String>,
}

impl OpenHold {
    pub(super) fn of(view: &HoldView) -> Self {
        let items = in_words(view.items.iter().map(|item| (&item.product_id, item.quantity)));
        Self::of_cluster(view.user_id.to_string(), items, view.expires_at.ms())
    }

    fn of_cluster(user: String, items: String, expires_ms: u64) -> Self {
        Self { user, items, expires_ms, request: None, ended_by: None }
    }

    /// What the changes of the database tell of it is compared with these, not here.
    fn read(row: &Row) -> Self {
        let (text, was_told): (&str, bool) = (row.get(2), row.get(6));
        let items = if was_told {
            serde_json::from_str::<Vec<LineView>>(text)
                .map(|items| in_words(items.iter().map(|line| (&line.product_id, line.quantity))))
        } else {
            serde_json::from_str::<Vec<ItemOnly>>(text)
                .map(|items| in_words(items.iter().map(|item| (&item.product_id, item.quantity))))
        };
        Self {
            user: row.get(1),
            items: items.unwrap_or_else(|_| text.to_owned()),
            expires_ms: unsigned(row.get(3)),
            request: row.get::<_, Option<String>>(5).filter(|_| !was_told),
            ended_by: row.get(4),
        }
    }

    fn told(&self) -> [(&'static str, String); 5] {
        [
            ("user_id", self.user.clone()),
            ("items", self.items.clone()),
            ("expires_at", self.expires_ms.to_string()),
            ("request_id", or_none(self.request.as_ref())),
            ("ended_by", or_none(self.ended_by.as_ref())),
        ]
    }
}

fn or_none(value: Option<&impl ToString>) -> String {
    value.map_or("none".to_owned(), ToString::to_string)
}

fn in_words<'a>(items: impl Iterator<Item = (&'a Sku, Quantity)>) -> String {
    items.map(|(sku, units)| format!("{units} {sku}")).collect::<Vec<_>>().join(", ")
}

/// An item as a state has it, and nothing else.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct ItemOnly {
    product_id: Sku,
    quantity: Quantity,
}
