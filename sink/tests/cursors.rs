//! A target whose position is a cursor: when there is one, and how a state is delivered in place of
//! changes that were lost.

#![allow(clippy::unwrap_used, reason = "a test ends at what it cannot go on without")]

use sink::cursor::{Cursored, Cursors, Delivery};
use sink::message::Message;
use sink::{Options, Progress, Source, SourceError, Standing, State, TargetError, run};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use stock::api::{ChangeView, EventView, ExportLine, LineView, OrderView};
use stock::{CursorName, CursorTarget, Quantity, Receipt, RequestId, Seq, Sku, UserId};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// What the state has; the feed tells the changes behind it.
const ORDERS: u64 = 10_000;
const NEWEST: u64 = ORDERS + 50;
const BATCH: usize = 300;

/// A cluster that tells no change before its state, and keeps one cursor.
#[derive(Default)]
struct Cluster {
    cursor: Mutex<Option<Seq>>,
    /// Where it was to be moved from, each time.
    moved_from: Mutex<Vec<Option<Seq>>>,
    /// Of so many moves all but one fail; 0: none does.
    moves_one_in: usize,
}

impl Source for Cluster {
    type State = Orders;

    async fn standing(&self) -> Result<Standing, SourceError> {
        Ok(Standing { cluster_id: "c".into(), newest: Seq(NEWEST) })
    }

    async fn follow(&self, after: Seq, queue: mpsc::Sender<EventView>) -> SourceError {
        if after.0 < ORDERS {
            return SourceError::Gone("long ago".into());
        }
        for seq in after.0 + 1..=NEWEST {
            let product_id = Sku::new("tee").unwrap();
            let change = ChangeView::Restocked { product_id, quantity: 1, remaining: seq };
            if queue.send(EventView { seq: Seq(seq), at_ms: seq, change }).await.is_err() {
                return SourceError::Unavailable("nobody reads".into());
            }
        }
        std::future::pending().await
    }

    async fn state(&self) -> Result<Orders, SourceError> {
        Ok(Orders { next: 0 })
    }
}

impl Cursors for Cluster {
    async fn read(&self, _: (&CursorName, &CursorTarget)) -> Result<Option<Seq>, SourceError> {
        Ok(*self.cursor.lock().unwrap())
    }

    async fn advance(
        &self,
        _: (&CursorName, &CursorTarget),
        (from, to): (Option<Seq>, Seq),
    ) -> Result<bool, SourceError> {
        let moves = {
            let mut moved_from = self.moved_from.lock().unwrap();
            moved_from.push(from);
            moved_from.len()
        };
        if self.moves_one_in > 0 && !moves.is_multiple_of(self.moves_one_in) {
            return Err(SourceError::Unavailable("the disk is full".into()));
        }
        let mut cursor = self.cursor.lock().unwrap();
        let stands = *cursor == from;
        if stands {
            *cursor = Some(to);
        }
        Ok(stands)
    }
}

/// A head, orders from 1 on, an end.
struct Orders {
    next: u64,
}

impl State for Orders {
    fn seq(&self) -> Seq {
        Seq(ORDERS)
    }

    async fn next(&mut self) -> Result<Option<ExportLine>, SourceError> {
        let at = self.next;
        self.next += 1;
        Ok(match at {
            0 => {
                let (log_time_ms, state_hash) = (0, String::new());
                Some(ExportLine::Head { seq: Seq(ORDERS), log_time_ms, state_hash })
            }
            1..=ORDERS => Some(ExportLine::Order(order(at))),
            _ if at == ORDERS + 1 => Some(ExportLine::End { lines: at }),
            _ => None,
        })
    }
}

fn order(id: u64) -> OrderView {
    let product_id = Sku::new("tee").unwrap();
    OrderView {
        order_id: Seq(id),
        user_id: UserId::new("ann").unwrap(),
        request_id: RequestId::new(format!("r{id}")).unwrap(),
        items: vec![LineView { product_id, quantity: Quantity::ONE, remaining: 0 }],
        hold_id: None,
        cancelled: false,
        place: id,
        receipt: Receipt::default(),
        at_ms: id,
        seq: Seq(id),
    }
}

/// What a system was handed, message by message, and how often it was connected to.
#[derive(Default)]
struct Taken {
    ids: Vec<String>,
    at_once_max: usize,
    connected: u64,
    deliveries: u64,
}

/// Loses one delivery in so many, of which half were taken; 0 loses none.
struct System {
    taken: Arc<Mutex<Taken>>,
    loses_one_in: u64,
}

impl Delivery for System {
    fn identity(&self) -> String {
        "test://system".into()
    }

    async fn connect(&mut self) -> Result<(), TargetError> {
        self.taken.lock().unwrap().connected += 1;
        Ok(())
    }

    fn fitting(&self, messages: &[Message]) -> usize {
        messages.len().min(BATCH - 1)
    }

    async fn deliver(&mut self, messages: &[Message]) -> Result<(), TargetError> {
        let mut taken = self.taken.lock().unwrap();
        taken.deliveries += 1;
        taken.at_once_max = taken.at_once_max.max(messages.len());
        let count = taken.deliveries;
        let lost = self.loses_one_in > 0 && count.is_multiple_of(self.loses_one_in);
        if !lost || count.is_multiple_of(2) {
            taken.ids.extend(messages.iter().map(|message| message.id.clone()));
        }
        if lost { Err(TargetError::Lost("no answer".into())) } else { Ok(()) }
    }
}

/// Carries everything; returns what was taken, and how long it took by the paused clock.
async fn carry(
    cluster: &Arc<Cluster>,
    (loses_one_in, rows_per_second): (u64, Option<u32>),
) -> (Taken, Duration) {
    let taken = Arc::new(Mutex::new(Taken::default()));
    let system = System { taken: Arc::clone(&taken), loses_one_in };
    let name = CursorName::new("test").unwrap();
    let mut target = Cursored::new(Arc::clone(cluster), name, system);
    let options = Options { batch_max: BATCH, rows_per_second, until_caught_up: true };
    let progress = Arc::new(Progress::new("test"));
    let (_stop, stopping) = watch::channel(false);
    let began = Instant::now();
    run(cluster, &mut target, &options, &progress, stopping).await.unwrap();
    drop(target);
    (std::mem::take(&mut taken.lock().unwrap()), began.elapsed())
}

/// Every order, what stands for the rest, and the changes behind it, in this order.
fn all() -> Vec<String> {
    let numbers = |from: u64, to: u64| (from..=to).map(|id| id.to_string());
    let gap = std::iter::once(format!("state-{ORDERS}-gap"));
    numbers(1, ORDERS).chain(gap).chain(numbers(ORDERS + 1, NEWEST)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_state_keeps_to_the_batch_and_to_the_pace() {
    let cluster = Arc::new(Cluster::default());
    let (taken, took) = carry(&cluster, (0, Some(1_000))).await;
    assert_eq!(taken.ids, all());
    // An eighth of a second at once, for all that a batch may be larger.
    assert_eq!(taken.at_once_max, 125);
    // The first page's time counts from its end.
    let least = Duration::from_millis(NEWEST - 125);
    assert!(took >= least && took < least + Duration::from_secs(2), "{took:?}");
}

/// A cursor that cannot be moved, as while the leader's disk is full, makes nothing come again.
#[tokio::test(start_paused = true)]
async fn what_was_taken_is_recorded_later_and_not_delivered_again() {
    let cursor = Mutex::new(Some(Seq(ORDERS)));
    let cluster = Arc::new(Cluster { cursor, moves_one_in: 3, ..Cluster::default() });
    let (taken, _) = carry(&cluster, (0, None)).await;
    let expected: Vec<String> = (ORDERS + 1..=NEWEST).map(|id| id.to_string()).collect();
    assert_eq!(taken.ids, expected);
    assert_eq!(cluster.moved_from.lock().unwrap().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_is_delivered_at_once_is_what_fits() {
    let cluster = Arc::new(Cluster::default());
    let (taken, _) = carry(&cluster, (0, None)).await;
    assert_eq!((taken.ids, taken.at_once_max), (all(), BATCH - 1));
}

#[tokio::test(start_paused = true)]
async fn a_page_that_fails_is_delivered_again_and_not_the_whole_state() {
    let cluster = Arc::new(Cluster::default());
    let (taken, _) = carry(&cluster, (3, None)).await;
    let firsts = taken.ids.iter().filter(|id| *id == "1").count();
    assert_eq!(firsts, 1, "the state was begun once");
    assert!(taken.connected > 1, "after a failure it is connected to anew");
    let mut seen = BTreeSet::new();
    let in_order: Vec<String> =
        taken.ids.into_iter().filter(|id| seen.insert(id.clone())).collect();
    assert_eq!(in_order, all());
}

#[tokio::test(start_paused = true)]
async fn a_cursor_is_made_by_the_first_move() {
    let cluster = Arc::new(Cluster::default());
    // It is asked again and again, takes nothing, and has no cursor then.
    let patience = Duration::from_secs(600);
    let never = tokio::time::timeout(patience, carry(&cluster, (1, None))).await;
    assert!(never.is_err() && cluster.cursor.lock().unwrap().is_none());
    assert_eq!(cluster.moved_from.lock().unwrap().len(), 0);
    carry(&cluster, (0, None)).await;
    assert_eq!(*cluster.cursor.lock().unwrap(), Some(Seq(NEWEST)));
    let moved_from = cluster.moved_from.lock().unwrap();
    assert_eq!(moved_from[..2], [None, Some(Seq(ORDERS))]);
    assert!(moved_from[1..].iter().all(Option::is_some), "{moved_from:?}");
}
