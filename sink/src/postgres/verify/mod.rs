//! The database against the cluster, at one `seq`.
//!
//! Owns: the comparison. The cluster's state is read at its `seq` S, the database in one
//! repeatable-read transaction at its position P, which must have reached S; the changes from S to
//! P, a few, are put on top of the state. Orders and changes are compared as two streams each, so
//! ten million take no more room than ten; products and open holds are kept whole. What no state
//! tells (who took an order back, how a hold ended) is compared with the changes that say so, once
//! these are the cluster's. Never does: repair.
//!
//! | file | what it owns |
//! |---|---|
//! | `state` | the cluster's state against the tables, line by line |
//! | `orders` | the orders of the database as a stream |
//! | `kept` | products and open holds |
//! | `history` | every change, as far back as the feed tells it |
//! | `ended` | what only the changes tell |

mod ended;
mod history;
mod kept;
mod orders;
mod state;

use super::connect::Connected;
use super::{Database, lost, unsigned};
use crate::changes::Changes;
use crate::feed::Feed;
use crate::source::{Source, SourceError, State};
use crate::target::TargetError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use stock::Seq;
use tokio::time::{Instant, sleep};
use tokio_postgres::{Client, IsolationLevel, Transaction};

/// Where each difference goes, in words.
type Tell<'a> = &'a mut (dyn FnMut(&dyn fmt::Display) + Send);

/// Between two looks whether the database has come so far.
const LOOK: Duration = Duration::from_millis(100);
/// Rows that are read from the database at once.
const PAGE: i64 = 2_000;
/// How long the next changes may take.
const NEXT_MAX: Duration = Duration::from_secs(30);

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
    /// The first change that was compared with what the feed tells; those before it, which it no
    /// longer tells, were only counted.
    pub changes_from: Seq,
    /// What whoever asked should know of the connection to the database.
    pub warning: Option<String>,
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
    mut tell: impl FnMut(&dyn fmt::Display) + Send,
) -> Result<Compared, VerifyError> {
    let standing = source.standing().await?;
    let Connected { mut client, warning } = database.connect().await?;
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
    let told = state::compare(&transaction, state, since, &mut tell).await?;
    let changes_from = history::compare(&transaction, source, position, &mut tell).await?;
    ended::cancelled(&transaction, &mut tell).await?;
    ended::holds(&transaction, &told, &mut tell).await?;
    let (orders, products, holds) = (told.orders, told.products, told.open.len() as u64);
    let seq = position;
    Ok(Compared { seq, orders, products, holds, changes_from, warning, differences })
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
    let mut batch = Vec::new();
    while last < position {
        let left = usize::try_from(position.0 - last.0).unwrap_or(usize::MAX).min(PAGE as usize);
        take(&mut feed, &mut batch, left, position).await?;
        for event in &batch {
            changes.add(event);
            last = event.seq;
        }
    }
    Ok(changes)
}

/// The next changes, which there must be: the database has those up to `position`.
async fn take(
    feed: &mut Feed,
    batch: &mut Vec<stock::api::EventView>,
    max: usize,
    position: Seq,
) -> Result<(), VerifyError> {
    let taken = tokio::time::timeout(NEXT_MAX, feed.take(batch, max)).await;
    let late = || {
        let why = format!("the database stands at {position}, which no node has reached");
        SourceError::Unavailable(why)
    };
    Ok(taken.map_err(|_| late())??)
}

/// Says that something of a row differs.
fn differs(tell: Tell<'_>, row: &dyn fmt::Display, (what, here, there): (&str, &str, &str)) {
    tell(&format!("{row}: {what} is {here} in the cluster and {there} in the database"));
}
