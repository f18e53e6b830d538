//! The database against the cluster, at one `seq`.
//!
//! Owns: the comparison. The cluster's state is read at its `seq` S, the database in one
//! repeatable-read transaction at its position P, which must have reached S; the changes from S to
//! P, a few, are put on top of the state. Orders are compared as two streams by id, so ten million
//! take no more room than ten; products and open holds are kept whole. Never does: repair.

use super::{Database, lost, unsigned};
use crate::changes::{Changes, OrderRow};
use crate::feed::Feed;
use crate::source::{Source, SourceError, State};
use crate::target::TargetError;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use stock::api::{ExportLine, ItemView, LineView, ProductView};
use stock::{Seq, Sku};
use tokio::time::{Instant, sleep};
use tokio_postgres::{Client, IsolationLevel, Row, Transaction};

/// Between two looks whether the database has come so far.
const LOOK: Duration = Duration::from_millis(100);
/// Orders that are read from the database at once.
const PAGE: i64 = 2_000;
/// How long the changes between the two may take.
const BETWEEN_MAX: Duration = Duration::from_secs(30);

/// What a comparison came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Compared {
    /// What both were compared at.
    pub seq: Seq,
    /// Orders of the cluster.
    pub orders: u64,
    /// Products of the cluster.
    pub products: u64,
    /// Open holds of the cluster.
    pub holds: u64,
    /// Differences found, those that were told and all others.
    pub differences: u64,
}

/// Why nothing could be compared.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The database.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The cluster.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The database is behind.
    #[error(
        "the database stands at {position} and the cluster at {seq}: {} changes are missing; does \
         a sink run?",
        seq.0 - position.0
    )]
    Behind {
        /// Where the database stands.
        position: Seq,
        /// Where the cluster is.
        seq: Seq,
    },
}

/// Compares, and tells each difference as it is found.
///
/// # Errors
/// [`VerifyError`]; a difference is none.
pub async fn verify<S: Source>(
    source: &Arc<S>,
    database: &Database,
    patience: Duration,
    mut tell: impl FnMut(&dyn fmt::Display),
) -> Result<Compared, VerifyError> {
    let standing = source.standing().await?;
    let mut client = database.connect().await?;
    // Once before the state is begun, which a node does not keep open for long.
    reach(&client, &standing.cluster_id, standing.newest, patience).await?;
    let state = source.state().await?;
    let seq = state.seq();
    reach(&client, &standing.cluster_id, seq, patience).await?;
    let transaction = client
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await
        .map_err(lost)?;
    let position = position(&transaction).await?;
    let since = between(source, seq, position).await?;
    let mut differences = 0;
    let mut tell = |difference: &dyn fmt::Display| {
        differences += 1;
        tell(difference);
    };
    let mut comparison = Comparison { transaction: &transaction, since, tell: &mut tell };
    let mut compared = comparison.state(state).await?;
    comparison.events(position).await.map_err(lost)?;
    compared.seq = position;
    compared.differences = differences;
    Ok(compared)
}

/// Waits until the database has reached this change.
async fn reach(
    client: &Client,
    cluster_id: &str,
    seq: Seq,
    patience: Duration,
) -> Result<(), VerifyError> {
    let deadline = Instant::now() + patience;
    loop {
        let row = client.query_one("SELECT cluster_id, position FROM position", &[]).await;
        let row = row.map_err(lost)?;
        let found: String = row.get(0);
        if found != cluster_id {
            let why = format!("it has the orders of the cluster {found}, and this is {cluster_id}");
            return Err(TargetError::Refused(why).into());
        }
        let position = Seq(unsigned(row.get(1)));
        if position >= seq {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(VerifyError::Behind { position, seq });
        }
        sleep(LOOK).await;
    }
}

async fn position(transaction: &Transaction<'_>) -> Result<Seq, VerifyError> {
    let row = transaction.query_one("SELECT position FROM position", &[]).await.map_err(lost)?;
    Ok(Seq(unsigned(row.get(0))))
}

/// What happened after `seq`, up to and with `position`.
async fn between<S: Source>(
    source: &Arc<S>,
    seq: Seq,
    position: Seq,
) -> Result<Changes, VerifyError> {
    let (mut changes, mut last) = (Changes::default(), seq);
    let mut feed = Feed::start(source, seq);
    let deadline = Instant::now() + BETWEEN_MAX;
    let mut batch = Vec::new();
    while last < position {
        let left = usize::try_from(position.0 - last.0).unwrap_or(usize::MAX).min(PAGE as usize);
        let taken = tokio::time::timeout_at(deadline, feed.take(&mut batch, left)).await;
        let late = || {
            let why = format!("the database stands at {position}, which no node has reached");
            SourceError::Unavailable(why)
        };
        taken.map_err(|_| late())??;
        for event in &batch {
            changes.add(event);
            last = event.seq;
        }
    }
    Ok(changes)
}

struct Comparison<'a> {
    transaction: &'a Transaction<'a>,
    since: Changes,
    tell: &'a mut dyn FnMut(&dyn fmt::Display),
}

impl Comparison<'_> {
    async fn state<S: State>(&mut self, mut state: S) -> Result<Compared, VerifyError> {
        let mut compared = Compared::default();
        let (mut products, mut holds) = (BTreeMap::new(), BTreeMap::new());
        let mut table = Orders::default();
        while let Some(line) = state.next().await? {
            match line {
                ExportLine::Head { .. }
                | ExportLine::Debt { .. }
                | ExportLine::Cursor { .. }
                | ExportLine::End { .. } => {}
                ExportLine::Product(view) => {
                    products.insert(view.id.clone(), Product::of(&view));
                }
                ExportLine::Hold(view) => {
                    holds.insert(view.hold_id, OpenHold::of(&view));
                }
                ExportLine::Order(view) => {
                    compared.orders += 1;
                    let mut order = OrderRow::from(view);
                    order.cancelled |= self.since.cancelled.contains_key(&order.order_id);
                    self.order(&mut table, &order).await?;
                }
            }
        }
        for mut order in std::mem::take(&mut self.since.orders) {
            compared.orders += 1;
            order.cancelled |= self.since.cancelled.contains_key(&order.order_id);
            self.order(&mut table, &order).await?;
        }
        while let Some(more) = table.next(self.transaction).await? {
            let id = more.order_id;
            (self.tell)(&format!("order {id} is in the database and not in the cluster"));
        }
        self.later(&mut products, &mut holds);
        (compared.products, compared.holds) = (products.len() as u64, holds.len() as u64);
        self.products(products).await.map_err(lost)?;
        self.holds(holds).await.map_err(lost)?;
        Ok(compared)
    }

    /// Compares the next order of the cluster with those of the database up to it.
    async fn order(&mut self, table: &mut Orders, order: &OrderRow) -> Result<(), VerifyError> {
        let id = order.order_id;
        loop {
            match table.peek(self.transaction).await? {
                Some(found) if found.order_id < id => {
                    let id = found.order_id;
                    (self.tell)(&format!("order {id} is in the database and not in the cluster"));
                    table.drop();
                }
                Some(found) if found.order_id == id => {
                    for (what, here, there) in differences(order, found) {
                        (self.tell)(&format!(
                            "order {id}: {what} is {here} in the cluster and {there} in the \
                             database"
                        ));
                    }
                    table.drop();
                    return Ok(());
                }
                _ => {
                    (self.tell)(&format!("order {id} is in the cluster and not in the database"));
                    return Ok(());
                }
            }
        }
    }

    /// Puts on top what happened since the state was taken.
    fn later(
        &mut self,
        products: &mut BTreeMap<Sku, Product>,
        holds: &mut BTreeMap<Seq, OpenHold>,
    ) {
        for (sku, new) in &self.since.terms {
            let terms = &new.terms;
            let product = products.entry(sku.clone()).or_default();
            product.name.clone_from(&terms.name);
            product.price = terms.price;
            product.currency = terms.currency.as_ref().map(|code| code.as_str().to_owned());
            product.per_user_limit = terms.per_user_limit.map(stock::Quantity::get);
            product.starts_ms = terms.starts_at.map(stock::api::Timestamp::ms);
            product.ends_ms = terms.ends_at.map(stock::api::Timestamp::ms);
            if new.created {
                product.counts = [super::signed(terms.stock), super::signed(terms.stock), 0, 0];
            }
        }
        for (sku, moved) in &self.since.moved {
            let product = products.entry(sku.clone()).or_default();
            let more = [moved.stocked, moved.available(), moved.held, moved.sold];
            for (count, more) in product.counts.iter_mut().zip(more) {
                *count += more;
            }
        }
        for hold in &self.since.holds {
            let items = hold.items.iter().map(item).collect();
            let (user, expires_ms) = (hold.user_id.to_string(), hold.expires_at.ms());
            holds.insert(hold.hold_id, OpenHold { user, items, expires_ms });
        }
        for hold in self.since.ended.keys() {
            holds.remove(hold);
        }
    }

    async fn products(
        &mut self,
        mut products: BTreeMap<Sku, Product>,
    ) -> Result<(), tokio_postgres::Error> {
        let rows = self
            .transaction
            .query(
                "SELECT product_id, name, price, currency, per_user_limit,
                    (extract(epoch FROM starts_at) * 1000)::bigint,
                    (extract(epoch FROM ends_at) * 1000)::bigint,
                    stocked, available, held, sold FROM products ORDER BY product_id",
                &[],
            )
            .await?;
        for row in rows {
            let id: String = row.get(0);
            let cluster = Sku::new(id.clone()).ok().and_then(|sku| products.remove(&sku));
            match cluster {
                None => {
                    (self.tell)(&format!("product {id} is in the database and not in the cluster"));
                }
                Some(cluster) => {
                    let found = Product::read(&row);
                    if found != cluster {
                        (self.tell)(&format!(
                            "product {id} is {cluster:?} in the cluster and {found:?} in the \
                             database"
                        ));
                    }
                }
            }
        }
        for id in products.keys() {
            (self.tell)(&format!("product {id} is in the cluster and not in the database"));
        }
        Ok(())
    }

    async fn holds(
        &mut self,
        mut holds: BTreeMap<Seq, OpenHold>,
    ) -> Result<(), tokio_postgres::Error> {
        let rows = self
            .transaction
            .query(
                "SELECT hold_id, user_id, items::text,
                    (extract(epoch FROM expires_at) * 1000)::bigint
                    FROM holds WHERE state = 'open' ORDER BY hold_id",
                &[],
            )
            .await?;
        for row in rows {
            let id = Seq(unsigned(row.get(0)));
            let items: Vec<ItemOnly> = serde_json::from_str(row.get(2)).unwrap_or_default();
            let items = items.into_iter().map(|item| (item.product_id, item.quantity)).collect();
            let (user, expires_ms) = (row.get(1), unsigned(row.get(3)));
            let found = OpenHold { user, items, expires_ms };
            match holds.remove(&id) {
                None => (self.tell)(&format!(
                    "hold {id} is open in the database and not in the cluster"
                )),
                Some(cluster) if cluster != found => (self.tell)(&format!(
                    "hold {id} is {cluster:?} in the cluster and {found:?} in the database"
                )),
                Some(_) => {}
            }
        }
        for id in holds.keys() {
            (self.tell)(&format!("hold {id} is open in the cluster and not in the database"));
        }
        Ok(())
    }

    /// Every change up to the position is there once, but for gaps that say so themselves.
    async fn events(&mut self, position: Seq) -> Result<(), tokio_postgres::Error> {
        let row = self
            .transaction
            .query_one(
                "SELECT count(*) FILTER (WHERE change <> 'gap'),
                    coalesce(sum((event->>'through')::bigint - (event->>'after')::bigint)
                        FILTER (WHERE change = 'gap'), 0)::bigint,
                    coalesce(max(seq), 0), (SELECT count(*) FROM orders) -
                    count(*) FILTER (WHERE change = 'ordered')
                    FROM stock_events",
                &[],
            )
            .await?;
        let (there, missing) = (unsigned(row.get(0)), unsigned(row.get(1)));
        let (last, unordered) = (unsigned(row.get(2)), row.get::<_, i64>(3));
        if there + missing != position.0 || last != position.0 {
            (self.tell)(&format!(
                "stock_events has {there} changes up to {last}, gaps of {missing} beside, and the \
                 position is {position}"
            ));
        }
        if missing == 0 && unordered != 0 {
            (self.tell)(&format!(
                "orders less the changes that made them are {unordered}, which must be 0"
            ));
        }
        Ok(())
    }
}

/// What the order is in each, where it differs.
fn differences(cluster: &OrderRow, found: &OrderRow) -> Vec<(&'static str, String, String)> {
    let pairs = [
        ("user_id", cluster.user_id.to_string(), found.user_id.to_string()),
        ("request_id", cluster.request_id.to_string(), found.request_id.to_string()),
        ("hold_id", format!("{:?}", cluster.hold_id), format!("{:?}", found.hold_id)),
        ("items", format!("{:?}", cluster.items), format!("{:?}", found.items)),
        ("ordered_at", cluster.at_ms.to_string(), found.at_ms.to_string()),
        ("cancelled", cluster.cancelled.to_string(), found.cancelled.to_string()),
    ];
    pairs.into_iter().filter(|(_, here, there)| here != there).collect()
}

/// The orders of the database by id, a page at a time.
#[derive(Default)]
struct Orders {
    page: std::collections::VecDeque<OrderRow>,
    after: i64,
    over: bool,
}

impl Orders {
    async fn peek(
        &mut self,
        transaction: &Transaction<'_>,
    ) -> Result<Option<&OrderRow>, VerifyError> {
        if self.page.is_empty() && !self.over {
            let rows = transaction
                .query(
                    "SELECT order_id, user_id, request_id, hold_id, items::text,
                        (extract(epoch FROM ordered_at) * 1000)::bigint, cancelled
                        FROM orders WHERE order_id > $1 ORDER BY order_id LIMIT $2",
                    &[&self.after, &PAGE],
                )
                .await
                .map_err(lost)?;
            self.over = rows.is_empty();
            for row in &rows {
                self.after = row.get(0);
                self.page.push_back(read_order(row)?);
            }
        }
        Ok(self.page.front())
    }

    async fn next(
        &mut self,
        transaction: &Transaction<'_>,
    ) -> Result<Option<OrderRow>, VerifyError> {
        self.peek(transaction).await?;
        Ok(self.page.pop_front())
    }

    fn drop(&mut self) {
        self.page.pop_front();
    }
}

fn read_order(row: &Row) -> Result<OrderRow, VerifyError> {
    let order_id = Seq(unsigned(row.get(0)));
    let strange = |why: &dyn fmt::Display| {
        TargetError::Refused(format!("order {order_id} of the database is none: {why}"))
    };
    let items: Vec<LineView> = serde_json::from_str(row.get(4)).map_err(|why| strange(&why))?;
    Ok(OrderRow {
        order_id,
        user_id: row.get::<_, String>(1).try_into().map_err(|why| strange(&why))?,
        request_id: row.get::<_, String>(2).try_into().map_err(|why| strange(&why))?,
        hold_id: row.get::<_, Option<i64>>(3).map(|hold| Seq(unsigned(hold))),
        items,
        at_ms: unsigned(row.get(5)),
        cancelled: row.get(6),
    })
}

/// A product, as far as both sides know it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Product {
    name: String,
    price: Option<u64>,
    currency: Option<String>,
    per_user_limit: Option<u32>,
    starts_ms: Option<u64>,
    ends_ms: Option<u64>,
    /// Stocked, available, held, sold.
    counts: [i64; 4],
}

impl Product {
    fn of(view: &ProductView) -> Self {
        Self {
            name: view.name.clone(),
            price: view.price,
            currency: view.currency.as_ref().map(|code| code.as_str().to_owned()),
            per_user_limit: view.per_user_limit.map(stock::Quantity::get),
            starts_ms: view.starts_at.map(stock::api::Timestamp::ms),
            ends_ms: view.ends_at.map(stock::api::Timestamp::ms),
            counts: [view.stocked, view.available, view.held, view.sold].map(super::signed),
        }
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
            counts: [7, 8, 9, 10].map(|at| row.get(at)),
        }
    }
}

/// An open hold, as far as both sides know it.
#[derive(Debug, PartialEq, Eq)]
struct OpenHold {
    user: String,
    items: Vec<(Sku, u32)>,
    expires_ms: u64,
}

impl OpenHold {
    fn of(view: &stock::api::HoldView) -> Self {
        let item = |item: &ItemView| (item.product_id.clone(), item.quantity.get());
        Self {
            user: view.user_id.to_string(),
            items: view.items.iter().map(item).collect(),
            expires_ms: view.expires_at.ms(),
        }
    }
}

fn item(line: &LineView) -> (Sku, u32) {
    (line.product_id.clone(), line.quantity.get())
}

/// An item of the database, which may have more.
#[derive(serde::Deserialize)]
struct ItemOnly {
    product_id: Sku,
    quantity: u32,
}
