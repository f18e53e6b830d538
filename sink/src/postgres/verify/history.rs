//! Every change of the database against the feed, as far back as the feed tells.
//!
//! Numbers are dense, so a change that is missing is found without the feed; what the feed no
//! longer tells, its oldest changes, is only counted. A row `gap` says that changes are missing and
//! why, and is believed.

use super::{NEXT_MAX, PAGE, Tell, VerifyError, differs, take};
use crate::feed::Feed;
use crate::postgres::{lost, unsigned};
use crate::source::{Source, SourceError};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::vec::IntoIter;
use stock::Seq;
use stock::api::EventView;
use tokio_postgres::{Row, Transaction};

/// So near the oldest change is looked for: a node seals, and forgets, thousands at a time.
const NEAR: u64 = 1_000;

/// Compares all up to the position, and says from which change on.
pub(super) async fn compare<S: Source>(
    transaction: &Transaction<'_>,
    source: &Arc<S>,
    position: Seq,
    tell: Tell<'_>,
) -> Result<Seq, VerifyError> {
    let before = oldest(source, position).await?;
    let mut told =
        Told { feed: Feed::start(source, before), batch: Vec::new().into_iter(), position };
    let (mut due, mut after) = (1, 0_i64);
    loop {
        let rows = transaction
            .query(
                "SELECT seq, (extract(epoch FROM at) * 1000)::bigint, change, event::text
                    FROM stock_events WHERE seq > $1 ORDER BY seq LIMIT $2",
                &[&after, &PAGE],
            )
            .await
            .map_err(lost)?;
        let Some(last) = rows.last() else { break };
        after = last.get(0);
        for row in &rows {
            let found = Found::read(row);
            if found.seq > position.0 {
                let seq = found.seq;
                tell(&format!("change {seq} is in the database, which stands at {position}"));
                continue;
            }
            missing(tell, due, found.first());
            due = found.seq + 1;
            if found.is_gap() || found.seq <= before.0 {
                continue;
            }
            let event = told.at(found.seq).await?;
            found.compare(&event, tell);
        }
    }
    missing(tell, due, position.0 + 1);
    Ok(Seq(before.0 + 1))
}

fn missing(tell: Tell<'_>, from: u64, to: u64) {
    if from + 1 == to {
        tell(&format!("change {from} is in the cluster and not in the database"));
    } else if from < to {
        let last = to - 1;
        tell(&format!("changes {from} to {last} are in the cluster and not in the database"));
    }
}

/// After which change the feed begins, or one soon after that.
async fn oldest<S: Source>(source: &Arc<S>, position: Seq) -> Result<Seq, VerifyError> {
    let (mut gone, mut told) = (0, position.0);
    if reaches(source, Seq(0), position).await? {
        return Ok(Seq(0));
    }
    while told - gone > NEAR {
        let middle = gone.midpoint(told);
        if reaches(source, Seq(middle), position).await? {
            told = middle;
        } else {
            gone = middle;
        }
    }
    Ok(Seq(told))
}

async fn reaches<S: Source>(
    source: &Arc<S>,
    after: Seq,
    position: Seq,
) -> Result<bool, VerifyError> {
    if after >= position {
        return Ok(true);
    }
    let mut feed = Feed::start(source, after);
    let first = tokio::time::timeout(NEXT_MAX, feed.take(&mut Vec::new(), 1)).await;
    match first {
        Ok(Ok(())) => Ok(true),
        Ok(Err(SourceError::Gone(_))) => Ok(false),
        Ok(Err(why)) => Err(why.into()),
        Err(_) => Err(SourceError::Unavailable("no node tells its changes".to_owned()).into()),
    }
}

/// The feed, change by change.
struct Told {
    feed: Feed,
    batch: IntoIter<EventView>,
    position: Seq,
}

impl Told {
    /// The change with this number, which is not before one that was asked for.
    async fn at(&mut self, seq: u64) -> Result<EventView, VerifyError> {
        loop {
            if let Some(event) = self.batch.find(|event| event.seq.0 == seq) {
                return Ok(event);
            }
            let mut batch = Vec::new();
            take(&mut self.feed, &mut batch, PAGE as usize, self.position).await?;
            self.batch = batch.into_iter();
        }
    }
}

/// A row of `stock_events`.
struct Found {
    seq: u64,
    at_ms: u64,
    change: String,
    event: Value,
}

impl Found {
    fn read(row: &Row) -> Self {
        let event = serde_json::from_str(row.get(3)).unwrap_or_default();
        let (seq, at_ms) = (unsigned(row.get(0)), unsigned(row.get(1)));
        Self { seq, at_ms, change: row.get(2), event }
    }

    fn is_gap(&self) -> bool {
        self.change == "gap"
    }

    /// The first change that it stands for.
    fn first(&self) -> u64 {
        let after = self.event["after"].as_u64().filter(|_| self.is_gap());
        after.map_or(self.seq, |after| after + 1)
    }

    fn compare(&self, event: &EventView, tell: Tell<'_>) {
        let row = format!("change {}", self.seq);
        let (at, at_found) = (event.at_ms.to_string(), self.at_ms.to_string());
        for (what, here, there) in
            [("at", at.as_str(), at_found.as_str()), ("change", event.change.name(), &self.change)]
        {
            if here != there {
                differs(tell, &row, (what, here, there));
            }
        }
        let cluster = json!(event);
        let nothing = Map::new();
        let (here, there) =
            (cluster.as_object().unwrap_or(&nothing), self.event.as_object().unwrap_or(&nothing));
        let more = there.keys().filter(|key| !here.contains_key(*key));
        for key in here.keys().chain(more) {
            let (here, there) = (here.get(key), there.get(key));
            if here != there {
                let text = |value: Option<&Value>| value.map_or("none".into(), Value::to_string);
                let what = format!("event's {key}");
                differs(tell, &row, (&what, &text(here), &text(there)));
            }
        }
    }
}
