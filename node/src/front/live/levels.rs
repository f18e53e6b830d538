//! Stock levels as messages, kept for all who listen to them.
//!
//! One task owns the board: each product's newest message. It is brought up to date from the events
//! since the last look, and only when somebody listens; a board that is far behind is made anew, in
//! short looks at the machine. So a catalogue of any size costs a buy nothing, and who connects
//! shares what is there already.

use axum::extract::ws::Utf8Bytes;
use bytes::Bytes;
use raft::{FEED_EVENTS_MAX, Feed, FeedLimits, Replica};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use stock::{Machine, Product, Seq, Sku};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};

/// Between two looks at the levels.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// Looks that a listener may be behind before it is told all levels anew.
const LOOKS_BEHIND_MAX: usize = 16;
/// Listeners that may wait for their first levels at the task; further ones wait before it.
const ASKS_MAX: usize = 64;
/// Events that a board is brought up to date by; one that is further behind is made anew.
const EVENTS_BEHIND_MAX: u64 = 4 * FEED_EVENTS_MAX as u64;
/// Products of one look at the machine.
const PAGE: usize = 1_000;

/// The levels that changed between two looks, or all there are.
#[derive(Debug, Clone)]
pub(super) struct Look(Arc<Messages>);

#[derive(Debug)]
struct Messages {
    /// One a product.
    messages: Box<[Utf8Bytes]>,
    /// All as server-sent events, made by whoever needs it first.
    events: OnceLock<Bytes>,
}

impl Look {
    fn new(messages: Vec<Utf8Bytes>) -> Self {
        Self(Arc::new(Messages { messages: messages.into(), events: OnceLock::new() }))
    }

    /// One message a product.
    pub(super) fn messages(&self) -> &[Utf8Bytes] {
        &self.0.messages
    }

    /// The messages as server-sent events, one text for all listeners.
    pub(super) fn events(&self) -> Bytes {
        self.0.events.get_or_init(|| events(&self.0.messages)).clone()
    }
}

fn events(messages: &[Utf8Bytes]) -> Bytes {
    let mut text = Vec::with_capacity(messages.iter().map(|message| message.len() + 8).sum());
    for message in messages {
        text.extend_from_slice(b"data: ");
        text.extend_from_slice(message.as_bytes());
        text.extend_from_slice(b"\n\n");
    }
    text.into()
}

/// All levels, and what changes from then on.
pub(super) type Subscription = (Look, broadcast::Receiver<Look>);

/// Clonable handle to the task, which ends with the last one.
#[derive(Clone)]
pub(super) struct Levels {
    asks: mpsc::Sender<oneshot::Sender<Subscription>>,
}

/// What the task owns.
struct Looking {
    replica: Replica,
    looks: broadcast::Sender<Look>,
    /// The board is as it was after this change, or later.
    at: Seq,
    board: BTreeMap<Sku, Utf8Bytes>,
    /// The whole board for whoever connects, made once for all who do before it changes.
    all: Option<Look>,
    /// Not before, changes are looked at.
    rests_until: Instant,
}

/// One message.
#[derive(Serialize)]
struct Level<'a> {
    product_id: &'a Sku,
    stock: u64,
}

impl Levels {
    /// Starts the task, which also ends when `closing` turns true.
    pub(super) fn follow(replica: Replica, closing: watch::Receiver<bool>) -> Self {
        let (looks, _) = broadcast::channel(LOOKS_BEHIND_MAX);
        let (asks, asked) = mpsc::channel(ASKS_MAX);
        let (at, board, all, rests_until) = (Seq(0), BTreeMap::new(), None, Instant::now());
        let looking = Looking { replica, looks, at, board, all, rests_until };
        tokio::spawn(looking.run(asked, closing));
        Self { asks }
    }

    /// All levels as they are now, and what changes from then on. None when the node shuts down.
    pub(super) async fn subscribe(&self) -> Option<Subscription> {
        let (reply, subscribed) = oneshot::channel();
        self.asks.send(reply).await.ok()?;
        subscribed.await.ok()
    }
}

impl Looking {
    async fn run(
        mut self,
        mut asks: mpsc::Receiver<oneshot::Sender<Subscription>>,
        mut closing: watch::Receiver<bool>,
    ) {
        let mut feed = self.replica.feed_watch();
        let mut last = Seq(0);
        let closed = async {
            // Without a sender nobody is left to keep the node open.
            let _closed = closing.wait_for(|closing| *closing).await;
        };
        let mut closed = std::pin::pin!(closed);
        loop {
            let rests_until = self.rests_until;
            let changed = async {
                sleep_until(rests_until).await;
                feed.after(last).await
            };
            tokio::select! {
                asked = asks.recv() => {
                    let Some(reply) = asked else { return };
                    // Who asked may be gone by now.
                    let _gone = reply.send(self.subscribe().await);
                }
                Some(newest) = changed => {
                    last = newest;
                    self.rests_until = Instant::now() + LOOK_INTERVAL;
                    if self.looks.receiver_count() > 0 {
                        self.look().await;
                    }
                }
                () = &mut closed => return,
            }
        }
    }

    async fn subscribe(&mut self) -> Subscription {
        // While somebody listens, the board is kept up to date and is a look old at the most; a
        // look for whoever comes next would tell everybody more often than ten times a second.
        if self.looks.receiver_count() == 0 {
            self.look().await;
        }
        let board = &self.board;
        let all = self.all.get_or_insert_with(|| Look::new(board.values().cloned().collect()));
        (all.clone(), self.looks.subscribe())
    }

    /// Brings the board up to date, and tells listeners what changed on it.
    async fn look(&mut self) {
        let newest = self.replica.read(Machine::seq);
        let changed = match self.changed(self.at, newest).await {
            Some(skus) => self.levels_of(&skus),
            None => self.all_levels(),
        };
        self.at = newest;
        let mut told = Vec::new();
        for (sku, stock) in changed {
            let Some(message) = message(&sku, stock) else { continue };
            if self.board.get(&sku) != Some(&message) {
                told.push(message.clone());
                self.board.insert(sku, message);
            }
        }
        if !told.is_empty() {
            self.all = None;
            // An error is that nobody listens.
            let _nobody = self.looks.send(Look::new(told));
        }
        self.rests_until = Instant::now() + LOOK_INTERVAL;
    }

    /// The products that changed between the two; none when it is simpler to look at all.
    async fn changed(&self, after: Seq, newest: Seq) -> Option<BTreeSet<Sku>> {
        if after == Seq(0) || newest.0.saturating_sub(after.0) > EVENTS_BEHIND_MAX {
            return None;
        }
        let mut skus = BTreeSet::new();
        let mut at = after;
        while at < newest {
            let events = self.replica.events(at, FEED_EVENTS_MAX, FeedLimits::default()).await;
            let Ok(Feed::Events(events)) = events else { return None };
            at = events.last()?.seq;
            for event in &events {
                skus.extend(event.change.products().into_iter().cloned());
            }
        }
        Some(skus)
    }

    fn levels_of(&self, skus: &BTreeSet<Sku>) -> Vec<(Sku, u64)> {
        let level = |machine: &Machine, sku| machine.product(sku).map(level);
        self.replica.read(|machine| skus.iter().filter_map(|sku| level(machine, sku)).collect())
    }

    /// In several looks: a large catalogue must not hold up the machine.
    fn all_levels(&self) -> Vec<(Sku, u64)> {
        let first = |machine: &Machine| machine.products().take(PAGE).map(level).collect();
        let mut levels: Vec<(Sku, u64)> = self.replica.read(first);
        while let Some((last, _)) = levels.last().cloned() {
            let next = |machine: &Machine| {
                machine.products_after(&last).take(PAGE).map(level).collect::<Vec<_>>()
            };
            let page = self.replica.read(next);
            if page.is_empty() {
                break;
            }
            levels.extend(page);
        }
        levels
    }
}

fn level(product: &Product) -> (Sku, u64) {
    (product.terms.sku.clone(), product.available)
}

fn message(sku: &Sku, stock: u64) -> Option<Utf8Bytes> {
    serde_json::to_string(&Level { product_id: sku, stock }).ok().map(Utf8Bytes::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_is_an_event_a_product() {
        let sku = |id| Sku::new(id).unwrap();
        let messages = [("tee", 3), ("a.b", 0)].map(|(id, stock)| message(&sku(id), stock));
        let look = Look::new(messages.into_iter().flatten().collect());
        let text = concat!(
            "data: {\"product_id\":\"tee\",\"stock\":3}\n\n",
            "data: {\"product_id\":\"a.b\",\"stock\":0}\n\n",
        );
        assert_eq!(look.events(), text);
        // A clone has the same text, and makes no other.
        assert_eq!(look.clone().events().as_ptr(), look.events().as_ptr());
        assert!(Look::new(Vec::new()).events().is_empty());
    }
}
