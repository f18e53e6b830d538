//! Stock levels as messages, kept for all who listen to them.
//!
//! Owns the board: each product's newest message. It is brought up to date from the events since
//! the last look, and only when somebody listens; a board that is far behind is made anew, in
//! short looks at the machine. So a catalogue of any size costs a buy nothing, and who connects
//! gets what is there already.

use axum::extract::ws::Utf8Bytes;
use raft::{FEED_EVENTS_MAX, Feed, FeedLimits, Replica};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use stock::{Machine, Product, Seq, Sku};
use tokio::sync::{Mutex, broadcast, watch};

/// Between two looks at the levels.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// Looks that a listener may be behind before it is told all levels anew.
const LOOKS_BEHIND_MAX: usize = 16;
/// Events that a board is brought up to date by; one that is further behind is made anew.
const EVENTS_BEHIND_MAX: u64 = 4 * FEED_EVENTS_MAX as u64;
/// Products of one look at the machine.
const PAGE: usize = 1_000;

/// The levels that changed between two looks, one message each.
pub(super) type Look = Arc<[Utf8Bytes]>;

/// See the module. Clones share it.
#[derive(Clone)]
pub(super) struct Levels {
    replica: Replica,
    board: Arc<Mutex<Board>>,
    looks: broadcast::Sender<Look>,
}

/// Each product's message as it was after `at`, or later.
#[derive(Default)]
struct Board {
    at: Seq,
    messages: BTreeMap<Sku, Utf8Bytes>,
}

/// One message.
#[derive(Serialize)]
struct Level<'a> {
    product_id: &'a Sku,
    stock: u64,
}

impl Levels {
    /// Starts the task that looks, which ends when `closing` turns true.
    pub(super) fn follow(replica: Replica, mut closing: watch::Receiver<bool>) -> Self {
        let (looks, _) = broadcast::channel(LOOKS_BEHIND_MAX);
        let levels = Self { replica, board: Arc::default(), looks };
        let looking = levels.clone();
        let mut feed = looking.replica.feed_watch();
        tokio::spawn(async move {
            let mut last = Seq(0);
            loop {
                tokio::select! {
                    Some(newest) = feed.after(last) => last = newest,
                    _ = closing.wait_for(|closing| *closing) => return,
                }
                if looking.looks.receiver_count() > 0 {
                    let mut board = looking.board.lock().await;
                    looking.look(&mut board).await;
                }
                tokio::time::sleep(LOOK_INTERVAL).await;
            }
        });
        levels
    }

    /// All levels as they are now, and what changes from then on.
    pub(super) async fn subscribe(&self) -> (Vec<Utf8Bytes>, broadcast::Receiver<Look>) {
        let mut board = self.board.lock().await;
        // While somebody listens, the board is kept up to date and is a look old at the most; a look
        // for whoever comes next would tell everybody more often than ten times a second.
        if self.looks.receiver_count() == 0 {
            self.look(&mut board).await;
        }
        // Looks are told under the same lock, so none falls between the two.
        (board.messages.values().cloned().collect(), self.looks.subscribe())
    }

    /// Brings the board up to date, and tells listeners what changed on it.
    async fn look(&self, board: &mut Board) {
        let newest = self.replica.read(Machine::seq);
        let changed = match self.changed(board.at, newest).await {
            Some(skus) => self.levels_of(&skus),
            None => self.all_levels(),
        };
        board.at = newest;
        let mut told = Vec::new();
        for (sku, stock) in changed {
            let Some(message) = message(&sku, stock) else { continue };
            if board.messages.get(&sku) != Some(&message) {
                told.push(message.clone());
                board.messages.insert(sku, message);
            }
        }
        if !told.is_empty() {
            // An error is that nobody listens.
            let _nobody = self.looks.send(told.into());
        }
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
